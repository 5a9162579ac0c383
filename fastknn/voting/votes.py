"""Majority votes: from (m, k) labels of neighbors to classes and class probabilities.

Each of `vote` and `vote_proba` takes one number of neighbors or several, which are counted in a
single pass over the neighbors. `distance_weights` are scikit-learn's ``weights="distance"``.

Votes are counted by NumPy (`counting.py`) or by a Numba kernel (`compiled.py`), which take one
chunk of rows at a time, on the plain threads of `fastknn._utils.threads`. Both add the weights of
a class in the order of the columns. So answers do not depend, to the bit, on which of the two
counts, on the chunks or on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastknn._utils.docstrings import documented
from fastknn._utils.threads import thread_count
from fastknn.voting.arguments import as_matrix_of
from fastknn.voting.ballots import Ballots

__all__ = ["distance_weights", "vote", "vote_proba"]


@documented
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
    %(ballots)s

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
    ballots = Ballots(neighbor_labels, n_classes, weights, ks)
    n_threads = thread_count(n_jobs)
    codes = np.empty((len(ballots.slots), ballots.n_rows), dtype=np.int64)
    ballots.count(codes, np.empty((0, 0, 0)), n_threads)
    return codes[0] if ks is None else codes


@documented
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
    %(ballots)s

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
    ballots = Ballots(neighbor_labels, n_classes, weights, ks)
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
    distances = as_matrix_of(distances, "distances", "fiu", "float64 or narrower, or integers")
    distances = distances.astype(np.float64)
    smallest = distances.min()
    if not smallest >= 0:  # written so that NaN fails as well
        raise ValueError(f"distances must be non-negative and not NaN, got {smallest}")
    with np.errstate(divide="ignore", over="ignore"):
        weights = np.divide(1.0, distances, out=distances)
    infinite = np.isinf(weights)
    rows = infinite.any(axis=1)
    weights[rows] = infinite[rows]
    return weights
