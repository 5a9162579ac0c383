"""From neighbors to answers: majority votes, and the top K of a given distance matrix.

The room has four public names:

- `vote` and `vote_proba` turn (m, k) neighbor labels into classes and class probabilities,
  for one k or for every k of interest in a single pass over the neighbors;
- `distance_weights` makes scikit-learn's ``weights="distance"`` out of distances;
- `topk` picks the k smallest entries of every row of a distance matrix.

Votes are counted by NumPy or by a Numba kernel, which see one chunk of rows at a time, on the plain
threads of `fastknn._utils.threads`. Both add the weights of a class in the order of the columns, so
answers do not depend, to the bit, on which of them counts, on chunks or on the number of threads.

Importing this module does not import Numba. The kernel is compiled, or read from Numba's cache
on disk, the first time that it is called; a process that has few votes to count leaves them to
NumPy and never loads Numba (`_worth_loading`). Where no folder can be written to for that cache,
the kernel is compiled anew in each process.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastknn._utils.checks import as_ndarray
from fastknn._utils.threads import for_each, thread_count
from fastknn.voting.arguments import _chunks, _integer, _matrix, _plain
from fastknn.voting.compiled import _VOTE_SIGNATURE, _compiled, _vote_rows, _worth_loading

__all__ = ["distance_weights", "vote", "vote_proba"]

CHUNK_SECONDS = 5e-5
SORTED_SECONDS, DENSE_SECONDS = 1e-7, 5e-9
CLASS_SECONDS = 1e-9
# Classes per neighbor up to which a look at the votes of all costs less than to sort labels.
DENSE_CLASSES = 16


def vote(
    neighbor_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    weights: ArrayLike | None = None,
    ks: Sequence[int] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.int64]:
    """Class with the most votes among each query's neighbors.

    Parameters
    ----------
    neighbor_labels : array_like of int, shape (m, k)
        Class codes 0 .. n_classes - 1 of the k neighbors of m queries, nearest first.
    n_classes : int, optional
        Number of classes; by default the largest code plus one.
    weights : array_like of float, shape (m, k), optional
        Finite, non-negative weight of each neighbor's vote, such as `distance_weights` gives;
        by default every vote counts one.
    ks : sequence of int, optional
        Vote once for each of these numbers of neighbors, 1 <= ks[i] <= k, in any order and
        with repeats as you like; by default all k neighbors vote, once.
    n_jobs : int, optional
        Number of threads; None or -1 means all cores.

    Returns
    -------
    codes : ndarray of int64, shape (m,), or (len(ks), m) where `ks` is given
        The winning codes. Votes that tie go to the smallest code.

    Raises
    ------
    TypeError
        An argument has the wrong type, for instance labels that are not integers.
    ValueError
        A shape, code, weight or number of neighbors is out of range, or a query's neighbors
        all have weight zero, which scikit-learn refuses as well.

    See Also
    --------
    vote_proba : every class's share of the votes.

    Notes
    -----
    O(k + len(ks)) time per query, whatever the number of classes; O(n_classes) memory per
    thread beside the result. The first votes of a process, as long as they cost less than to load
    Numba, are counted by NumPy: O(k log k) for each of the `ks`.

    Weights are added up in float64, one sum per class, nearest neighbor first. So
    ``vote(labels, weights=w, ks=[j])`` is ``vote(labels[:, :j], weights=w[:, :j])``, bit for bit.
    scikit-learn's ``predict`` may add eight weights or more in another order; only votes that
    are equal up to rounding can tell.

    Examples
    --------
    >>> from fastknn.voting import vote
    >>> labels = [[2, 0, 0, 1], [1, 2, 1, 2]]
    >>> vote(labels)
    array([0, 1])
    >>> vote(labels, ks=[1, 3])
    array([[2, 1],
           [0, 1]])
    >>> vote(labels, weights=[[5.0, 1.0, 1.0, 1.0], [1.0, 2.0, 1.0, 2.0]])
    array([2, 2])
    """
    ballots = _Ballots(neighbor_labels, n_classes, weights, ks)
    n_threads = thread_count(n_jobs)
    codes = np.empty((len(ballots.slots), ballots.n_rows), dtype=np.int64)
    ballots.count(codes, np.empty((0, 0, 0)), n_threads)
    return codes[0] if ks is None else codes


def vote_proba(
    neighbor_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    weights: ArrayLike | None = None,
    ks: Sequence[int] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Each class's share of the votes among each query's neighbors.

    Parameters
    ----------
    neighbor_labels : array_like of int, shape (m, k)
        Class codes 0 .. n_classes - 1 of the k neighbors of m queries, nearest first.
    n_classes : int, optional
        Number of classes, C below; by default the largest code plus one.
    weights : array_like of float, shape (m, k), optional
        Finite, non-negative weight of each neighbor's vote, such as `distance_weights` gives;
        by default every vote counts one.
    ks : sequence of int, optional
        Vote once for each of these numbers of neighbors, 1 <= ks[i] <= k, in any order and
        with repeats as you like; by default all k neighbors vote, once.
    n_jobs : int, optional
        Number of threads; None or -1 means all cores.

    Returns
    -------
    shares : ndarray of float64, shape (m, C), or (len(ks), m, C) where `ks` is given
        Votes for the class over the sum of all votes, as in scikit-learn: rows sum to one.

    Raises
    ------
    TypeError
        An argument has the wrong type, for instance labels that are not integers.
    ValueError
        A shape, code, weight or number of neighbors is out of range, or a query's neighbors
        all have weight zero, which scikit-learn refuses as well.

    See Also
    --------
    vote : the class with the most votes.

    Notes
    -----
    O(k + len(ks) * C) time per query; beside the result, memory for C sums and for one sum per
    query of a chunk, on each thread. Weights are added up as `vote` adds them.

    Examples
    --------
    >>> from fastknn.voting import vote_proba
    >>> vote_proba([[2, 0, 0, 1], [1, 2, 1, 2]])
    array([[0.5 , 0.25, 0.25],
           [0.  , 0.5 , 0.5 ]])
    >>> vote_proba([[2, 0]], ks=[1, 2], n_classes=4)
    array([[[0. , 0. , 1. , 0. ]],
    <BLANKLINE>
           [[0.5, 0. , 0.5, 0. ]]])
    """
    ballots = _Ballots(neighbor_labels, n_classes, weights, ks)
    n_threads = thread_count(n_jobs)
    shares = np.empty((len(ballots.slots), ballots.n_rows, ballots.n_classes))
    ballots.count(np.empty((0, 0), dtype=np.int64), shares, n_threads)
    return shares[0] if ks is None else shares


