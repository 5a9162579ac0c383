"""Early thresholds: never below the k-th key, and of no influence on what is found."""

import numpy as np
import pytest
from cases import (
    ANGLES,
    DTYPES,
    METRICS,
    assert_finds,
    set_plans,
    set_reach,
    structured,
)
from numpy.testing import assert_array_equal

from fastknn import Index
from fastknn.metrics.keys import no_keys
from fastknn.screens import near

REACH = near.REACH


@pytest.fixture(autouse=True)
def small(monkeypatch):
    set_plans(monkeypatch, l2=((7,), (7, 15)), l1=((4,), (4, 2)), fewest_groups=2)
    set_reach(monkeypatch, group_rows=64, fewest_groups=2, fewest_queries=1)


def some(dtype, n_rows, n_queries):
    """Rows, and queries of the same kind."""
    every = structured(dtype, n_rows + n_queries, 64)
    return every[:n_rows], every[n_rows:]


def hostile(kind, dtype):
    """Rows, and queries, of some kind."""
    rows, queries = some(dtype, 1500, 40)
    if kind == "duplicates":
        rows[200:1300] = rows[7]
    elif kind == "equal":
        rows[:] = rows[0]
    elif kind == "far":
        rows[::2] = 255 if dtype == np.uint8 else 1e9
    elif kind == "out of range" and dtype != np.uint8:
        queries[3] = -1e25
    elif kind == "the rows":
        queries = rows[:40]
    return rows, queries


KINDS = ["structured", "duplicates", "equal", "far", "out of range", "the rows"]


def with_near(rows, metric):
    index = Index(rows, metric, screen="projected")
    assert index._searcher.near is not None
    return index


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", [*METRICS, ANGLES[0]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_threshold_is_below_the_kth_key(dtype, metric, kind):
    rows, queries = hostile(kind, dtype)
    index = with_near(rows, metric)
    searcher = index._searcher
    encoded = searcher.encode_queries(queries)
    for k in (1, 5, 40):
        thresholds = searcher.early_thresholds(encoded, k)
        searcher.near, kept = None, searcher.near
        exact = index.search_keys(queries, k).keys[:, -1]
        searcher.near = kept
        assert (thresholds >= exact).all()
        expected = Index(rows, metric, screen="direct").search_keys(queries, k)
        assert_array_equal(index.search_keys(queries, k).rows, expected.rows)
        assert_array_equal(exact, expected.keys[:, -1])


@pytest.mark.parametrize("metric", METRICS)
def test_near_rows_are_near(metric):
    """Else all of this is of no use: thresholds are tight, and candidates few."""
    rows, queries = some(np.float32, 6000, 100)
    index = with_near(rows, metric)
    searcher = index._searcher
    thresholds = searcher.early_thresholds(searcher.encode_queries(queries), 5)
    exact = index.search_keys(queries, 5).keys[:, -1]
    assert np.median(thresholds / exact) < 1.3
    left = index.stats_["candidates"][0]
    searcher.near = None
    index.search_keys(queries, 5)
    assert left < index.stats_["candidates"][0]


@pytest.mark.parametrize("share", [1, 0.5])
def test_lower_thresholds_lose_neighbors(monkeypatch, share):
    rows, queries = some(np.uint8, 1500, 40)
    index, kept = with_near(rows, "l2"), near.NearRows.thresholds
    set_reach(monkeypatch, fewest_groups=5)  # of which the k-th is that of all rows, mostly

    def lowered(self, *arguments):
        return kept(self, *arguments) * share

    monkeypatch.setattr(near.NearRows, "thresholds", lowered)
    found = index.search_keys(queries, 5)
    assert (found.rows == np.iinfo(np.int64).max).any() == (share < 1)


@pytest.mark.parametrize("count", [2559, 2560, 2561, 2623, 2624, 2625])
def test_the_last_group_may_be_short(monkeypatch, count):
    rows, queries = some(np.uint8, count, 33)
    monkeypatch.setattr(near, "REACH", REACH)  # as users have it
    for metric in METRICS:
        index = Index(rows, metric, screen="projected")
        for k in (1, 10, 90):
            assert_finds(index, queries, k)
        near_rows = index._searcher.near
        enough = count > 19 * 128
        encoded = index._searcher.encode_queries(queries)
        assert (near_rows.thresholds(encoded, 1, metric) is not None) == enough
        assert near_rows.thresholds(encoded, 500, metric) is None
        assert near_rows.thresholds(index._searcher.encode_queries(queries[:7]), 1, metric) is None


def test_queries_that_nobody_looked_at():
    """NaN in queries: nothing is known of them, and nothing is found for them."""
    rows, queries = some(np.float32, 1500, 40)
    queries[7, 5] = np.nan
    index = Index(rows, screen="projected", check_finite=False)
    assert index._searcher.near is not None
    found = index.search_keys(queries, 3, check_finite=False)
    plain = Index(rows, screen="none", check_finite=False)
    expected = plain.search_keys(queries, 3, check_finite=False)
    assert_array_equal(found.rows, expected.rows)
    assert (found.rows[7] == np.iinfo(np.int64).max).all()
    assert not (found.rows[0] == np.iinfo(np.int64).max).any()


def test_few_and_many_queries_and_threads():
    rows, queries = some(np.uint8, 1500, 90)
    index = with_near(rows, "l1")
    expected = index.search(queries, 5)
    for n_jobs in (1, 3):
        for count in (1, 2, 13, 90):
            for got, want in zip(
                index.search(queries[:count], 5, n_jobs=n_jobs), expected, strict=True
            ):
                assert_array_equal(got, want[:count])


def test_given_thresholds_are_taken():
    rows, queries = some(np.uint8, 1500, 40)
    index = with_near(rows, "l2")
    exact = index.search_keys(queries, 5)
    found = index.search_keys(queries, 5, max_key=exact.keys[:, 1])
    assert (found.rows[:, :2] == exact.rows[:, :2]).all()
    given = index.stats_["candidates"][0]
    index.search_keys(queries, 5)
    assert given < index.stats_["candidates"][0]


def test_what_is_held_is_counted():
    rows = structured(np.uint8, 1500, 64)
    index = with_near(rows, "l2")
    before, held = index.nbytes, index._searcher.near.nbytes
    index._searcher.near = None
    assert before - index.nbytes == held > 1500 * 8


def test_keys_of_nobody():
    """No queries, and no rows found: arrays of the right shapes."""
    rows = structured(np.uint8, 1500, 64)
    index = with_near(rows, "l2")
    assert index.search_keys(rows[:0], 5).keys.shape == no_keys(0, 5, "l2").keys.shape
