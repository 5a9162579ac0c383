"""Choosing k on held-out folds: the scores of scikit-learn's grid search, fold by fold."""

import threading
import warnings

import numpy as np
import pytest
from cases import let_choices_cost_nothing
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastknn import Index
from fastknn.estimators import answers
from fastknn.estimators.cross_validation import cross_validate_k
from fastknn.estimators.search_cv import KNeighborsClassifierCV, KNeighborsRegressorCV
from fastknn.reference import reference_knn
from fastknn.screens.cascade import Cascade
from fastknn.search import index as search_index

KS = [1, 2, 5, 11, 30]


@pytest.fixture(scope="module")
def data():
    """Continuous points: no ties, so that there is one right answer."""
    random = np.random.default_rng(3)
    X = random.normal(size=(150, 12))
    y = (X[:, 0] + random.normal(size=150) > 0) + 2 * (X[:, 1] > 0.7)
    return X, y, random.integers(0, 6, 150)


def grid_search(estimator, X, y, cv, scoring, groups=None):
    grid = {
        "metric": ["l1", "euclidean"],
        "n_neighbors": KS,
        "weights": ["uniform", "distance"],
    }
    search = GridSearchCV(estimator(algorithm="brute"), grid, cv=cv, scoring=scoring)
    return search.fit(X, y, groups=groups).cv_results_


