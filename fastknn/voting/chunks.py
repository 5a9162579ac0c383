"""Chunks of rows: what one call of a kernel takes, so that threads share the work."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastknn._utils.rows import row_slices

# Array elements that one kernel call reads or writes, about: a few milliseconds of work, and
# the copy of a chunk that must be converted takes 8 MB. A single chunk needs no second thread.
CHUNK_ELEMENTS = 1_000_000


def chunk_slices(n_rows: int, row_size: int) -> Iterator[slice]:
    """Slices of rows with about CHUNK_ELEMENTS elements each, and one row at least."""
    return row_slices(n_rows, max(1, CHUNK_ELEMENTS // row_size))


def as_kernel_array(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """``array`` as the kernels take it: native, C-contiguous and aligned; a copy only if needed."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
