"""What `patch_sklearn` installs: scikit-learn's estimators, with fastknn's search and vote.

The search is that of the mixin (`mixin.py`). The classes have the methods and arguments of
scikit-learn's and no others: what fastknn adds to them is in `neighbors.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import neighbors as _theirs
from sklearn.utils.validation import check_is_fitted

from fastknn._utils.docstrings import documented
from fastknn._utils.naming import own_names
from fastknn._utils.sklearn_input import as_readable, hint_of_shape
from fastknn.estimators.mixin import FastNeighbors
from fastknn.voting.votes import distance_weights, vote, vote_proba

__all__ = [
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
]


def _documentation(original: type) -> str:
    """scikit-learn's documentation without its examples, which print its own names."""
    # `getdoc` removes the indentation in every Python; since 3.13 the compiler does so too.
    return (inspect.getdoc(original) or "").split("\nExamples\n---")[0].rstrip()


@own_names
class KNeighborsClassifier(FastNeighbors, _theirs.KNeighborsClassifier):
    __doc__ = _documentation(_theirs.KNeighborsClassifier)

    def predict(self, X: ArrayLike | None) -> np.ndarray:
        """Class with the most votes among the neighbors of each query; ties go to the smallest.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs)
        """
        check_is_fitted(self)
        if not self._votes_itself():
            return super().predict(X)
        chosen = [classes[vote(**ballots)] for classes, ballots in self._ballots(X)]
        return np.stack(chosen, axis=1) if self.outputs_2d_ else chosen[0]

    def predict_proba(self, X: ArrayLike | None) -> np.ndarray | list[np.ndarray]:
        """Each class's share of the votes among the neighbors of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries, n_classes), or a list of one for each output
        """
        check_is_fitted(self)
        if not self._votes_itself():
            return super().predict_proba(X)
        shares = [vote_proba(**ballots) for _, ballots in self._ballots(X)]
        return shares if self.outputs_2d_ else shares[0]

    def _votes_itself(self) -> bool:
        """Whether fastknn counts the votes. If not, scikit-learn does, for the same neighbors."""
        return self._why_not_fast() is None and not callable(self.weights)

    def _neighbor_weights(self, distances: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
        """The weight of each neighbor by the parameter `weights`; None where all weigh the same."""
        return weights_of_neighbors(self.weights, distances)

    def _ballots(self, X: ArrayLike | None) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """The classes and the arguments of `vote`, for each output."""
        distances, indices = self.kneighbors(X)
        weights = self._neighbor_weights(distances, indices)
        outputs = self.classes_ if self.outputs_2d_ else [self.classes_]
        labels = self._y.reshape(len(self._y), -1)
        return [
            (
                classes,
                {
                    "neighbor_labels": labels[:, output][indices],
                    "n_classes": len(classes),
                    "weights": weights,
                    "n_jobs": self._n_threads(),
                },
            )
            for output, classes in enumerate(outputs)
        ]


@own_names
class KNeighborsRegressor(FastNeighbors, _theirs.KNeighborsRegressor):
    __doc__ = _documentation(_theirs.KNeighborsRegressor)


@own_names
class NearestNeighbors(FastNeighbors, _theirs.NearestNeighbors):
    __doc__ = _documentation(_theirs.NearestNeighbors)

    def radius_neighbors(
        self,
        X: ArrayLike | None = None,
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """Find the training rows within a radius: scikit-learn's own search.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            By default the training rows themselves, none of which is its own neighbor.
        radius : float, optional
            By default the constructor's.
        return_distance : bool, default True
            Whether to return the distances too.
        sort_results : bool, default False
            Whether the nearest come first.

        Returns
        -------
        distances : ndarray (n_queries,) of arrays of float64
            Only if `return_distance`.
        indices : ndarray (n_queries,) of arrays of int64
        """
        X = as_readable(X, "X")
        with hint_of_shape(X):
            return super().radius_neighbors(X, radius, return_distance, sort_results)


@own_names
class KNeighborsTransformer(FastNeighbors, _theirs.KNeighborsTransformer):
    __doc__ = _documentation(_theirs.KNeighborsTransformer)


@documented
@own_names
class LocalOutlierFactor(FastNeighbors, _theirs.LocalOutlierFactor):
    """scikit-learn's local outlier factor on fastknn's exact search.

    The constructor, attributes and results are those of `sklearn.neighbors.LocalOutlierFactor`.

    Parameters
    ----------
    n_neighbors : int, default 20
    %(search parameters)s
    contamination : "auto" or float, default "auto"
        Share of outliers.
    novelty : bool, default False
        Whether new data will be judged, rather than the fitted rows.

    Attributes
    ----------
    %(backend)s

    Raises
    ------
    %(errors of scikit-learn)s

    Notes
    -----
    %(notes on the search)s

    Examples
    --------
    >>> from fastknn import LocalOutlierFactor
    >>> LocalOutlierFactor(n_neighbors=2).fit_predict([[-1.1], [0.2], [101.1], [0.3]])
    array([ 1,  1, -1,  1])
    """


def weights_of_neighbors(
    weights: str | Callable[[np.ndarray], np.ndarray] | None, distances: np.ndarray
) -> np.ndarray | None:
    """The weight of each neighbor by the parameter `weights`; None where all weigh the same."""
    if weights == "distance":
        return distance_weights(distances)
    return weights(distances) if callable(weights) else None