def distance_weights(distances: ArrayLike) -> NDArray[np.float64]:
    """Weights that fall with distance: scikit-learn's ``weights="distance"``.

    Parameters
    ----------
    distances : array_like of float, shape (m, k)
        Non-negative distances from m queries to their k neighbors, nearest first; infinity is
        allowed. They are converted to float64 first.

    Returns
    -------
    weights : ndarray of float64, shape (m, k)
        1 / distance, which is 0 at infinity. In a row with a zero distance, 1 where the distance
        is zero and 0 elsewhere.

    Raises
    ------
    TypeError
        `distances` are not floats of at most 64 bits, or integers.
    ValueError
        `distances` is empty, not two-dimensional, or holds NaN or a negative number.

    Notes
    -----
    O(m k) time. As in scikit-learn, a distance so small that its inverse overflows (below about
    5.6e-309) counts as zero.

    The same weights serve every number of neighbors in ``vote(..., ks=...)``: neighbors come
    nearest first, so a row with a zero distance has one in its first column.

    Examples
    --------
    >>> from fastknn.voting import distance_weights
    >>> distance_weights([[0.5, 2.0, 4.0], [0.0, 0.0, 3.0]])
    array([[2.  , 0.5 , 0.25],
           [1.  , 1.  , 0.  ]])
    """
    distances = _matrix(distances, "distances", "fiu", "float64 or narrower, or integers")
    distances = distances.astype(np.float64)
    smallest = distances.min()
    if not smallest >= 0:  # so written that NaN fails as well
        raise ValueError(f"distances must be non-negative and not NaN, got {smallest}")
    with np.errstate(divide="ignore", over="ignore"):
        weights = np.divide(1.0, distances, out=distances)
    infinite = np.isinf(weights)
    rows = infinite.any(axis=1)
    weights[rows] = infinite[rows]
    return weights


