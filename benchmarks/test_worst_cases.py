"""Data on which screens are useless: what an index takes beside one without any."""

import numpy as np
import pytest
from contenders import Fastknn
from data import gaussian
from measure import Run

METRICS = pytest.mark.parametrize("metric", ["l2", "l1"])
pytestmark = pytest.mark.full


@METRICS
def test_worst_case_cifar10(side_by_side, cifar10, metric):
    """Queries of noise, for which a screen chosen on images can do nothing."""
    generator = np.random.default_rng(0)
    queries = generator.integers(0, 256, (1000, cifar10.train.shape[1]), dtype=np.uint8)
    compare(side_by_side, "queries of noise", cifar10.train, queries, metric)


@METRICS
def test_worst_case_far_queries(side_by_side, metric):
    """Queries that are far away from all rows, which look alike from there."""
    data = gaussian(100_000, 1000, 128)
    compare(side_by_side, "queries far away", data.train, data.test * 100, metric)


@METRICS
def test_worst_case_ties(side_by_side, metric):
    """Every row equally far from every query, and a screen asked for nevertheless."""
    train = np.tile(np.eye(512, dtype=np.float32), (40, 1))
    queries = np.zeros((200, 512), np.float32)
    compare(side_by_side, "all rows equally far", train, queries, metric, "quantized")


def compare(side_by_side, what: str, train, queries, metric: str, screen: str = "auto") -> None:
    ours = {
        "fastknn": Fastknn(train, metric, screen),
        "fastknn direct": Fastknn(train, metric, "direct"),
    }
    runs = {
        name: Run(lambda n, search=search: search(queries, 7), len(queries), len(queries))
        for name, search in ours.items()
    }
    medians = side_by_side(f"{what}, {metric.upper()}", runs, kind="worst case", metric=metric)
    held = {name: train.nbytes + search.index.nbytes for name, search in ours.items()}
    side_by_side.benchmark.extra_info.update(
        times_direct=medians["fastknn"] / medians["fastknn direct"],
        bytes_times_direct=held["fastknn"] / held["fastknn direct"],
        work={name: search.work(len(queries)) for name, search in ours.items()},
    )
