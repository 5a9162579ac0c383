"""What comes before the second prediction: building an index, imports, compilation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from measure import once
from searches import search_runs

pytestmark = pytest.mark.full


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_fit(side_by_side, cifar10, metric):
    """What building an index costs, direct and chosen by trial, and when the trial pays back."""
    from fastknn import Index

    searches, _, _ = search_runs(cifar10, metric, 7, 1000, ["fastknn", "fastknn direct", "faiss"])
    building = {
        "fastknn": once(lambda: Index(cifar10.train, metric)),
        "fastknn direct": once(lambda: Index(cifar10.train, metric, screen="direct")),
    }
    medians = side_by_side(
        f"an index over {cifar10.name}, {metric.upper()}",
        building,
        unit="index",
        yardsticks={f"{name}, per query": run for name, run in searches.items()},
        rounds=3,
    )
    each = {name: medians[f"{name}, per query"] for name in searches}
    side_by_side.benchmark.extra_info.update(
        kind="fit",
        metric=metric,
        pays_back_after_queries=(medians["fastknn"] - medians["fastknn direct"])
        / (each["fastknn direct"] - each["fastknn"]),
        fit_in_queries_of_faiss=medians["fastknn"] / each["faiss"] if "faiss" in each else None,
    )


FIRST_PREDICTION = """
import time
started = time.perf_counter()
import numpy
with_numpy = time.perf_counter()
import fastknn
imported = time.perf_counter()
from sklearn.neighbors import KNeighborsClassifier
theirs = time.perf_counter()
rows = numpy.random.default_rng(0).random((10_000, 64))
labels = numpy.arange(10_000) % 10
fastknn.KNeighborsClassifier(5).fit(rows, labels).predict(rows[:QUERIES])
ended = time.perf_counter()
print(imported - with_numpy, theirs - imported, ended - theirs, ended - started)
"""


def in_fresh_process(code: str, **environment: str) -> list[float]:
    """The numbers that a script prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(part) for part in done.stdout.split()]


@pytest.mark.parametrize("n_queries", [100, 10_000])
def test_first_prediction(benchmark, n_queries):
    """A fresh process: imports, and a first prediction. So few votes load no Numba."""
    code = FIRST_PREDICTION.replace("QUERIES", str(n_queries))
    in_fresh_process(code)  # whose kernels are compiled and cached, files read
    runs = []
    benchmark.pedantic(lambda: runs.append(in_fresh_process(code)), rounds=5, iterations=1)
    names = ("import fastknn", "import sklearn.neighbors", "fit and predict", "all")
    medians = map(float, np.median(runs, axis=0))
    benchmark.extra_info.update(
        kind="first prediction",
        title=f"a fresh process and its first {n_queries:,} predictions",
        unit="process",
        seconds=dict(zip(names, medians, strict=True)),
    )


def test_first_vote(benchmark, tmp_path):
    """Seconds of the first vote in a fresh process, with Numba's cache cold and warm."""
    code = "import time; t = time.perf_counter(); from fastknn import vote; vote([[0, 1]]); "
    code += "print(time.perf_counter() - t)"
    seconds = {"cold": [], "warm": []}

    def first_vote(cache: Path) -> float:
        return in_fresh_process(code, NUMBA_CACHE_DIR=str(cache))[0]

    def both() -> None:
        seconds["cold"].append(first_vote(tmp_path / f"cold{len(seconds['cold'])}"))
        seconds["warm"].append(first_vote(tmp_path / "warm"))

    first_vote(tmp_path / "warm")
    benchmark.pedantic(both, rounds=3, iterations=1)
    benchmark.extra_info.update(
        kind="first vote",
        title="the first vote of a fresh process",
        unit="vote",
        seconds={f"{kind} cache": float(np.median(all_)) for kind, all_ in seconds.items()},
    )
