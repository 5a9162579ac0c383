"""Choosing k, the metric and the weights on held-out folds, with one search a metric and fold.

The neighbors found for the largest k hold those of every smaller one, so folds and metrics must be
searched, but not numbers of neighbors or weights. A fold's index shares the screens and the codes
of the one over all rows.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import LeaveOneOut, ParameterGrid, check_cv
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from fastknn._utils.checks import (
    array_of_columns,
    as_count,
    as_labels,
    as_matrix,
    as_ndarray,
    as_readable,
    check_progress,
    checked_matrix,
    hint_of_shape,
    several,
)
from fastknn._utils.naming import own_names
from fastknn._utils.progress import Told, shown
from fastknn._utils.threads import thread_count
from fastknn.estimators.neighbors import KNeighborsClassifier, KNeighborsRegressor
from fastknn.estimators.onnx import register_when_imported
from fastknn.metrics.names import metric_name
from fastknn.search.calls import index_for, without_self
from fastknn.search.index import Index
from fastknn.voting.votes import distance_weights, vote, vote_proba

__all__ = ["KNeighborsClassifierCV", "KNeighborsRegressorCV", "cross_validate_k"]

# The numbers of neighbors of the lecture's experiment.
KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)
METRICS = ("l1", "l2")
# Bytes of neighbors as a search gives them: so many at a time are searched, or vote.
RUN_BYTES = 1 << 24
WEIGHTS = ("uniform", "distance")
# Candidates that a person is shown.
ROWS_SHOWN = 12


class Scores(dict):
    """Scores of candidates, as `GridSearchCV.cv_results_`; shown as a table, the best first."""

    def __repr__(self) -> str:
        if not {"params", "rank_test_score", "mean_test_score", "std_test_score"} <= set(self):
            return super().__repr__()  # somebody took a part away
        order = np.argsort(self["rank_test_score"], kind="stable")
        lines = ["rank  metric              k  weights       mean       sd"]
        for place in order[:ROWS_SHOWN]:
            one = self["params"][place]
            lines.append(
                f"{self['rank_test_score'][place]:>4}  {one['metric']:<11} "
                f"{one['n_neighbors']:>9}  {one['weights']:<9} "
                f"{self['mean_test_score'][place]:>8.4f} {self['std_test_score'][place]:>8.4f}"
            )
        if len(order) > ROWS_SHOWN:
            lines.append(f"      and {len(order) - ROWS_SHOWN} more")
        return "\n".join(lines)


def cross_validate_k(
    X,
    y,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str] = METRICS,
    weights: Sequence[str] = WEIGHTS,
    cv=5,
    groups=None,
    scoring="accuracy",
    *,
    regression: bool = False,
    n_jobs: int | None = None,
    progress=None,
) -> Scores:
    """Score every number of neighbors, metric and weighting on held-out folds.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Of any type that `Index` takes, tables included; bytes stay bytes.
    y : array-like of shape (n_rows,), or (n_rows, n_outputs) for a regression
        Labels, or the targets of a regression.
    ks : sequence of int, optional
        Numbers of neighbors; by default 1, 3, 5, 8, 10, 12, 15, 20, 50, 100, as far as every
        fold has so many training rows.
    metrics : sequence of str, default ("l1", "l2")
        Of those that `Index` takes.
    weights : sequence of {"uniform", "distance"}, default both
    cv : int, cross-validation generator or iterable of (train, test), default 5
        As in scikit-learn: a number means stratified folds where there are labels.
    groups : array-like of shape (n_rows,), optional
        For generators that keep groups together.
    scoring : str or callable, default "accuracy"
        Any of scikit-learn's names or scorers that ask for `predict` or `predict_proba`. A
        regression takes R² where it says accuracy.
    regression : bool, default False
        Whether neighbors' targets are averaged, and not their labels counted.
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.
    progress : bool or object with an ``update(n)`` method, default None
        True shows a tqdm bar over all held-out rows and metrics.

    Returns
    -------
    dict of str to ndarray
        Shown as a table of the best candidates. As `GridSearchCV.cv_results_`, which
        pandas.DataFrame takes: ``params``,
        ``param_metric``, ``param_n_neighbors``, ``param_weights``, ``split0_test_score`` and so
        on, ``mean_test_score``, ``std_test_score`` and ``rank_test_score``.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, by name.

    Notes
    -----
    Scores are those of `GridSearchCV` over scikit-learn's estimators, but for rows at distances
    that tie. Time: for each metric, one search of all held-out rows among the training rows of
    their fold, for the largest k. Memory: the rows of a fold and their codes once more; for
    each of its held-out rows and each of the largest k neighbors 8 bytes, and 1 or more for
    the label (4 or more for a regression's row); and some 50 MiB, at any size.
    Leave-one-out holds no row's neighbors longer than that.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn.estimators.model_selection import cross_validate_k
    >>> X, y = load_digits(return_X_y=True)
    >>> results = cross_validate_k(X.astype("uint8"), y, ks=[1, 3, 50], metrics=["l2"])
    >>> best = results["params"][results["mean_test_score"].argmax()]
    >>> best["metric"], best["n_neighbors"]
    ('l2', 3)
    """
    thread_count(n_jobs)
    check_progress(progress)
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2:
        X = array_of_columns(X.T, "X")  # numbers, as scikit-learn's searches take them
    X = np.ascontiguousarray(as_matrix(X, "X"))
    y = _targets(y, len(X), regression)
    if groups is not None:
        _check_groups(groups, len(X))
    answers = _Means if regression else _Votes
    scoring = "r2" if regression and scoring == "accuracy" else scoring
    scorer = check_scoring(answers(), scoring=scoring)
    if isinstance(scoring, list | tuple | set | dict):
        raise TypeError(f"scoring must be one name or scorer, got {scoring!r}")
    folds = _folds(cv, X, y, groups, regression)
    ks = _numbers(ks, min((len(train) for train, _ in folds or ()), default=len(X) - 1))
    metrics = [str(one) for one in several(metrics, "metrics", metric_name)]
    weights = [str(one) for one in several(weights, "weights", _weighting)]
    grid = list(ParameterGrid({"metric": metrics, "n_neighbors": ks, "weights": weights}))
    scores = np.empty((len(grid), len(X) if folds is None else len(folds)))
    score = _one_by_one(scorer, scoring) if folds is None else scorer
    n_queries = len(X) if folds is None else sum(len(test) for _, test in folds)
    held = partial(answers, ks=ks, weights=weights, n_jobs=n_jobs)
    with shown(progress, n_queries * len(metrics)) as advance:
        options = {"n_jobs": n_jobs, "progress": Told(advance)}
        for metric in metrics:
            own = [place for place, candidate in enumerate(grid) if candidate["metric"] == metric]
            index = index_for(n_queries, X, max(ks), metric, n_jobs, advance)
            for columns, rows, answer in _answered(index, X, y, folds, max(ks), held, options):
                queries, truth = X[rows], y[rows]  # a copy, of folds: once, and for all candidates
                for place in own:
                    answer.asked = grid[place]
                    scores[place, columns] = score(answer, queries, truth)
    return _results(grid, scores)


def _folds(cv, X: np.ndarray, y: np.ndarray, groups, regression: bool) -> list | None:
    """Indices of the rows of each fold, (train, test); None for leave-one-out.

    Its list of folds would hold n_rows**2 indices, and be searched n_rows times.
    """
    if isinstance(cv, LeaveOneOut):
        return None
    cv = 5 if cv is None else cv  # as in scikit-learn
    if isinstance(cv, Integral):
        _check_number_of_folds(cv, y, regression)
    every, cv = np.arange(len(X)), check_cv(cv, y, classifier=not regression)
    try:
        splits = list(cv.split(X, y, groups))
    except (ValueError, TypeError) as error:  # whose words are the generator's
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"cv cannot make folds of these rows: {error}") from error
    folds = [(_held_rows(train, every), _held_rows(test, every)) for train, test in splits]
    if not folds or not all(len(train) and len(test) for train, test in folds):
        raise ValueError("cv must give folds with rows to learn from and rows to hold out")
    return folds


def _answered(
    index: Index, X, y, folds: list | None, k: int, held: Callable, options: dict
) -> Iterator:
    """Held-out rows and who answers for them: (columns of the scores, rows, answer)."""
    if folds is None:
        for some in _runs(len(X), k + 1):
            answer = held(y, len(X[some]))
            found = index.search(X[some], k + 1, **options)
            answer.hold(slice(None), *without_self(*found, first=some.start))
            yield some, some, answer
        return
    for fold, (train, test) in enumerate(folds):
        rows, answer = index.subset(train, n_jobs=options["n_jobs"]), held(y[train], len(test))
        for some in _runs(len(test), k):
            answer.hold(some, *rows.search(X[test[some]], k, **options))
        yield fold, test, answer


def _runs(n_rows: int, k: int) -> list[slice]:
    """Parts of some rows, whose neighbors may be held as a search gives them."""
    step = max(1, RUN_BYTES // (16 * k))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


class _Answer(BaseEstimator):
    """What scorers take for a fitted estimator: it answers as one candidate, then as another.

    Parameters
    ----------
    targets : ndarray (n_train, ...)
    n_rows : int
        Held-out rows, for which it answers whatever it is given.
    ks, weights, n_jobs
        Of all candidates.
    """

    def __init__(self, targets=None, n_rows=0, ks=(1,), weights=(), n_jobs=None) -> None:
        self.targets, self.ks, self.most, self.n_jobs = targets, list(ks), max(ks), n_jobs
        self.asked: dict = {}
        if targets is not None:
            # What is kept of a neighbor, in as few bytes as hold it.
            kept = self._kept()
            self._kept_of_rows = kept.astype(np.min_scalar_type(kept.max()))
            self._neighbors = np.empty((n_rows, self.most), self._kept_of_rows.dtype)
            self._distances = np.empty((n_rows, self.most if "distance" in weights else 0))

    def fit(self, X, y) -> "_Answer":
        return self

    def hold(self, rows: slice, distances: np.ndarray, indices: np.ndarray) -> None:
        """Take in what a search found for some of the rows."""
        self._neighbors[rows] = self._kept_of_rows[indices]
        self._distances[rows] = distances[:, : self._distances.shape[1]]

    def only(self, rows: slice) -> "_Answer":
        """The same for some of the rows."""
        some = copy.copy(self)
        some._neighbors, some._distances = self._neighbors[rows], self._distances[rows]
        return some

    def _by_runs(self, answer: Callable, axis: int = 0) -> np.ndarray:
        """Answers to all rows from those to a part of them, which take memory by themselves."""
        parts = [answer(some) for some in _runs(len(self._neighbors), self.most)]
        return np.concatenate(parts, axis=axis)

    def _weights(self, rows: slice, k: int) -> np.ndarray | None:
        """Of the first k neighbors of some rows; None where they are equal."""
        if self.asked["weights"] == "uniform":
            return None
        return distance_weights(self._distances[rows, :k])


class _Votes(ClassifierMixin, _Answer):
    """Classes by votes: counted for every k at once, and kept."""

    def _kept(self) -> np.ndarray:
        self.classes_, codes = np.unique(self.targets, return_inverse=True)
        self._counted: dict[str, np.ndarray] = {}
        return codes

    def only(self, rows: slice) -> "_Votes":
        some = super().only(rows)
        some._counted = {}
        return some

    def predict(self, X) -> np.ndarray:
        weighting = self.asked["weights"]
        if weighting not in self._counted:
            self._counted[weighting] = self._by_runs(
                lambda some: vote(**self._ballots(some, self.most), ks=self.ks), axis=1
            )
        place = self.ks.index(self.asked["n_neighbors"])
        return self.classes_[self._counted[weighting][place]]

    def predict_proba(self, X) -> np.ndarray:
        k = self.asked["n_neighbors"]
        return self._by_runs(lambda some: vote_proba(**self._ballots(some, k)))

    def _ballots(self, rows: slice, k: int) -> dict:
        return {
            "neighbor_labels": self._neighbors[rows, :k],
            "n_classes": len(self.classes_),
            "weights": self._weights(rows, k),
            "n_jobs": self.n_jobs,
        }


class _Means(RegressorMixin, _Answer):
    """Means of targets; sums in the order of scikit-learn's, for the same bits."""

    def _kept(self) -> np.ndarray:
        return np.arange(len(self.targets))

    def predict(self, X) -> np.ndarray:
        return self._by_runs(self._means)

    def _means(self, rows: slice) -> np.ndarray:
        k = self.asked["n_neighbors"]
        near, weights = self._neighbors[rows, :k], self._weights(rows, k)
        targets = self.targets.reshape(len(self.targets), -1)
        if weights is None:
            means = targets[near].mean(axis=1)
        else:
            sums = [(column[near] * weights).sum(axis=1) for column in targets.T]
            means = np.stack(sums, axis=1) / weights.sum(axis=1)[:, None]
        return means.reshape(len(means), *self.targets.shape[1:])


def _one_by_one(scorer: Callable, scoring) -> Callable:
    """A scorer of rows each of which is a fold of its own: a score for each."""

    def score(answer, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        if scoring == "accuracy":
            return (answer.predict(X) == y).astype(np.float64)
        rows = [slice(row, row + 1) for row in range(len(X))]
        return np.array([scorer(answer.only(row), X[row], y[row]) for row in rows])

    return score


def _results(grid: list[dict], scores: np.ndarray) -> Scores:
    """Candidates and their scores (candidates, folds) in the layout of `cv_results_`."""
    results = Scores()
    for name in sorted(grid[0]):
        values = [candidate[name] for candidate in grid]
        kind = np.int64 if name == "n_neighbors" else object
        results[f"param_{name}"] = np.ma.MaskedArray(np.array(values, kind), mask=False)
    results["params"] = grid
    for fold, column in enumerate(scores.T):
        results[f"split{fold}_test_score"] = column
    means = scores.mean(axis=1)
    results["mean_test_score"], results["std_test_score"] = means, scores.std(axis=1)
    ranked = np.nan_to_num(means, nan=-np.inf)  # candidates that could not be scored come last
    results["rank_test_score"] = rankdata(-ranked, method="min").astype(np.int32)
    return results


# --- Checks -----------------------------------------------------------------------------------


def _targets(y, n_rows: int, regression: bool) -> np.ndarray:
    """Labels (n_rows,), or the targets of a regression (n_rows,) or (n_rows, n_outputs)."""
    if not regression:
        y = as_labels(y, "y", n_rows)
        check_classification_targets(y)
        return y
    y = as_ndarray(y, "y", "targets of equal length")
    if y.ndim not in (1, 2) or len(y) != n_rows:
        raise ValueError(f"y must have a target for each of {n_rows} rows, got shape {y.shape}")
    columns = y.reshape(n_rows, -1)
    if y.dtype == object:
        columns = array_of_columns(columns.T, "y")
    return checked_matrix(columns, "y").reshape(y.shape)


def _check_groups(groups, n_rows: int) -> None:
    groups = as_ndarray(groups, "groups", "an entry for each row")
    if groups.ndim == 0 or len(groups) != n_rows:
        raise ValueError(
            f"groups must have an entry for each of {n_rows} rows, got shape {groups.shape}"
        )


def _check_number_of_folds(cv: int, y: np.ndarray, regression: bool) -> None:
    """scikit-learn's conditions on a number of folds, in the words of the argument."""
    if as_count(cv, "cv") < 2:
        raise ValueError(f"cv must be at least 2; got {cv}")
    most, what = len(y), "the number of rows"
    if not regression and type_of_target(y) in ("binary", "multiclass"):
        most = int(np.unique(y, return_counts=True)[1].max())
        what = f"the number of rows of the largest class, of {len(y)} rows in all"
    if cv > most:
        raise ValueError(f"cv must be at most {most}, {what}; got {cv}")


def _held_rows(rows, every: np.ndarray) -> np.ndarray:
    """Indices of rows, which a generator may give as indices or as a mask."""
    try:
        chosen = every[np.asarray(rows)]
    except IndexError as error:
        raise ValueError(f"cv must give indices or masks of {len(every)} rows: {error}") from error
    if chosen.ndim != 1:
        raise ValueError(f"cv must give arrays of indices or masks, got {rows!r}")
    return chosen


def _numbers(ks: Sequence[int] | None, most: int) -> list[int]:
    if most < 1:
        raise ValueError("X must have two rows at least: one to learn from, one to hold out")
    if ks is None:
        return [k for k in KS if k <= most]
    ks = several(ks, "ks", lambda k: as_count(k, "ks"))
    if max(ks) > most:
        raise ValueError(
            f"ks must be at most {most}, the training rows of the smallest fold; got {max(ks)}"
        )
    return [int(k) for k in ks]


def _weighting(weights: str) -> None:
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be 'uniform' or 'distance', got {weights!r}")


# --- Estimators -------------------------------------------------------------------------------


class _BestNeighbors(BaseEstimator):
    """An estimator that chooses its own number of neighbors, metric and weights."""

    def __init__(
        self,
        ks=None,
        *,
        metrics=METRICS,
        weights=WEIGHTS,
        cv=5,
        scoring=None,
        n_jobs=None,
        progress=False,
    ) -> None:
        self.ks, self.metrics, self.weights, self.cv = ks, metrics, weights, cv
        self.scoring, self.n_jobs, self.progress = scoring, n_jobs, progress

    def fit(self, X, y, groups=None):
        """Choose on held-out folds, then fit to all rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        groups : array-like of shape (n_rows,), optional
            For a `cv` that keeps groups together.

        Returns
        -------
        self
        """
        X, y = as_readable(X, "X"), as_readable(y, "y")
        with hint_of_shape(X):
            X, y = validate_data(
                self, X, y, order="C", multi_output=self._regression, ensure_min_samples=2
            )
        self.cv_results_ = cross_validate_k(
            X,
            y,
            self.ks,
            self.metrics,
            self.weights,
            self.cv,
            groups,
            self.scoring or self._scoring,
            regression=self._regression,
            n_jobs=self.n_jobs,
            progress=self.progress,
        )
        self.best_index_ = int(self.cv_results_["rank_test_score"].argmin())
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        self.best_estimator_ = self._estimator(n_jobs=self.n_jobs, **self.best_params_).fit(X, y)
        return self

    # joblib.hash fails on masked arrays of numbers. Nothing is masked in these: scikit-learn's
    # layout has masks, for grids whose candidates do not all have the same parameters. It also
    # hashes strides, which columns of a matrix keep in this process only.
    def __getstate__(self) -> dict:
        state = dict(super().__getstate__())
        if "cv_results_" in state:
            state["cv_results_"] = {
                name: np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values
                for name, values in state["cv_results_"].items()
            }
        return state

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for name, values in vars(self).get("cv_results_", {}).items():
            if name.startswith("param_"):
                self.cv_results_[name] = np.ma.MaskedArray(values, mask=False)

    def predict(self, X) -> np.ndarray:
        """Answer queries with what was chosen.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs)
        """
        check_is_fitted(self)
        X = as_readable(X, "X")
        with hint_of_shape(X):
            X = validate_data(self, X, reset=False)
        return self.best_estimator_.predict(X)

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find neighbors under the chosen metric.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            By default the training rows themselves, none of which is its own neighbor.
        n_neighbors : int, optional
            By default what was chosen.
        return_distance : bool, default True

        Returns
        -------
        distances : ndarray (n_queries, n_neighbors) of float64
            Only if `return_distance`.
        indices : ndarray (n_queries, n_neighbors) of int64
        """
        check_is_fitted(self)
        if X is not None:
            X = validate_data(self, X, reset=False)
        return self.best_estimator_.kneighbors(X, n_neighbors, return_distance)


@own_names
class KNeighborsClassifierCV(ClassifierMixin, _BestNeighbors):
    """k-nearest-neighbors classifier that chooses k, metric and weights on held-out folds.

    In the style of scikit-learn's `RidgeCV`: one fit tries all of them, at the price of a search
    for each metric (`cross_validate_k`), and ends fitted to all rows with the best.

    Parameters
    ----------
    ks : sequence of int, optional
        Numbers of neighbors; by default 1, 3, 5, 8, 10, 12, 15, 20, 50, 100, as far as every
        fold has so many training rows.
    metrics : sequence of str, default ("l1", "l2")
    weights : sequence of {"uniform", "distance"}, default both
    cv : int, cross-validation generator or iterable, default 5
        A number means stratified folds.
    scoring : str or callable, optional
        By default accuracy.
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.
    progress : bool or object with an ``update(n)`` method, default False
        True shows a tqdm bar.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        All scores, as of `GridSearchCV`.
    best_params_ : dict
        ``metric``, ``n_neighbors`` and ``weights`` of the best mean score; of equal ones the first.
    best_index_, best_score_ : int, float
        Its place in `cv_results_`, and the score.
    best_estimator_ : KNeighborsClassifier
        Fitted to all rows.
    classes_ : ndarray (n_classes,)

    Raises
    ------
    ValueError, TypeError
        By `fit`, for arguments that do not fit, by name.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn.estimators.model_selection import KNeighborsClassifierCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = KNeighborsClassifierCV(ks=[1, 5, 50], metrics=["l2"]).fit(X.astype("uint8"), y)
    >>> model.best_params_["n_neighbors"]
    1
    """

    _estimator, _scoring, _regression = KNeighborsClassifier, "accuracy", False

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: ndarray (n_classes,)."""
        return self.best_estimator_.classes_

    def predict_proba(self, X) -> np.ndarray:
        """Each class's share of the votes among each query's neighbors.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)

        Returns
        -------
        ndarray of shape (n_queries, n_classes)
        """
        check_is_fitted(self)
        X = as_readable(X, "X")
        with hint_of_shape(X):
            X = validate_data(self, X, reset=False)
        return self.best_estimator_.predict_proba(X)


@own_names
class KNeighborsRegressorCV(RegressorMixin, _BestNeighbors):
    """k-nearest-neighbors regressor that chooses k, metric and weights on held-out folds.

    As `KNeighborsClassifierCV`, which see for parameters and attributes; `scoring` is R² by
    default, and a number of folds means plain ones.

    Parameters
    ----------
    ks : sequence of int, optional
    metrics : sequence of str, default ("l1", "l2")
    weights : sequence of {"uniform", "distance"}, default both
    cv : int, cross-validation generator or iterable, default 5
    scoring : str or callable, optional
    n_jobs : int or None, default None
    progress : bool or object with an ``update(n)`` method, default False

    Raises
    ------
    ValueError, TypeError
        By `fit`, for arguments that do not fit, by name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.estimators.model_selection import KNeighborsRegressorCV
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> model = KNeighborsRegressorCV(ks=[1, 2, 20], cv=4, metrics=["l2"]).fit(X, X[:, 0] ** 2)
    >>> model.best_params_["n_neighbors"]
    1
    """

    _estimator, _scoring, _regression = KNeighborsRegressor, "r2", True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


register_when_imported()
