"""Arguments: what is accepted, what becomes of it, and the errors that name it."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Number
from pathlib import Path

import numpy as np

NATIVE = tuple(np.dtype(kind) for kind in (np.uint8, np.int8, np.float32, np.float64))
METRICS = {
    "l1": "l1",
    "manhattan": "l1",
    "cityblock": "l1",
    "l2": "l2",
    "euclidean": "l2",
    "sqeuclidean": "sqeuclidean",
    "cosine": "cosine",
    "correlation": "correlation",
}
# Their one name each, in the order of the above.
METRIC_NAMES = tuple(dict.fromkeys(METRICS.values()))
# Values looked at in one go: bounds the memory that a check needs.
CHECK_ELEMENTS = 1 << 20
LARGEST_INTEGER = 2**53


def metric_name(metric: str, p: float = 2) -> str:
    """Return the one name of a metric for any of scikit-learn's spellings of it."""
    if isinstance(metric, str):
        if metric == "minkowski" and p in (1, 2):
            return f"l{int(p)}"
        if metric in METRICS:
            return METRICS[metric]
    raise ValueError(
        f"metric must be one of {', '.join(map(repr, METRICS))}, or 'minkowski' with p=1 or 2; "
        f"got {metric!r}" + (f" with p={p!r}" if metric == "minkowski" else "")
    )


def as_count(value: int, name: str) -> int:
    """Return ``value`` as an int, if it is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def as_flag(value: bool, name: str) -> bool:
    """Return ``value`` as a bool, if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def as_indices(rows, name: str, n_rows: int) -> np.ndarray:
    """Return indices of training rows, one at least, as an ndarray (n,) of int64."""
    try:
        rows = np.asarray(rows)
    except ValueError as error:
        raise ValueError(f"{name} must be a sequence of indices: {error}") from error
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"{name} must be a sequence of indices, got {rows.dtype} {rows.shape}")
    if rows.min() < 0 or rows.max() >= n_rows:
        raise ValueError(f"{name} must be from 0 to {n_rows - 1}, got {rows.min()} to {rows.max()}")
    return rows.astype(np.int64)


def as_k(k: int, n_rows: int) -> int:
    """Return ``k`` as an int between 1 and the number of training rows."""
    k = as_count(k, "k")
    if k > n_rows:
        raise ValueError(f"k must be at most the number of training rows, {n_rows}; got {k}")
    return k


def as_matrix(array, name: str, check_finite: bool = True) -> np.ndarray:
    """Return ``array`` as a finite matrix (rows, width) of uint8, int8, float32 or float64.

    Those four are taken as they are, where rows lie consecutively in memory; booleans become
    uint8, float16 and integers of 16 bits become float32, other integers become float64. Nothing
    is changed in value.
    Tables (pandas, polars, pyarrow) are taken column by column: see `_table_as_array`.
    """
    return _converted(checked_matrix(array, name, check_finite))


def as_queries(array, width: int, check_finite: bool = True) -> np.ndarray:
    """Return queries of training rows of this width, as `as_matrix` does; there may be none."""
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
    array = _as_array(array, name)
    if array.ndim != 2:
        rows, columns = "n_queries" if name == "queries" else "n_rows", width or "width"
        raise ValueError(
            f"{name} must have shape ({rows}, {columns}), got {array.shape}"
            + _shape_hint(array.shape, name, width)
        )
    if array.shape[1] == 0 or (len(array) == 0 and not may_be_none):
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if width is not None:
        check_width(array, width, name)
    _check_values(array, name)
    if check_finite:
        _check_finite(array, name)
    return array


def _shape_hint(shape: tuple[int, ...], name: str, width: int | None) -> str:
    """How values of one dimension become a matrix of the width that is wanted."""
    if len(shape) != 1 or shape == (0,):
        return ""
    single = f"use {name}.reshape(1, -1) for a single {'query' if name == 'queries' else 'row'}"
    column = f"{name}.reshape(-1, 1) for rows of a single column"
    if width is None:
        return f": {single}, {column}"
    if shape[0] == width:
        return f": {single}"
    return f": use {column}" if width == 1 else ""


