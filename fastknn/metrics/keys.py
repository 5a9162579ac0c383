"""The order of neighbors: exact keys of (query, training row) pairs, and how results are merged.

Neighbors are ordered by (exact key, row). The key is

    l1                    the distance
    l2, sqeuclidean       the squared distance
    cosine, correlation   the angle (`kernels/angles.h`), which takes 64 bits more than a float64

Two keys can have one distance: roots round. So results are merged by their keys, whether they come
from threads that share the rows, from parts of a training set or from shards, and become distances
last.
"""

from typing import NamedTuple

import numpy as np

from fastknn._utils.naming import outline
from fastknn.engine import _core
from fastknn.metrics.names import ANGLES

# The row where there is none: of a query with fewer comparable rows, or beyond `max_key`.
ABSENT = np.iinfo(np.int64).max


class Keys(NamedTuple):
    """Neighbors of some queries, in the order (key, row); absent ones (infinity, ABSENT) come last.

    Attributes
    ----------
    keys : ndarray (n_queries, k) of float64
    low : ndarray (n_queries, k) of uint64, or None
        Angles: the rest of each key, by which equal `keys` are ordered.
    rows : ndarray (n_queries, k) of int64
    """

    keys: np.ndarray
    low: np.ndarray | None
    rows: np.ndarray

    def __repr__(self) -> str:
        return outline(self)

    def of(self, queries: "slice | np.ndarray") -> "Keys":
        """Of some of the queries: views if they are a slice, else copies."""
        low = None if self.low is None else self.low[queries]
        return Keys(self.keys[queries], low, self.rows[queries])

    def put(self, queries: np.ndarray, found: "Keys") -> None:
        """Take what was found for some of the queries."""
        for own, other in zip(self, found, strict=True):
            if own is not None and other is not None:
                own[queries] = other


def no_keys(n_queries: int, k: int, metric: str, absent: bool = False) -> Keys:
    """Arrays for neighbors, or with `absent` neighbors none of which is there."""
    low = np.empty((n_queries, k), np.uint64) if metric in ANGLES else None
    found = Keys(np.empty((n_queries, k)), low, np.empty((n_queries, k), np.int64))
    if absent:
        found.keys[:], found.rows[:] = np.inf, ABSENT
        if low is not None:
            low[:] = 0
    return found


def leave_out_beyond(max_key: np.ndarray, found: Keys) -> None:
    """Neighbors with larger keys than this, per query, become absent.

    Screens are told `max_key` and leave such rows out where that spares work, and only there.
    """
    beyond = found.keys > max_key[:, None]
    found.keys[beyond], found.rows[beyond] = np.inf, ABSENT
    if found.low is not None:
        found.low[beyond] = 0


def merge(into: Keys, other: Keys) -> None:
    """Put the best of both in place of the first, which keeps its number of neighbors.

    O(k) per query. Both are sorted, and their rows are numbered alike.
    """
    _core.merge(into, other)


def equal_keys(found: Keys, place: int, other: int) -> np.ndarray:
    """Whether the neighbors at two places have one key, per query: ndarray (n_queries,) of bool."""
    equal = found.keys[:, place] == found.keys[:, other]
    return equal if found.low is None else equal & (found.low[:, place] == found.low[:, other])


def as_distances(found: Keys, metric: str) -> np.ndarray:
    """What users see: keys as distances, in place, float64 and never descending."""
    if found.low is not None:
        _core.angle_distances(found.keys, found.low)
    elif metric == "l2":
        np.sqrt(found.keys, out=found.keys)
    return found.keys


def check_found(found: Keys, name: str = "queries") -> None:
    """Raise if a query has fewer neighbors than asked for: only NaN can do that.

    `name` is that of the queries' argument.
    """
    last = found.rows[:, -1]
    if len(last) == 1 and last[0] != ABSENT:
        return
    missing = last == ABSENT
    if missing.any():
        query = int(missing.argmax())
        count = int((found.rows[query] != ABSENT).sum())
        raise ValueError(
            f"{name} has row {query} with only {count} comparable rows of train for k="
            f"{found.rows.shape[1]}: one or the other has NaN"
        )
