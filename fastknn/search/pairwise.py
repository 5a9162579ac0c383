"""All distances, where a matrix of them is wanted: no screen, no neighbors."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from fastknn._utils.arrays import as_out
from fastknn._utils.docstrings import documented
from fastknn._utils.matrices import checked_matrix
from fastknn._utils.rows import InBlocks, Rows
from fastknn._utils.scales import warn_of_scales
from fastknn._utils.threads import for_each, thread_count
from fastknn.engine import _core
from fastknn.metrics.names import metric_name
from fastknn.screens.direct import DIFFERENCES
from fastknn.screens.inputs import as_screened
from fastknn.search.plan import Part, plan, steps_by_block
from fastknn.search.searcher import pack

__all__ = ["pairwise_distances"]

# float32 values whose squares, and the sums of many, are far from overflow and underflow.
SMALLEST_SQUARED, LARGEST_SQUARED = 2.0**-40, 2.0**50


@documented
def pairwise_distances(
    queries: ArrayLike,
    train: ArrayLike,
    metric: str = "l2",
    *,
    out: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Distances from every query to every training row.

    Parameters
    ----------
    queries : array-like of shape (n_queries, width)
        There may be none: then the matrix has no rows.
    train : array-like of shape (n_rows, width)
        Both of any type that `Index` takes; two different types meet in the one that holds both.
    metric : str, default "l2"
        "l1" or "l2", by any of the names that `Index` takes.
    out : ndarray (n_queries, n_rows) of float32 or float64, optional
        Where to write; rows must be consecutive in memory. It must not overlap the inputs.
    %(n_jobs)s

    Returns
    -------
    ndarray (n_queries, n_rows)
        `out` if given; else float32 where that is the type that holds both inputs and one of
        them is float32, and float64 for all others (bytes included).
        Bytes: exact integers (L1) or their correctly rounded roots (L2). Floats: sums of
        direct differences in the inputs' own type (float32 whose squares it cannot hold:
        float64), 256 elements at a time and those in float64. So the relative error is below 260
        units in the last place at any width (plus, under L2, 1e-22 sqrt(width) for float32
        differences as tiny as that beside much larger values), and d(x, x) = 0. The bits do not
        depend on `n_jobs` or the processor.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, by name; metrics that are neither among them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn import pairwise_distances
    >>> points = np.array([[0, 0], [3, 4]], dtype=np.float32)
    >>> pairwise_distances(points, points)
    array([[0., 5.],
           [5., 0.]], dtype=float32)
    """
    metric = metric_name(metric)
    if metric not in ("l1", "l2"):
        raise ValueError(f"metric must be 'l1' or 'l2' for a matrix of distances; got {metric!r}")
    n_threads = thread_count(n_jobs)
    train = checked_matrix(train, "train")
    queries = checked_matrix(queries, "queries", width=train.shape[1], may_be_none=True)
    common = _common_type(queries, train)
    result_type = np.dtype(np.float32 if common == np.float32 else np.float64)
    warn_of_scales(queries, train, metric)
    out = as_out(out, (len(queries), len(train)), result_type)
    if not len(queries):
        return out
    if metric == "l2" and common == np.float32 and not _squares_fit(queries, train):
        common = np.dtype(np.float64)
    rows, asked = (_compared(some, common, metric) for some in (train, queries))
    panels = DIFFERENCES.panels(rows, metric, [])
    pack(panels, rows, n_threads)
    parts, _ = plan(len(queries), panels, n_threads, train.shape[1])
    steps = steps_by_block(parts)

    def run(part: Part) -> Iterator[None]:
        block = _core.QueryBlock(panels, np.ascontiguousarray(asked[part.queries]))
        for first, last in steps[part.queries.start]:
            block.write_distances(out[part.queries], first, last)
            yield

    for_each(run, parts, n_threads)
    return out


def _common_type(*arrays: np.ndarray) -> np.dtype:
    """The type in which distances are computed: bytes with bytes of their kind, else floats."""
    narrow = {"b1": np.uint8, "u1": np.uint8, "i1": np.int8, "f2": np.float32, "f4": np.float32}
    kinds = {np.dtype(narrow.get(array.dtype.str[1:], np.float64)) for array in arrays}
    if len(kinds) == 1:
        return kinds.pop()
    return np.dtype(np.float64 if np.dtype(np.int8) in kinds else np.result_type(*kinds))


def _compared(rows: np.ndarray, dtype: np.dtype, metric: str) -> Rows:
    """Rows as they are compared, in blocks where they must be converted first."""
    if dtype == np.int8:
        return as_screened(rows, metric)
    if rows.dtype == dtype and rows.dtype.isnative and rows.flags.c_contiguous:
        return rows
    return InBlocks(rows, lambda some: np.ascontiguousarray(some, dtype), rows.shape[1], dtype)


def _squares_fit(*arrays: np.ndarray) -> bool:
    """Whether float32 holds the squares of differences with room to spare on either side."""
    largest = max(max(float(array.max()), -float(array.min())) for array in arrays)
    return SMALLEST_SQUARED < largest < LARGEST_SQUARED
