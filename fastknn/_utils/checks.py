"""Arguments: what is accepted, what becomes of it, and the errors that name it."""

import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Number
from pathlib import Path

import numpy as np

NATIVE = tuple(np.dtype(kind) for kind in (np.uint8, np.int8, np.float32, np.float64))
# Rows that are looked at for their scale, and from where on bytes are not those of 0 and 1.
LOOKED_AT, FAR_BEYOND_ONE = 64, 16
# Values looked at in one go: bounds the memory that a check needs.
CHECK_ELEMENTS = 1 << 20
LARGEST_INTEGER = 2**53
# Types of other libraries that float32 holds without loss.
NARROW_FLOATS = re.compile("bfloat16|float8|float6|float4")


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
    rows = as_ndarray(rows, name, "a sequence of indices")
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


def _as_array(array, name: str) -> np.ndarray:
    """Return rows, or a table of them, as an ndarray of whatever shape and type."""
    if hasattr(array, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(array).__name__}")
    if _is_table(array):
        return _table_as_array(array, name)
    converted = as_ndarray(array, name, "a matrix (rows, width)")
    foreign = hasattr(array, "__array__") and not isinstance(array, np.ndarray)
    if foreign and converted.dtype == object and converted.ndim == 2:
        return array_of_columns(converted.T, name)
    return converted


def as_ndarray(array, name: str, meaning: str) -> np.ndarray:
    """Return any array-like as an ndarray, of whatever shape and type.

    Parameters
    ----------
    array : array-like
        Masked arrays without masked values, and whatever NumPy makes an array of.
    name : str
    meaning : str
        What it must be, for the message.

    Raises
    ------
    ValueError, TypeError
        Whatever NumPy or the array's own library raise, by the argument's name.
    """
    refuse_masked(array, name)
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    try:
        return np.asarray(array)
    except MemoryError:
        raise
    except Exception as error:  # rows of unequal length; of other libraries' arrays, anything
        kind = TypeError if isinstance(error, TypeError) else ValueError
        repair = _repair(array, name)
        if repair:
            message = f"which a {type(_first(array)).__name__} like this is not: pass {repair}"
            raise kind(f"{name} must be {meaning} that NumPy can read, {message}") from error
        raise kind(f"{name} must be {meaning}: {error}") from error


def refuse_masked(array, name: str) -> None:
    """Raise if an array, or one of a list of arrays, has masked values: NumPy drops the masks."""
    parts = array if isinstance(array, list | tuple) else (array,)
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise ValueError(
            f"{name} must not have masked values: leave them out, or fill them, as "
            f"{'numpy.ma.' if parts is array else f'{name}.'}filled does"
        )


def as_readable(array, name: str):
    """Return what scikit-learn may convert as it does: all else is converted here, or refused.

    It uses masked values as if they were not, and does not name a tensor that it cannot read.
    """
    refuse_masked(array, name)
    first = _first(array)
    foreign = not isinstance(first, np.ndarray | np.generic) and hasattr(first, "__array__")
    if not foreign or hasattr(array, "iloc") or hasattr(array, "tocsr") or _is_table(array):
        return array
    converted = as_ndarray(array, name, "an array")
    return array if converted.dtype == object else converted  # it may have words for those


@contextmanager
def hint_of_shape(X) -> Iterator[None]:
    """Note at scikit-learn's error for X of more than two dimensions how it becomes a matrix.

    The traceback shows the note; the message stays scikit-learn's.
    """
    try:
        yield
    except ValueError as error:
        shape = getattr(X, "shape", ())
        if isinstance(shape, tuple) and len(shape) > 2:
            error.add_note(_shape_hint(shape, "X", None).removeprefix(": "))
        raise


def _first(array):
    return array[0] if isinstance(array, list | tuple) and array else array


