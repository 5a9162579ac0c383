"""Very many neighbors, which a reservoir keeps instead of a heap: the same order and bits."""

import numpy as np
import pytest
from cases import (
    SCREENS,
    all_dtypes,
    assert_same,
    both_metrics,
    grid,
    peak,
    points,
    set_limits,
    set_sizes,
    without_bounds,
)
from numpy.testing import assert_allclose, assert_array_equal

from fastknn import Index, knn
from fastknn.engine import _core
from fastknn.metrics.keys import ABSENT
from fastknn.reference import reference_distances, reference_knn, reference_topk
from fastknn.voting.selection import topk

MANY = _core.RESERVOIR_K
# Around the switch, and around what a reservoir holds before it drops anything.
KS = [1, 2, MANY - 1, MANY, MANY + 1, 400]


def expected(distances, k, metric):
    values, rows = reference_topk(distances, k)
    return (np.sqrt(values) if metric == "l2" else values), rows


def assert_right(queries, train, metric, ks, **kwargs):
    distances = reference_distances(queries, train, metric)
    index = Index(train, metric, n_jobs=1, **kwargs)
    for k in ks:
        for n_jobs in (1, 3):
            assert_same(index.search(queries, k, n_jobs=n_jobs), expected(distances, k, metric))


# --- sizes -----------------------------------------------------------------------------------


@both_metrics
@all_dtypes
def test_ks_around_the_switch(dtype, metric):
    for kind in (points, grid):
        n = 1100
        queries, train = kind(dtype, 9, 12, 1), kind(dtype, n, 12, 2)
        assert_right(queries, train, metric, [*KS, n - 1, n])


