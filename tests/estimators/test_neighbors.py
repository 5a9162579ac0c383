"""The classifier against scikit-learn's own, and against its contract."""

import logging
import pickle

import numpy as np
import pytest
import sklearn
from cases import DTYPES, set_limits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import neighbors as theirs
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from fastknn import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
)
from fastknn.reference import reference_knn
from fastknn.search import policy


@pytest.fixture(scope="module")
def continuous():
    """Points without ties, so that every right answer is the same one."""
    generator = np.random.default_rng(7)
    points = generator.normal(size=(400, 20))
    # scikit-learn's own vote, before 1.9, fails for labels that are words.
    words = parse_version(sklearn.__version__) >= parse_version("1.9")
    labels = generator.choice(["ant", "bee", "cow"] if words else [3, 5, 8], size=400)
    return points[:300], labels[:300], points[300:]


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images[:600], labels[:600], images[600:800], labels[600:800]


@pytest.mark.interop
@parametrize_with_checks(
    [
        KNeighborsClassifier(),
        KNeighborsClassifier(3, weights="distance", algorithm="brute"),
        KNeighborsRegressor(algorithm="brute"),
        KNeighborsTransformer(n_neighbors=1, algorithm="brute"),
        LocalOutlierFactor(algorithm="brute"),
        NearestNeighbors(algorithm="brute"),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["minkowski", "l1", "manhattan", "cityblock", "l2", "euclidean"])
@pytest.mark.parametrize("weights", ["uniform", "distance", None, lambda d: 1 / (1 + d)])
@pytest.mark.parametrize("p", [1, 2])
def test_same_as_scikit_learn(continuous, metric, weights, p):
    train, labels, queries = continuous
    parameters = {"n_neighbors": 6, "metric": metric, "weights": weights, "p": p}
    ours = KNeighborsClassifier(**parameters).fit(train, labels)
    reference = theirs.KNeighborsClassifier(**parameters).fit(train, labels)
    assert ours.backend_ == "fastknn"
    for X in (queries, None):
        assert_array_equal(ours.kneighbors(X)[1], reference.kneighbors(X)[1])
        assert_allclose(ours.kneighbors(X)[0], reference.kneighbors(X)[0], rtol=1e-9)
        assert_array_equal(ours.predict(X), reference.predict(X))
        assert_allclose(ours.predict_proba(X), reference.predict_proba(X), rtol=1e-9)
    assert ours.score(None, labels) == reference.score(None, labels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
def test_digits_in_every_type_against_the_reference(digits, dtype, p):
    train, labels, test, _ = digits
    model = KNeighborsClassifier(7, p=p).fit(train.astype(dtype), labels)
    distances, indices = model.kneighbors(test.astype(dtype))
    expected_distances, expected_indices = reference_knn(test, train, 7, f"l{p}")
    assert_array_equal(indices, expected_indices)
    assert_array_equal(distances, expected_distances)
    assert model._index.train.dtype == dtype


def test_leave_one_out_leaves_out_by_index():
    # Six equal rows: a row's own index may not even be among its first k + 1; then, as in
    # scikit-learn, the first of those goes.
    train, labels = np.zeros((6, 8)), [0, 1, 0, 1, 0, 1]
    model = KNeighborsClassifier(2).fit(train, labels)
    expected = [[1, 2], [0, 2], [0, 1], [1, 2], [1, 2], [1, 2]]
    assert_array_equal(model.kneighbors(return_distance=False), expected)
    assert model.backend_ == "fastknn"


def test_ties_of_votes_go_to_the_smallest_label():
    train = np.array([[0.0], [1.0], [3.0], [4.0]])
    model = KNeighborsClassifier(4, algorithm="brute").fit(train, ["z", "a", "z", "a"])
    assert model.backend_ == "fastknn"
    assert model.predict([[2.0]]) == ["a"]


def test_several_outputs(continuous):
    train, labels, queries = continuous
    both = np.column_stack([labels, labels[::-1]])
    ours = KNeighborsClassifier(5).fit(train, both)
    reference = theirs.KNeighborsClassifier(5).fit(train, both)
    assert ours.backend_ == "fastknn"
    assert_array_equal(ours.predict(queries), reference.predict(queries))
    for mine, other in zip(
        ours.predict_proba(queries), reference.predict_proba(queries), strict=True
    ):
        assert_allclose(mine, other)


@pytest.mark.parametrize(
    ("parameters", "convert", "reason"),
    [
        ({"metric": "chebyshev"}, np.asarray, "metric is chebyshev"),
        ({"p": 3}, np.asarray, "metric is minkowski"),
        ({"algorithm": "kd_tree"}, np.asarray, "algorithm is kd_tree"),
        ({"metric": lambda a, b: abs(a - b).sum()}, np.asarray, "algorithm is ball_tree|metric is"),
        ({"metric_params": {"w": np.ones(20)}}, np.asarray, "metric is minkowski"),
        ({"algorithm": "brute"}, sparse.csr_matrix, "sparse"),
    ],
)
def test_falls_back_visibly(continuous, caplog, parameters, convert, reason):
    train, labels, queries = (*continuous[:2], continuous[2][:5])
    with caplog.at_level(logging.DEBUG, logger="fastknn"):
        ours = KNeighborsClassifier(3, **parameters).fit(convert(train), labels)
    assert ours.backend_ == "scikit-learn"
    assert any(part in caplog.text for part in reason.split("|"))
    reference = theirs.KNeighborsClassifier(3, **parameters).fit(convert(train), labels)
    assert_array_equal(ours.predict(convert(queries)), reference.predict(convert(queries)))


def test_sparse_queries_of_a_dense_model(continuous):
    train, labels, queries = continuous
    model = KNeighborsClassifier(3).fit(train, labels)
    assert_array_equal(model.predict(sparse.csr_matrix(queries)), model.predict(queries))


def test_parameters_stay_as_they_were_given(continuous):
    train, labels, _ = continuous
    model = KNeighborsClassifier(3, algorithm="auto").fit(train, labels)
    assert model.algorithm == "auto"
    assert model._tree is None  # no tree was built for nothing
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((3, 2), np.nan), [0, 1, 1])
    assert model.algorithm == "auto"


def test_refitting_on_sparse_data_forgets_the_index(continuous):
    train, labels, queries = continuous
    model = KNeighborsClassifier(3).fit(train, labels)
    model.fit(sparse.csr_matrix(train[:50]), labels[:50])
    assert model.backend_ == "scikit-learn"
    assert model.kneighbors(queries)[1].max() < 50


@pytest.mark.parametrize(
    ("n_neighbors", "error", "match"),
    [
        (0, ValueError, "> 0"),
        (-3, ValueError, "> 0"),
        (2.5, TypeError, "integer"),
        (301, ValueError, "<="),
    ],
)
def test_bad_numbers_of_neighbors(continuous, n_neighbors, error, match):
    train, labels, queries = continuous
    model = KNeighborsClassifier(3).fit(train, labels)
    with pytest.raises(error, match=match):
        model.kneighbors(queries, n_neighbors)


def test_all_other_rows_are_the_most_neighbors_of_a_row(continuous):
    train, labels, _ = continuous
    model = KNeighborsClassifier(3).fit(train, labels)
    assert model.kneighbors(None, 299)[1].shape == (300, 299)
    with pytest.raises(ValueError, match="n_neighbors < n_samples_fit"):
        model.kneighbors(None, 300)


def test_pickle_clone_and_scikit_learn_tools(continuous):
    train, labels, queries = continuous
    model = KNeighborsClassifier(5, weights="distance").fit(train, labels)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_proba(queries), model.predict_proba(queries))
    assert not hasattr(clone(model), "backend_")
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 3]}, n_jobs=1)
    assert search.fit(train, labels).best_params_
    own = cross_val_score(KNeighborsClassifier(), train, labels)
    assert_array_equal(own, cross_val_score(theirs.KNeighborsClassifier(), train, labels))