def _repair(array, name: str) -> str:
    """What makes an array of some other library one that NumPy reads, by what it says of itself."""
    if _first(array) is not array:
        steps = _repair(_first(array), "")
        return f"[row{steps} for row in {name}]" if steps else ""

    def seen(attribute: str) -> str:
        try:
            return str(getattr(array, attribute, ""))
        except Exception:
            return ""

    steps = [".detach()"] if seen("requires_grad") == "True" else []
    if "sparse" in seen("layout") or "Sparse" in type(array).__name__:
        steps.append(".to_dense()")
    elsewhere = seen("device").lower()
    if hasattr(array, "cpu") and elsewhere not in ("", "cpu"):
        steps.append(".cpu()")
    elif "cuda" in elsewhere and hasattr(array, "get"):
        steps.append(".get()")
    if NARROW_FLOATS.search(seen("dtype")):
        steps.append(".float()" if hasattr(array, "float") else ".astype('float32')")
    return name + "".join(steps) if steps else ""


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
        + (": convert it by astype('float32')" if NARROW_FLOATS.search(dtype.name) else "")
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
        if value is None or _is_missing(value):
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
    labels = as_ndarray(values, name, "a sequence of labels")
    if labels.ndim > 1:
        raise ValueError(f"{name} must have one label a row, got shape {labels.shape}")
    if labels.shape != (n_rows,):
        raise ValueError(f"{name} must have a label for each of {n_rows} rows, got {labels.shape}")
    missing = _missing(labels)
    if missing.any():
        row = missing.argmax()
        found = "NaN" if labels.dtype.kind in "fc" else labels[row]
        raise ValueError(f"{name} must not be {found}, found it at row {row}")
    if labels.dtype == object:
        try:
            np.unique(labels)
        except TypeError as error:
            raise TypeError(f"{name} must be labels of one kind: {error}") from error
    return labels


def _missing(labels: np.ndarray) -> np.ndarray:
    """Where labels are NaN, or what pandas has in its place."""
    if labels.dtype.kind in "fc":
        return np.isnan(labels)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    if labels.dtype != object:
        return np.zeros(len(labels), bool)
    return np.array([_is_missing(label) for label in labels.tolist()], bool)


def _is_missing(value) -> bool:
    """Whether one value is NaN, or pandas' NA or NaT."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number) and value != value


def warn_of_scales(
    queries: np.ndarray, train: np.ndarray, metric: str, name: str = "queries"
) -> None:
    """Warn where fractions up to one meet bytes of many values: mostly one side was not scaled.

    Some rows of each are looked at, first one only, so that this costs nothing beside a search.

    Parameters
    ----------
    queries : ndarray (n_queries, width)
    train : ndarray (n_rows, width)
    metric : str
        Angles do not depend on the scale, nor correlations on the mean.
    name : str
        Of the queries.
    """
    are_floats = [rows.dtype.kind == "f" for rows in (queries, train)]
    if are_floats[0] == are_floats[1] or metric == "correlation" or not len(queries):
        return
    fractions, whole = (queries, train) if are_floats[0] else (train, queries)
    if not _within_one(fractions[:1]) or not _within_one(_some(fractions)):
        return
    some, largest = _some(fractions), int(_some(whole).max())
    if largest < FAR_BEYOND_ONE or (some == np.rint(some)).all():
        return  # few values, such as counts; or black pixels, zeros and ones
    if are_floats[0] and not _within_one(queries):
        return
    low = int(np.floor(some.min()))
    if metric == "cosine" and (low == 0 or _some(whole).min() < 0):
        return  # both from zero on, or both about zero: then only the scale differs
    of_fractions, of_whole = (name, "train") if are_floats[0] else ("train", name)
    full = 127 if whole.dtype == np.int8 else 255
    warnings.warn(
        f"{fractions.dtype} values from {low} to 1 in {of_fractions} meet {whole.dtype} values up "
        f"to {largest} in {of_whole}: unless that is meant, bring both to one scale, as "
        f"{of_whole} / {full if largest > 16 else largest} does",
        UserWarning,
        stacklevel=_levels_up(),
    )


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: -(-len(rows) // LOOKED_AT)]


def _within_one(rows: np.ndarray) -> bool:
    return bool(rows.max() <= 1 and rows.min() >= -1)


def _levels_up() -> int:
    """How far up, from the function that asks, the caller of this package is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastknn."):
        level, frame = level + 1, frame.f_back
    return level


def as_path(path, name: str) -> Path:
    """Return ``path``, with ~ expanded, if it is one."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, a str or os.PathLike; got {path!r}")
    if not os.fspath(path):  # which would be the folder that the process is in
        raise ValueError(f"{name} must be a path, and is empty")
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
    refuse_masked(out, "out")
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
