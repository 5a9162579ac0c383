"""The k smallest entries of every row of a given distance matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastknn._utils.threads import for_each, thread_count
from fastknn.voting.arguments import as_count_up_to, as_matrix_of
from fastknn.voting.chunks import as_kernel_array, chunk_slices

__all__ = ["topk"]


def topk(
    distances: ArrayLike, k: int, *, n_jobs: int | None = None
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Find the k smallest entries of every row of a distance matrix.

    Parameters
    ----------
    distances : array_like, shape (m, n)
        Distances from m queries to n points, with any strides. float32 and float64 are used as
        they are; float16 and integers are converted to float64, a chunk of rows at a time.
        Infinities are allowed, NaN is not.
    k : int
        Number of entries per row, 1 <= k <= n.
    n_jobs : int, optional
        Number of threads; None or -1 means all cores.

    Returns
    -------
    values : ndarray of float64, or float32 where `distances` is, shape (m, k)
        The smallest entries of each row, in ascending order.
    indices : ndarray of int64, shape (m, k)
        Their columns; entries that are equal come in the order of their columns, and those in
        the lowest columns are kept.

    Raises
    ------
    TypeError
        `distances` are not float16, float32, float64 or integers, or `k` is not an integer.
    ValueError
        `distances` is empty, not two-dimensional, holds NaN, or holds integers beyond 2**53,
        which float64 cannot tell apart; or `k` is out of range.

    Notes
    -----
    n comparisons per row, and for each entry that is among the k smallest so far, which is
    O(k log(n / k)) entries of a row in random order and n at worst, O(log k) in a heap or, for
    hundreds of neighbors and more, O(1) in a list of which all but the k smallest are dropped now
    and then; these are sorted in O(k). Memory beside the results: O(k) and, where `distances` must
    be converted, a chunk per thread.

    Examples
    --------
    >>> from fastknn.voting import topk
    >>> values, indices = topk([[3.0, 1.0, 2.0, 1.0], [9.0, 8.0, 7.0, 6.0]], 2)
    >>> values
    array([[1., 1.],
           [6., 7.]])
    >>> indices
    array([[1, 3],
           [3, 2]])
    """
    distances = as_matrix_of(distances, "distances", "fiu", "float16, float32, float64 or integers")
    dtype = _topk_dtype(distances)
    n_rows, n_columns = distances.shape
    k = as_count_up_to(k, "k", n_columns, "the number of columns of distances")
    n_threads = thread_count(n_jobs)
    from fastknn.engine import _core  # not where only votes are counted

    values = np.empty((n_rows, k), dtype=dtype)
    indices = np.empty((n_rows, k), dtype=np.int64)

    def pick(rows: slice) -> None:
        block = as_kernel_array(distances[rows], dtype)
        bad = _core.topk(block, values[rows], indices[rows])
        if bad >= 0:
            raise ValueError(f"distances must not hold NaN, got NaN in row {rows.start + bad}")

    for_each(pick, chunk_slices(n_rows, n_columns), n_threads)
    return values, indices


def _topk_dtype(distances: NDArray[Any]) -> np.dtype:
    """Float type to compare ``distances`` in; raises where none orders them exactly."""
    dtype = distances.dtype
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize == 4 else np.float64)
    if dtype.itemsize == 8:
        extreme = max(int(distances.max()), -int(distances.min()))
        if extreme > 2**53:
            raise ValueError(
                f"distances must be integers within 2**53, which float64 tells apart, got {extreme}"
            )
    return np.dtype(np.float64)
