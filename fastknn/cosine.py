"""The cosine distance as an L2 distance: between directions, rows divided by their lengths.

For directions u and v, |u - v|**2 = 2 - 2 <u, v>, so the order under cosine is that under L2, and
the distance 1 - <u, v> is half the square of theirs: without the cancellation of 1 - <u, v>.
"""

import numpy as np

# A row of zeros has no direction; scikit-learn lays it at distance 1 from everything, other such
# rows included. A column in which only those of the training rows have a one, and a second one for
# those of the queries, put it there: |u - v|**2 = 2.
EXTRA_COLUMNS = 2
# Elements turned at a time: bounds what is held besides the result.
ELEMENTS = 1 << 20


def kernel_metric(metric: str) -> str:
    """The metric under which rows are compared: "l1" or "l2"."""
    return "l2" if metric == "cosine" else metric


def directions(rows: np.ndarray, queries: bool = False) -> np.ndarray:
    """Rows divided by their lengths, with two more columns, for rows of zeros.

    Parameters
    ----------
    rows : ndarray (n_rows, width) of uint8, float32 or float64
    queries : bool, default False
        Whether the rows are queries, whose zeros are at distance 1 from those of training rows.

    Returns
    -------
    ndarray (n_rows, width + 2)
        float32 for float32, each element rounded from float64; float64 for all others.
    """
    width = rows.shape[1]
    kind = np.float32 if rows.dtype == np.float32 else np.float64
    turned = np.zeros((len(rows), width + EXTRA_COLUMNS), kind)
    step = max(1, ELEMENTS // width)
    for start in range(0, len(rows), step):
        some = rows[start : start + step].astype(np.float64)
        # By the largest element first, so that no square overflows or vanishes.
        largest = np.abs(some).max(axis=1, keepdims=True)
        zero = largest == 0
        some /= np.where(zero, 1, largest)
        lengths = np.sqrt((some * some).sum(axis=1, keepdims=True))
        turned[start : start + step, :width] = some / np.where(zero, 1, lengths)
        turned[start : start + step, width + queries] = zero[:, 0]
    return turned


def from_squares(distances: np.ndarray) -> np.ndarray:
    """Cosine distances, 0 to 2, from squared L2 distances of directions, in place."""
    distances /= 2
    return np.minimum(distances, 2, out=distances)
