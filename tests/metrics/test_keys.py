"""The order of neighbors by exact keys, wherever the training rows are cut."""

import numpy as np
import pytest
from cases import all_dtypes, points, set_sizes
from numpy.testing import assert_array_equal

from fastknn import Index, ground_truth, knn
from fastknn.evaluation import truth
from fastknn.metrics.keys import ABSENT, Keys, as_distances, merge, no_keys
from fastknn.reference import reference_knn
from fastknn.search import index as index_module

METRICS = ["l1", "l2", "sqeuclidean", "cosine", "correlation"]


def copies(dtype, n_rows=120, width=11, seed=0):
    """Rows that are permutations of a few, so that keys which differ have the same root."""
    random = np.random.default_rng(seed)
    base = points(dtype, 4, width, seed)
    return np.array([random.permutation(base[random.integers(4)]) for _ in range(n_rows)])


def two_squares_with_one_root():
    """Rows at different squared distances from zero whose roots are one float64."""
    random = np.random.default_rng(0)
    while True:
        rows = random.normal(size=(2, 9))
        rows[1] = random.permutation(rows[0])
        squares = knn(np.zeros((1, 9)), rows, 2, "sqeuclidean")[0][0]
        if squares[0] < squares[1] and np.sqrt(squares[0]) == np.sqrt(squares[1]):
            order = knn(np.zeros((1, 9)), rows, 2, "sqeuclidean")[1][0]
            return rows[order[::-1]]  # the nearer one has the higher row


@pytest.mark.parametrize("part", [1, 2, 1 << 30])
def test_parts_of_one_row(part, monkeypatch):
    rows, query = two_squares_with_one_root(), np.zeros((1, 9))
    assert_array_equal(knn(query, rows, 2)[1], [[1, 0]])
    monkeypatch.setattr(truth, "CHUNK_BYTES", part)
    assert_array_equal(ground_truth(query, rows, 2).indices, [[1, 0]])
    assert not ground_truth(query, rows, 1).tied.any()  # as near, but for the root


@pytest.mark.slow
@all_dtypes
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows_in_a_part", [1, 7, 50])
def test_ground_truth_is_the_same_for_any_parts(dtype, metric, rows_in_a_part, monkeypatch):
    train, queries = copies(dtype), copies(dtype, 25, seed=1)
    expected = reference_knn(queries, train, 30, metric)[1]
    whole = ground_truth(queries, train, 30, metric)
    assert_array_equal(whole.indices, expected)
    row_bytes = train.itemsize * train.shape[1]
    monkeypatch.setattr(truth, "CHUNK_BYTES", rows_in_a_part * row_bytes)
    parts = ground_truth(queries, train, 30, metric)
    for one, other in zip(parts, whole, strict=True):
        assert_array_equal(one, other)


@pytest.mark.slow
@all_dtypes
@pytest.mark.parametrize("metric", METRICS)
def test_rows_shared_by_threads(dtype, metric, monkeypatch):
    set_sizes(monkeypatch, thread_bytes=0)
    splits, cut = [], index_module.plan

    def seen(*arguments, **options):
        parts, n_splits = cut(*arguments, **options)
        splits.append(n_splits)
        return parts, n_splits

    monkeypatch.setattr(index_module, "plan", seen)
    train, queries = copies(dtype, 900), copies(dtype, 2, seed=1)
    for screen in ("none", "direct", "quantized"):
        index = Index(train, metric, screen=screen)
        expected = index.search(queries, 40, n_jobs=1)
        assert splits.pop() == 1
        for n_jobs in (2, 3, 7):
            found = index.search(queries, 40, n_jobs=n_jobs)
            assert splits.pop() > 1
            assert_array_equal(found[0], expected[0])
            assert_array_equal(found[1], expected[1])


@all_dtypes
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("screen", ["none", "direct", "quantized"])
def test_a_largest_key_is_inclusive(dtype, metric, screen):
    train, queries = copies(dtype, 300), copies(dtype, 10, seed=1)
    index = Index(train, metric, screen=screen)
    every = index.search_keys(queries, 300)
    for n_jobs in (1, 2):
        for place in (0, 5, 60, 299):
            largest = every.keys[:, place].copy()
            found = index.search_keys(queries, 100, max_key=largest, n_jobs=n_jobs)
            for query in range(10):
                wanted = every.rows[query][every.keys[query] <= largest[query]][:100]
                assert_array_equal(found.rows[query][: len(wanted)], wanted)
                assert (found.rows[query][len(wanted) :] == ABSENT).all()


def test_merging():
    random = np.random.default_rng(0)
    for metric in ("l2", "cosine"):
        for k, n_other in [(1, 1), (3, 5), (7, 2), (4, 4)]:
            into, other = (
                no_keys(6, k, metric, absent=True),
                no_keys(6, n_other, metric, absent=True),
            )
            expected = []
            for query in range(6):
                entries = [
                    (float(key), int(low) if metric == "cosine" else 0, int(row))
                    for row, (key, low) in enumerate(random.integers(0, 2, (k + n_other, 2)))
                ]
                random.shuffle(entries)
                halves = sorted(entries[:k]), sorted(entries[k:][: n_other - query % 2])
                for one, half in zip((into, other), halves, strict=True):
                    for place, (key, low, row) in enumerate(half):
                        one.keys[query, place], one.rows[query, place] = key, row
                        if one.low is not None:
                            one.low[query, place] = low
                expected.append([row for _, _, row in sorted(halves[0] + halves[1])[:k]])
            merge(into, other)
            assert_array_equal(into.rows, expected)


def test_absent_rows_come_last():
    index = Index(np.arange(5.0).reshape(-1, 1))
    found = index.search_keys([[0.0]], 4, max_key=np.array([1.0]))
    assert_array_equal(found.rows, [[0, 1, ABSENT, ABSENT]])
    assert_array_equal(as_distances(found, "l2"), [[0, 1, np.inf, np.inf]])
    assert isinstance(found, Keys)