def _as_array(array, name: str) -> np.ndarray:
    """Return any array-like as an ndarray, of whatever shape and type."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name} must not have masked values")
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    if hasattr(array, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(array).__name__}")
    if _is_table(array):
        return _table_as_array(array, name)
    try:
        converted = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        # Rows of unequal length, or an array of some other library that will not be one of NumPy's.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must be a matrix (rows, width): {error}") from error
    if converted.dtype == object and converted.ndim == 2 and hasattr(array, "__array__"):
        return array_of_columns(converted.T, name)
    return converted


def native_type(dtype: np.dtype) -> np.dtype:
    """The type, of those that are searched, that rows of this type are converted to."""
    dtype = dtype.newbyteorder("=")
    if dtype in NATIVE:
        return dtype
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iuf" and dtype.itemsize == 2:
        return np.dtype(np.float32)
    if dtype.kind in "iu":
        return np.dtype(np.float64)
    raise TypeError(
        "must hold numbers (uint8, float32 or float64, or a type that converts to one "
        f"without loss), got dtype {dtype}"
    )


def _check_values(array: np.ndarray, name: str) -> None:
    """Raise unless the type that an array is converted to holds each of its values."""
    try:
        native_type(array.dtype)
    except TypeError as error:
        raise TypeError(f"{name} {error}") from None
    if (array.dtype.kind in "iu" and array.itemsize == 8) and (
        array.max(initial=0) > LARGEST_INTEGER or array.min(initial=0) < -LARGEST_INTEGER
    ):
        raise ValueError(f"{name} has integers beyond 2**53, which float64 cannot hold exactly")


def _converted(array: np.ndarray) -> np.ndarray:
    """A checked matrix in its native type, with rows that lie consecutively in memory."""
    dtype = native_type(array.dtype)
    consecutive = array.strides[1] == array.itemsize or array.shape[1] == 1
    if not (array.dtype == dtype and array.dtype.isnative and array.flags.aligned and consecutive):
        array = array.astype(dtype, order="C")
    return array


def _check_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind != "f":
        return
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


# --- Tables -----------------------------------------------------------------------------------


def _is_table(array) -> bool:
    """Whether this is a table of pandas (or one that acts like it), polars or pyarrow."""
    if hasattr(array, "iloc"):
        return getattr(array, "ndim", None) == 2
    return hasattr(array, "__array__") and any(
        hasattr(array, name) for name in ("get_columns", "num_columns")
    )


def _columns(table) -> Sequence:
    if hasattr(table, "iloc"):
        return [table.iloc[:, place] for place in range(table.shape[1])]
    if hasattr(table, "get_columns"):
        return table.get_columns()
    return [table.column(place) for place in range(table.num_columns)]


def _table_as_array(table, name: str) -> np.ndarray:
    """A table in the type that NumPy finds for its columns, each in its own: bytes stay bytes.

    scikit-learn's `check_array` makes float64 of every nullable type, takes text such as "1" for
    a number, and rounds large integers; here they are refused, as they are in arrays.
    """
    dtypes = list(getattr(table, "dtypes", ()))
    if any(type(dtype).__name__ == "SparseDtype" for dtype in dtypes):
        raise TypeError(f"{name} must be a dense array, got a table with sparse columns")
    if dtypes and isinstance(dtypes[0], np.dtype) and len(set(dtypes)) == 1:
        array = np.asarray(table)  # as it lies in memory
        if array.dtype != object:
            return array
    columns = _columns(table)
    return array_of_columns(columns, name) if columns else np.empty((len(table), 0))


def array_of_columns(columns: Sequence, name: str) -> np.ndarray:
    """A matrix of these columns, in the type that NumPy finds for all; objects become float64."""
    arrays = []
    for place, column in enumerate(columns):
        array = np.asarray(column)
        if array.dtype == object:
            array = _numbers(array, name, place)
        if array.ndim != 1:
            raise TypeError(f"{name} must hold numbers, found arrays in column {place}")
        _check_values(array, name)
        arrays.append(array)
    matrix = np.empty((len(arrays[0]), len(arrays)), np.result_type(*arrays))
    for place, array in enumerate(arrays):
        matrix[:, place] = array
    return matrix


def _numbers(column: np.ndarray, name: str, place: int) -> np.ndarray:
    """A column of Python's objects in float64, where those are numbers or missing (NaN)."""
    values = []
    for row, value in enumerate(column.tolist()):
        if value is None or type(value).__name__ == "NAType":  # pandas' NA
            value = np.nan
        elif not isinstance(value, Number | np.bool_) or isinstance(value, complex):
            raise TypeError(
                f"{name} must hold numbers, found {value!r} at row {row}, column {place}"
            )
        elif isinstance(value, Integral) and abs(value) > LARGEST_INTEGER:
            raise ValueError(f"{name} has integers beyond 2**53, which float64 cannot hold exactly")
        values.append(float(value))
    return np.array(values, np.float64)


def check_width(rows: np.ndarray, width: int, name: str = "queries") -> None:
    """Raise unless rows are as wide as the training rows."""
    if rows.shape[1] != width:
        raise ValueError(
            f"{name} must be as wide as train: got {rows.shape[1]} columns, train has {width}"
        )


def as_labels(values, name: str, n_rows: int) -> np.ndarray:
    """Return labels as an array (n_rows,), if there is one for each row and none is missing."""
    try:
        labels = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be a sequence of labels: {error}") from error
    if labels.ndim > 1:
        raise ValueError(f"{name} must have one label a row, got shape {labels.shape}")
    if labels.shape != (n_rows,):
        raise ValueError(f"{name} must have a label for each of {n_rows} rows, got {labels.shape}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"{name} must not be NaN, found it at row {np.isnan(labels).argmax()}")
    if labels.dtype == object:
        try:
            np.unique(labels)
        except TypeError as error:
            raise TypeError(f"{name} must be labels of one kind: {error}") from error
    return labels


def as_path(path, name: str) -> Path:
    """Return ``path``, with ~ expanded, if it is one."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, a str or os.PathLike; got {path!r}")
    return Path(path).expanduser()


def check_progress(progress) -> None:
    """Raise unless a search can tell this object of its progress: see `_progress.shown`."""
    if progress is None or isinstance(progress, bool):
        return
    if not callable(getattr(progress, "update", None)):
        raise TypeError(f"progress must be a bool or have an update(n) method, got {progress!r}")


def as_out(out, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Return ``out``, or a new matrix where it is None, checked to take distances."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype not in (np.float32, np.float64) or not out.dtype.isnative:
        raise TypeError(f"out must be float32 or float64 in native byte order, got {out.dtype}")
    if not (out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be writable and aligned")
    if out.size and out.strides[1] != out.itemsize and out.shape[1] > 1:
        raise ValueError("out must have consecutive elements in each row (C order)")
    return out


def several(values: Sequence, name: str, check: Callable) -> list:
    """Values, each checked, of an argument that takes one or more."""
    if isinstance(values, str) or not np.iterable(values):
        raise TypeError(f"{name} must be a sequence, got {values!r}")
    values = list(values)
    if not values:
        raise ValueError(f"{name} must not be empty")
    for value in values:
        check(value)
    return list(dict.fromkeys(values))
