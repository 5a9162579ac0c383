"""Searches for many neighbors on one thread, and what decides how they are kept.

faiss keeps heaps for k below 100 and reservoirs from there on; `RESERVOIR_K` is our number. Times
are those of the processor: of a shared machine, only one's own.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest
from measure import Run, once

ROWS, QUERIES = 50_000, 16
KS = [10, 100, 250, 260, 1000, 2500, 10_000, 50_000]


def rows_of(dtype: str, n: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if np.dtype(dtype) == np.uint8:
        return random.integers(0, 256, (n, width), np.uint8)
    return random.normal(size=(n, width)).astype(dtype)


def processor_time(act: Callable[[], object]) -> Run:
    """A run that returns the processor time that it took."""

    def timed() -> float:
        started = time.process_time()
        act()
        return time.process_time() - started

    return once(timed)


@pytest.mark.parametrize(
    ("dtype", "width", "k"),
    [
        pytest.param(
            *(dtype, width, k), marks=() if (dtype, k) == ("uint8", 1000) else pytest.mark.full
        )
        for dtype, width in (("uint8", 64), ("float32", 16), ("float32", 128))
        for k in KS
    ],
)
def test_many_neighbors(side_by_side, dtype, width, k):
    from fastknn import Index

    train, queries = rows_of(dtype, ROWS, width, 0), rows_of(dtype, QUERIES, width, 1)
    index = Index(train, screen="direct")
    runs = {"fastknn": processor_time(lambda: index.search(queries, k, n_jobs=1))}
    try:
        import faiss
    except ImportError:
        pass
    else:
        before = faiss.omp_get_max_threads()
        peer, floats = faiss.IndexFlatL2(width), queries.astype(np.float32)
        peer.add(train.astype(np.float32))

        def by_faiss() -> None:
            faiss.omp_set_num_threads(1)
            peer.search(floats, k)
            faiss.omp_set_num_threads(before)

        squares = peer.search(floats, k)[0]
        np.testing.assert_allclose(index.search(queries, k)[0] ** 2, squares, rtol=1e-3)
        runs["faiss"] = processor_time(by_faiss)
    side_by_side(
        f"{QUERIES} queries on one thread, {ROWS:,} x {width} {dtype}, k={k:,}",
        runs,
        unit="search",
        kind="many neighbors",
        k=k,
    )


@pytest.mark.full
@pytest.mark.parametrize("k", KS)
def test_topk_of_many(side_by_side, k):
    """A given matrix, and NumPy's partition of it, which leaves ties to chance, sorted."""
    from fastknn import topk

    distances = np.random.default_rng(0).random((QUERIES, ROWS))

    def by_numpy() -> None:
        some = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, some, 1), axis=1, kind="stable")
        np.take_along_axis(some, order, 1)

    runs = {
        "fastknn": processor_time(lambda: topk(distances, k, n_jobs=1)),
        "NumPy argpartition": processor_time(by_numpy),
    }
    side_by_side(
        f"{k:,} smallest of {QUERIES} x {ROWS:,}, one thread",
        runs,
        unit="matrix",
        kind="many neighbors",
        k=k,
    )
