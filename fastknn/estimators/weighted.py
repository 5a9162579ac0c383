"""Sample weights, for estimators with targets; their rows can be appended too."""

from __future__ import annotations

from numbers import Number
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
)

from fastknn._utils.arrays import as_ndarray
from fastknn.estimators.drop_in import weights_of_neighbors
from fastknn.estimators.growing import GrowingRows, as_type_if_exact


class WeightedTargets(GrowingRows):
    """Sample weights, and more training rows after `fit`, for estimators with targets.

    Attributes
    ----------
    sample_weight_ : ndarray (n_rows,) of float64, or None
        The weights of the training rows.
    """

    # The signature of `fit` does not name sample_weight: scikit-learn's bagging and boosting look
    # for it there, and would pass weights where they draw samples for its own estimators.
    __metadata_request__fit = {"sample_weight": None}  # noqa: RUF012

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: Any) -> Self:
        """Keep the training rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional, by keyword
            The weight of each row where it is a neighbor, by which the weight of the parameter
            `weights` is multiplied. Rows of weight zero are left out as if they had not been
            given: indices are those of the other rows. Under ``metric="precomputed"`` no weight
            may be zero, for queries would still have a distance to each row given.

        Returns
        -------
        self
        """
        weight = _readable_weight(fit_params.pop("sample_weight", None))
        if fit_params:
            raise TypeError(
                f"{type(self).__name__}.fit() takes X, y and sample_weight; "
                f"got {', '.join(fit_params)}"
            )
        if weight is not None:
            if not np.any(weight):
                raise ValueError("sample_weight must not be zero for all rows")
            if self.metric == "precomputed" and not np.all(weight):
                raise ValueError(
                    "sample_weight must not be zero where metric='precomputed': leave out such "
                    "rows, and their columns of X"
                )
            X, y, weight = _with_weight(X, y, weight)
        super().fit(X, y)
        self.sample_weight_ = weight
        return self

    def _fit(self, X: Any, y: Any = None) -> Self:
        super()._fit(X, y)
        self.__dict__.pop("sample_weight_", None)  # those of the rows before; `fit` sets them anew
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "sample_weight_" and "_fit_X" in self.__dict__:
            return None  # fitted otherwise than by `fit`, or restored from scikit-learn's fields
        return super().__getattr__(name)

    def append(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Add training rows and their targets; they get the next indices.

        Screens are kept, and only the new rows are encoded. All rows are copied each time, so
        append many rows at a time. Classes that are new to a classifier join `classes_`.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), optional
            Their weights, as in `fit`; 1 by default.

        Returns
        -------
        self
        """
        self._check_appendable()
        sample_weight = _readable_weight(sample_weight)
        if sample_weight is not None and not np.any(sample_weight):
            return self
        weight = self.sample_weight_
        if weight is not None or sample_weight is not None:
            X, y, given = _with_weight(X, y, sample_weight)
            before = np.ones(self.n_samples_fit_) if weight is None else weight
            weight = np.concatenate([before, given])
        targets = self._targets()
        self._append(X, np.concatenate([targets, _like(targets, y, _num_samples(X))]))
        self.sample_weight_ = weight
        return self

    def _targets(self) -> np.ndarray:
        """The targets that were given to `fit`."""
        return self._y

    def _neighbor_weights(self, distances: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
        """Weights of the neighbors: by `weights`, times sample weights; None if all are equal."""
        weights = weights_of_neighbors(self.weights, distances)
        if self.sample_weight_ is None:
            return weights
        sample = self.sample_weight_[indices]
        return sample if weights is None else weights * sample


def _readable_weight(weight: Any) -> Any:
    """Sample weights that scikit-learn can check: it would use masked ones as if they were not."""
    if weight is None or isinstance(weight, Number):
        return weight
    return as_ndarray(weight, "sample_weight", "a number for each row")


def _with_weight(X: Any, y: Any, weight: Any) -> tuple[Any, Any, np.ndarray]:
    """Rows of positive weight, their targets and their weights, which are checked."""
    weight = _check_sample_weight(weight, X, ensure_non_negative=True, dtype=np.float64)
    kept = np.flatnonzero(weight)
    if len(kept) < len(weight):
        X, y, weight = _safe_indexing(X, kept), _safe_indexing(y, kept), weight[kept]
    return X, y, weight


def _like(targets: np.ndarray, y: Any, n_rows: int) -> np.ndarray:
    """More targets in the shape of those before, and in their type where that changes no value."""
    y = as_ndarray(y, "y", "targets of equal length")
    if len(y) != n_rows:
        raise ValueError(f"y must be as long as X, got {len(y)} for {n_rows} rows")
    if y.reshape(n_rows, -1).shape[1] != targets.reshape(len(targets), -1).shape[1]:
        raise ValueError(f"y must have as many outputs as in fit, got shape {y.shape}")
    numbers, are_numbers = (array.dtype.kind in "biuf" for array in (targets, y))
    if numbers != are_numbers:
        raise ValueError(f"y must be of a kind with {targets.dtype}, as in fit; got {y.dtype}")
    y = y.reshape(n_rows, *targets.shape[1:])
    return as_type_if_exact(y, targets.dtype) if numbers else y
