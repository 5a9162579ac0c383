"""Votes and top-K against the reference implementation and scikit-learn; threads, forks."""

import doctest
import multiprocessing
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cases import embed, read_only, run_python, unaligned
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.neighbors._base import _get_weights

import fastknn
from fastknn import reference
from fastknn.reference import reference_topk, reference_vote, reference_vote_proba
from fastknn.voting import ballots, chunks, compiled, selection
from fastknn.voting import votes as voting
from fastknn.voting.ballots import Ballots
from fastknn.voting.counting import numpy_seconds
from fastknn.voting.selection import topk
from fastknn.voting.votes import distance_weights, vote, vote_proba

JOBS = [1, 2, 8]


@pytest.fixture(autouse=True, scope="module", params=[-1, np.inf], ids=["compiled", "numpy"])
def counted_by(request):
    """Each test twice: the kernel and NumPy count the same, to the bit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "LOAD_SECONDS", request.param)
        patch.setattr(compiled, "_compiled_kernels", {})
        patch.setattr(compiled, "_numpy_spent", 0.0)
        yield


@pytest.fixture
def small_chunks(monkeypatch):
    """Many chunks in little work, so that threads have something to share."""
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 60)


def make_votes(m, k, n_classes, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, n_classes, (m, k)), random.random((m, k))


def assert_same_topk(distances, k, **kwargs):
    values, indices = topk(distances, k, **kwargs)
    expected_values, expected_indices = reference_topk(distances, k)
    assert values.dtype == expected_values.dtype
    assert indices.dtype == np.int64
    assert_array_equal(values, expected_values)
    assert_array_equal(indices, expected_indices)


def assert_same_votes(labels, jobs=(1,), **kwargs):
    codes = reference_vote(labels, **kwargs)
    shares = reference_vote_proba(labels, **kwargs)
    for n_jobs in jobs:
        fast_codes = vote(labels, n_jobs=n_jobs, **kwargs)
        assert fast_codes.dtype == np.int64
        assert_array_equal(fast_codes, codes, strict=True)
        assert_array_equal(vote_proba(labels, n_jobs=n_jobs, **kwargs), shares, strict=True)


@pytest.mark.parametrize("module", [voting, selection, reference])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


# --- votes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 2, 9, 10, 11, 19, 20, 21, 50])
@pytest.mark.parametrize("weighted", [False, True])
def test_vote_around_chunk_boundaries(monkeypatch, m, weighted):
    labels, weights = make_votes(m, 5, 3, seed=m)
    weights = weights if weighted else None
    for ks, row_size in [(None, 6), ([5, 1, 3], 8)]:
        monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 10 * row_size)
        assert_same_votes(labels, JOBS, weights=weights, ks=ks)


@pytest.mark.parametrize("k", [1, 2, 7, 8, 9, 40])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 7, 8, 9, 130, 1000])
@pytest.mark.parametrize("chunk", [1, 3000, 10**6])
def test_vote_over_neighbors_and_classes(monkeypatch, k, n_classes, chunk):
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", chunk)
    labels, weights = make_votes(13, k, n_classes, seed=k)
    for given_weights in (None, weights):
        assert_same_votes(labels, n_classes=n_classes, weights=given_weights)
        assert_same_votes(labels, weights=given_weights, ks=[k, 1, k, (k + 1) // 2])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("m", "k", "n_classes"), [(20, 5, 10_000), (1, 1000, 100_000), (200, 30, 3), (3, 40, 639)]
)
def test_no_loop_over_votes_or_classes_is_interpreted(monkeypatch, m, k, n_classes, weighted):
    monkeypatch.setattr(compiled, "LOAD_SECONDS", np.inf)
    monkeypatch.setattr(compiled, "_compiled_kernels", {})
    labels, weights = make_votes(m, k, n_classes)
    kwargs = {
        "weights": weights if weighted else None,
        "n_classes": n_classes,
        "ks": [1, k // 2, k],
    }
    lines = 0

    def count_lines(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        return count_lines

    before = sys.gettrace()
    sys.settrace(count_lines)
    try:
        codes = vote(labels, n_jobs=1, **kwargs)
        shares = vote_proba(labels, n_jobs=1, **kwargs)
    finally:
        sys.settrace(before)
    assert_array_equal(codes, reference_vote(labels, **kwargs))
    assert_array_equal(shares, reference_vote_proba(labels, **kwargs))
    assert lines < 2000


@pytest.mark.parametrize("n_classes", [1, 15, 16, 17, 31, 32, 33, 10**15])
def test_codes_far_above_the_number_of_neighbors(n_classes):
    """Whether NumPy looks at all classes depends on how many there are for each neighbor."""
    labels, weights = make_votes(50, 2, min(n_classes, 40))
    if n_classes < 100 or compiled.LOAD_SECONDS > 0:  # the kernel has a sum for each class
        for ks in ([1], [2], [1, 2]):
            codes = vote(labels, weights=weights, n_classes=n_classes, ks=ks)
            assert_array_equal(codes, reference_vote(labels, weights=weights, ks=ks))


def test_what_decides_about_loading_numba(monkeypatch):
    loaded = []

    def compile_nothing(function, signature):
        loaded.append(function)
        return function

    monkeypatch.setattr(compiled, "LOAD_SECONDS", 0.3)
    monkeypatch.setattr(ballots, "compile_once", compile_nothing)
    monkeypatch.setattr(compiled, "_compiled_kernels", {})
    monkeypatch.setattr(compiled, "_numpy_spent", 0.0)
    labels, _ = make_votes(20, 5, 10_000)
    for _ in range(10):
        vote_proba(labels, n_classes=10_000)
        vote(labels, n_classes=10_000)
    assert not loaded
    assert 0 < compiled._numpy_spent < 0.3
    monkeypatch.setattr(compiled, "_numpy_spent", 0.3)  # as much as loading costs is spent
    vote(labels, n_classes=10_000)
    assert loaded
    # Classes, numbers of neighbors and chunks are part of the costs, for shares and for codes.
    few, many = Ballots(labels, 10_000, None, None), Ballots(labels, 10**6, None, None)
    every = Ballots(labels, 10_000, None, [1, 2, 3, 4, 5])

    def seconds(votes, shares):
        return numpy_seconds(votes.n_rows, votes.n_classes, votes.ks, 1, shares)

    assert seconds(many, True) > 10 * seconds(few, True)
    assert seconds(many, False) == seconds(few, False)
    assert seconds(every, True) > 4 * seconds(few, True)


def test_many_ties(small_chunks):
    labels, weights = make_votes(300, 12, 4)
    ks = range(1, 13)
    assert_same_votes(labels, JOBS, ks=ks)
    assert_same_votes(labels, JOBS, ks=ks, weights=np.full(labels.shape, 0.1))
    assert_same_votes(labels, JOBS, ks=ks, weights=np.round(3 * weights) + 1)


def test_ties_go_to_the_smallest_code_wherever_it_stands():
    assert_array_equal(vote([[3, 1, 2], [2, 2, 0], [2, 0, 0]]), [1, 2, 0])
    assert_array_equal(vote([[3, 1, 3, 1]], ks=[4, 3, 2, 1, 2]), [[1], [3], [1], [3], [1]])


def test_equal_weights_are_uniform_votes():
    labels, _ = make_votes(100, 9, 3)
    assert_array_equal(vote(labels), vote(labels, weights=np.full(labels.shape, 0.25)))
    shares = vote_proba(labels, weights=np.full(labels.shape, 0.25))
    assert_array_equal(vote_proba(labels), shares)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_vote_on_anything(data):
    m = data.draw(st.integers(1, 8))
    k = data.draw(st.integers(1, 12))
    n_classes = data.draw(st.integers(1, 12))
    labels = data.draw(hnp.arrays(np.int64, (m, k), elements=st.integers(0, n_classes - 1)))
    ks = data.draw(st.none() | st.lists(st.integers(1, k), min_size=1, max_size=6))
    few = st.sampled_from([0.0, 0.1, 0.2, 0.3, 5e-324, 1e300])
    weights = data.draw(st.none() | hnp.arrays(np.float64, (m, k), elements=few | st.floats(0, 9)))
    if weights is not None:
        weights[:, 0] += weights[:, 0] == 0
    assert_same_votes(labels, (1, 2), n_classes=n_classes, weights=weights, ks=ks)


def test_first_columns_give_the_votes_of_fewer_neighbors():
    labels, _ = make_votes(200, 20, 5)
    weights = distance_weights(np.sort(np.random.default_rng(1).random(labels.shape), axis=1))
    ks = range(1, 21)
    codes = vote(labels, weights=weights, ks=ks)
    shares = vote_proba(labels, weights=weights, ks=ks)
    for j in ks:
        prefix = {"weights": weights[:, :j], "n_classes": 5}
        assert_array_equal(codes[j - 1], vote(labels[:, :j], **prefix))
        assert_array_equal(shares[j - 1], vote_proba(labels[:, :j], **prefix))


def test_shares_sum_to_one_and_have_every_class():
    labels, weights = make_votes(50, 6, 4)
    shares = vote_proba(labels, weights=weights, n_classes=7, ks=[2, 6])
    assert shares.shape == (2, 50, 7)
    np.testing.assert_allclose(shares.sum(axis=2), 1)
    assert not shares[:, :, 4:].any()


def test_zero_weights_may_lead_but_not_fill_the_row():
    labels = [[1, 0, 2]]
    weights = [[0.0, 0.0, 2.0]]
    assert_array_equal(vote(labels, weights=weights), [2])
    assert_array_equal(vote_proba(labels, weights=weights), [[0, 0, 1]])
    with pytest.raises(ValueError, match=r"weights must not be zero .* row 0 among the nearest 2"):
        vote(labels, weights=weights, ks=[3, 2])


# --- scikit-learn ----------------------------------------------------------------------------


def grid_points(seed, m):
    """Small integers: plenty of equal distances, and of distance zero."""
    return np.random.default_rng(seed).integers(0, 4, (m, 3)).astype(float)


def real_points(seed, m):
    return np.random.default_rng(seed).normal(size=(m, 3))


@pytest.mark.slow
@pytest.mark.parametrize("points", [grid_points, real_points])
@pytest.mark.parametrize("algorithm", ["brute", "kd_tree"])
@pytest.mark.parametrize("weighting", ["uniform", "distance"])
@pytest.mark.parametrize("n_classes", [3, 20])
def test_same_answers_as_scikit_learn(points, algorithm, weighting, n_classes):
    train, queries = points(0, 400), points(1, 300)
    y = np.random.default_rng(2).integers(0, n_classes, len(train))
    for k in (1, 4, 7, 15):
        # Where distances tie, the search method decides who is a neighbor: ask for the same.
        model = KNeighborsClassifier(k, weights=weighting, algorithm=algorithm).fit(train, y)
        distances, indices = model.kneighbors(queries)
        weights = distance_weights(distances) if weighting == "distance" else None
        kwargs = {"weights": weights, "n_classes": n_classes}
        shares = vote_proba(y[indices], **kwargs)
        assert_array_equal(shares, model.predict_proba(queries))
        codes = vote(y[indices], **kwargs)
        predicted = model.predict(queries)
        if points is real_points or k < 8:
            assert_array_equal(codes, predicted)
        else:  # scikit-learn adds in another order there: only votes equal up to rounding differ
            rows = np.arange(len(codes))
            np.testing.assert_allclose(shares[rows, codes], shares[rows, predicted], rtol=1e-14)


def test_scikit_learn_refuses_rows_without_weight_too():
    model = KNeighborsClassifier(2, weights=np.zeros_like).fit([[0.0], [1.0]], [0, 1])
    for ask in (model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="zero weights"):
            ask([[0.0]])
    for ask in (vote, vote_proba):
        with pytest.raises(ValueError, match="weights must not be zero"):
            ask([[0, 1]], weights=[[0.0, 0.0]])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0.0, -0.0, 5e-324, 1e-310, 1.0, 3.0, np.inf])
        | st.floats(0, allow_infinity=True, allow_nan=False),
    )
)
def test_distance_weights_are_scikit_learns(distances):
    before = distances.copy()
    with np.errstate(over="ignore"):  # the inverse of the tiniest is infinite
        expected = _get_weights(distances.copy(), "distance")
    assert_array_equal(distance_weights(distances), expected, strict=True)
    assert_array_equal(distances, before)


def test_distance_weights_of_other_types():
    assert_array_equal(distance_weights(np.array([[2, 4]], dtype=np.uint8)), [[0.5, 0.25]])
    single = np.array([[3.0, 7.0]], dtype=np.float32)
    assert_array_equal(distance_weights(single), 1 / single.astype(np.float64))


# --- topk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 64, 65, 200])
def test_topk_for_every_kind_of_row(small_chunks, dtype, n):
    random = np.random.default_rng(n)
    m = 11
    shapes_of_data = {
        "random": random.random((m, n)),
        "ties": random.integers(0, 3, (m, n)),
        "constant": np.ones((m, n)),
        "ascending": np.tile(np.arange(n), (m, 1)),
        "descending": np.tile(-np.arange(n), (m, 1)),
        "zeros of both signs": random.choice([0.0, -0.0], (m, n)),
        "infinities": random.choice([np.inf, 1.0, -np.inf, 2.0], (m, n)),
        "mostly infinite": np.where(random.random((m, n)) < 0.9, np.inf, 1.0),
        "all infinite": np.full((m, n), np.inf),
    }
    for data in shapes_of_data.values():
        for k in sorted({1, min(2, n), (n + 1) // 2, max(1, n - 1), n}):
            assert_same_topk(data.astype(dtype), k)


@pytest.mark.parametrize("m", [1, 5, 6, 7, 12, 13, 29])
def test_topk_around_chunk_boundaries(small_chunks, m):
    distances = np.random.default_rng(m).integers(0, 4, (m, 10)).astype(float)
    for n_jobs in JOBS:
        assert_same_topk(distances, 4, n_jobs=n_jobs)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_topk_on_anything(data):
    dtype = data.draw(st.sampled_from(["f2", "f4", "f8", ">f4", ">f8", "u1", "i4", ">i8", "u8"]))
    numbers = {"allow_nan": False} if "f" in dtype else {"min_value": 0, "max_value": 100}
    elements = hnp.from_dtype(np.dtype(dtype), **numbers)
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 12)))
    distances = data.draw(hnp.arrays(dtype, shape, elements=elements))
    k = data.draw(st.integers(1, shape[1]))
    if dtype.startswith(">"):  # the reference implementation returns the type that it is given
        values, indices = reference_topk(distances.astype(dtype[1:]), k)
        assert_array_equal(topk(distances, k)[0], values)
        assert_array_equal(topk(distances, k)[1], indices)
    else:
        assert_same_topk(distances, k)


def test_first_columns_are_the_topk_of_smaller_k():
    distances = np.random.default_rng(0).integers(0, 9, (20, 50)).astype(float)
    values, indices = topk(distances, 50)
    for k in (1, 7, 49):
        assert_array_equal(topk(distances, k)[0], values[:, :k])
        assert_array_equal(topk(distances, k)[1], indices[:, :k])


def test_topk_finds_what_a_search_finds():
    train, queries = real_points(0, 100), real_points(1, 30)
    distances, indices = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(queries)
    matrix = np.linalg.norm(queries[:, None] - train, axis=2)
    values, columns = topk(matrix, 5)
    assert_array_equal(columns, indices)
    np.testing.assert_allclose(values, distances)


@pytest.mark.parametrize("column", [0, 2, 6])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_jobs", JOBS)
def test_nan_is_found_anywhere(small_chunks, column, dtype, n_jobs):
    distances = np.ones((40, 7), dtype=dtype)
    distances[33, column] = np.nan
    for k in (1, 3, 7):
        with pytest.raises(ValueError, match="distances must not hold NaN, got NaN in row 33"):
            topk(distances, k, n_jobs=n_jobs)


# --- array layouts ---------------------------------------------------------------------------


LAYOUTS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "every other row, every third column": embed,
    "backwards": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "other endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "matrix of lists": np.ndarray.tolist,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(small_chunks, layout):
    labels, weights = make_votes(40, 6, 5)
    distances = np.round(weights, 1)
    plain = {"weights": weights, "ks": [6, 2]}
    other = {"weights": layout(weights), "ks": [6, 2]}
    assert_array_equal(vote(layout(labels), **other), vote(labels, **plain))
    assert_array_equal(vote_proba(layout(labels), **other), vote_proba(labels, **plain))
    assert_array_equal(distance_weights(layout(distances)), distance_weights(distances))
    for fast, expected in zip(topk(layout(distances), 3), topk(distances, 3), strict=True):
        assert_array_equal(fast, expected)


def test_memory_maps(tmp_path):
    labels, weights = make_votes(40, 6, 5)
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "weights.npy", weights)
    mapped_labels = np.load(tmp_path / "labels.npy", mmap_mode="r")
    mapped_weights = np.load(tmp_path / "weights.npy", mmap_mode="r")
    shares = vote_proba(mapped_labels, weights=mapped_weights)
    assert type(shares) is np.ndarray
    assert_array_equal(shares, vote_proba(labels, weights=weights))
    assert_array_equal(topk(mapped_weights, 2)[1], topk(weights, 2)[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.uint64])
def test_label_types(dtype):
    labels, _ = make_votes(30, 6, 5)
    assert_array_equal(vote(labels.astype(dtype)), vote(labels))
    assert_array_equal(
        vote(labels.astype(dtype), ks=np.array([3, 6], dtype)), vote(labels, ks=(3, 6))
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int64])
def test_weight_types(dtype):
    labels, weights = make_votes(30, 6, 5)
    weights = (9 * weights + 1).astype(dtype)
    assert_same_votes(labels, weights=weights)


# --- bad input -------------------------------------------------------------------------------

LABELS = [[0, 1, 1], [2, 0, 1]]
BAD_VOTES = {
    "rank 1": (ValueError, "neighbor_labels must be two-dim", {"neighbor_labels": [0, 1]}),
    "rank 3": (ValueError, "neighbor_labels must be two-dim", {"neighbor_labels": [[[0]]]}),
    "ragged": (ValueError, "neighbor_labels must be a two-", {"neighbor_labels": [[0], [0, 1]]}),
    "no rows": (ValueError, "neighbor_labels .*empty", {"neighbor_labels": np.zeros((0, 3), int)}),
    "no columns": (ValueError, "neighbor_labels .*empty", {"neighbor_labels": [[], []]}),
    "float": (TypeError, "neighbor_labels must be integers", {"neighbor_labels": [[0.0]]}),
    "bool": (TypeError, "neighbor_labels must be integers", {"neighbor_labels": [[True]]}),
    "text": (TypeError, "neighbor_labels must be integers", {"neighbor_labels": [["cat"]]}),
    "object": (TypeError, "neighbor_labels must be integers", {"neighbor_labels": [[None]]}),
    "negative": (ValueError, "neighbor_labels .*got -1", {"neighbor_labels": [[0, -1]]}),
    "beyond C": (ValueError, "neighbor_labels .*n_classes, 2, got 2", {"n_classes": 2}),
    "C of 0": (ValueError, "n_classes must be between 1", {"n_classes": 0}),
    "C of 3.0": (TypeError, "n_classes must be an integer", {"n_classes": 3.0}),
    "C of True": (TypeError, "n_classes must be an integer", {"n_classes": True}),
    "short weights": (ValueError, "weights must have the shape", {"weights": [[1.0, 1.0, 1.0]]}),
    "flat weights": (ValueError, "weights must be two-dim", {"weights": [1.0, 1.0, 1.0]}),
    "negative weights": (ValueError, "weights .*-1", {"weights": [[1, 1, 1], [1, 1, -1]]}),
    "NaN": (ValueError, "weights .*nan", {"weights": [[1, 1, 1], [1, 1, np.nan]]}),
    "infinite": (ValueError, "weights .*inf", {"weights": [[1, 1, 1], [1, 1, np.inf]]}),
    "huge": (ValueError, "weights .*sum is finite", {"weights": np.full((2, 3), 1e308)}),
    "all zero": (ValueError, "weights .*row 1", {"weights": [[1, 1, 1], [0, 0, 0]]}),
    "distance": (TypeError, "weights .*distance_weights", {"weights": "distance"}),
    "callable": (TypeError, "weights must be an array", {"weights": distance_weights}),
    "complex": (TypeError, "weights must be float64 or", {"weights": np.ones((2, 3), complex)}),
    "long": (TypeError, "weights must be float64 or", {"weights": np.ones((2, 3), np.longdouble)}),
    "no ks": (ValueError, "ks must not be empty", {"ks": []}),
    "ks of 0": (ValueError, "ks must be between 1 and 3", {"ks": [1, 0]}),
    "ks of 4": (ValueError, "ks must be between 1 and 3", {"ks": [4]}),
    "ks of 1.0": (TypeError, "ks must be integers", {"ks": [1.0]}),
    "ks of True": (TypeError, "ks must be integers", {"ks": [True]}),
    "ks number": (TypeError, "ks must be a sequence", {"ks": 2}),
    "ks ragged": (ValueError, "ks must be a sequence", {"ks": [[1], [1, 2]]}),
    "no jobs": (ValueError, "n_jobs must not be 0", {"n_jobs": 0}),
    "half a job": (TypeError, "n_jobs must be an integer", {"n_jobs": 0.5}),
}


@pytest.mark.parametrize(("error", "match", "kwargs"), BAD_VOTES.values(), ids=BAD_VOTES)
@pytest.mark.parametrize("function", [vote, vote_proba])
def test_bad_votes(function, error, match, kwargs):
    with pytest.raises(error, match=f"^{match}"):
        function(**{"neighbor_labels": LABELS, **kwargs})


BAD_TOPK = {
    "rank 1": (ValueError, "distances must be two-dim", [1.0, 2.0], 1),
    "ragged": (ValueError, "distances must be a two-dim", [[1.0, 2.0], [1.0]], 1),
    "empty": (ValueError, "distances must not be empty", [[]], 1),
    "no rows": (ValueError, "distances must not be empty", np.zeros((0, 3)), 1),
    "complex": (TypeError, "distances must be float16", [[1j]], 1),
    "bool": (TypeError, "distances must be float16", [[True]], 1),
    "long": (TypeError, "distances must be float16", np.ones((1, 1), np.longdouble), 1),
    "too large": (ValueError, r"distances must be .*2\*\*53", [[0, 2**53 + 1]], 1),
    "too small": (ValueError, r"distances must be .*2\*\*53", [[0, -(2**63)]], 1),
    "k of 0": (ValueError, "k must be between 1 and 2", [[1.0, 2.0]], 0),
    "k of 3": (ValueError, "k must be between 1 and 2", [[1.0, 2.0]], 3),
    "k of 1.0": (TypeError, "k must be an integer", [[1.0, 2.0]], 1.0),
    "k of True": (TypeError, "k must be an integer", [[1.0, 2.0]], True),
}


@pytest.mark.parametrize(("error", "match", "distances", "k"), BAD_TOPK.values(), ids=BAD_TOPK)
def test_bad_topk(error, match, distances, k):
    with pytest.raises(error, match=f"^{match}"):
        topk(distances, k)


class Unreadable:
    """As the arrays of some libraries, which NumPy must not read."""

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


ARRAYS = {
    "neighbor_labels": vote,
    "weights": lambda array: vote_proba([[0, 1]], weights=array),
    "ks": lambda array: vote([[0, 1]], ks=array),
    "distances": lambda array: topk(array, 1),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError])
def test_arrays_that_numpy_cannot_read(name, error):
    kinds = TypeError if error is TypeError else ValueError
    with pytest.raises(kinds, match=rf"^{name} must be .*: on another device"):
        ARRAYS[name](Unreadable(error("on another device")))


@pytest.mark.parametrize("name", ARRAYS)
def test_masked_values_do_not_vote(name):
    values = np.ma.masked_array([1, 2], [False, True])
    with pytest.raises(ValueError, match=rf"^{name} must not have masked values"):
        ARRAYS[name](values if name == "ks" else values.reshape(1, 2))
    with pytest.raises(ValueError, match=r"^distances must not have masked values"):
        distance_weights(np.ma.masked_array([[1.0, 2.0]], [[0, 1]]))


def test_bad_topk_jobs():
    with pytest.raises(ValueError, match="n_jobs"):
        topk([[1.0]], 1, n_jobs=0)


BAD_DISTANCES = {
    "rank 1": (ValueError, "distances must be two-dim", [1.0]),
    "empty": (ValueError, "distances must not be empty", [[]]),
    "negative": (ValueError, "distances must be non-negative .*-1", [[1.0, -1.0]]),
    "NaN": (ValueError, "distances must be non-negative .*nan", [[1.0, np.nan]]),
    "text": (TypeError, "distances must be float64 or", [["near"]]),
}


@pytest.mark.parametrize(("error", "match", "distances"), BAD_DISTANCES.values(), ids=BAD_DISTANCES)
def test_bad_distances(error, match, distances):
    with pytest.raises(error, match=f"^{match}"):
        distance_weights(distances)


# --- threads, forks, caches ------------------------------------------------------------------


def test_thread_counts_agree_to_the_bit(monkeypatch):
    labels, weights = make_votes(500, 9, 20)
    distances = np.round(np.random.default_rng(5).random((300, 40)), 1)
    results = []
    for chunk in (1, 100, 10**6):
        monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", chunk)
        for n_jobs in JOBS:
            codes = vote(labels, weights=weights, n_jobs=n_jobs)
            shares = vote_proba(labels, weights=weights, ks=[9, 4], n_jobs=n_jobs)
            values, indices = topk(distances, 6, n_jobs=n_jobs)
            results.append([part.tobytes() for part in (codes, shares, values, indices)])
    assert all(result == results[0] for result in results)


def test_many_callers_at_once(small_chunks, monkeypatch):
    monkeypatch.setattr(compiled, "_compiled_kernels", {})  # all of them also compile at once
    labels, weights = make_votes(200, 6, 4)
    expected_shares = reference_vote_proba(labels, weights=weights)
    expected_values, expected_indices = reference_topk(weights, 3)
    barrier = threading.Barrier(8)
    failures = []

    def call():
        try:
            barrier.wait()
            for _ in range(5):
                assert_array_equal(vote_proba(labels, weights=weights, n_jobs=2), expected_shares)
                values, indices = topk(weights, 3, n_jobs=2)
                assert_array_equal(values, expected_values)
                assert_array_equal(indices, expected_indices)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(compiled._compiled_kernels) == (1 if compiled.LOAD_SECONDS < 0 else 0)


def _check_in_child(labels, expected):
    assert_array_equal(vote(labels, n_jobs=2), expected)
    assert_array_equal(topk(labels, 2, n_jobs=2)[1], reference_topk(labels, 2)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_after_use(small_chunks):
    labels, _ = make_votes(200, 6, 4)
    expected = vote(labels, n_jobs=2)
    child = multiprocessing.get_context("fork").Process(
        target=_check_in_child, args=(labels, expected)
    )
    child.start()
    child.join(60)
    alive = child.is_alive()
    if alive:
        child.kill()
    assert not alive
    assert child.exitcode == 0


PROBE = """
import sys
import numpy as np
from fastknn import voting
from fastknn.voting import compiled
assert "numba" not in sys.modules, "importing the module must stay cheap"
assert voting.__file__.startswith(sys.argv[1])
assert voting.vote([[1, 0, 1]]).tolist() == [1]
assert "numba" not in sys.modules, "a few votes need no compiler"
voting.vote([[1, 0, 1]] * 50_000, ks=range(1, 4))
assert voting.topk([[2.0, 1.0, 3.0]], 2)[1].tolist() == [[1, 0]]
assert "numba" not in sys.modules, "these need no compiler either, nor does topk"
labels = np.zeros((300, 1000), int)
voting.vote(labels, ks=range(1, 1001))  # 150 million votes
assert "numba" in sys.modules
assert voting.topk([[2.0, 1.0, 3.0]], 2)[1].tolist() == [[1, 0]]
print(sum(len(kernel.stats.cache_path or "") > 0 for kernel in compiled._compiled_kernels.values()))
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in compiled._compiled_kernels.values()))
"""


def run_probe(folder, **environment):
    """Number of kernels with a cache, and of those found in it, in a fresh process."""
    variables = {"PYTHONPATH": str(folder), **environment}
    result = run_python("-c", PROBE, folder, without=["NUMBA_CACHE_DIR"], **variables)
    assert result.returncode == 0, result.stderr
    return [int(line) for line in result.stdout.split()]


@pytest.fixture
def copied_package(tmp_path):
    """A folder with a copy of the package, which a test may damage."""
    shutil.copytree(
        Path(fastknn.__file__).parent,
        tmp_path / "site" / "fastknn",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path / "site"


@pytest.mark.slow
def test_kernels_are_cached_and_broken_caches_do_no_harm(copied_package, tmp_path):
    cache = tmp_path / "cache"
    assert run_probe(copied_package, NUMBA_CACHE_DIR=str(cache)) == [1, 0]
    assert run_probe(copied_package, NUMBA_CACHE_DIR=str(cache)) == [1, 1]
    indexes = list(cache.rglob("*.nbi"))
    assert len(indexes) == 1
    for index in indexes:
        index.write_bytes(b"")
    run_probe(copied_package, NUMBA_CACHE_DIR=str(cache))


@pytest.mark.slow
def test_no_folder_for_the_cache(copied_package):
    # A file where the folder would be stops even root, whom a read-only folder does not.
    (copied_package / "fastknn" / "voting" / "__pycache__").write_bytes(b"")
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull}
    copied_package.joinpath("fastknn", "voting").chmod(0o555)
    try:
        assert run_probe(copied_package, **nowhere) == [0, 0]
    finally:
        copied_package.joinpath("fastknn", "voting").chmod(0o755)
