"""Uses of the exact answer: what embeddings are worth, and what approximate indexes missed."""

import importlib.util
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastknn._utils.files import check_ending, written_whole
from fastknn._utils.matrices import as_matrix, as_queries, checked_matrix
from fastknn._utils.naming import outline
from fastknn._utils.progress import Progress, ProgressArgument, check_progress, show_progress
from fastknn._utils.scalars import as_k, as_path
from fastknn._utils.scales import warn_of_scales
from fastknn._utils.threads import thread_count
from fastknn.evaluation.vectors import open_vectors, write_ivecs
from fastknn.metrics.keys import ABSENT, as_distances, equal_keys, merge, no_keys
from fastknn.metrics.names import metric_name
from fastknn.screens.inputs import row_bytes
from fastknn.search.calls import index_for

__all__ = ["GroundTruth", "ground_truth"]

# Bytes that the training rows that are searched at a time become; their packed copy comes on top.
CHUNK_BYTES = 1 << 30
# What the names of files of ground truth may end in.
ENDINGS = (".ivecs", ".npy", ".hdf5", ".h5")


class GroundTruth(NamedTuple):
    """Exact neighbors of some queries.

    Attributes
    ----------
    distances : ndarray (n_queries, k) of float64
        Nearest first.
    indices : ndarray (n_queries, k) of int64
        Rows of the training set; equal distances in the order of their index.
    tied : ndarray (n_queries,) of bool
        Whether a row that is not listed is as near as the k-th, by its exact key: then other
        answers are as right.
    metric : str

    Examples
    --------
    >>> from fastknn import ground_truth
    >>> truth = ground_truth([[1.0]], [[0.0], [1.0], [3.0]], k=2)
    >>> truth.metric, truth.distances
    ('l2', array([[0., 1.]]))
    """

    distances: np.ndarray
    indices: np.ndarray
    tied: np.ndarray
    metric: str

    def __repr__(self) -> str:
        return outline(self)

    def save(
        self,
        path: str | os.PathLike[str],
        queries: ArrayLike | None = None,
        train: ArrayLike | None = None,
    ) -> None:
        """Write it, in the form that the name says.

        Parameters
        ----------
        path : str or os.PathLike
            .ivecs: the indices, as int32. .npy: the indices, as int64. .hdf5 or .h5: the layout
            of ann-benchmarks (needs h5py): "neighbors", "distances", and "tied".
        queries, train : array-like of shape (n, width), str or os.PathLike, optional
            What was searched, or files of it, as for `ground_truth`. For .hdf5: "test" and
            "train" of that layout; copied a gigabyte at a time. Their shapes are checked for
            the other endings too.

        Raises
        ------
        ValueError, TypeError
            Before anything is written: if the name ends otherwise, h5py is wanted and not there,
            or, by name, `train` has no row for some index, `queries` are not as many as were
            answered, or either is no dense matrix of numbers.
        OSError
            If it cannot be written; then no part of it is.
        """
        path = check_truth_file(path, "path")
        indices, n_queries = np.asarray(self.indices), len(self.indices)
        if train is not None:
            train = _rows(train, "train")
            largest = indices.max(initial=-1)
            if largest >= len(train):
                raise ValueError(
                    f"train must have a row for each of indices, which go up to {largest}; "
                    f"got {len(train)} rows"
                )
        if queries is not None:
            width = None if train is None else train.shape[1]
            queries = _rows(queries, "queries", width, may_be_none=True)
            if len(queries) != n_queries:
                raise ValueError(
                    f"queries must be the {n_queries} that indices are of, got {len(queries)} rows"
                )
        if path.suffix == ".ivecs":
            write_ivecs(path, indices)
            return
        with written_whole(path) as part:
            if part.suffix == ".npy":
                np.save(part, indices)
            else:
                self._save_hdf5(part, train, queries)

    def _save_hdf5(self, path: Path, train, queries) -> None:
        import h5py

        names = {"l2": "euclidean", "cosine": "angular", "l1": "manhattan"}
        metric = metric_name(self.metric)
        with h5py.File(path, "w") as file:
            file.attrs["type"] = "dense"
            file.attrs["distance"] = names.get(metric, metric)
            file.attrs["point_type"] = "float"
            for name, rows in (("train", train), ("test", queries)):
                if rows is not None:
                    file.attrs["dimension"] = rows.shape[1]
                    copy = file.create_dataset(name, rows.shape, rows.dtype)
                    for some in _chunks(rows, rows.shape[1] * rows.itemsize):
                        copy[some] = rows[some]
            file.create_dataset("neighbors", data=np.asarray(self.indices, np.int32))
            file.create_dataset("distances", data=np.asarray(self.distances, np.float32))
            file.create_dataset("tied", data=self.tied)