# --- The votes of one call ------------------------------------------------------------------


class _Ballots:
    """Checked arguments of `vote` and `vote_proba`, ready to be counted."""

    def __init__(
        self,
        neighbor_labels: ArrayLike,
        n_classes: int | None,
        weights: ArrayLike | None,
        ks: Sequence[int] | None,
    ) -> None:
        self.labels = _matrix(neighbor_labels, "neighbor_labels", "iu", "integers")
        self.n_rows, k = self.labels.shape
        self.n_classes = _class_count(self.labels, n_classes)
        wanted = np.array([k]) if ks is None else _neighbor_counts(ks, k)
        # The kernel meets numbers of neighbors in ascending order and is told where each goes.
        self.slots = np.argsort(wanted, kind="stable").astype(np.int64)
        self.ks = wanted[self.slots].astype(np.int64)
        self.weights = None if weights is None else _vote_weights(weights, self.labels.shape)
        if self.weights is not None:
            _refuse_rows_without_weight(self.weights[:, : self.ks[0]])

    def count(self, codes: NDArray[np.int64], shares: NDArray[np.float64], n_threads: int) -> None:
        """Fill ``codes`` (n_ks, m) or ``shares`` (n_ks, m, C), whichever is not empty."""
        k, n_ks = self.labels.shape[1], len(self.ks)
        row_size = k + n_ks * (self.n_classes if shares.size else 1)
        if not shares.size and self.n_classes <= DENSE_CLASSES * k:
            row_size += self.n_classes
        chunks = list(_chunks(self.n_rows, row_size))
        counted = _count_by_numpy
        if _worth_loading(self._numpy_seconds(len(chunks), bool(shares.size))):
            kernel = _compiled(_vote_rows, _VOTE_SIGNATURE)

            def counted(labels, weights, ks, slots, first, n_classes, codes, shares):
                kernel(labels, weights, ks, slots, first, np.zeros(n_classes), codes, shares)

        ones = np.ones((1, k))  # one row of weights for all: uniform votes need no kernel apart

        def count_rows(rows: slice) -> None:
            labels = _plain(self.labels[rows], np.int64)
            weights = ones
            if self.weights is not None:
                weights = _plain(self.weights[rows], np.float64)
            counted(labels, weights, self.ks, self.slots, rows.start, self.n_classes, codes, shares)
            if shares.size:
                block = shares[:, rows]
                # NumPy's order of summation, not the kernel's: scikit-learn's, to the bit.
                block /= block.sum(axis=2, keepdims=True)

        for_each(count_rows, chunks, n_threads)

    def _numpy_seconds(self, n_chunks: int, shares: bool) -> float:
        """What NumPy takes more than the kernel for these votes, about."""
        votes, n_ks = self.n_rows * int(self.ks.sum()), len(self.ks)
        seconds = n_chunks * n_ks * CHUNK_SECONDS
        if not shares and self.n_classes > DENSE_CLASSES * int(self.ks[-1]):
            return seconds + votes * SORTED_SECONDS
        looked_at = self.n_rows * n_ks * self.n_classes
        return seconds + votes * DENSE_SECONDS + looked_at * CLASS_SECONDS


