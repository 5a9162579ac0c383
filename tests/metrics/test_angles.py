"""Cosine and correlation: against exact fractions, and against scikit-learn."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from cases import ANGLES, DTYPES, SCREENS, without_bounds
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs

from fastknn import (
    Index,
    KNeighborsClassifier,
    KNeighborsTransformer,
    NearestNeighbors,
    ground_truth,
    knn,
    knn_graph,
    load_index,
    pairwise_distances,
)
from fastknn.reference import reference_angles, reference_knn
from fastknn.screens.direct import DIFFERENCES
from fastknn.search import trial

both_angles = pytest.mark.parametrize("metric", ANGLES)


def data(dtype, rows, width=24, seed=0):
    values = np.random.default_rng(seed).normal(size=(rows, width)).cumsum(axis=1) * 20 + 60
    return values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def assert_exact(found, queries, train, k, metric):
    """Neighbors in the exact order, equal distances where angles are equal."""
    expected = reference_knn(queries, train, k, metric)
    assert_array_equal(found[1], expected[1])
    assert_allclose(found[0], expected[0], rtol=8e-16, atol=1e-33)
    exact = reference_angles(queries, train, metric)
    keys = [[row[place] for place in some] for row, some in zip(exact, found[1], strict=True)]
    for row, distances in zip(keys, found[0], strict=True):
        equal = [one == other for one, other in pairwise(row)]
        assert (np.diff(distances) >= 0).all()
        assert (np.diff(distances)[equal] == 0).all()


@pytest.mark.slow
@both_angles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("screen", SCREENS)
def test_the_exact_order(dtype, screen, metric):
    train, queries = data(dtype, 400), data(dtype, 30, seed=1)
    train[::50] = 0
    train[10:20] = train[20:30]
    queries[3] = 0
    index = Index(train, metric, screen=screen)
    assert_exact(index.search(queries, 9), queries, train, 9, metric)
    one = index.search(queries[:1], 9, n_jobs=2)
    assert_array_equal(one[1], index.search(queries, 9)[1][:1])


def sets(rng):
    return (rng.random((120, 40)) < 0.15).astype(np.uint8)


def counts(rng):
    return rng.poisson(1.0, (120, 20))


def multiples(rng):
    return rng.integers(1, 4, (12, 5))[rng.integers(0, 12, 120)] * rng.integers(1, 9, (120, 1))


def signs(rng):
    return rng.choice([-1, 0, 1], (120, 6))


def one_hot(rng):
    return np.eye(6)[rng.integers(0, 6, 120)]


def eighths(rng):
    return rng.integers(-20, 20, (120, 3)) / 8


def large(rng):
    return 2**26 + rng.integers(-3, 4, (120, 2))


def far_apart(rng):
    return rng.integers(1, 5, (120, 3)) * 10.0 ** rng.integers(0, 12, (120, 1))


def permuted(rng):
    row = rng.normal(size=11)
    return np.array([rng.permutation(row) for _ in range(120)])


def unit_sets(rng):
    rows = (rng.random((120, 30)) < 0.3).astype(float)
    return rows / np.sqrt(np.maximum(rows.sum(axis=1, keepdims=True), 1))


KINDS = [sets, counts, multiples, signs, one_hot, eighths, large, far_apart, permuted, unit_sets]


@pytest.mark.slow
@both_angles
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("screen", ["none", "direct", "quantized"])
def test_equal_angles_compare_equal(make, screen, metric):
    """Of rows whose angles agree, the lower comes first, whatever the type they come in."""
    rows = make(np.random.default_rng(5))
    queries = np.concatenate([rows[:15], np.ones((1, rows.shape[1]), rows.dtype)])
    types = [rows.dtype]
    if (rows == rows.astype(np.float32)).all():
        types += [np.float32, np.float64]
    if (rows >= 0).all() and (rows <= 255).all() and (rows == np.rint(rows)).all():
        types += [np.uint8]
    for kind in types:
        found = Index(rows.astype(kind), metric, screen=screen).search(queries, 60)
        assert_exact(found, queries, rows, 60, metric)
        for other in types:
            again = knn(queries.astype(other), rows.astype(kind), 60, metric)
            assert_array_equal(again[1], found[1])
            assert_array_equal(again[0], found[0])


def test_one_angle_for_all_rows():
    train, query = np.eye(7, dtype="u1") + 1, np.ones((1, 7), "u1")
    distances, indices = knn(query, train, 7, "cosine")
    assert_array_equal(indices, [range(7)])
    assert len(set(distances.ravel())) == 1
    assert ground_truth(query, train, 1, "cosine").tied.all()
    assert_array_equal(ground_truth(query, train, 3, "cosine").indices, [[0, 1, 2]])
    model = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(train)
    assert_array_equal(model.kneighbors(query)[1], [range(7)])


@both_angles
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_order_of_columns_does_not_matter(dtype, metric):
    random = np.random.default_rng(3)
    train, queries = (random.normal(size=(n, 65)).astype(dtype) for n in (500, 20))
    train[:, ::7] *= 1e6
    train[250:] = random.permuted(np.repeat(train[:1], 250, axis=0), axis=1)
    queries = np.concatenate([queries, np.ones((1, 65), dtype)])
    expected = knn(queries, train, 300, metric)
    for _ in range(3):
        order = random.permutation(65)
        found = knn(queries[:, order], train[:, order], 300, metric)
        assert_array_equal(found[1], expected[1])
        assert_array_equal(found[0], expected[0])


@pytest.mark.slow
@both_angles
@pytest.mark.parametrize("width", [1, 2, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("dtype", DTYPES)
def test_widths_around_blocks(width, dtype, metric):
    train, queries = data(dtype, 60, width), data(dtype, 5, width, seed=1)
    assert_exact(knn(queries, train, 60, metric), queries, train, 60, metric)


@both_angles
@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_are_at_distance_one_in_row_order(dtype, metric):
    train = data(dtype, 500)
    for queries in (np.zeros((2, 24), dtype), np.zeros((2, 24), np.float64)):
        for screen in SCREENS:
            distances, indices = Index(train, metric, screen=screen).search(queries, 30)
            assert_array_equal(distances, np.ones((2, 30)))
            assert_array_equal(indices, [range(30)] * 2)


@pytest.mark.parametrize("exponent", [0, 5, 20, 40, 52])
def test_distances_rise_with_angles(exponent):
    """However small the steps, and where the formulas of 0 to 45, 90 and 180 degrees meet."""
    steps = np.arange(-300, 301) * 2.0**-exponent
    for center in (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4, np.pi):
        angles = center + steps * 0.02
        rows = np.column_stack([np.cos(angles), np.sin(angles)])
        assert_exact(knn([[1.0, 0]], rows, 601, "cosine"), [[1.0, 0]], rows, 601, "cosine")


def test_sqeuclidean_is_l2_without_the_root():
    train, queries = data(np.float32, 300), data(np.float32, 20, seed=1)
    squares, indices = knn(queries, train, 6, "sqeuclidean")
    distances, same = knn(queries, train, 6, "l2")
    assert_array_equal(indices, same)
    assert_array_equal(np.sqrt(squares), distances)


def test_rows_of_zeros_are_at_distance_one_from_everything():
    train = np.array([[0.0, 0], [1, 0], [0, 0], [-1, 0]])
    distances, indices = knn([[0.0, 0], [5, 0]], train, 4, "cosine")
    assert_array_equal(distances, [[1, 1, 1, 1], [0, 1, 1, 2]])
    assert_array_equal(indices, [[0, 1, 2, 3], [1, 0, 2, 3]])


def test_no_cancellation_between_nearly_equal_directions():
    angle = 1e-9
    rows = np.array([[1.0, 0], [np.cos(angle), np.sin(angle)]])
    distances, _ = knn(rows[:1], rows, 2, "cosine")
    assert_allclose(distances, [[0, angle**2 / 2]], rtol=1e-7)  # 1 - <u, v> is 0 in float64


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_lengths_do_not_matter(scale):
    train, queries = data(np.float64, 100), data(np.float64, 9, seed=1)
    found, expected = knn(queries * scale, train, 5, "cosine"), knn(queries, train, 5, "cosine")
    assert_array_equal(found[1], expected[1])
    assert_allclose(found[0], expected[0], rtol=1e-12)


@pytest.mark.parametrize("estimator", ["NearestNeighbors", "KNeighborsTransformer"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_estimators_are_scikit_learns(estimator, dtype):
    train, queries = data(dtype, 300), data(dtype, 20, seed=1)
    train[7] = 0
    ours = {"NearestNeighbors": NearestNeighbors, "KNeighborsTransformer": KNeighborsTransformer}
    model = ours[estimator](n_neighbors=6, metric="cosine").fit(train)
    reference = getattr(theirs, estimator)(n_neighbors=6, metric="cosine").fit(train)
    assert model.backend_ == "fastknn"
    for given in (queries, None):
        mine, other = model.kneighbors(given), reference.kneighbors(given)
        assert_allclose(mine[0], other[0], atol=3e-7 if dtype == np.float32 else 1e-14)
        equal = mine[1] == other[1]  # but for rows equally near, as far as either can tell
        assert equal.mean() > 0.98
    with_screen = model._index.with_screen("auto")
    assert_array_equal(with_screen.search(queries, 6)[1], model.kneighbors(queries)[1])


def test_classifier_and_graph():
    train, queries = data(np.float64, 300), data(np.float64, 50, seed=1)
    labels = (train[:, 0] > 40).astype(int)
    ours = KNeighborsClassifier(3, metric="cosine", weights="distance").fit(train, labels)
    reference = theirs.KNeighborsClassifier(3, metric="cosine", weights="distance")
    reference.fit(train, labels)
    assert_allclose(ours.predict_proba(queries), reference.predict_proba(queries), atol=1e-9)
    distances, indices = knn_graph(train, 4, "cosine")
    assert_array_equal(indices, ours.kneighbors(None, 4)[1])
    assert_array_equal(distances, ours.kneighbors(None, 4)[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_append_save_and_load(dtype, tmp_path):
    train, queries = data(dtype, 300), data(dtype, 20, seed=1)
    for screen in ("direct", "quantized"):
        expected = Index(train, "cosine").search(queries, 5)
        index = Index(train[:200], "cosine", screen=screen).append(train[200:])
        assert index.width == 24
        assert len(index) == 300
        index.save(tmp_path / screen)
        for one in (
            index,
            load_index(tmp_path / screen),
            load_index(tmp_path / screen, mmap=True),
        ):
            found = one.search(queries, 5)
            assert_array_equal(found[0], expected[0])
            assert_array_equal(found[1], expected[1])
    with pytest.raises(ValueError, match="24"):
        index.search(np.ones((1, 26)), 5)


def test_no_matrix_of_cosine_distances():
    with pytest.raises(ValueError, match=r"^metric must be 'l1' or 'l2'"):
        pairwise_distances(np.eye(2), np.eye(2), "cosine")


@pytest.mark.parametrize("metric", ["sqeuclidean", "correlation"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [3, 24])
def test_estimators_search_what_follows_from_others(dtype, metric, width):
    train, queries = data(dtype, 300, width), data(dtype, 40, width, seed=1)
    keep = train.astype(float).std(axis=1) > 0, queries.astype(float).std(axis=1) > 0
    train, queries = train[keep[0]], queries[keep[1]]  # SciPy has NaN for constant rows
    for ours in (NearestNeighbors, KNeighborsTransformer):
        model = ours(n_neighbors=6, metric=metric).fit(train)
        reference = getattr(theirs, ours.__name__)(n_neighbors=6, metric=metric).fit(train)
        assert model.backend_ == "fastknn"
        for given in (queries, None):
            mine, other = model.kneighbors(given)[0], reference.kneighbors(given)[0]
            assert_allclose(mine, other, rtol=1e-5 if dtype == np.float32 else 1e-9, atol=1e-6)
    labels = (train[:, 0] > 60).astype(int)
    classifier = KNeighborsClassifier(5, metric=metric, weights="distance").fit(train, labels)
    other = theirs.KNeighborsClassifier(5, metric=metric, weights="distance").fit(train, labels)
    assert (classifier.predict(queries) == other.predict(queries)).mean() > 0.9


@both_angles
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int16, np.uint16, np.int64, np.float16])
def test_types_that_are_converted(dtype, metric):
    random = np.random.default_rng(0)
    values = (
        random.integers(0, 2, (130, 12)) if dtype is bool else random.integers(-9, 9, (130, 12))
    )
    rows = np.abs(values).astype(dtype) if dtype == np.uint16 else values.astype(dtype)
    plain = rows.astype(np.int64)
    found = knn(rows[:30], rows, 100, metric)
    assert_exact(found, plain[:30], plain, 100, metric)


@both_angles
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_pickles_and_folders_keep_the_order(dtype, metric, tmp_path):
    rows = np.random.default_rng(0).integers(0, 3, (400, 10)).astype(dtype)
    queries, expected = rows[:40], Index(rows, metric).search(rows[:40], 50)
    for screen in ("none", "direct", "quantized"):
        index = Index(rows[:150], metric, screen=screen).append(rows[150:])
        index.save(tmp_path / screen)
        every = [index, pickle.loads(pickle.dumps(index)), index.with_screen("direct")]
        every += [load_index(tmp_path / screen, mmap=mmap) for mmap in (False, True)]
        every += [Index(rows[::-1], metric, screen=screen).subset(np.arange(399, -1, -1))]
        for one in every:
            for found, wanted in zip(one.search(queries, 50), expected, strict=True):
                assert_array_equal(found, wanted)
    distances, indices = expected
    for truth in (ground_truth(queries, rows, 49, metric),):
        assert_array_equal(truth.indices, indices[:, :49])
        assert_array_equal(truth.tied, distances[:, 48] == distances[:, 49])


@pytest.mark.slow
def test_codes_that_say_nothing_give_way():
    """The direct screen takes over in the middle of a search, and goes on with the same keys."""
    random = np.random.default_rng(0)
    rows = (random.random((4000, 64)) < 0.5).astype(np.uint8)
    index = Index(rows, "cosine", screen="quantized")
    index._searcher = without_bounds(index)
    found = index.search(rows[:100], 5)
    assert 0 < index.stats_["rows_given_up"] < 100 * 4000
    assert_array_equal(found[1], Index(rows, "cosine", screen="none").search(rows[:100], 5)[1])
    many = index.search(rows[:5], 3000)
    assert_exact(many, rows[:5], rows, 3000, "cosine")


@pytest.mark.slow
@both_angles
@pytest.mark.parametrize(("dtype", "angle"), [(np.float64, 1e-9), (np.float32, 3e-6)])
def test_nearly_parallel_rows_are_not_lost_to_the_rounding_of_directions(
    dtype, angle, metric, monkeypatch
):
    """Angles that differ by less than directions are off, screened with little other slack."""
    monkeypatch.setattr(trial, "screen_of", lambda *args: DIFFERENCES)
    random = np.random.default_rng(0)
    query = random.normal(size=(1, 12))
    basis = np.linalg.qr(np.stack([query[0], np.ones(12), *random.normal(size=(10, 12))]).T)[0]
    for _ in range(20):
        away = random.normal(size=(600, 10)) @ basis[:, 2:].T  # at a right angle to the query
        rows = query + angle * away / np.linalg.norm(away, axis=1, keepdims=True)
        rows, queries = rows.astype(dtype), query.astype(dtype)
        index = Index(rows, metric)
        assert index._searcher.screen == DIFFERENCES
        assert_exact(index.search(queries, 20), queries, rows, 20, metric)
