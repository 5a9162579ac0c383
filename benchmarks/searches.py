"""Searches of all contenders, side by side."""

from functools import partial

import numpy as np
from contenders import CONTENDERS, Fastknn, build, in_its_form
from data import Data
from measure import Run, SideBySide, matmul


def title(data: Data, metric: str, k: int) -> str:
    """What is searched, in one line."""
    rows, width = data.train.shape
    return f"{data.name}, {rows:,} x {width:,} {data.train.dtype}, {metric.upper()}, k={k}"


def search_runs(
    data: Data,
    metric: str,
    k: int,
    n_queries: int,
    names: list[str] | None = None,
    full: bool = True,
    atol: float = 0.0,
) -> tuple[dict[str, Run], dict[str, str], dict[str, Fastknn]]:
    """Runs, why others are absent, and ours; their distances must agree, up to `atol`.

    Parameters
    ----------
    data : Data
    metric, k
    n_queries : int
        That fastknn gets; peers get as many as the effort allows.
    names : list of str, optional
        Of contenders, by default all but trees; of those that are `only_full` where `full`.
    """
    runs, absent, ours, expected = {}, {}, {}, None
    everybody = [name for name, one in CONTENDERS.items() if not one.is_tree]
    for name in names or everybody:
        if CONTENDERS[name].only_full and not full:
            continue
        search = build(name, data.train, metric)
        if isinstance(search, str):
            absent[name] = search
            continue
        queries = in_its_form(name, data.test[:n_queries])
        found = search(queries[:2], k)
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=atol)
        least = min(len(queries), CONTENDERS[name].batch) if metric == "l2" else 1
        if name == "fastknn":  # what --benchmark-compare compares does not depend on the machine
            least = len(queries)
        runs[name] = Run(partial(_search, search, queries, k), least, len(queries))
        if isinstance(search, Fastknn):
            ours[name] = search
    return runs, absent, ours


def _search(search, queries: np.ndarray, k: int, n: int) -> None:
    search(queries[:n], k)


def compare_search(
    side_by_side: SideBySide,
    data: Data,
    metric: str,
    k: int,
    n_queries: int,
    names: list[str] | None = None,
    atol: float = 0.0,
    **options,
) -> None:
    """Measure a search beside peers, by default all but trees, and a matrix product."""
    kind, name = "search", title(data, metric, k)
    if n_queries == 1:
        kind, name = "one query", f"one query, {name}"
    runs, absent, ours = search_runs(
        data, metric, k, n_queries, names, full=side_by_side.effort.full, atol=atol
    )
    product, multiply_adds = matmul()
    medians = side_by_side(name, runs, yardsticks={"matmul": product}, **options)
    matmul_rate = multiply_adds / medians["matmul"]
    counts = side_by_side.benchmark.extra_info["counts"]
    side_by_side.benchmark.extra_info.update(
        kind=kind,
        metric=metric,
        absent=absent,
        matmul_rate=matmul_rate,
        times_matmul={name: data.train.size / medians[name] / matmul_rate for name in runs},
        work={name: search.work(counts[name]) for name, search in ours.items()},
    )
