"""Estimators that choose k, the metric and the weights by cross-validation in `fit`.

As `GridSearchCV` would, but with one search for each metric and fold: see `cross_validation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastknn._utils.docstrings import documented
from fastknn._utils.naming import own_names
from fastknn._utils.progress import ProgressArgument
from fastknn._utils.sklearn_input import as_readable, hint_of_shape
from fastknn.estimators.cross_validation import METRICS, WEIGHTS, Scores, cross_validate_k
from fastknn.estimators.folds import Splitter
from fastknn.estimators.neighbors import KNeighborsClassifier, KNeighborsRegressor
from fastknn.estimators.onnx import register_when_imported

__all__ = ["KNeighborsClassifierCV", "KNeighborsRegressorCV"]


class BestNeighborsCV(BaseEstimator):
    """What the classifier and the regressor have in common: the choice, and searches with it."""

    _estimator: type[KNeighborsClassifier] | type[KNeighborsRegressor]
    _scoring: str
    _regression: bool

    cv_results_: Scores
    best_estimator_: Any

    def __init__(
        self,
        ks: Sequence[int] | None = None,
        *,
        metrics: Sequence[str] = METRICS,
        weights: Sequence[str] = WEIGHTS,
        cv: Splitter = 5,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        progress: ProgressArgument = False,
    ) -> None:
        self.ks, self.metrics, self.weights, self.cv = ks, metrics, weights, cv
        self.scoring, self.n_jobs, self.progress = scoring, n_jobs, progress

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose on held-out folds, then fit to all rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        groups : array-like of shape (n_rows,), optional
            For generators that keep groups together.

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
    # layout has masks for grids whose combinations do not all have the same parameters. It also
    # hashes strides, which the columns of a matrix keep in this process only.
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
        for name, values in self.__dict__.get("cv_results_", {}).items():
            if name.startswith("param_"):
                self.cv_results_[name] = np.ma.MaskedArray(values, mask=False)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict with the combination that was chosen.

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

    @overload
    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: Literal[True] = True,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        *,
        return_distance: bool,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]: ...

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
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


@documented
@own_names
class KNeighborsClassifierCV(ClassifierMixin, BestNeighborsCV):
    """k-nearest-neighbors classifier that chooses k, metric and weights on held-out folds.

    In the style of scikit-learn's `RidgeCV`: one fit tries all combinations, at the cost of a
    search for each metric (`cross_validate_k`), and then fits the best to all rows.

    Parameters
    ----------
    %(combinations)s
    cv : int, cross-validation generator or iterable, default 5
        A number means stratified folds.
    scoring : str or callable, optional
        By default accuracy.
    %(threads and progress)s

    Attributes
    ----------
    %(best)s
    best_estimator_ : KNeighborsClassifier
        Fitted to all rows.
    classes_ : ndarray (n_classes,)

    Raises
    ------
    %(errors by name)s

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn import KNeighborsClassifierCV
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

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Each class's share of the votes among the neighbors of each query.

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


@documented
@own_names
class KNeighborsRegressorCV(RegressorMixin, BestNeighborsCV):
    """k-nearest-neighbors regressor that chooses k, metric and weights on held-out folds.

    One fit tries all combinations, at the cost of a search for each metric (`cross_validate_k`),
    and then fits the best to all rows.

    Parameters
    ----------
    %(combinations)s
    cv : int, cross-validation generator or iterable, default 5
        A number means folds of consecutive rows.
    scoring : str or callable, optional
        By default R².
    %(threads and progress)s

    Attributes
    ----------
    %(best)s
    best_estimator_ : KNeighborsRegressor
        Fitted to all rows.

    Raises
    ------
    %(errors by name)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn import KNeighborsRegressorCV
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> model = KNeighborsRegressorCV(ks=[1, 2, 20], cv=4, metrics=["l2"]).fit(X, X[:, 0] ** 2)
    >>> model.best_params_["n_neighbors"]
    1
    """

    _estimator, _scoring, _regression = KNeighborsRegressor, "r2", True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


register_when_imported()