def assert_same_results(ours, expected):
    assert len(ours["params"]) == len(expected["params"])
    for mine, other in zip(ours["params"], expected["params"], strict=True):
        assert {**mine, "metric": None} == {**other, "metric": None}
    timings = {name for name in expected if "time" in name}
    assert set(ours) == set(expected) - timings
    for name in ours:
        if "score" in name:
            assert_allclose(ours[name], expected[name], rtol=1e-12)
        if name.startswith("split"):
            assert_array_equal(ours[name], expected[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "cv",
    [
        3,
        StratifiedKFold(4, shuffle=True, random_state=0),
        KFold(3),
        GroupKFold(3),
        ShuffleSplit(2, test_size=0.3, random_state=1),
        PredefinedSplit(np.r_[np.full(100, -1), np.zeros(50, int)]),
    ],
)
@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss"])
def test_same_as_grid_search(data, cv, scoring):
    X, y, groups = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = grid_search(theirs.KNeighborsClassifier, X, y, cv, scoring, groups)
        ours = cross_validate_k(
            X, y, KS, ["l1", "euclidean"], cv=cv, groups=groups, scoring=scoring
        )
    if scoring == "neg_log_loss":  # sums of weights, in another order
        for name in ours:
            if name.startswith("split"):
                ours[name] = np.where(
                    np.isclose(ours[name], expected[name], rtol=1e-9), expected[name], ours[name]
                )
    assert_same_results(ours, expected)


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_leave_one_out(data, scoring):
    X, y, _ = data
    X, y = X[:32], y[:32] % 2
    expected = grid_search(theirs.KNeighborsClassifier, X, y, LeaveOneOut(), "accuracy")
    ours = cross_validate_k(X, y, KS, ["l1", "euclidean"], cv=LeaveOneOut())
    assert_same_results(ours, expected)
    error = make_scorer(mean_absolute_error, greater_is_better=False)
    ours = cross_validate_k(X, y, KS, ["l1", "euclidean"], cv=LeaveOneOut(), scoring=error)
    assert_same_results(ours, grid_search(theirs.KNeighborsClassifier, X, y, LeaveOneOut(), error))


@pytest.mark.slow
@pytest.mark.parametrize("cv", [4, LeaveOneOut()])
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_scores_do_not_depend_on_the_size_of_runs(data, cv, scoring, monkeypatch):
    """However few rows at a time are searched and vote, the scores are the same."""
    X, y, _ = data
    if isinstance(cv, LeaveOneOut) and scoring == "neg_log_loss":
        pytest.skip("not defined for single rows")
    expected = cross_validate_k(X, y, KS, cv=cv, scoring=scoring)
    regressed = cross_validate_k(
        X, X[:, :2], KS, cv=cv, scoring="neg_mean_squared_error", regression=True
    )
    for rows in (1, 7):
        monkeypatch.setattr(answers, "RUN_BYTES", rows * 16 * max(KS))
        found = cross_validate_k(X, y, KS, cv=cv, scoring=scoring)
        assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
        found = cross_validate_k(
            X, X[:, :2], KS, cv=cv, scoring="neg_mean_squared_error", regression=True
        )
        assert_allclose(found["mean_test_score"], regressed["mean_test_score"], rtol=1e-12)


def test_a_single_row(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="X must have two rows at least"):
        cross_validate_k(X[:1], y[:1], cv=LeaveOneOut())


def test_folds_given_as_masks(data):
    X, y, _ = data
    third = np.arange(150) % 3 == 0
    masks = cross_validate_k(X, y, KS, cv=[(~third, third)])
    rows = cross_validate_k(X, y, KS, cv=[(np.flatnonzero(~third), np.flatnonzero(third))])
    assert_array_equal(masks["mean_test_score"], rows["mean_test_score"])
    with pytest.raises(ValueError, match="cv must give folds with rows"):
        cross_validate_k(X, y, KS, cv=[(third, np.zeros(150, bool))])


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["r2", "neg_mean_absolute_error"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("cv", [4, LeaveOneOut()])
def test_regression(data, scoring, outputs, cv):
    if isinstance(cv, LeaveOneOut) and scoring == "r2":
        pytest.skip("not defined for single rows")
    X = data[0][:60]
    y = X[:, 0] ** 2 if outputs == 1 else X[:, :2] ** 2
    expected = grid_search(theirs.KNeighborsRegressor, X, y, cv, scoring)
    ours = cross_validate_k(
        X,
        y,
        KS,
        ["l1", "euclidean"],
        cv=cv,
        scoring=scoring,
        regression=True,
        weights=["uniform", "distance"],
    )
    for name in ours:
        if name.startswith("split"):  # distances of scikit-learn's differ in the last digits
            assert_allclose(ours[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_folds_share_screens(data, dtype, monkeypatch):
    """Whatever the screen, and in numbers of rows and ks around a panel's."""
    let_choices_cost_nothing(monkeypatch)
    random = np.random.default_rng(0)
    X = (random.normal(size=(700, 40)).cumsum(axis=1) * 10 + 100).clip(0, 255).astype(dtype)
    for metric in ("l1", "l2", "cosine"):
        for screen in ("none", "direct", "quantized", "projected", "auto"):
            index = Index(X, metric, screen=screen)
            for rows in (np.arange(700)[::-1], random.permutation(700)[:323], np.array([5, 5, 9])):
                with monkeypatch.context() as patch:  # nothing is chosen or encoded again
                    patch.setattr(search_index, "choose_screen", None)
                    patch.setattr(Cascade, "encode_rows", None)
                    subset = index.subset(rows)
                assert subset.cascade == index.cascade
                k = min(7, len(rows))
                found = subset.search(X[:20], k)
                if metric == "cosine":
                    expected = Index(X[rows], metric, screen="direct").search(X[:20], k)
                else:
                    expected = reference_knn(X[:20], X[rows], k, metric)
                assert_array_equal(found[1], expected[1])
                assert_array_equal(found[0], expected[0])
    with pytest.raises(ValueError, match="rows must be a sequence of indices"):
        index.subset([])


def test_defaults_and_progress(data):
    X, y, _ = data
    seen = []

    class Bar:
        def update(self, n):
            seen.append(n)

    results = cross_validate_k(X, y, progress=Bar())
    assert sorted(set(results["param_n_neighbors"])) == [1, 3, 5, 8, 10, 12, 15, 20, 50, 100]
    assert sum(seen) == pytest.approx(2 * 150)
    small = cross_validate_k(X[:30], y[:30] % 2, metrics=["l2"])
    assert sorted(set(small["param_n_neighbors"])) == [1, 3, 5, 8, 10, 12, 15, 20]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(results).sort_values("rank_test_score")
    assert frame["mean_test_score"].is_monotonic_decreasing


def test_ctrl_c_ends_it(data):
    """In the middle of a fold, as the signal does; nothing is left running."""
    X, y, _ = data
    before = threading.active_count()

    class Interrupted:
        def update(self, n):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate_k(X, y, progress=Interrupted())
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("named", "error", "match"),
    [
        ({"ks": 3}, TypeError, "ks must be a sequence"),
        ({"ks": []}, ValueError, "ks must not be empty"),
        ({"ks": [0]}, ValueError, "ks must be at least 1"),
        ({"ks": [1.5]}, TypeError, "ks must be an integer"),
        ({"ks": [1, 121]}, ValueError, "ks must be at most 120"),
        ({"metrics": "l2"}, TypeError, "metrics must be a sequence"),
        ({"metrics": ["chebyshev"]}, ValueError, "metric must be one of"),
        ({"weights": ["heavy"]}, ValueError, "weights must be 'uniform' or 'distance'"),
        ({"cv": 1}, ValueError, "1"),
        ({"scoring": "speed"}, ValueError, "speed"),
        ({"scoring": ["accuracy", "f1_macro"]}, TypeError, "scoring must be one name"),
        ({"cv": []}, ValueError, "cv must give folds"),
        ({"progress": 7}, TypeError, "progress must be a bool"),
    ],
)
def test_bad_arguments(data, named, error, match):
    X, y, _ = data
    with pytest.raises(error, match=match):
        cross_validate_k(X, y, **named)


def test_a_regression_is_scored_by_r2(data):
    X, _, _ = data
    ours = cross_validate_k(X, X[:, 0], KS, regression=True)
    named = cross_validate_k(X, X[:, 0], KS, regression=True, scoring="r2")
    assert_array_equal(ours["mean_test_score"], named["mean_test_score"])


def test_several_labels_per_row(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="y must have one label per row"):
        cross_validate_k(X, np.column_stack([y, y]))


@pytest.mark.parametrize("estimator", [KNeighborsClassifierCV, KNeighborsRegressorCV])
def test_estimators_refit_on_the_best(data, estimator):
    X, y, _ = data
    model = estimator(KS, metrics=["l1", "l2"]).fit(X, y)
    means = model.cv_results_["mean_test_score"]
    assert model.best_score_ == means.max()
    assert model.best_index_ == means.argmax()
    best = model.best_params_
    their_own = {
        KNeighborsClassifierCV: theirs.KNeighborsClassifier,
        KNeighborsRegressorCV: theirs.KNeighborsRegressor,
    }[estimator](**best, algorithm="brute").fit(X, y)
    queries = X + 0.01
    assert_allclose(model.predict(queries), their_own.predict(queries))
    assert_array_equal(model.kneighbors(queries)[1], their_own.kneighbors(queries)[1])
    if estimator is KNeighborsClassifierCV:
        assert_array_equal(model.classes_, np.unique(y))
        assert_allclose(model.predict_proba(queries), their_own.predict_proba(queries))


@pytest.mark.interop
@parametrize_with_checks(
    [KNeighborsClassifierCV(metrics=["l2"], cv=2), KNeighborsRegressorCV(metrics=["l2"], cv=2)]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