def ground_truth(
    queries: ArrayLike | os.PathLike[str],
    train: ArrayLike | os.PathLike[str],
    k: int = 100,
    metric: str = "l2",
    *,
    n_jobs: int | None = None,
    progress: ProgressArgument = None,
) -> GroundTruth:
    """Find the exact neighbors that approximate indexes are measured against.

    Parameters
    ----------
    queries, train : array-like of shape (n, width), str or os.PathLike
        Rows, or files of them: see `fastknn.evaluation.open_vectors`. Training rows are taken so
        many at a time as become a gigabyte (bytes take four times as much as directions of
        float32, as "cosine" compares them), so that those on disk need not fit in memory. There
        may be no queries: then the results have no rows.
    k : int, default 100
    metric : str, default "l2"
        As for `Index`.
    n_jobs, progress
        As for `Index.search`.

    Returns
    -------
    GroundTruth

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        For files that are not there or not whole, and arguments that do not fit, by name.

    Notes
    -----
    Each part of the training rows is searched as by `knn`, which chooses a screen where
    that pays, with the k-th key of the parts before as a bound; results are merged by (exact key,
    row), and become distances last. O(n_queries k) memory beside a part.

    Floats are looked through for NaN and infinity before the search begins, and the error says
    the row of `train`. For rows on disk this reads the file once more, which takes a small part
    of the time of a search of many queries, and spares the whole of one that would fail.

    Examples
    --------
    >>> from fastknn import ground_truth
    >>> truth = ground_truth([[1.0]], [[0.0], [1.0], [2.0], [4.0]], k=2)
    >>> truth.indices, truth.tied
    (array([[1, 0]]), array([ True]))
    """
    metric = metric_name(metric)
    thread_count(n_jobs)
    check_progress(progress)
    train = _rows(train, "train")
    queries = _rows(queries, "queries", train.shape[1], may_be_none=True)
    k = as_k(k, len(train))
    queries = as_queries(queries, train.shape[1])
    checked_matrix(train, "train")  # and not converted: rows on disk may be larger than memory
    warn_of_scales(queries, train, metric)
    wanted = min(k + 1, len(train))  # one more, to see whether it ties
    best = no_keys(len(queries), wanted, metric, absent=True)
    with show_progress(progress, len(queries)) as advance:
        for chunk in _chunks(train, row_bytes(train.dtype, train.shape[1], metric)):
            some = as_matrix(train[chunk], "train", check_finite=False)
            share = len(some) / len(train)
            index = index_for(len(queries), some, min(wanted, len(some)), metric, n_jobs, advance)
            found = index.search_keys(
                queries,
                min(wanted, len(some)),
                max_key=best.keys[:, -1].copy(),  # no row beyond it will be among the best
                n_jobs=n_jobs,
                progress=Progress(partial(_advance, advance, share)),
                check_finite=False,
                name=None,
            )
            found.rows[found.rows != ABSENT] += chunk.start
            merge(best, found)
            del some, index  # before the next part is converted
    tied = equal_keys(best, k - 1, -1) if wanted > k else np.zeros(len(queries), bool)
    distances = as_distances(best, metric)
    return GroundTruth(distances[:, :k].copy(), best.rows[:, :k].copy(), tied, metric)


def _advance(advance: Progress, share: float, n: float) -> None:
    """Count queries that were done against a share of the rows."""
    advance(n * share)


def check_truth_file(path: str | os.PathLike[str], name: str) -> Path:
    """Return the path, unless no file of ground truth is named so or its writer is missing."""
    path = as_path(path, name)
    check_ending(path, name, ENDINGS)
    if path.suffix in (".hdf5", ".h5") and importlib.util.find_spec("h5py") is None:
        raise ValueError(f"{name}: {path.suffix} needs h5py: pip install h5py")
    return path


def _rows(rows, name: str, width: int | None = None, may_be_none: bool = False) -> np.ndarray:
    """Rows, or those of a file, with their shape and type checked, and not their values."""
    if isinstance(rows, str | os.PathLike):
        rows = open_vectors(rows)
    return checked_matrix(rows, name, False, width, may_be_none)


def _chunks(rows: np.ndarray, n_bytes: int) -> Iterator[slice]:
    """Parts of some rows, of a gigabyte each where a row takes so many bytes."""
    step = max(1, CHUNK_BYTES // n_bytes)
    return (slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step))
