"""Rows made ready for one cascade, and the choice among cascades by measurement."""

import time

import numpy as np

from fastknn import _core
from fastknn._threads import for_each, thread_count
from fastknn.screens import Cascade, candidates

# The sample on which cascades are tried.
TRIED_ROWS, TRIED_QUERIES, TRIED_K = 8192, 256, 10
# Training sets of fewer elements are searched directly: a query takes some ten microseconds.
SMALL_ELEMENTS = 1 << 19
# Bytes of rows that are packed at a time where only a few queries ask.
CHUNK_BYTES = 64 << 20


class Searcher:
    """Training rows packed for one cascade; with none, for the direct screen.

    Parameters
    ----------
    train : ndarray (n_rows, width) of uint8, float32 or float64
    metric : "l1" or "l2"
    cascade : Cascade or None
    n_threads : int
    codes : list of CodeRows, optional
        The codes of the training rows, where they are known.
    """

    def __init__(
        self,
        train: np.ndarray,
        metric: str,
        cascade: Cascade | None,
        n_threads: int,
        codes: "list[_core.CodeRows] | None" = None,
    ) -> None:
        self.train, self.metric, self.cascade = train, metric, cascade
        self.codes = []
        if cascade is None:
            self.panels = _core.Panels(train, metric)
        else:
            self.codes = cascade.code_rows(train, n_threads) if codes is None else codes
            first = self.codes[0]
            self.panels = _core.Panels(first.codes, metric, first.scale, first.error)
        step = max(1, 4_000_000 // (self.panels.width * self.panels.panel_rows))
        panels = range(0, self.panels.n_panels, step)
        for_each(
            lambda start: self.panels.pack(start, min(start + step, self.panels.n_panels)),
            panels,
            n_threads,
        )

    def __reduce__(self) -> tuple:
        # Panels are laid out for this processor: they are packed again where they arrive.
        return Searcher, (self.train, self.metric, self.cascade, thread_count(None), self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        return self.panels.nbytes + sum(codes.nbytes for codes in self.codes)

    def with_more(self, train: np.ndarray, n_threads: int) -> "Searcher":
        """The same over `train`, which begins with the rows that are here already.

        Only the new rows are coded: errors are measured, so bounds hold for rows that the
        contraction was not made for.
        """
        if self.cascade is None:
            return Searcher(train, self.metric, None, n_threads)
        added = self.cascade.code_rows(train[len(self.train) :], n_threads)
        codes = [
            _core.CodeRows(
                np.concatenate([old.codes, new.codes]),
                self.metric,
                np.concatenate([old.scale, new.scale]),
                np.concatenate([old.error, new.error]),
            )
            for old, new in zip(self.codes, added, strict=True)
        ]
        return Searcher(train, self.metric, self.cascade, n_threads, codes)

    def block(
        self,
        queries: np.ndarray,
        distances: np.ndarray,
        indices: np.ndarray,
        caps: np.ndarray | None = None,
    ) -> _core.QueryBlock:
        """Some queries, coded and packed; what they find goes to `distances` and `indices`."""
        result = {"distances": distances, "indices": indices, "caps": caps}
        if self.cascade is None:
            codes, exact, errors = encode_directly(queries, self.train.dtype, self.metric)
            train = None if exact is None else self.train
            return _core.QueryBlock(
                self.panels, codes, errors=errors, train=train, exact=exact, **result
            )
        (codes, scale, error), *later = self.cascade.encode(queries)
        stages = [
            (train, _core.CodeRows(coded[0], self.metric, coded[1], coded[2]))
            for train, coded in zip(self.codes[1:], later, strict=True)
        ]
        bytes_only = queries.dtype == self.train.dtype == np.uint8
        exact = np.ascontiguousarray(queries, np.uint8 if bytes_only else np.float64)
        return _core.QueryBlock(
            self.panels,
            codes,
            errors=error,
            scale=scale,
            stages=stages,
            train=self.train,
            exact=exact,
            **result,
        )


def encode_directly(
    queries: np.ndarray, dtype: np.dtype, metric: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Queries as the direct screen compares them, as the refine does, and how far apart they are.

    Queries of another type than the training rows are rounded to it. That moves a query by
    e = dist(query, code), and no distance by more than e (triangle inequality), so the screen
    stays a bound: see `set_threshold` in `_core.pyx`. Bytes against bytes need no refine.
    """
    if queries.dtype == dtype:
        codes = np.ascontiguousarray(queries)
        return codes, None if dtype == np.uint8 else codes.astype(np.float64, copy=False), None
    exact = np.ascontiguousarray(queries, np.float64)
    if dtype == np.uint8:
        codes = np.clip(np.rint(exact), 0, 255).astype(np.uint8)
    else:
        largest = np.finfo(dtype).max
        codes = np.clip(exact, -largest, largest).astype(dtype)
    difference = np.abs(exact - codes)
    if not difference.any():
        return codes, None if dtype == np.uint8 else exact, None
    with np.errstate(over="ignore"):
        # Scaled, so that neither huge nor tiny differences leave the range when squared.
        largest = np.maximum(difference.max(axis=1), np.finfo(np.float64).tiny)
        scaled = difference / largest[:, None]
        error = scaled.sum(axis=1) if metric == "l1" else np.sqrt((scaled**2).sum(axis=1))
        # Higham's bound for the sum, and a few roundings before and after it: always upwards.
        error *= largest * (1 + (queries.shape[1] + 8) * 2.0**-52)
    return codes, exact, np.nextafter(error, np.inf)


# --- The choice -------------------------------------------------------------------------------


def choose_cascade(
    train: np.ndarray, metric: str, screen: str, n_threads: int, seed: int = 0
) -> tuple[Cascade | None, dict[str, float]]:
    """The quickest cascade of the kind that `screen` names, and what each was seen to cost.

    Each is tried on a sample of rows, with a sample of rows as queries that know their final
    k-th distance among *all* rows, so that the share of survivors is that of a whole search.
    Costs are microseconds a query on one thread, extrapolated to all rows.
    """
    if screen == "direct" or (screen == "auto" and train.size < SMALL_ELEMENTS):
        return None, {}
    generator = np.random.default_rng(seed)
    queries = np.ascontiguousarray(train[_places(generator, train, TRIED_QUERIES)])
    rows = np.ascontiguousarray(train[_places(generator, train, TRIED_ROWS)])
    caps = _kth_distances(queries, train, metric, min(TRIED_K, len(train)), n_threads)
    tried = {"direct": (None, _cost(Searcher(rows, metric, None, n_threads), queries, caps, train))}
    for cascade in candidates(train, metric, screen):
        searcher = Searcher(rows, metric, cascade, n_threads)
        tried[cascade.name] = (cascade, _cost(searcher, queries, caps, train))
    costs = {name: cost for name, (_, cost) in tried.items()}
    if screen != "auto" and len(tried) > 1:
        del tried["direct"]
    return min(tried.values(), key=lambda one: one[1])[0], costs


def _places(generator: np.random.Generator, train: np.ndarray, count: int) -> np.ndarray:
    return np.sort(generator.choice(len(train), min(len(train), count), replace=False))


def _kth_distances(
    queries: np.ndarray, train: np.ndarray, metric: str, k: int, n_threads: int
) -> np.ndarray:
    """The k-th smallest distance (squared, under L2) of each query, a chunk of rows at a time."""
    best = np.full((len(queries), k), np.inf)
    step = max(k, CHUNK_BYTES // (train.shape[1] * train.itemsize))
    for start in range(0, len(train), step):
        searcher = Searcher(train[start : start + step], metric, None, n_threads)
        few = min(k, len(searcher.train))
        distances, indices = np.empty((len(queries), few)), np.empty((len(queries), few), np.int64)

        def search(some: slice, searcher=searcher, distances=distances, indices=indices) -> None:
            block = searcher.block(queries[some], distances[some], indices[some])
            block.search(0, searcher.panels.n_panels)

        halves = np.array_split(np.arange(len(queries)), n_threads)
        parts = [slice(part[0], part[-1] + 1) for part in halves if len(part)]
        for_each(search, parts, n_threads)
        best = np.sort(np.hstack([best, distances]), axis=1)[:, :k]
    return best[:, -1]


def _cost(searcher: Searcher, queries: np.ndarray, caps: np.ndarray, train: np.ndarray) -> float:
    """Microseconds a query over all rows, from the best of five tries on the searcher's."""
    k = min(TRIED_K, len(searcher.train))
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    coding, searching = [], []
    for _ in range(5):
        started = time.perf_counter()
        block = searcher.block(queries, distances, indices, caps)
        coded = time.perf_counter()
        block.search(0, searcher.panels.n_panels)
        coding.append(coded - started)
        searching.append(time.perf_counter() - coded)
    factor = len(train) / len(searcher.train)
    return (min(coding) + min(searching) * factor) / len(queries) * 1e6
