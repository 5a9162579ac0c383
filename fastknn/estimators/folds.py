"""The folds of a cross-validation, with scikit-learn's splitters."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit, LeaveOneOut, check_cv
from sklearn.utils.multiclass import type_of_target

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.scalars import as_count

# What scikit-learn takes as `cv`.
Splitter: TypeAlias = (
    int | BaseCrossValidator | BaseShuffleSplit | Iterable[tuple[ArrayLike, ArrayLike]] | None
)
Folds: TypeAlias = list[tuple[np.ndarray, np.ndarray]]


def make_folds(
    cv: Splitter, X: np.ndarray, y: np.ndarray, groups: ArrayLike | None, regression: bool
) -> Folds | None:
    """Indices of the rows of each fold, (train, test); None for leave-one-out.

    The list of folds of leave-one-out would hold n_rows**2 indices, and take n_rows searches.
    """
    if isinstance(cv, LeaveOneOut):
        return None
    cv = 5 if cv is None else cv  # as in scikit-learn
    if isinstance(cv, Integral):
        _check_number_of_folds(cv, y, regression)
    all_rows, splitter = np.arange(len(X)), check_cv(cv, y, classifier=not regression)
    try:
        splits = list(splitter.split(X, y, groups))
    except (ValueError, TypeError) as error:  # the message is the splitter's
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"cv cannot make folds of these rows: {error}") from error
    folds = [(_as_rows(train, all_rows), _as_rows(test, all_rows)) for train, test in splits]
    if not folds or not all(len(train) and len(test) for train, test in folds):
        raise ValueError("cv must give folds with rows to learn from and rows to hold out")
    return folds


def check_groups(groups: ArrayLike, n_rows: int) -> None:
    """Raise unless there is a group for each row."""
    groups = as_ndarray(groups, "groups", "an entry for each row")
    if groups.ndim == 0 or len(groups) != n_rows:
        raise ValueError(
            f"groups must have an entry for each of {n_rows} rows, got shape {groups.shape}"
        )


def _check_number_of_folds(cv: Any, y: np.ndarray, regression: bool) -> None:
    """scikit-learn's conditions on a number of folds, with errors that name the argument."""
    if as_count(cv, "cv") < 2:
        raise ValueError(f"cv must be at least 2; got {cv}")
    most, what = len(y), "the number of rows"
    if not regression and type_of_target(y) in ("binary", "multiclass"):
        most = int(np.unique(y, return_counts=True)[1].max())
        what = f"the number of rows of the largest class, of {len(y)} rows in all"
    if cv > most:
        raise ValueError(f"cv must be at most {most}, {what}; got {cv}")


def _as_rows(rows: Any, all_rows: np.ndarray) -> np.ndarray:
    """Indices of rows, which a splitter may give as indices or as a mask."""
    try:
        chosen = all_rows[np.asarray(rows)]
    except IndexError as error:
        message = f"cv must give indices or masks of {len(all_rows)} rows: {error}"
        raise ValueError(message) from error
    if chosen.ndim != 1:
        raise ValueError(f"cv must give arrays of indices or masks, got {rows!r}")
    return chosen
