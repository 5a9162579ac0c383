"""Angles between rows, as screens and the refine see them: the metrics "cosine" and "correlation".

The refine takes rows as whole numbers, of which sums of products are exact (`kernels/kernels.h`,
`angles.h`): whole numbers stand for themselves, and other floats are rounded to 56 bits below the
row's largest magnitude. So equal angles have equal keys, in whatever order the columns are.

Screens compare directions, which are rows divided by their norms, under L2: for directions u and v,
|u - v|**2 = 2 - 2 <u, v>, without the cancellation of 1 - <u, v>. Directions are rounded, by at
most `direction_error`, which is added to the bound of every query.
"""

import numpy as np

from fastknn._utils.rows import BLOCK_ELEMENTS
from fastknn._utils.threads import for_each
from fastknn.engine import _core

# A row of zeros has no direction; scikit-learn lays it at distance 1 from everything, other such
# rows included. A column in which only those of the training rows have a one, and a second one for
# those of the queries, put it there: |u - v|**2 = 2.
EXTRA_COLUMNS = 2
# Bits of a whole number, and of the sums of products.
MOST_BITS, SUM_BITS = _core.WHOLE_BITS, _core.WHOLE_SUM_BITS


def whole_bits(width: int, metric: str) -> int:
    """Bits of the whole numbers that rows become: 56, fewer for very wide rows.

    |<q, x>| <= width 2**(2 bits), and centered width times that.
    """
    room = max(width - 1, 0).bit_length()
    return min(MOST_BITS, (SUM_BITS - room * (2 if metric == "correlation" else 1)) // 2)


def measured(rows: np.ndarray, metric: str, n_threads: int = 1) -> np.ndarray:
    """What the exact angle needs to know of training rows beforehand: see `angles.pxi`."""
    center, bits = metric == "correlation", whole_bits(rows.shape[1], metric)
    n_measures = _core.MEASURES_CENTERED if center else _core.MEASURES
    measures = np.empty((len(rows), n_measures), np.int64)

    def measure(start: int) -> None:
        some = slice(start, start + step)
        _core.measure(rows[some], measures[some], center, bits)

    step = max(1, BLOCK_ELEMENTS // rows.shape[1])
    for_each(measure, range(0, len(rows), step), n_threads)
    return measures


def as_whole(queries: np.ndarray, train: np.ndarray, metric: str, measures: np.ndarray) -> dict:
    """Queries as the exact angle takes them: arguments of `_core.QueryBlock`."""
    center, bits = metric == "correlation", whole_bits(queries.shape[1], metric)
    own = np.empty((len(queries), measures.shape[1]), np.int64)
    if queries.dtype == train.dtype and train.itemsize == 1:
        _core.measure(queries, own, center, bits)
        return {"exact": np.ascontiguousarray(queries), "angles": (measures, own, None, None)}
    high, low = np.empty((2, *queries.shape), np.int32)
    _core.measure(queries, own, center, bits, high, low)
    return {"angles": (measures, own, high, low)}


def direction_type(train: np.ndarray) -> np.dtype:
    """The type of directions: float32, but float64 for rows of float64."""
    return np.dtype(np.float64 if train.dtype == np.float64 else np.float32)


def directions(rows: np.ndarray, metric: str, kind: np.dtype, queries: bool = False) -> np.ndarray:
    """Rows, as whole numbers and perhaps centered, divided by their norms; and two more columns.

    Parameters
    ----------
    rows : ndarray (n_rows, width) of uint8, int8, float32 or float64
    metric : "cosine" or "correlation"
    kind : float32 or float64
        The type of the result, each element rounded from float64.
    queries : bool, default False
        Whether the rows are queries, whose zeros are at distance 1 from those of training rows.

    Returns
    -------
    ndarray (n_rows, width + 2)
        A row that is not finite has the direction of zeros: the refine drops it.
    """
    width = rows.shape[1]
    turned = np.zeros((len(rows), width + EXTRA_COLUMNS), kind)
    step = max(1, BLOCK_ELEMENTS // width)
    for start in range(0, len(rows), step):
        some = _whole(rows[start : start + step], metric)
        if metric == "correlation":
            constant = some.min(axis=1) == some.max(axis=1)
            for _ in range(2):  # what is left of the mean after the first is small
                some -= some.mean(axis=1, keepdims=True)
            some[constant] = 0
        lengths = np.sqrt(np.einsum("ij,ij->i", some, some))[:, None]
        zero = lengths == 0
        turned[start : start + step, :width] = some / np.where(zero, 1, lengths)
        turned[start : start + step, width + queries] = zero[:, 0]
    return turned


def _whole(rows: np.ndarray, metric: str) -> np.ndarray:
    """Rows as whole numbers in float64; those that are not finite as zeros."""
    if rows.itemsize == 1:
        return rows.astype(np.float64)
    with np.errstate(invalid="ignore"):
        largest = np.abs(rows).max(axis=1)
        finite = np.isfinite(largest)
        shift = whole_bits(rows.shape[1], metric) - np.frexp(np.where(finite, largest, 1))[1]
        half = shift[:, None] // 2  # in two steps: no float64 holds the largest factors
        values = rows.astype(np.float64)
        values *= np.ldexp(1.0, half)
        values *= np.ldexp(1.0, shift[:, None] - half)
    values[~finite] = 0
    return np.rint(values, out=values)


def direction_error(width: int, metric: str, kind: np.dtype) -> float:
    """How far a direction may lie from that of the row: a bound in float64, per row.

    The norm and the division are off by at most (width + 8) u (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1), with u = 2**-53, and the rounding to float32 by 2**-24. The mean is
    first off by at most width u max|x| <= 8 width, where the norm is at least 2**-1/2 of a unit,
    and after the second pass by width u times that: sqrt(width) (8 width + 1) times as much.
    """
    error = (width + 16) * 2.0**-53
    if metric == "correlation":
        error *= 2 * np.sqrt(width) * (8 * width + 1)
    if kind == np.float32:
        error += 1.001 * 2.0**-24 + np.sqrt(width) * 2.0**-149
    return float(error)
