"""Rows made ready for one screen, and the choice among screens by measurement."""

import os
import threading
import time
from collections.abc import Iterator

import numpy as np

from fastknn import _core
from fastknn._threads import for_each, thread_count
from fastknn.direct import Direct, direct_screen
from fastknn.screens import Cascade, candidates, code_for_all

# The sample on which cascades are tried, and the numbers of neighbours for which they are. Many
# neighbours take longer, and of fewer queries say as much: so many for all queries together.
TRIED_ROWS, TRIED_QUERIES, LEAST_TRIED_QUERIES = 8192, 256, 64
LEAST_TRIED_K, MOST_TRIED_K, TRIED_NEIGHBORS = 10, 256, 12_800
# Tries of each, and then of those whose cost is this near to the best.
FIRST_TRIES, TURNS, NEAR = 1, 3, 1.5
# Training sets of fewer elements are searched directly: a query takes some ten microseconds.
SMALL_ELEMENTS = 1 << 19
# Rows for each neighbour wanted, below which no screen pays: it keeps all the first ones.
ROWS_PER_NEIGHBOR = 16
# Bytes of rows that are packed at a time where only a few queries ask.
CHUNK_BYTES = 64 << 20


class Searcher:
    """Training rows packed for one screen.

    Parameters
    ----------
    train : ndarray (n_rows, width) of uint8, float32 or float64
    metric : "l1" or "l2"
    screen : Direct or Cascade
        What `direct.py` says of both.
    n_threads : int
    codes : list of CodeRows, optional
        The codes of the training rows, where they are known.
    """

    def __init__(
        self,
        train: np.ndarray,
        metric: str,
        screen: Direct | Cascade,
        n_threads: int,
        codes: "list[_core.CodeRows] | None" = None,
    ) -> None:
        self.train, self.metric, self.screen = train, metric, screen
        self.n_threads, self._simpler = n_threads, None
        self.codes = screen.code_rows(train, n_threads) if codes is None else codes
        self.panels = screen.panels(train, metric, self.codes)
        step = max(1, 4_000_000 // (self.panels.width * self.panels.panel_rows))
        panels = range(0, self.panels.n_panels, step)
        for_each(
            lambda start: self.panels.pack(start, min(start + step, self.panels.n_panels)),
            panels,
            n_threads,
        )

    def __reduce__(self) -> tuple:
        # Panels are laid out for this processor: they are packed again where they arrive.
        return Searcher, (self.train, self.metric, self.screen, thread_count(None), self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        simpler = 0 if self._simpler is None else self._simpler.nbytes
        return self.panels.nbytes + sum(codes.nbytes for codes in self.codes) + simpler

    @property
    def panels_together(self) -> int:
        """Panels that one thread should have: where they end, a panel of any kind may begin."""
        return max(1, _core.MOST_PANEL_ROWS // self.panels.panel_rows) if self.codes else 1

    @property
    def may_give_up(self) -> bool:
        """Whether there is a simpler screen to fall back to: not where rows stay on disk."""
        return self.screen.simpler(self.train, self.metric) is not None and not _on_disk(self.train)

    def simpler(self) -> "Searcher":
        """The same rows for the next simpler screen: packed when first asked for, and kept."""
        with _fallback.lock:
            if self._simpler is None:
                screen = self.screen.simpler(self.train, self.metric)
                self._simpler = Searcher(self.train, self.metric, screen, self.n_threads)
            return self._simpler

    def suited(self, k: int) -> "Searcher":
        """Who should search for k neighbours: this one, or the direct one for very many."""
        many = k * ROWS_PER_NEIGHBOR > len(self.train)
        return self.simpler() if many and self.codes and self.may_give_up else self

    def search(
        self,
        queries: np.ndarray,
        distances: np.ndarray,
        indices: np.ndarray,
        steps: Iterator[tuple[int, int]],
        block: _core.QueryBlock | None = None,
    ) -> Iterator[tuple[_core.QueryBlock, int]]:
        """Search ranges of panels, in increasing order: yields the block at work, and its rows.

        Where a screen turns out not to pay for these queries, the next simpler one takes over
        the rows that are left. Then at most some hundred rows cost more than directly.
        """
        if block is None:
            block = self.block(queries, distances, indices)
        searcher, rows = self, self.panels.panel_rows
        for first, last in steps:
            first, last = first * rows, min(last * rows, len(self.train))
            reached = first
            while reached < last:
                began, panel_rows = reached, searcher.panels.panel_rows
                panel = block.search(
                    began // panel_rows, -(-last // panel_rows), searcher.may_give_up
                )
                reached = min(panel * panel_rows, last)
                yield block, reached - began
                if reached < last:
                    searcher = searcher.simpler()
                    block = searcher.block(queries, distances, indices, resume=True)

    def with_more(self, train: np.ndarray, n_threads: int) -> "Searcher":
        """The same over `train`, which begins with the rows that are here already.

        Only the new rows are coded: errors are measured, so bounds hold for rows that the
        contraction was not made for.
        """
        added = self.screen.code_rows(train[len(self.train) :], n_threads)
        codes = [
            _core.CodeRows(
                np.concatenate([old.codes, new.codes]),
                self.metric,
                np.concatenate([old.scale, new.scale]),
                np.concatenate([old.error, new.error]),
            )
            for old, new in zip(self.codes, added, strict=True)
        ]
        return Searcher(train, self.metric, self.screen, n_threads, codes)

    def subset(self, train: np.ndarray, rows: np.ndarray, n_threads: int) -> "Searcher":
        """The same over some of the rows, which are `train`; their codes are taken as they are."""
        codes = [
            _core.CodeRows(old.codes[rows], self.metric, old.scale[rows], old.error[rows])
            for old in self.codes
        ]
        return Searcher(train, self.metric, self.screen, n_threads, codes)

    def block(
        self,
        queries: np.ndarray,
        distances: np.ndarray,
        indices: np.ndarray,
        caps: np.ndarray | None = None,
        resume: bool = False,
        coded: dict | None = None,
    ) -> _core.QueryBlock:
        """Some queries, coded (unless they are) and packed; where to write what they find."""
        began = time.perf_counter()
        coded = self.code(queries) if coded is None else coded
        block = _core.QueryBlock(
            self.panels,
            **coded,
            distances=distances,
            indices=indices,
            caps=caps,
            resume=resume,
        )
        block.coding_seconds = time.perf_counter() - began
        return block

    def code(self, queries: np.ndarray) -> dict:
        """Queries as the stages and the refine compare them: arguments of `_core.QueryBlock`."""
        return self.screen.code(queries, self.train, self.metric, self.codes)


class _Fallback:
    """The lock under which a direct screen is packed: two threads at once would pack two."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_fallback = _Fallback()
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(after_in_child=_fallback.__init__)


def _on_disk(array: np.ndarray) -> bool:
    """Whether an array is a view of a memory-mapped file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


# --- The choice -------------------------------------------------------------------------------


def choose_screen(
    train: np.ndarray, metric: str, screen: str, n_threads: int, k: int, seed: int = 0
) -> tuple[Direct | Cascade, dict[str, float]]:
    """The quickest screen of the kind that `screen` names for k neighbours, and what each cost.

    Each is tried on a sample of rows, with a sample of rows as queries that know their final
    k-th distance among *all* rows, so that the share of survivors is that of a whole search.
    Costs are microseconds a query on one thread, extrapolated to all rows (`_Trial`).
    """
    if screen in ("none", "direct") or (screen == "auto" and train.size < SMALL_ELEMENTS):
        return direct_screen(train, metric, screen), {}
    generator = np.random.default_rng(seed)
    k = min(max(k, LEAST_TRIED_K), MOST_TRIED_K, len(train))
    n_queries = min(TRIED_QUERIES, max(LEAST_TRIED_QUERIES, TRIED_NEIGHBORS // k))
    queries = np.ascontiguousarray(train[_places(generator, train, n_queries)])
    rows = np.ascontiguousarray(train[_places(generator, train, TRIED_ROWS)])
    caps = _kth_distances(queries, train, metric, k, n_threads)
    cascades = list(candidates(train, metric, screen))
    searchers = [Searcher(rows, metric, direct_screen(rows, metric), n_threads)] + [
        Searcher(rows, metric, cascade, n_threads, codes)
        for cascade, codes in zip(cascades, code_for_all(cascades, rows, n_threads), strict=True)
    ]
    trials = {one.screen.name: _Trial(one, queries, caps, k, len(train)) for one in searchers}
    for trial in trials.values():
        trial.run(FIRST_TRIES)
    # Those near the best take turns: the machine may have been busy with something else before.
    best = min(trial.cost for trial in trials.values())
    near = [trial for trial in trials.values() if trial.cost < NEAR * best]
    for _ in range(TURNS if len(near) > 1 else 0):
        for trial in near:
            trial.run(1)
    costs = {name: trial.cost for name, trial in trials.items()}
    if screen != "auto" and len(trials) > 1:
        del trials["direct"]
    return min(trials.values(), key=lambda trial: trial.cost).searcher.screen, costs


def _places(generator: np.random.Generator, train: np.ndarray, count: int) -> np.ndarray:
    return np.sort(generator.choice(len(train), min(len(train), count), replace=False))


def _kth_distances(
    queries: np.ndarray, train: np.ndarray, metric: str, k: int, n_threads: int
) -> np.ndarray:
    """The k-th smallest distance (squared, under L2) of each query, a chunk of rows at a time."""
    best = np.full((len(queries), k), np.inf)
    step = max(k, CHUNK_BYTES // (train.shape[1] * train.itemsize))
    for start in range(0, len(train), step):
        some = train[start : start + step]
        searcher = Searcher(some, metric, direct_screen(some, metric), n_threads)
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


class _Trial:
    """What a searcher of sample rows takes for sample queries.

    Once with the k-th distances that the queries end with, as most of a search goes; and once
    from nothing, since any screen keeps the first rows: of the i-th, in random order, a share
    of some k / i, hence of N rows that many more than of n: in all 1 + ln(N / k) times k.
    """

    def __init__(
        self, searcher: Searcher, queries: np.ndarray, caps: np.ndarray, k: int, n_rows: int
    ) -> None:
        self.searcher, self.queries, self.caps, self.n_rows = searcher, queries, caps, n_rows
        self.distances = np.empty((len(queries), k))
        self.indices = np.empty((len(queries), k), np.int64)
        # Seconds: the least of all tries.
        self.coding = self.late = self.early = np.inf

    def run(self, tries: int) -> None:
        for _ in range(tries):
            self.coding, self.late, whole = self._try(self.caps, self.coding, self.late)
            if whole:
                self.coding, self.early, whole = self._try(None, self.coding, self.early)
            if not whole:
                break

    def _try(self, caps: np.ndarray | None, coding: float, searching: float):
        block = self.searcher.block(self.queries, self.distances, self.indices, caps)
        n_panels = self.searcher.panels.n_panels
        reached = block.search(0, n_panels, self.searcher.may_give_up)
        # One that gave up would have been as slow with the rows that were left.
        seconds = block.seconds * n_panels / reached
        return min(coding, block.coding_seconds), min(searching, seconds), reached == n_panels

    @property
    def cost(self) -> float:
        """Microseconds a query over all rows, on one thread."""
        n, k = len(self.searcher.train), self.distances.shape[1]
        growth = (1 + np.log(self.n_rows / k)) / (1 + np.log(n / k))
        first = max(0, self.early - self.late) * growth if self.early < np.inf else 0
        seconds = self.coding + self.late * self.n_rows / n + first
        return seconds / len(self.queries) * 1e6
