"""Screens that compare the rows themselves; those that compare codes are in `cascade.py`.

A `Searcher` asks the same of both kinds:

    name                                 in words
    encode_rows(train, n_threads)        codes of the rows, by stage; here none
    panels(train, metric, codes,         the rows laid out for the first stage, not packed yet; and
        numbers)                         the number of each, where that is not its place
    encode_queries(queries, dtype,       queries as arguments of `_core.QueryBlock`, for rows of the
        metric, codes, slack)            type `dtype`, each of which lies at most `slack` (or None)
                                         away; and whether the scores are the distances
    fallback(dtype, metric)              what takes over where this one does not pay, or None
"""

from typing import NamedTuple

import numpy as np

from fastknn._utils.rows import BLOCK_ELEMENTS, Rows
from fastknn.engine import _core

# Rows whose mean the expanded screen is centered on.
MIDDLE_ROWS = 256
# Pairs of rows by which it is seen whether they are in sequence, and how far apart others are: the
# golden ratio, which is no whole number of any periods. And how much nearer the first have to be.
SEQUENCE_PAIRS, FAR_APART, SEQUENCE_SHARE = 64, 0.381966, 0.5


class Direct(NamedTuple):
    """How rows are compared that are not encoded."""

    name: str
    packed: bool  # or each from where it lies
    centered: bool = False  # by expanded squares about a point amid the rows
    rounds: bool = False  # queries are rounded to the rows' type

    def encode_rows(self, train: Rows, n_threads: int) -> "list[_core.CodeRows]":
        return []

    def panels(
        self, train: Rows, metric: str, codes: list, numbers: np.ndarray | None = None
    ) -> _core.Panels:
        center = _middle(train) if self.centered else None
        return _core.Panels(train, metric, center=center, packed=self.packed, numbers=numbers)

    def encode_queries(
        self,
        queries: np.ndarray,
        dtype: np.dtype,
        metric: str,
        codes: "list[_core.CodeRows]",
        slack: np.ndarray | None = None,
    ) -> tuple[dict, bool]:
        if not self.rounds:
            return {"codes": exactly(queries, dtype), "errors": slack}, False
        rounded, errors = rounded_to(queries, dtype, metric)
        if slack is not None:
            errors = slack if errors is None else errors + slack
        final = dtype == np.uint8 and errors is None
        return {"codes": rounded, "errors": errors}, final

    def fallback(self, dtype: np.dtype, metric: str) -> "Direct | None":
        return DIFFERENCES if self == EXPANDED else None


# Each row exactly, and nothing packed: for a few queries.
ROWS = Direct("none", packed=False)
# In float32, one operation per element: floats under L2.
EXPANDED = Direct("direct", packed=True, centered=True)
# In their own type, three operations per element; bytes: exact integers, two for four elements.
DIFFERENCES = Direct("direct", packed=True, rounds=True)


def direct_screen(dtype: np.dtype, metric: str, name: str = "direct") -> Direct:
    """The screen that "none" or "direct" means for such rows."""
    if name == "none":
        return ROWS
    return EXPANDED if metric == "l2" and dtype.kind == "f" else DIFFERENCES


def exactly(queries: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Queries as the refine compares them: in float64, but bytes with bytes of their type."""
    alike = queries.dtype == dtype and queries.itemsize == 1
    return np.ascontiguousarray(queries, dtype if alike else np.float64)


def are_in_sequence(train: np.ndarray) -> bool:
    """Whether rows that follow each other are near to each other, as in series and sorted tables.

    That is seen on a few pairs of them and of rows that are far apart: in O(width).
    """
    n = len(train)
    first = np.arange(SEQUENCE_PAIRS) * (n - 1) // SEQUENCE_PAIRS
    rows = train[first].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        near, far = (
            np.median(np.abs(rows - train[other]).sum(axis=1))
            for other in ((first + 1) % n, (first + int(n * FAR_APART)) % n)
        )
    return bool(near < SEQUENCE_SHARE * far)


def _middle(train: Rows) -> np.ndarray:
    """A point amid the rows, about which their squares stay small; of no weight otherwise."""
    every = max(1, len(train) // MIDDLE_ROWS)
    step = max(1, BLOCK_ELEMENTS // train.shape[1]) * every
    total = np.zeros(train.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(train), step):
            total += train[start : start + step : every].sum(axis=0, dtype=np.float64)
        mean = total / -(-len(train) // every)
    return mean if np.isfinite(mean).all() else np.zeros(train.shape[1])


def rounded_to(
    queries: np.ndarray, dtype: np.dtype, metric: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Queries as the direct screen compares them, and how far they are from that, if at all.

    Queries of another type than the training rows are rounded to it. That moves a query by
    e = dist(query, code), and no distance by more than e (triangle inequality), so the screen
    stays a bound: see `set_threshold` in `bounds.pxi`. Bytes against bytes need no refine.
    """
    if queries.dtype == dtype:
        return np.ascontiguousarray(queries), None
    exact = np.ascontiguousarray(queries, np.float64)
    if dtype == np.uint8:
        with np.errstate(invalid="ignore"):  # NaN that nobody looked for
            codes = np.clip(np.rint(exact), 0, 255).astype(np.uint8)
    else:
        largest = np.finfo(dtype).max
        codes = np.clip(exact, -largest, largest).astype(dtype)
    difference = np.abs(exact - codes)
    if not difference.any():
        return codes, None
    with np.errstate(over="ignore", invalid="ignore"):
        # Scaled, so that neither huge nor tiny differences leave the range when squared.
        largest = np.maximum(difference.max(axis=1), np.finfo(np.float64).tiny)
        scaled = difference / largest[:, None]
        error = scaled.sum(axis=1) if metric == "l1" else np.sqrt((scaled**2).sum(axis=1))
        # Higham's bound for the sum, and a few roundings before and after it: always upwards.
        error *= largest * (1 + (queries.shape[1] + 8) * 2.0**-52)
    return codes, np.nextafter(error, np.inf)
