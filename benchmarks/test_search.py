"""Searches against the best peers, at full size."""

import threading

import numpy as np
import pytest
from data import gaussian
from measure import Run, once
from searches import compare_search, search_runs, title


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_search_cifar10(side_by_side, cifar10, metric):
    compare_search(side_by_side, cifar10, metric, k=7, n_queries=5000)


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_search_mnist(side_by_side, mnist, metric):
    compare_search(side_by_side, mnist, metric, k=7, n_queries=5000)


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_search_noise_128(side_by_side, metric):
    compare_search(side_by_side, gaussian(200_000, 2000, 128), metric, k=10, n_queries=2000)


@pytest.mark.full
def test_search_noise_16(side_by_side):
    compare_search(side_by_side, gaussian(100_000, 10_000, 16), "l2", k=10, n_queries=10_000)


@pytest.mark.full
def test_search_noise_2048(side_by_side):
    compare_search(side_by_side, gaussian(20_000, 500, 2048), "l2", k=10, n_queries=500)


@pytest.mark.full
def test_one_query_768(side_by_side):
    compare_search(side_by_side, gaussian(100_000, 1, 768), "l2", k=10, n_queries=1, rounds=15)


@pytest.mark.full
@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_one_query_cifar10(side_by_side, cifar10, metric):
    """One query at a time against the speed at which two threads can read the training rows."""
    names = ["fastknn", "fastknn direct", "faiss", "scikit-learn-intelex", "usearch"]
    runs, absent, _ = search_runs(cifar10, metric, 7, 1, names)
    medians = side_by_side(
        f"one query, {title(cifar10, metric, 7)}",
        runs,
        yardsticks={"read": reader(cifar10.train)},
        rounds=25 if side_by_side.effort.full else 9,
        kind="one query",
        metric=metric,
        absent=absent,
    )
    side_by_side.benchmark.extra_info.update(
        share_of_read_bandwidth=medians["read"] / medians["fastknn direct"]
    )


def reader(array: np.ndarray) -> Run:
    """Two threads read all of an array, by the fastest of NumPy's and Numba's ways tried."""
    halves = np.array_split(array.reshape(-1).view(np.uint64), 2)

    def run() -> None:
        helper = threading.Thread(target=np.bitwise_or.reduce, args=(halves[0],))
        helper.start()
        np.bitwise_or.reduce(halves[1])
        helper.join()

    return once(run)