def test_wide_integers_are_searched_as_scikit_learn_does():
    train = np.array([[2**60], [2**60 + 1], [0]])
    model = KNeighborsClassifier(1, algorithm="brute").fit(train, [0, 0, 1])
    assert model.predict([[5]]) == [1]
    assert model.backend_ == "fastknn"


def both(ours, *arguments, **named):
    """One of our estimators, and scikit-learn's of the same name."""
    other = getattr(theirs, ours.__name__)
    return ours(*arguments, **named), other(*arguments, algorithm="brute", **named)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["uniform", "distance", lambda d: 1 / (1 + d)])
@pytest.mark.parametrize("p", [1, 2])
def test_regressor(continuous, weights, p):
    train, _, queries = continuous
    targets = np.random.default_rng(1).normal(size=(300, 2))
    for y in (targets, targets[:, 0], (targets[:, 0] * 10).astype(int)):
        ours, reference = both(KNeighborsRegressor, 4, weights=weights, p=p)
        ours.fit(train, y), reference.fit(train, y)
        assert ours.backend_ == "fastknn"
        for X in (queries, None):
            assert_allclose(ours.predict(X), reference.predict(X), rtol=1e-9)


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("p", [1, 2])
def test_graphs(continuous, mode, p):
    train, _, queries = continuous
    ours, reference = both(KNeighborsTransformer, n_neighbors=4, mode=mode, p=p)
    mine, other = ours.fit_transform(train), reference.fit_transform(train)
    assert ours.backend_ == "fastknn"
    assert_array_equal(mine.indices, other.indices)
    assert_allclose(mine.data, other.data, atol=1e-6)  # theirs of a row to itself is not zero
    assert_allclose(ours.transform(queries).toarray(), reference.transform(queries).toarray())
    ours, reference = both(NearestNeighbors, n_neighbors=4, p=p)
    for X in (queries, None):
        mine = ours.fit(train).kneighbors_graph(X, mode=mode)
        assert_allclose(
            mine.toarray(), reference.fit(train).kneighbors_graph(X, mode=mode).toarray()
        )
    mine, other = ours.radius_neighbors(queries, 5), reference.radius_neighbors(queries, 5)
    for place in range(len(queries)):
        assert set(mine[1][place]) == set(other[1][place])


