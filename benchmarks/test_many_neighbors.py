"""Processor time of searches for many neighbors on one thread, and what decides how they are kept.

pytest benchmarks/test_many_neighbors.py --benchmark-only

faiss keeps heaps for k below 100 and reservoirs from there on; `RESERVOIR_K` is our number.
"""

import time

import numpy as np
import pytest
from measure import take_turns

from fastknn import Index
from fastknn.voting.selection import topk

ROWS, QUERIES = 50_000, 16
KS = [10, 100, 250, 260, 1000, 2500, 10_000, 50_000]


def of_type(dtype, n: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if np.dtype(dtype) == np.uint8:
        return random.integers(0, 256, (n, width), np.uint8)
    return random.normal(size=(n, width)).astype(dtype)


def processor_seconds(run):
    """A run that returns the processor time it took: of a shared machine, only one's own."""

    def timed() -> float:
        started = time.process_time()
        run()
        return time.process_time() - started

    return timed


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize(("dtype", "width"), [("u1", 64), ("f4", 16), ("f4", 128)])
def test_search(benchmark, dtype, width, k):
    train, queries = of_type(dtype, ROWS, width, 0), of_type(dtype, QUERIES, width, 1)
    index = Index(train, screen="direct")
    runs = {"fastknn": processor_seconds(lambda: index.search(queries, k, n_jobs=1))}
    try:
        import faiss
    except ImportError:
        pass
    else:
        faiss.omp_set_num_threads(1)
        peer, floats = faiss.IndexFlatL2(width), queries.astype(np.float32)
        peer.add(train.astype(np.float32))
        squares = peer.search(floats, k)[0]
        np.testing.assert_allclose(index.search(queries, k)[0] ** 2, squares, rtol=1e-3)
        runs["faiss"] = processor_seconds(lambda: peer.search(floats, k))
    take_turns(benchmark, runs, rounds=5, kind="many neighbors", k=k)


@pytest.mark.parametrize("k", KS)
def test_topk(benchmark, k):
    """A given matrix, and NumPy's partition of it, which leaves ties to chance, sorted."""
    distances = np.random.default_rng(0).random((QUERIES, ROWS))

    def by_numpy() -> None:
        some = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, some, 1), axis=1, kind="stable")
        np.take_along_axis(some, order, 1)

    runs = {
        "fastknn topk": processor_seconds(lambda: topk(distances, k, n_jobs=1)),
        "NumPy argpartition": processor_seconds(by_numpy),
    }
    take_turns(benchmark, runs, rounds=5, kind="many neighbors", k=k)
