"""Matrices of rows: checked, then converted to a type that is searched."""

import math

import numpy as np

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.dtypes import NATIVE, check_values, native_type
from fastknn._utils.tables import array_of_columns, is_table, table_as_array

# Elements that are looked at one by one, without a sum first.
FEW_ELEMENTS = 4096
# Values looked at in one go: bounds the memory that a check needs.
CHECK_ELEMENTS = 1 << 20
# The types that are searched as they are, by NumPy's letters.
PLAIN = "".join(dtype.char for dtype in NATIVE)


def as_matrix(array, name: str, check_finite: bool = True) -> np.ndarray:
    """Return ``array`` as a finite matrix (rows, width) of uint8, int8, float32 or float64.

    Those four are taken as they are, where rows lie consecutively in memory; booleans become
    uint8, float16 and integers of 16 bits become float32, other integers become float64. Nothing
    is changed in value.
    Tables (pandas, polars, pyarrow) are taken column by column: see `table_as_array`.
    """
    return _converted(checked_matrix(array, name, check_finite))


def as_queries(array, width: int, check_finite: bool = True) -> np.ndarray:
    """Return queries of training rows of this width, as `as_matrix` does; there may be none."""
    # Most single queries: what follows takes longer than their search.
    if _is_plain(array, width) and (not check_finite or _is_finite(array)):
        return array
    return _converted(checked_matrix(array, "queries", check_finite, width, may_be_none=True))


def checked_matrix(
    array,
    name: str,
    check_finite: bool = True,
    width: int | None = None,
    may_be_none: bool = False,
) -> np.ndarray:
    """Return ``array`` as an ndarray that `as_matrix` would convert, not converted yet.

    A matrix that is larger than memory can so be checked as a whole, and converted in parts.

    Parameters
    ----------
    width : int, optional
        Of the training rows, if these are rows to be compared with them.
    may_be_none : bool
        Whether zero rows are accepted, as they are for queries.
    """
    array = as_array(array, name)
    if array.ndim != 2:
        rows, columns = "n_queries" if name == "queries" else "n_rows", width or "width"
        raise ValueError(
            f"{name} must have shape ({rows}, {columns}), got {array.shape}"
            + shape_hint(array.shape, name, width)
        )
    if array.shape[1] == 0 or (len(array) == 0 and not may_be_none):
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if width is not None:
        check_width(array, width, name)
    check_values(array, name)
    if check_finite:
        _check_finite(array, name)
    return array


def _is_plain(array, width: int) -> bool:
    """Whether this is a small ndarray of a type and layout that is searched as it is."""
    return (
        type(array) is np.ndarray
        and array.ndim == 2
        and 0 < array.size <= FEW_ELEMENTS
        and array.shape[1] == width
        and array.dtype.char in PLAIN
        and array.dtype.isnative
        and array.flags.carray
    )


def shape_hint(shape: tuple[int, ...], name: str, width: int | None) -> str:
    """How values of one dimension, or of more than two, become a matrix of the wanted width."""
    if 0 in shape or not shape:
        return ""
    single = f"use {name}.reshape(1, -1) for a single {'query' if name == 'queries' else 'row'}"
    if len(shape) > 2:
        if width in (None, math.prod(shape[1:])):
            return f": use {name}.reshape(len({name}), -1), a row for each"
        return f": {single}" if width == math.prod(shape) else ""
    column = f"{name}.reshape(-1, 1) for rows of a single column"
    if width is None:
        return f": {single}, {column}"
    if shape[0] == width:
        return f": {single}"
    return f": use {column}" if width == 1 else ""


def as_array(array, name: str) -> np.ndarray:
    """Return rows, or a table of them, as an ndarray of whatever shape and type."""
    if hasattr(array, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(array).__name__}")
    if is_table(array):
        return table_as_array(array, name)
    converted = as_ndarray(array, name, "a matrix (rows, width)")
    foreign = hasattr(array, "__array__") and not isinstance(array, np.ndarray)
    if foreign and converted.dtype == object and converted.ndim == 2:
        return array_of_columns(list(converted.T), name)
    return converted


def check_width(rows: np.ndarray, width: int, name: str = "queries") -> None:
    """Raise unless rows are as wide as the training rows."""
    if rows.shape[1] != width:
        raise ValueError(
            f"{name} must be as wide as train: got {rows.shape[1]} columns, train has {width}"
        )


def _converted(array: np.ndarray) -> np.ndarray:
    """A checked matrix in its native type, with rows that lie consecutively in memory."""
    dtype = native_type(array.dtype)
    consecutive = array.strides[1] == array.itemsize or array.shape[1] == 1
    if not (array.dtype == dtype and array.dtype.isnative and array.flags.aligned and consecutive):
        array = array.astype(dtype, order="C")
    return array


def _is_finite(array: np.ndarray) -> bool:
    """Whether all of a few values are surely finite: the fastest way there is.

    A sum of squares is finite only if all of them are; large values are not known to be.
    """
    return array.dtype.kind != "f" or math.isfinite(np.vdot(array, array))


def _check_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind != "f":
        return
    if array.size <= FEW_ELEMENTS and np.isfinite(array).all():
        return  # without the cost of looking away from overflows
    step = max(1, CHECK_ELEMENTS // array.shape[1])
    for start in range(0, len(array), step):
        some = array[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(some.sum()):  # one pass; an overflow only sends it to the slow check
                continue
        finite = np.isfinite(some)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = some[row, column]
            raise ValueError(
                f"{name} must be finite, found {value} at row {start + row}, column {column}"
            )
