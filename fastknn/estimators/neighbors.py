"""The public estimators: scikit-learn's, with sample weights and rows appended after `fit`.

These two additions are in `weighted.py` and `growing.py`. Everything else is in `drop_in.py`, whose
classes do what scikit-learn's do, and refuse what scikit-learn's refuse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import (
    check_is_fitted,
)

from fastknn._utils.docstrings import documented
from fastknn._utils.naming import own_names
from fastknn.estimators import drop_in
from fastknn.estimators.drop_in import LocalOutlierFactor
from fastknn.estimators.growing import AppendableRows
from fastknn.estimators.onnx import register_when_imported
from fastknn.estimators.weighted import WeightedTargets

__all__ = [
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
]


@documented
@own_names
class KNeighborsClassifier(WeightedTargets, drop_in.KNeighborsClassifier):
    """scikit-learn's k-nearest-neighbors classifier on fastknn's exact search.

    The constructor, attributes and results are those of `sklearn.neighbors.KNeighborsClassifier`,
    except that `fit` takes sample weights and that rows can be appended.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbors that vote.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much the vote of a neighbor counts.
    %(search parameters)s

    Attributes
    ----------
    %(backend)s
    %(sample weight)s

    Raises
    ------
    %(errors of scikit-learn)s

    Notes
    -----
    %(notes on the search)s

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn import KNeighborsClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = KNeighborsClassifier(n_neighbors=3).fit(X[:1000].astype("uint8"), y[:1000])
    >>> classifier.score(X[1000:].astype("uint8"), y[1000:]) > 0.95
    True
    >>> classifier.backend_
    'fastknn'
    """

    def _votes_itself(self) -> bool:
        return self.sample_weight_ is not None or super()._votes_itself()

    def _targets(self) -> np.ndarray:
        if not self.outputs_2d_:
            return self.classes_[self._y]
        columns = [classes[codes] for classes, codes in zip(self.classes_, self._y.T, strict=True)]
        return np.stack(columns, axis=1)


@documented
@own_names
class KNeighborsRegressor(WeightedTargets, drop_in.KNeighborsRegressor):
    """scikit-learn's k-nearest-neighbors regressor on fastknn's exact search.

    The constructor, attributes and results are those of `sklearn.neighbors.KNeighborsRegressor`,
    except that `fit` takes sample weights and that rows can be appended.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbors whose targets are averaged.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much the target of a neighbor counts.
    %(search parameters)s

    Attributes
    ----------
    %(backend)s
    %(sample weight)s

    Raises
    ------
    %(errors of scikit-learn)s

    Notes
    -----
    %(notes on the search)s

    Examples
    --------
    >>> from fastknn import KNeighborsRegressor
    >>> KNeighborsRegressor(2).fit([[0.0], [1.0], [5.0]], [0, 1, 5]).predict([[0.4]])
    array([0.5])
    """

    def predict(self, X: ArrayLike | None) -> np.ndarray:
        """Mean of the targets of the neighbors of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs) of float64
        """
        check_is_fitted(self)
        if self.sample_weight_ is None:
            return super().predict(X)
        distances, indices = self.kneighbors(X)
        weights = self._neighbor_weights(distances, indices)
        assert weights is not None  # there are sample weights
        targets = self._y[indices]
        weights = weights.reshape(*weights.shape, *[1] * (targets.ndim - 2))
        return (targets * weights).sum(axis=1) / weights.sum(axis=1)


@documented
@own_names
class NearestNeighbors(AppendableRows, drop_in.NearestNeighbors):
    """scikit-learn's unsupervised neighbor search on fastknn's exact search.

    The constructor, attributes and results are those of `sklearn.neighbors.NearestNeighbors`,
    except that rows can be appended. `radius_neighbors` is answered by scikit-learn.

    Parameters
    ----------
    n_neighbors : int, default 5
    radius : float, default 1.0
        For `radius_neighbors`.
    %(search parameters)s

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
    >>> from fastknn import NearestNeighbors
    >>> search = NearestNeighbors(n_neighbors=1).fit([[0.0, 0.0], [3.0, 4.0]])
    >>> search.kneighbors([[3.0, 3.0]])
    (array([[1.]]), array([[1]]))
    """


@documented
@own_names
class KNeighborsTransformer(AppendableRows, drop_in.KNeighborsTransformer):
    """Graph of nearest neighbors as a transformer, on fastknn's exact search.

    The constructor, attributes and results are those of `sklearn.neighbors.KNeighborsTransformer`,
    except that rows can be appended.

    For pipelines in front of estimators that take ``metric="precomputed"`` sparse graphs.

    Parameters
    ----------
    mode : {"distance", "connectivity"}, default "distance"
        What the graph holds.
    n_neighbors : int, default 5
        Neighbors of each row; with "distance", the row itself besides.
    %(search parameters)s

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
    >>> from fastknn import KNeighborsTransformer
    >>> graph = KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [1.0], [5.0]])
    >>> graph.toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 4., 0.]])
    """


register_when_imported()
