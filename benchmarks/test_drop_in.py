"""The estimators against scikit-learn's over many shapes, both by default."""

import itertools
from functools import partial

import numpy as np
import pytest
from contenders import SKLEARN_METRIC
from data import STRUCTURED
from measure import timed

SIZES = (100, 1000, 5000, 20_000)
WIDTHS = (2, 3, 4, 5, 6, 16, 64, 256, 784)
# Floats of few degrees of freedom, in which trees are quick.
KINDS = ("random walk", "lags of a series", "bent sheet", "6 factors", "cells")


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_drop_in(benchmark, metric, dtype):
    """kneighbors(), and also fit() and a first query, where an index could cost more than it gives.

    Each is timed right after an untimed run of its own: a core that slept takes milliseconds to
    wake up. extra_info has every shape and, as `slower`, those where scikit-learn was quicker by
    5 %.
    """
    import sklearn.neighbors as theirs

    from fastknn import NearestNeighbors

    generator = np.random.default_rng(0)
    ratios = {}

    def in_turns(runs: list, rounds: int = 5) -> list[float]:
        seconds = [[] for _ in runs]
        for _ in range(rounds):
            for run, all_ in zip(runs, seconds, strict=True):
                timed(run, rest=0.012)
                all_.append(timed(run, rest=0))
        return [float(np.median(all_)) for all_ in seconds]

    def rows_of(kind: int | str, n: int) -> np.ndarray:
        """Noise of so many columns, or rows of a kind; rounded and cut where they are bytes."""
        if isinstance(kind, int):
            return (generator.normal(size=(n, kind)) * 40 + 128).clip(0, 255).astype(dtype)
        return STRUCTURED[kind](generator, n).astype(dtype)

    def sweep() -> None:
        kinds = WIDTHS if dtype == "uint8" else WIDTHS + KINDS
        for n_rows, kind, n_queries, k in itertools.product(SIZES, kinds, (1, 100, 1000), (1, 10)):
            both = rows_of(kind, n_rows + n_queries)
            width = both.shape[1]
            if metric == "l1" and n_rows * width * n_queries > 2e9:
                continue  # seconds each, for scikit-learn
            chosen = generator.permutation(len(both))
            rows, queries = both[np.sort(chosen[n_queries:])], both[chosen[:n_queries]]
            makers = [
                partial(module, n_neighbors=k, metric=SKLEARN_METRIC[metric])
                for module in (NearestNeighbors, theirs.NearestNeighbors)
            ]
            shape = f"{n_rows} x {width}, {n_queries} queries, k={k}"
            if isinstance(kind, str):
                shape = f"{kind}, {shape}"
            if n_queries == 1:
                ours, other = in_turns(
                    [lambda make=make: make().fit(rows).kneighbors(queries) for make in makers]  # noqa: B023
                )
                ratios[f"fit and {shape}"] = ours / other
            ours, other = in_turns(
                [partial(make().fit(rows).kneighbors, queries) for make in makers]
            )
            ratios[shape] = ours / other

    benchmark.pedantic(sweep, rounds=1, iterations=1)
    benchmark.extra_info.update(
        kind="drop-in",
        metric=metric,
        dtype=dtype,
        ratios=ratios,
        geometric_mean=float(np.exp(np.mean(np.log(list(ratios.values()))))),
        slower={shape: ratio for shape, ratio in ratios.items() if ratio > 1.05},
    )
