"""Cosine distances: L2 between directions, against scikit-learn and against their definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs
from sklearn.metrics.pairwise import cosine_distances

from fastknn import (
    Index,
    KNeighborsClassifier,
    KNeighborsTransformer,
    NearestNeighbors,
    knn,
    knn_graph,
    load_index,
    pairwise_distances,
)
from fastknn.cosine import directions
from fastknn.reference import reference_knn

DTYPES = [np.uint8, np.float32, np.float64]
SCREENS = ["none", "direct", "rounded", "projected", "auto"]


def data(dtype, rows, width=24, seed=0):
    values = np.random.default_rng(seed).normal(size=(rows, width)).cumsum(axis=1) * 20 + 60
    return values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("screen", SCREENS)
def test_half_the_squares_of_the_distances_of_directions(dtype, screen):
    train, queries = data(dtype, 400), data(dtype, 30, seed=1)
    train[::50] = 0
    queries[3] = 0
    distances, indices = Index(train, "cosine", screen=screen).search(queries, 9)
    expected = reference_knn(directions(queries, queries=True), directions(train), 9, "l2")
    assert_array_equal(indices, expected[1])
    assert_allclose(distances, np.minimum(expected[0] ** 2 / 2, 2), rtol=1e-15)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    wanted = cosine_distances(queries.astype(float), train.astype(float))
    assert_allclose(distances, np.take_along_axis(wanted, indices, 1), atol=tolerance)
    assert_allclose(distances, np.sort(wanted, axis=1)[:, :9], atol=tolerance)


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
    with_screen = model._index.index.with_screen("auto")
    assert_array_equal(with_screen.search(queries, 6)[1], model.kneighbors(queries)[1])


def test_classifier_and_graph():
    train, queries = data(np.float64, 300), data(np.float64, 50, seed=1)
    labels = (train[:, 0] > 40).astype(int)
    ours = KNeighborsClassifier(3, metric="cosine", weights="distance").fit(train, labels)
    reference = theirs.KNeighborsClassifier(3, metric="cosine", weights="distance")
    reference.fit(train, labels)
    assert_allclose(ours.predict_proba(queries), reference.predict_proba(queries), atol=1e-9)
    indices, distances = knn_graph(train, 4, "cosine")
    assert_array_equal(indices, ours.kneighbors(None, 4)[1])
    assert_array_equal(distances, ours.kneighbors(None, 4)[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_append_save_and_load(dtype, tmp_path):
    train, queries = data(dtype, 300), data(dtype, 20, seed=1)
    for screen in ("direct", "rounded"):
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
        index.search(directions(queries), 5)


def test_no_matrix_of_cosine_distances():
    with pytest.raises(ValueError, match=r"^metric must be 'l1' or 'l2'"):
        pairwise_distances(np.eye(2), np.eye(2), "cosine")
