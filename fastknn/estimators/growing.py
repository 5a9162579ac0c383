"""Training rows that are appended after `fit`: the screens of an index are kept."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse, vstack
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,
)

from fastknn._utils.sklearn_input import as_readable, hint_of_shape
from fastknn.estimators.mixin import FastNeighbors, searchable


class GrowingRows(FastNeighbors):
    """What all estimators that take more training rows after `fit` have in common."""

    def _append(self, X: Any, y: Any = None) -> Self:
        """Add training rows, which get the next indices. If this fails, nothing is changed."""
        self._check_appendable()
        X = as_readable(X, "X")
        with hint_of_shape(X):
            X = validate_data(self, X, reset=False, accept_sparse="csr", order="C")
        self._check_width(X)
        # The rows of an estimator that was fitted on a tree are a buffer.
        before = self._fit_X if issparse(self._fit_X) else np.asarray(self._fit_X)
        X = as_type_if_exact(X, before.dtype)
        rows = (vstack if issparse(X) or issparse(before) else np.concatenate)([before, X])
        longer = copy.copy(self)
        longer._fit(rows, y)
        if hasattr(self, "feature_names_in_"):  # an array has no names
            longer.feature_names_in_ = self.feature_names_in_
        if hasattr(self, "_n_features_out"):
            longer._n_features_out = longer.n_samples_fit_
        derived = self._derived_now()
        index = derived.index
        if index is not None and longer.backend_ == "fastknn" and rows.dtype == before.dtype:
            index.append(searchable(X))
            train = index.train
            if (train.shape, train.dtype) == (rows.shape, rows.dtype):
                longer._fit_X = train  # the index has copied the rows already: one copy is enough
            longer._derived_now().keep(index)
            derived.index = None  # a copy of this estimator may share it
        for left_over in self.__dict__.keys() - longer.__dict__.keys():
            delattr(self, left_over)
        self.__dict__.update(longer.__dict__)
        return self

    def _check_appendable(self) -> None:
        check_is_fitted(self)
        if self.metric == "precomputed":
            raise ValueError(
                "append() does not take rows where metric='precomputed': a row has a distance "
                "to every other, so fit the whole matrix anew"
            )


class AppendableRows(GrowingRows):
    """More training rows after `fit`, for estimators without targets."""

    def append(self, X: ArrayLike, y: object = None) -> Self:
        """Add training rows; they get the next indices.

        Screens are kept, and only the new rows are encoded. All rows are copied each time, so
        append many rows at a time.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : ignored

        Returns
        -------
        self
        """
        return self._append(X)


def as_type_if_exact(X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows in this type if that changes no value, else in their own."""
    with np.errstate(invalid="ignore", over="ignore"):
        converted = X.astype(dtype)
    return X if (converted != X).sum() else converted
