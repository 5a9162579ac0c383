"""The definition of right: plain, slow NumPy twins of the fast functions.

Tests and benchmarks compare against these; nothing else imports them. They check nothing, and
prefer the obvious to the quick.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

# --- Distances and search: twins of fastknn.index and pairwise ----------------------------------


def reference_distances(queries: ArrayLike, train: ArrayLike, metric: str) -> NDArray[np.float64]:
    """Distance of every query to every training row in float64, squared under L2.

    The direct formula in the one order of summation that fastknn promises: element i of a row
    is added to partial sum i mod 8, and the eight sums as
    ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)). For bytes every step is an exact integer.

    Examples
    --------
    >>> reference_distances([[0, 0]], [[3, 4], [0, 1]], "l2")
    array([[25.,  1.]])
    """
    queries, train = np.asarray(queries, np.float64), np.asarray(train, np.float64)
    padding = ((0, 0), (0, -train.shape[1] % 8))
    queries, train = np.pad(queries, padding), np.pad(train, padding)
    distances = np.empty((len(queries), len(train)))
    for row, query in enumerate(queries):
        partial = np.zeros((len(train), 8))
        for start in range(0, train.shape[1], 8):
            difference = query[start : start + 8] - train[:, start : start + 8]
            partial += np.abs(difference) if metric == "l1" else difference * difference
        s0, s1, s2, s3, s4, s5, s6, s7 = partial.T
        distances[row] = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    return distances


def reference_pairwise(queries: ArrayLike, train: ArrayLike, metric: str) -> NDArray[np.float64]:
    """Distances from every query to every training row, in float64.

    Examples
    --------
    >>> reference_pairwise([[0, 0]], [[3, 4], [0, 1]], "l2")
    array([[5., 1.]])
    """
    distances = reference_distances(queries, train, metric)
    return np.sqrt(distances) if metric == "l2" else distances


def reference_knn(
    queries: ArrayLike, train: ArrayLike, k: int, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k nearest training rows of each query, in the order (distance, row).

    Examples
    --------
    >>> reference_knn([[0, 0]], [[3, 4], [0, 1], [1, 0]], 2, "l2")
    (array([[1., 1.]]), array([[1, 2]]))
    """
    distances, indices = reference_topk(reference_distances(queries, train, metric), k)
    return np.sqrt(distances) if metric == "l2" else distances, indices


# --- Top K and votes: twins of fastknn.vote ---------------------------------------------------


def reference_topk(distances: ArrayLike, k: int) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The k smallest entries of each row in the order (value, column), and their columns.

    Examples
    --------
    >>> reference_topk([[3.0, 1.0, 2.0, 1.0]], 3)
    (array([[1., 1., 2.]]), array([[1, 3, 2]]))
    """
    distances = np.asarray(distances)
    if distances.dtype != np.float32:
        distances = distances.astype(np.float64)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, indices, axis=1), indices.astype(np.int64)


def reference_vote(
    neighbor_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    weights: ArrayLike | None = None,
    ks: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """Class with the most votes, the smallest one where votes tie: (m,), or (len(ks), m).

    Examples
    --------
    >>> reference_vote([[2, 0, 0, 1], [1, 2, 1, 2]], ks=[1, 4])
    array([[2, 1],
           [0, 1]])
    """
    votes = _reference_votes(neighbor_labels, n_classes, weights, ks)
    codes = votes.argmax(axis=2).astype(np.int64)  # the first of equal votes
    return codes[0] if ks is None else codes


def reference_vote_proba(
    neighbor_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    weights: ArrayLike | None = None,
    ks: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Votes over the sum of all votes: (m, C), or (len(ks), m, C).

    Examples
    --------
    >>> reference_vote_proba([[2, 0, 0, 1], [1, 2, 1, 2]])
    array([[0.5 , 0.25, 0.25],
           [0.  , 0.5 , 0.5 ]])
    """
    votes = _reference_votes(neighbor_labels, n_classes, weights, ks)
    shares = np.stack([of_one_k / of_one_k.sum(axis=1, keepdims=True) for of_one_k in votes])
    return shares[0] if ks is None else shares


def _reference_votes(
    neighbor_labels: ArrayLike,
    n_classes: int | None,
    weights: ArrayLike | None,
    ks: Sequence[int] | None,
) -> NDArray[np.float64]:
    """Sum of weights of every class, counted afresh for every k: (len(ks), m, C)."""
    labels = np.asarray(neighbor_labels)
    n_rows, n_neighbors = labels.shape
    weights = np.ones(labels.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    ks = [n_neighbors] if ks is None else ks
    votes = np.zeros((len(ks), n_rows, n_classes or int(labels.max()) + 1))
    for slot, k in enumerate(ks):
        for column in range(k):  # nearest first: the order of additions is part of the definition
            votes[slot, np.arange(n_rows), labels[:, column]] += weights[:, column]
    return votes
