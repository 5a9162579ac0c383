"""The definition of right: plain, slow reference implementations of the fast functions.

Tests and benchmarks compare against these; nothing else imports them. They check nothing, and
prefer the obvious to the quick.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import frexp

import numpy as np
from numpy.typing import ArrayLike, NDArray

# --- Distances and searches: fastknn.search -----------------------------------------------------


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
    """The k nearest training rows of each query, in the order (exact key, row).

    The key is the distance under L1, its square under L2 and "sqeuclidean", and the angle under
    "cosine" and "correlation".

    Examples
    --------
    >>> reference_knn([[0, 0]], [[3, 4], [0, 1], [1, 0]], 2, "l2")
    (array([[1., 1.]]), array([[1, 2]]))
    """
    if metric in ("cosine", "correlation"):
        keys = reference_angles(queries, train, metric)
        indices = np.array([sorted(range(len(row)), key=row.__getitem__)[:k] for row in keys])
        pairs = [[row[place] for place in some] for row, some in zip(keys, indices, strict=True)]
        return np.array([[_angle_distance(key) for key in row] for row in pairs]), indices
    kind = "l1" if metric == "l1" else "l2"
    nearest, indices = reference_topk(reference_distances(queries, train, kind), k)
    distances: NDArray[np.float64] = np.asarray(nearest, np.float64)
    return (np.sqrt(distances) if metric == "l2" else distances), indices


def reference_angles(queries: ArrayLike, train: ArrayLike, metric: str) -> list[list[Fraction]]:
    """Exact keys of angles: minus the signed squared cosine, of every query and training row.

    Rows are taken as whole numbers, in units of 2**-bits of the power of two above the row's
    largest magnitude; so whole numbers, and any floats of few bits, are taken as they are. Under
    "correlation" each row's mean is taken from it. A row of zeros is at a right angle to all.

    Examples
    --------
    >>> reference_angles([[1, 0]], [[2, 2], [0, 3], [-1, 0]], "cosine")
    [[Fraction(-1, 2), Fraction(0, 1), Fraction(1, 1)]]
    """
    ours, theirs = (
        [_whole(row, metric) for row in np.asarray(rows).tolist()] for rows in (queries, train)
    )
    return [[_angle_key(query, row) for row in theirs] for query in ours]


def _angle_key(query: list[int], row: list[int]) -> Fraction:
    product = sum(q * x for q, x in zip(query, row, strict=True))
    squares = sum(q * q for q in query) * sum(x * x for x in row)
    return Fraction(-product * abs(product), squares) if squares else Fraction(0)


def _whole(row: list, metric: str) -> list[int]:
    """A row as whole numbers; under "correlation" its width times what is left without the mean."""
    room = (len(row) - 1).bit_length()
    bits = min(56, (125 - room * (2 if metric == "correlation" else 1)) // 2)
    if any(isinstance(x, float) for x in row):
        unit = Fraction(2) ** (frexp(max(abs(x) for x in row))[1] - bits)
        row = [round(Fraction(x) / unit) for x in row]
    if metric == "correlation":
        row = [len(row) * x - sum(row) for x in row]
    return row


def _angle_distance(key: Fraction) -> float:
    """1 - cosine, rounded once."""
    with localcontext() as context:
        context.prec = 80
        root = (Decimal(abs(key.numerator)) / Decimal(key.denominator)).sqrt()
        return float(1 - root if key < 0 else 1 + root)


# --- Top K and votes: fastknn.vote --------------------------------------------------------------


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
