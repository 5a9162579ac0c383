"""Prediction cost as the training set grows: the lecture's O(N), for each contender."""

import pytest
from searches import search_runs, title


@pytest.mark.parametrize("metric", ["l2", "l1"])
@pytest.mark.parametrize(
    "n_rows",
    [pytest.param(n, marks=pytest.mark.full) for n in (1000, 2000, 5000, 10_000, 20_000, 50_000)],
)
def test_cost_over_n(side_by_side, cifar10, metric, n_rows):
    data = cifar10._replace(train=cifar10.train[:n_rows])
    runs, absent, ours = search_runs(data, metric, 7, 2000)
    side_by_side(
        title(data, metric, 7),
        runs,
        rounds=3,
        kind="cost over n",
        metric=metric,
        n_rows=n_rows,
        absent=absent,
    )
    info = side_by_side.benchmark.extra_info
    info["work"] = {name: search.work(info["counts"][name]) for name, search in ours.items()}
