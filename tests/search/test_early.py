"""Thresholds from scores of the first panels, or of some: they spare refines, lose no neighbor."""

import numpy as np
import pytest
from cases import METRICS, all_dtypes, assert_same, both_metrics, grid, points
from numpy.testing import assert_array_equal

from fastknn import Index
from fastknn.reference import reference_knn
from fastknn.screens.direct import are_in_sequence
from fastknn.search import searcher

# Around what a lane, a panel and all lanes hold, and where k begins to be too large.
KS = (1, 2, 15, 16, 17, 32, 33)


@pytest.fixture(autouse=True, params=["first panels", "spread panels"])
def looked_at(request, monkeypatch):
    """Both ways of looking, whatever the order of the rows."""
    monkeypatch.setattr(searcher, "SEQUENCE_MATTERS", 0)
    monkeypatch.setattr(searcher, "are_in_sequence", lambda _: request.param == "spread panels")
    return request.param


def assert_right(queries, train, k, metric):
    with np.errstate(all="ignore"):
        expected = reference_knn(queries, train, k, metric)
    index = Index(train, metric, screen="direct", n_jobs=1)
    assert_same(index.search(queries, k, n_jobs=1), expected)
    return index


@both_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [64, 100, 1000])
@pytest.mark.parametrize("k", [1, 10, 16, 30])
def test_few_more_rows_are_refined_than_are_wanted(dtype, metric, n_rows, k, looked_at):
    """Without the look at their scores, k (1 + ln(n / k)) of so few rows are."""
    if looked_at == "spread panels":
        pytest.skip("a fourth of so few rows is looked at")
    queries, train = points(dtype, 200, 12, 1), points(dtype, n_rows, 12, 2)
    index = assert_right(queries, train, k, metric)
    later = k * np.log(max(1, n_rows / (128 * k)))  # of the rows that are not looked at first
    assert k <= index.stats_["rows_refined"] / len(queries) <= 1.6 * k + 1 + later


@all_dtypes
@both_metrics
@pytest.mark.parametrize("k", KS)
def test_numbers_of_rows_around_those_that_are_looked_at(dtype, metric, k):
    queries, train = points(dtype, 9, 5, 1), points(dtype, 2100, 5, 2)
    around = (128 * k, 1024, 2 * k, 64, 32)
    for n_rows in sorted({n + more for n in around for more in (-1, 0, 1, 9)}):
        if k <= n_rows <= len(train):
            assert_right(queries, train[:n_rows], k, metric)
            assert_right(grid(dtype, 9, 3, 1), grid(dtype, n_rows, 3, 2), k, metric)


@both_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3, 16, 257, 300])
def test_scores_that_are_far_off_bound_nothing_too_tightly(dtype, metric, width):
    """Two clusters so far apart that float32 cannot tell the rows of either from each other."""
    random = np.random.default_rng(width)
    for far, spread in ((1e4, 1e-2), (1e6, 1.0), (3e7, 1.0), (1e3, 1e-4)):
        rows = far * random.choice([-1, 1], (140, 1)) + spread * random.normal(size=(140, width))
        rows = rows.astype(dtype)
        for k in (1, 10, 20):
            assert_right(rows[:20], rows[20:], k, metric)


@both_metrics
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
@pytest.mark.parametrize("width", [2, 9, 40])
def test_queries_that_are_rounded(dtype, metric, width):
    """Halves between bytes, and float64 that float32 does not hold."""
    random = np.random.default_rng(width)
    for spread in (2, 20):
        train = (random.normal(size=(150, width)) * spread + 60).astype(dtype)
        queries = np.rint(random.normal(size=(30, width)) * spread + 60) + 0.5
        for k in (1, 10, 20):
            assert_right(queries, train, k, metric)
            assert_right(queries + random.normal(size=queries.shape) * 1e-9, train, k, metric)


@both_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_and_queries_out_of_range(dtype, metric):
    """They have no score that bounds anything, or one that is infinite."""
    largest = float(np.finfo(dtype).max)
    random = np.random.default_rng(0)
    for huge in (1e17, 1e18, 1e19, 1e25, largest / 4, largest):
        train, queries = points(dtype, 130, 6, 1), points(dtype, 12, 6, 2)
        train[random.integers(0, 130, 60), random.integers(0, 6, 60)] = huge
        queries[::3, 2], queries[1::3, 4] = huge, -huge
        for k in (1, 10, 30):
            assert_right(queries, train, k, metric)
        assert_right(queries / huge, train / dtype(huge), 10, metric)


def test_rows_of_nan_are_not_counted_among_the_nearest():
    train, queries = points(np.float32, 90, 5, 1), points(np.float32, 7, 5, 2)
    train[::2] = np.nan
    real = np.flatnonzero(~np.isnan(train[:, 0]))
    for metric in METRICS:
        found = Index(train, metric, screen="direct", check_finite=False).search(queries, 20)
        expected = reference_knn(queries, train[real], 20, metric)
        assert_array_equal(found[0], expected[0])
        assert_array_equal(found[1], real[expected[1]])


@both_metrics
def test_every_part_of_the_rows_begins_with_a_look(metric):
    """Threads that share the rows look at those that they begin with."""
    queries, train = points(np.float32, 3, 30, 1), points(np.float32, 40_000, 30, 2)
    index = Index(train, metric, screen="direct")
    expected = index.search(queries, 10, n_jobs=1)
    for n_jobs in (2, 3, 5):
        assert_same(index.search(queries, 10, n_jobs=n_jobs), expected)


@both_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 10])
def test_rows_in_sequence_are_not_refined_one_after_another(dtype, metric, k, looked_at):
    """On the way to the nearest rows, each row of a series is nearer than those before it."""
    random = np.random.default_rng(0)
    walk = random.normal(size=(8000, 6)).cumsum(axis=0).astype(dtype)
    chosen = random.permutation(len(walk))
    queries, train = walk[chosen[:100]], walk[np.sort(chosen[100:])]
    refined = assert_right(queries, train, k, metric).stats_["rows_refined"] / len(queries)
    if looked_at == "spread panels":
        assert refined < 80
    else:  # it is why others are looked at
        assert refined > 100


def test_what_is_in_sequence():
    random = np.random.default_rng(0)
    walk, noise = random.normal(size=(3000, 5)).cumsum(axis=0), random.normal(size=(3000, 5))
    assert are_in_sequence(walk)
    assert are_in_sequence(np.sort(noise, axis=0))
    assert are_in_sequence(walk.astype(np.int8).astype(np.uint8)[:300])
    assert not are_in_sequence(noise)
    assert not are_in_sequence(random.permutation(walk))
    assert not are_in_sequence(np.full((1, 3), np.nan))
    assert not are_in_sequence(np.full((900, 3), 1e308) * random.choice([-1, 1], (900, 1)))


@pytest.mark.parametrize("n_queries", [10, 50])
def test_short_searches_do_not_ask_for_the_order(monkeypatch, n_queries):
    monkeypatch.setattr(searcher, "SEQUENCE_MATTERS", 30_000)
    asked = []
    monkeypatch.setattr(searcher, "are_in_sequence", lambda train: asked.append(len(train)) or True)
    queries, train = points(np.float32, n_queries, 5, 1), points(np.float32, 1000, 5, 2)
    index = Index(train, screen="direct", n_jobs=1)
    for _ in range(2):
        index.search(queries, 3, n_jobs=1)
    assert asked == ([1000] if n_queries == 50 else [])