@both_metrics
@pytest.mark.parametrize("over", [-1, 0, 1, 63, 64, 65])
@pytest.mark.parametrize("drops", [1, 2, 3])
def test_rows_around_a_drop(metric, over, drops):
    """Reservoirs of half of k more than k, when they have just been full, or nearly."""
    k = MANY
    n = k + drops * (k // 2) + over
    queries = points(np.uint8, 3, 5, 1)
    for train in (points(np.uint8, n, 5, 2), grid(np.uint8, n, 5, 2)):
        assert_right(queries, train, metric, [k])


@pytest.mark.parametrize("n_queries", [1, 4, 5, 16, 17, 40])
def test_any_number_of_queries(n_queries):
    queries, train = points(np.float32, n_queries, 7, 1), points(np.float32, 900, 7, 2)
    assert_right(queries, train, "l2", [MANY, 600])


@both_metrics
@all_dtypes
@pytest.mark.parametrize("screen", SCREENS)
def test_screens(dtype, metric, screen, monkeypatch):
    set_sizes(monkeypatch, thread_bytes=0)
    set_limits(monkeypatch, rows_per_neighbor=0)  # the screen keeps its work
    random = np.random.default_rng(0)
    base = points(dtype, 30, 40, 1)
    train = base[random.integers(0, 30, 1500)]
    train = (train + random.integers(0, 2, train.shape).astype(dtype)).astype(dtype)
    queries = train[::300].copy()
    assert_right(queries, train, metric, [MANY - 1, MANY, 500], screen=screen)


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kind", [points, grid])
def test_angles(dtype, metric, kind, monkeypatch):
    set_sizes(monkeypatch, thread_bytes=0)
    queries, train = kind(dtype, 2, 5, 1), kind(dtype, 700, 5, 2)
    k = 400
    expected = reference_knn(queries, train, k, metric)
    right = Index(train, metric, screen="none").search(queries, k, n_jobs=1)
    assert_array_equal(right[1], expected[1])
    assert_allclose(right[0], expected[0], rtol=8e-16, atol=1e-33)
    for screen in ("none", "direct", "quantized"):
        index = Index(train, metric, screen=screen)
        for n_jobs in (1, 2):
            assert_same(index.search(queries, k, n_jobs=n_jobs), right)
            found = index.search(queries, MANY, n_jobs=n_jobs)
            assert_same(found, [part[:, :MANY].copy() for part in right])


def test_angles_that_differ_in_the_rest_of_the_key_only():
    """Keys that one float64 cannot tell apart, in an order that is not that of the rows."""
    random = np.random.default_rng(0)
    train, queries = np.ones((700, 2)), np.array([[1.0, 0.0]])  # nearly at right angles
    train[:, 0] = 2.0**-20 * (1 + 2.0**-30 * random.integers(0, 500, 700))
    right = reference_knn(queries, train, 500, "cosine")
    index = Index(train, "cosine", screen="none")
    keys = index.search_keys(queries, 500)
    assert (keys.keys == keys.keys[0, 0]).all()
    assert 200 < len(np.unique(keys.low)) < 450  # and some are equal altogether
    assert_array_equal(index.search(queries, 500)[1], right[1])
    assert_array_equal(index.search(queries, 300)[1], right[1][:, :300])


# --- promises --------------------------------------------------------------------------------


@both_metrics
@all_dtypes
def test_first_columns_are_the_search_for_fewer(dtype, metric):
    for queries, train in [
        (points(dtype, 6, 9, 1), points(dtype, 1300, 9, 2)),
        (grid(dtype, 6, 4, 1), grid(dtype, 1300, 4, 2)),
    ]:
        index = Index(train, metric)
        distances, indices = index.search(queries, len(train))
        for k in (1, 10, 100, *KS[2:], 800, len(train) - 1):
            found = index.search(queries, k)
            assert_same(found, (distances[:, :k].copy(), indices[:, :k].copy()))


def orders(n):
    """Distances of rows as they come: what makes a bad selection slow or wrong."""
    up = np.arange(n)
    return {
        "ascending": up,
        "descending": up[::-1],
        "all equal": np.zeros(n, int),
        "two values": np.random.default_rng(0).integers(0, 2, n),
        "organ pipe": np.minimum(up, n - 1 - up),
        "valley": np.maximum(up, n - 1 - up),
        "sawtooth": up % 257,
        "the farthest first": np.where(up == 0, 2 * n, up[::-1]),
        "blocks of equal ones": up[::-1] // 64,
    }


@both_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", orders(1))
def test_orders(dtype, metric, order):
    train = orders(2000)[order].astype(dtype)[:, None]
    queries = np.zeros((3, 1), dtype)
    assert_right(queries, train, metric, [MANY - 1, MANY, 700, 1999, 2000])


@both_metrics
@all_dtypes
def test_ties_at_the_worst_go_to_the_lower_row(dtype, metric):
    train = np.full((2000, 6), 5, dtype)
    train[[1500, 1999]] = 4
    train[:100] = 6
    for k in (MANY, 500, 1899, 1900, 1901, 2000):
        _, indices = Index(train, metric).search(np.zeros((1, 6), dtype), k)
        right = [1500, 1999, *[row for row in range(100, 2000) if row not in (1500, 1999)]]
        assert_array_equal(indices[0], [*right, *range(100)][:k])


@pytest.mark.parametrize("magnitude", [1e-320, 1e-160, 1e-30, 1e30, 1e160, 1e300])
def test_magnitudes(magnitude):
    """Keys that underflow, or that are infinite: then rows are there all the same."""
    queries, train = points(np.float64, 3, 5, 1), points(np.float64, 900, 5, 2)
    with np.errstate(all="ignore"):
        for metric in ("l1", "l2"):
            assert_right(queries * magnitude, train * magnitude, metric, [MANY, 600, 900])


@both_metrics
@all_dtypes
def test_a_largest_key(dtype, metric):
    queries, train = grid(dtype, 4, 8, 1), grid(dtype, 1500, 8, 2)
    for screen in ("none", "direct", "quantized"):
        index = Index(train, metric, screen=screen)
        every = index.search_keys(queries, len(train))
        for place in (0, 5, 300, 1499):
            largest = every.keys[:, place].copy()
            found = index.search_keys(queries, 400, max_key=largest, n_jobs=2)
            for query in range(4):
                wanted = every.rows[query][every.keys[query] <= largest[query]][:400]
                assert_array_equal(found.rows[query][: len(wanted)], wanted)
                there = found.rows[query] != ABSENT
                assert (np.diff(there.astype(int)) <= 0).all()
                assert np.isinf(found.keys[query][~there]).all()


def test_nan_is_refused_as_for_few_neighbors():
    train, queries = points(np.float64, 600, 4), points(np.float64, 2, 4, 1)
    train[::2, 1] = np.nan
    with pytest.raises(ValueError, match="train"):
        Index(train)
    index = Index(train, check_finite=False)
    distances, indices = knn(queries, train[1::2].copy(), 300)
    assert_same(index.search(queries, 300), (distances, indices * 2 + 1))
    with pytest.raises(ValueError, match="only 300 comparable rows of train for k=301"):
        index.search(queries, 301)


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("n_queries", [2, 40])
def test_a_screen_that_gives_up_hands_on_what_it_found(metric, n_queries, n_jobs, monkeypatch):
    set_sizes(monkeypatch, thread_bytes=0)
    set_limits(monkeypatch, rows_per_neighbor=0)
    train, queries = points(np.float32, 9000, 24), points(np.float32, n_queries, 24, 1)
    index = Index(train, metric, screen="quantized")
    index._searcher = without_bounds(index)
    distances = reference_distances(queries, train, metric)
    for k in (MANY - 1, MANY, 300):
        found = index.search(queries, k, n_jobs=n_jobs)
        assert n_jobs > 1 or 0 < index.stats_["rows_given_up"] < n_queries * len(train)
        assert_same(found, expected(distances, k, metric))


# --- memory ----------------------------------------------------------------------------------


def test_blocks_of_few_queries_bound_the_memory(monkeypatch):
    train, queries = points(np.uint8, 4000, 3), points(np.uint8, 300, 3, 1)
    k = 3000
    index = Index(train, "l1")
    right = index.search(queries, k, n_jobs=1)

    def held(limit):
        set_sizes(monkeypatch, reservoir_bytes=limit)
        found, most = peak(lambda: index.search(queries, k, n_jobs=1))
        assert_same(found, right)
        return most - sum(part.nbytes for part in found)

    reservoir = _core.reservoir_bytes(k, len(train), False)
    assert reservoir == 16 * (len(train) + 1)
    assert held(10 * reservoir) < 20 * reservoir < held(1 << 40)
    assert_same(right, expected(reference_distances(queries, train, "l1"), k, "l1"))
    held(0)  # one query at a time
    assert _core.reservoir_bytes(MANY - 1, 10**6, True) == 0


# --- the top K of a matrix ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
@pytest.mark.parametrize("n", [MANY, MANY + 1, 700, 3001])
def test_topk_of_a_matrix(dtype, n):
    random = np.random.default_rng(n)
    for distances in (
        random.normal(size=(5, n)) * 100,
        random.integers(-3, 3, (5, n)),
        *([order] for order in orders(n).values()),
    ):
        distances = np.asarray(distances, dtype)
        for k in sorted({1, 2, MANY - 1, MANY, n // 2, n - 1, n}):
            for found, right in zip(topk(distances, k), reference_topk(distances, k), strict=True):
                assert_array_equal(found, right, strict=True)
                assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_topk_of_infinities_and_signed_zeros(dtype):
    random = np.random.default_rng(0)
    values = np.array([np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype)
    for share in ([0.9, 0.02, 0.02, 0.02, 0.02, 0.02], [0, 0, 0.5, 0.5, 0, 0], None, [1] + [0] * 5):
        distances = random.choice(values, (4, 1000), p=share)
        for k in (5, MANY, 500, 1000):
            for found, right in zip(topk(distances, k), reference_topk(distances, k), strict=True):
                assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize("k", [1, 20, MANY, 900])
@pytest.mark.parametrize("column", [0, 1, 15, 16, 500, 899])
def test_topk_finds_nan_anywhere(k, column):
    distances = np.random.default_rng(0).random((3, 900))
    distances[1, column] = np.nan
    with pytest.raises(ValueError, match="NaN in row 1"):
        topk(distances, k, n_jobs=1)