@pytest.mark.parametrize("novelty", [True, False])
def test_outliers(continuous, novelty):
    train, _, queries = continuous
    ours, reference = both(LocalOutlierFactor, novelty=novelty)
    ours.fit(train), reference.fit(train)
    assert ours.backend_ == "fastknn"
    assert_allclose(ours.negative_outlier_factor_, reference.negative_outlier_factor_)
    if novelty:
        assert_allclose(ours.score_samples(queries), reference.score_samples(queries))


@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_few_features_are_searched_by_fastknn(width):
    """Ties included, which scikit-learn's trees order by their leaves."""
    points = np.random.default_rng(0).integers(0, 4, (3000, width)).astype(np.float64)
    for given in (points, points.tolist()):
        model = NearestNeighbors(n_jobs=1).fit(given)
        assert (model.backend_, model._fit_method) == ("fastknn", "kd_tree")
        assert_array_equal(
            model.kneighbors(points[:20], 9)[1], reference_knn(points[:20], points, 9, "l2")[1]
        )


def test_a_tree_that_is_asked_for_is_scikit_learns(caplog):
    with caplog.at_level(logging.DEBUG, logger="fastknn"):
        model = NearestNeighbors(algorithm="kd_tree").fit(np.eye(5))
    assert (model.backend_, model._fit_method) == ("scikit-learn", "kd_tree")
    assert "algorithm is kd_tree" in caplog.text


def test_few_features_get_groups_once_enough_queries_came(monkeypatch):
    points = np.random.default_rng(0).normal(size=(20_000, 3))
    model = NearestNeighbors(n_jobs=1).fit(points)
    expected = reference_knn(points[:8], points, 5, "l2")
    for n_queries, screen in ((3, "none"), (100, "direct"), (5000, "grouped")):
        distances, indices = model.kneighbors(points[:n_queries], 5)
        assert model._index._growth.stage == screen
        assert_array_equal(indices[:8], expected[1][:n_queries])
        assert_array_equal(distances[:8], expected[0][:n_queries])


def test_a_screen_is_chosen_once_enough_queries_came(continuous, monkeypatch):
    train, labels, queries = continuous
    seen = []

    def pays(known, limits):
        seen.append(known.n_queries)
        return known.n_queries >= 400

    set_limits(monkeypatch, small_elements=0)
    rules = (
        rule._replace(applies=pays) if rule.why.startswith("so many queries pay") else rule
        for rule in policy.RULES
    )
    monkeypatch.setattr(policy, "RULES", tuple(rules))
    model = KNeighborsClassifier(3, n_jobs=1).fit(train, labels)
    few = model.kneighbors(queries[:5])
    assert model._index._growth.stage == "none"
    expected = model.kneighbors(queries)  # 105
    assert model._index._growth.stage == "direct"
    model.kneighbors()  # 300 more
    assert model._index._growth.stage == "auto"
    first = model._index._searcher
    for mine, other, some in zip(model.kneighbors(queries), expected, few, strict=True):
        assert_array_equal(mine, other)
        assert_array_equal(mine[:5], some)
    assert model._index._searcher is first  # chosen once
    assert seen == [105, 405]
    assert model.fit(train, labels)._index._growth.stage == "none"
