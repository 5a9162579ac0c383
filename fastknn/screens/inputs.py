"""Rows and queries as screens compare them: unsigned bytes, directions for angles."""

import numpy as np

from fastknn._utils.dtypes import native_type
from fastknn._utils.rows import InBlocks, Rows
from fastknn.engine import _core
from fastknn.metrics.angles import EXTRA_COLUMNS, direction_error, direction_type, directions
from fastknn.metrics.names import ANGLES

# Signed bytes are compared as bytes that stand for numbers this much higher.
SIGN = _core.BYTE_SIGN


def screened_type(train: np.ndarray, metric: str) -> np.dtype:
    """The type of rows as screens compare them."""
    if metric in ANGLES:
        return direction_type(train)
    return np.dtype(np.uint8) if train.dtype == np.int8 else train.dtype


def row_bytes(dtype: np.dtype, width: int, metric: str) -> int:
    """Bytes that a row of this type becomes: as it is held or compared, whichever is more."""
    held = native_type(dtype)
    screened = screened_type(np.empty((0, width), held), metric)
    columns = width + EXTRA_COLUMNS if metric in ANGLES else width
    return max(width * held.itemsize, columns * screened.itemsize)


def as_screened(train: np.ndarray, metric: str) -> Rows:
    """Training rows as screens compare them: themselves, but directions for angles.

    Signed bytes are moved by `SIGN`, which keeps their distances.
    """
    dtype, width = screened_type(train, metric), train.shape[1]
    if metric in ANGLES:
        return InBlocks(
            train, lambda some: directions(some, metric, dtype), width + EXTRA_COLUMNS, dtype
        )
    return train if dtype == train.dtype else InBlocks(train, _unsigned, width, dtype)


def queries_as_screened(
    queries: np.ndarray, train: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Queries as screens compare them, and how far each lies at most from what it stands for.

    With the second, which is None where all are exact, the bounds of screens hold for the rows
    that were given: it covers the rounding of the training rows, too.
    """
    if metric in ANGLES:
        dtype = screened_type(train, metric)
        slack = 2 * direction_error(train.shape[1], metric, dtype)
        return directions(queries, metric, dtype, queries=True), np.full(len(queries), slack)
    if train.dtype != np.int8:
        return queries, None
    return (_unsigned(queries), None) if queries.dtype == np.int8 else _moved(queries)


def _unsigned(rows: np.ndarray) -> np.ndarray:
    """Signed bytes moved by `SIGN`: that turns the sign bit."""
    return np.bitwise_xor(rows.view(np.uint8), np.uint8(SIGN), order="C")


def _moved(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Queries moved by `SIGN`, and a bound on what rounding moved each on top of that.

    The rounding of each sum is known exactly (Knuth, The Art of Computer Programming 2, 4.2.2,
    theorem B); their own sum, which bounds the distance under either metric, is rounded upwards.
    """
    exact = queries.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of what is not finite, which no row is near
        moved = exact + SIGN
        added = moved - exact
        lost = np.abs((exact - (moved - added)) + (SIGN - added)).sum(axis=1)
    if not lost.any():
        return moved, None
    lost = np.nan_to_num(lost, nan=np.inf) * (1 + (queries.shape[1] + 8) * 2.0**-52)
    return moved, np.nextafter(lost, np.inf)
