"""Checks of the arguments of votes and of top-K, and blocks of rows for both."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastknn._utils.checks import as_ndarray

# Array elements that one kernel call reads or writes, about: a few milliseconds of work, and
# the copy of a chunk that must be converted takes 8 MB. A single chunk needs no second thread.
CHUNK_ELEMENTS = 1_000_000


def _chunks(n_rows: int, row_size: int) -> Iterator[slice]:
    """Runs of rows with about CHUNK_ELEMENTS elements each, and one row at least."""
    step = max(1, CHUNK_ELEMENTS // row_size)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _plain(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """``array`` as the kernels take it: native, C-contiguous and aligned; a copy only if needed."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def _matrix(array: ArrayLike, name: str, kinds: str, meaning: str) -> NDArray[Any]:
    """``array`` as a non-empty two-dimensional ndarray of one of the dtype ``kinds``."""
    array = as_ndarray(array, name, "a two-dimensional array")
    if array.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if array.dtype.kind not in kinds or array.dtype.itemsize > 8:  # longdouble would lose digits
        raise TypeError(f"{name} must be {meaning}, got dtype {array.dtype}")
    return array


def _integer(value: object, name: str, low: int, high: int, meaning: str) -> int:
    """``value`` as an int between ``low`` and ``high``, the latter called ``meaning``."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, {meaning}, got {value}")
    return int(value)