def _count_by_numpy(
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    ks: NDArray[np.int64],
    slots: NDArray[np.int64],
    first: int,
    n_classes: int,
    codes: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> None:
    """Count a chunk of rows as `_vote_rows` does, to the bit, with some calls of NumPy for each k.

    `numpy.add.at` and `numpy.bincount` add weights one after another, in the order they come in.
    """
    m = len(labels)
    rows = slice(first, first + m)
    weights = np.broadcast_to(weights, labels.shape)
    for slot, k in zip(slots, ks, strict=True):
        nearest, counting = labels[:, :k], weights[:, :k]
        if not shares.size and n_classes > DENSE_CLASSES * k:
            codes[slot, rows] = _winners(nearest, counting)
            continue
        places = (nearest + np.arange(0, m * n_classes, n_classes)[:, None]).ravel()
        if shares.size:
            votes = shares[slot, rows].reshape(-1)
            votes[:] = 0
            np.add.at(votes, places, counting.ravel())
        else:  # the first of equal votes is that of the smallest class
            votes = np.bincount(places, counting.ravel(), m * n_classes)
            codes[slot, rows] = votes.reshape(m, n_classes).argmax(axis=1)


def _winners(labels: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The winning classes, without a look at classes that have no vote: (m,)."""
    order = np.argsort(labels, axis=1, kind="stable")  # within a class, nearest first
    labels = np.take_along_axis(labels, order, 1)
    weights = np.take_along_axis(weights, order, 1)
    starts = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    groups = np.cumsum(starts) - 1
    votes = np.bincount(groups, weights.ravel())[groups].reshape(labels.shape)
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]


# --- Checks: each names the argument, and costs a pass over it at most ------------------------


def _class_count(labels: NDArray[np.integer], n_classes: int | None) -> int:
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise ValueError(f"neighbor_labels must be class codes from 0 on, got {smallest}")
    if n_classes is None:
        return largest + 1
    n_classes = _integer(n_classes, "n_classes", 1, np.iinfo(np.int64).max, "the largest int64")
    if largest >= n_classes:
        raise ValueError(f"neighbor_labels must be less than n_classes, {n_classes}, got {largest}")
    return n_classes


def _neighbor_counts(ks: Sequence[int], k: int) -> NDArray[np.integer]:
    counts = as_ndarray(ks, "ks", "a sequence of integers")
    if counts.ndim != 1:
        raise TypeError(f"ks must be a sequence of integers, got {ks!r}")
    if counts.size == 0:
        raise ValueError("ks must not be empty")
    if counts.dtype.kind not in "iu":
        raise TypeError(f"ks must be integers, got dtype {counts.dtype}")
    if counts.min() < 1 or counts.max() > k:
        raise ValueError(
            f"ks must be between 1 and {k}, the number of columns of neighbor_labels, "
            f"got {counts.min()} to {counts.max()}"
        )
    return counts


def _vote_weights(weights: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    if isinstance(weights, str) or callable(weights):
        raise TypeError(
            f"weights must be an array or None, got {weights!r}; "
            "for weights by distance pass distance_weights(distances)"
        )
    weights = _matrix(weights, "weights", "fiu", "float64 or narrower, or integers")
    if weights.shape != shape:
        raise ValueError(
            f"weights must have the shape of neighbor_labels, {shape}, got {weights.shape}"
        )
    smallest, largest = weights.min(), weights.max()
    if not smallest >= 0:  # so written that NaN fails as well
        raise ValueError(f"weights must be non-negative and not NaN, got {smallest}")
    limit = np.finfo(np.float64).max / shape[1]
    if largest > limit:
        raise ValueError(
            f"weights must be at most {limit:.3g}, so that a row's sum is finite, got {largest}"
        )
    return weights


def _refuse_rows_without_weight(weights: NDArray[Any]) -> None:
    """Raise where a row's votes all count nothing, as no class wins then."""
    suspects = np.flatnonzero(weights[:, 0] == 0)  # few, as the nearest neighbor weighs most
    empty = suspects[~weights[suspects].any(axis=1)]
    if empty.size:
        raise ValueError(
            "weights must not be zero for all the neighbors of a query, but are "
            f"in row {empty[0]} among the nearest {weights.shape[1]}"
        )


# --- The Numba kernel: a plain Python function that _compiled turns into machine code ----------
