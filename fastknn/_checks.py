"""Arguments: what is accepted, what becomes of it, and the errors that name it."""

from collections.abc import Callable, Sequence
from numbers import Integral

import numpy as np

NATIVE = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))
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


def as_k(k: int, n_rows: int) -> int:
    """Return ``k`` as an int between 1 and the number of training rows."""
    k = as_count(k, "k")
    if k > n_rows:
        raise ValueError(f"k must be at most the number of training rows, {n_rows}; got {k}")
    return k


def as_matrix(array, name: str, check_finite: bool = True) -> np.ndarray:
    """Return ``array`` as a finite matrix (rows, width) of uint8, float32 or float64.

    Those three are taken as they are, where rows lie consecutively in memory; booleans become
    uint8, float16 becomes float32, other integers become float64. Nothing is changed in value.
    """
    if hasattr(array, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(array).__name__}")
    try:
        array = np.asarray(array)
    except ValueError as error:  # rows of unequal length, mostly
        raise ValueError(f"{name} must be a matrix (rows, width): {error}") from error
    if array.ndim != 2:
        hint = f"; use {name}.reshape(1, -1) for a single row" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have two dimensions (rows, width), got {array.ndim}{hint}")
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    dtype = array.dtype.newbyteorder("=")
    if dtype not in NATIVE:
        dtype = _native_dtype(array, name)
    consecutive = array.strides[1] == array.itemsize or array.shape[1] == 1
    if not (array.dtype == dtype and array.dtype.isnative and array.flags.aligned and consecutive):
        array = array.astype(dtype, order="C")
    if check_finite and dtype.kind == "f":
        _check_finite(array, name)
    return array


def _native_dtype(array: np.ndarray, name: str) -> np.dtype:
    """The accepted type that holds every value of an array of some other type."""
    kind = array.dtype.kind
    if kind == "b":
        return np.dtype(np.uint8)
    if kind == "f" and array.dtype.itemsize == 2:
        return np.dtype(np.float32)
    if kind in "iu":
        if array.dtype.itemsize == 8 and (
            array.max() > LARGEST_INTEGER or array.min() < -LARGEST_INTEGER
        ):
            raise ValueError(f"{name} has integers beyond 2**53, which float64 cannot hold exactly")
        return np.dtype(np.float64)
    raise TypeError(
        f"{name} must hold numbers (uint8, float32 or float64, or a type that converts to one "
        f"without loss), got dtype {array.dtype}"
    )


def _check_finite(array: np.ndarray, name: str) -> None:
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


def check_width(rows: np.ndarray, width: int, name: str = "queries") -> None:
    """Raise unless rows are as wide as the training rows."""
    if rows.shape[1] != width:
        raise ValueError(
            f"{name} must be as wide as train: got {rows.shape[1]} columns, train has {width}"
        )


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
    if out.strides[1] != out.itemsize and out.shape[1] > 1:
        raise ValueError("out must have consecutive elements in each row (C order)")
    return out


def several(values: Sequence, name: str, check: Callable) -> list:
    """Values, each checked, of an argument that takes one or more."""
    if isinstance(values, str) or not np.iterable(values):
        raise TypeError(f"{name} must be a sequence, got {values!r}")
    values = list(dict.fromkeys(values))
    if not values:
        raise ValueError(f"{name} must not be empty")
    for value in values:
        check(value)
    return values
