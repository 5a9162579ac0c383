"""Rows made ready for one screen, and the choice among screens by measurement."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from fastknn import _core
from fastknn._checks import native_type
from fastknn._keys import ANGLES, Keys, merge, no_keys
from fastknn._rows import BLOCK_ELEMENTS, InBlocks, Rows, is_on_disk
from fastknn._threads import for_each, thread_count
from fastknn.angles import (
    EXTRA_COLUMNS,
    as_whole,
    direction_error,
    direction_type,
    directions,
    kernel_metric,
    measured,
)
from fastknn.direct import Direct, direct_screen, exactly
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
# Bytes that are packed at a time where only a few queries ask.
CHUNK_BYTES = 16 << 20
# Elements that a thread packs at a time.
PACKED_ELEMENTS = 4_000_000
# Signed bytes are compared as bytes that stand for numbers this much higher.
SIGN = 128


class Searcher:
    """Training rows packed for one screen.

    Parameters
    ----------
    train : ndarray (n_rows, width) of uint8, int8, float32 or float64
    metric : str
        Any that `Index` takes.
    screen : Direct or Cascade
        What `direct.py` says of both.
    n_threads : int
    codes : list of CodeRows, optional
        The codes of the training rows, where they are known.
    measures : ndarray of int64, optional
        For angles: those of `angles.measured`, where they are known.
    """

    def __init__(
        self,
        train: np.ndarray,
        metric: str,
        screen: Direct | Cascade,
        n_threads: int,
        codes: "list[_core.CodeRows] | None" = None,
        measures: np.ndarray | None = None,
    ) -> None:
        self.train, self.metric, self.screen = train, metric, screen
        self.n_threads, self._simpler = n_threads, None
        self.angles, self.screen_metric = metric in ANGLES, kernel_metric(metric)
        self.kind = screened_type(train, metric)
        if self.angles and measures is None:
            measures = measured(train, metric, n_threads)
        self.measures = measures
        seen = as_screened(train, metric)
        self.codes = screen.code_rows(seen, n_threads) if codes is None else codes
        self.panels = screen.panels(seen, self.screen_metric, self.codes)
        pack(self.panels, None if self.codes else seen, n_threads)
        self._on_disk: bool | None = None

    def __reduce__(self) -> tuple:
        # Panels are laid out for this processor: they are packed again where they arrive.
        codes = self.codes or None
        return _unpickled, (self.train, self.metric, self.screen, codes, self.measures)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        simpler = 0 if self._simpler is None else self._simpler.nbytes
        measures = 0 if self.measures is None else self.measures.nbytes
        codes = sum(codes.nbytes for codes in self.codes)
        return self.panels.nbytes + codes + measures + simpler

    def reservoir_bytes(self, k: int) -> int:
        """What a thread keeps per query beside the result while it searches for k neighbours."""
        return _core.reservoir_bytes(k, len(self.train), self.angles)

    @property
    def panels_together(self) -> int:
        """Panels that one thread should have: where they end, a panel of any kind may begin."""
        return max(1, _core.MOST_PANEL_ROWS // self.panels.panel_rows) if self.codes else 1

    @property
    def may_give_up(self) -> bool:
        """Whether there is a simpler screen to fall back to: not where rows stay on disk."""
        simpler = self.screen.simpler(self.kind, self.screen_metric)
        if simpler is not None and self._on_disk is None:
            self._on_disk = is_on_disk(self.train)
        return simpler is not None and not self._on_disk

    def simpler(self) -> "Searcher":
        """The same rows for the next simpler screen: packed when first asked for, and kept."""
        with _fallback.lock:
            if self._simpler is None:
                screen = self.screen.simpler(self.kind, self.screen_metric)
                self._simpler = Searcher(
                    self.train, self.metric, screen, self.n_threads, measures=self.measures
                )
            return self._simpler

    def suited(self, k: int) -> "Searcher":
        """Who should search for k neighbours: this one, or the direct one for very many."""
        many = k * ROWS_PER_NEIGHBOR > len(self.train)
        return self.simpler() if many and self.codes and self.may_give_up else self

    def search(
        self,
        queries: np.ndarray,
        found: Keys,
        steps: Iterator[tuple[int, int]],
        block: _core.QueryBlock | None = None,
        max_key: np.ndarray | None = None,
    ) -> Iterator[tuple[_core.QueryBlock, int]]:
        """Search ranges of panels, in increasing order: yields the block at work, and its rows.

        Where a screen turns out not to pay for these queries, the next simpler one takes over
        the rows that are left. Then at most some hundred rows cost more than directly.
        """
        if block is None:
            block = self.block(queries, found, max_key)
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
                    block = searcher.block(queries, found, max_key, resume=block)

    def with_more(self, train: np.ndarray, n_threads: int) -> "Searcher":
        """The same over `train`, which begins with the rows that are here already.

        Only the new rows are coded: errors are measured, so bounds hold for rows that the
        contraction was not made for.
        """
        more = train[len(self.train) :]
        added = []
        if self.codes:
            added = self.screen.code_rows(as_screened(more, self.metric), n_threads)
        measures = None
        if self.angles:
            measures = np.concatenate([self.measures, measured(more, self.metric, n_threads)])
        codes = [
            _core.CodeRows(
                np.concatenate([old.codes, new.codes]),
                self.screen_metric,
                np.concatenate([old.scale, new.scale]),
                np.concatenate([old.error, new.error]),
            )
            for old, new in zip(self.codes, added, strict=True)
        ]
        return Searcher(train, self.metric, self.screen, n_threads, codes or None, measures)

    def subset(self, train: np.ndarray, rows: np.ndarray, n_threads: int) -> "Searcher":
        """The same over some of the rows, which are `train`; their codes are taken as they are."""
        codes = [
            _core.CodeRows(old.codes[rows], self.screen_metric, old.scale[rows], old.error[rows])
            for old in self.codes
        ]
        measures = self.measures[rows] if self.angles else None
        return Searcher(train, self.metric, self.screen, n_threads, codes or None, measures)

    def block(
        self,
        queries: np.ndarray,
        found: Keys,
        max_key: np.ndarray | None = None,
        resume: _core.QueryBlock | None = None,
        coded: dict | None = None,
    ) -> _core.QueryBlock:
        """Some queries, coded (unless they are) and packed; where to write what they find."""
        began = time.perf_counter()
        coded = self.code(queries) if coded is None else coded
        block = _core.QueryBlock(
            self.panels,
            **coded,
            found=found,
            max_key=max_key,
            resume=resume,
        )
        block.coding_seconds = time.perf_counter() - began
        return block

    def code(self, queries: np.ndarray) -> dict:
        """Queries as the stages and the refine compare them: arguments of `_core.QueryBlock`."""
        seen, off = queries_as_screened(queries, self.train, self.metric)
        coded, final = self.screen.code(seen, self.kind, self.screen_metric, self.codes, off)
        if self.angles:
            coded.update(as_whole(queries, self.train, self.metric, self.measures))
            coded["train"] = self.train
        elif not final:
            coded.update(train=self.train, exact=exactly(queries, self.train.dtype))
        return coded


def _unpickled(train, metric, screen, codes, measures) -> Searcher:
    """A searcher with the threads of the process that it arrives in."""
    return Searcher(train, metric, screen, thread_count(None), codes, measures)


def pack(panels: _core.Panels, seen: Rows | None, n_threads: int) -> None:
    """Fill all panels, with rows of `seen` where these are made a block at a time."""
    made = isinstance(seen, InBlocks)
    elements = BLOCK_ELEMENTS if made else PACKED_ELEMENTS
    step, rows = max(1, elements // (panels.width * panels.panel_rows)), panels.panel_rows

    def some(first: int) -> None:
        last = min(first + step, panels.n_panels)
        panels.pack(first, last, seen[first * rows : last * rows] if made else None)

    for_each(some, range(0, panels.n_panels if panels.packed else 0, step), n_threads)


def screened_type(train: np.ndarray, metric: str) -> np.dtype:
    """The type of rows as screens compare them."""
    if metric in ANGLES:
        return direction_type(train)
    return np.dtype(np.uint8) if train.dtype == np.int8 else train.dtype


def row_bytes(dtype: np.dtype, width: int, metric: str) -> int:
    """Bytes that a row of this type becomes: as it is held or compared, whichever is more."""
    held = native_type(dtype)
    seen = screened_type(np.empty((0, width), held), metric)
    columns = width + EXTRA_COLUMNS if metric in ANGLES else width
    return max(width * held.itemsize, columns * seen.itemsize)


def as_screened(train: np.ndarray, metric: str) -> Rows:
    """Training rows as screens compare them: themselves, but directions for angles.

    Signed bytes are moved by `SIGN`, which keeps their distances.
    """
    kind, width = screened_type(train, metric), train.shape[1]
    if metric in ANGLES:
        return InBlocks(
            train, lambda some: directions(some, metric, kind), width + EXTRA_COLUMNS, kind
        )
    return train if kind == train.dtype else InBlocks(train, _unsigned, width, kind)


def queries_as_screened(
    queries: np.ndarray, train: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Queries as screens compare them, and how far each lies at most from what it stands for.

    With the second, which is None where all are exact, the bounds of screens hold for the rows
    that were given: it covers the rounding of the training rows, too.
    """
    if metric in ANGLES:
        kind = screened_type(train, metric)
        off = 2 * direction_error(train.shape[1], metric, kind)
        return directions(queries, metric, kind, queries=True), np.full(len(queries), off)
    if train.dtype != np.int8:
        return queries, None
    return (_unsigned(queries), None) if queries.dtype == np.int8 else _moved(queries)


def _unsigned(rows: np.ndarray) -> np.ndarray:
    """Signed bytes moved by `SIGN`: that turns the sign bit."""
    return np.bitwise_xor(rows.view(np.uint8), np.uint8(SIGN), order="C")


def _moved(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Queries moved by `SIGN`, and a bound on what rounding moved each on top of that.

    The rounding of each sum is known exactly (Knuth, The Art of Computer Programming 2, 4.2.2,
    theorem B); their own sum, which bounds the distance under either metric, is rounded upwards.
    """
    exact = queries.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of what is not finite, which no row is near
        moved = exact + SIGN
        added = moved - exact
        lost = np.abs((exact - (moved - added)) + (SIGN - added)).sum(axis=1)
    if not lost.any():
        return moved, None
    lost = np.nan_to_num(lost, nan=np.inf) * (1 + (queries.shape[1] + 8) * 2.0**-52)
    return moved, np.nextafter(lost, np.inf)


class _Fallback:
    """The lock under which a direct screen is packed: two threads at once would pack two."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_fallback = _Fallback()
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(after_in_child=_fallback.__init__)


# --- The choice -------------------------------------------------------------------------------


def choose_screen(
    train: np.ndarray,
    metric: str,
    screen: str,
    n_threads: int,
    k: int,
    seed: int = 0,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[Direct | Cascade, dict[str, float]]:
    """The quickest screen of the kind that `screen` names for k neighbours, and what each cost.

    Each is tried on a sample of rows, with a sample of rows as queries that know their final
    k-th distance among *all* rows, so that the share of survivors is that of a whole search.
    Costs are microseconds a query on one thread, extrapolated to all rows (`_Trial`). What is
    under way is told to `say`.
    """
    if screen in ("none", "direct") or (screen == "auto" and train.size < SMALL_ELEMENTS):
        return screen_of(train, metric, screen), {}
    generator = np.random.default_rng(seed)
    k = min(max(k, LEAST_TRIED_K), MOST_TRIED_K, len(train))
    n_queries = min(TRIED_QUERIES, max(LEAST_TRIED_QUERIES, TRIED_NEIGHBORS // k))
    queries = np.ascontiguousarray(train[_places(generator, train, n_queries)])
    rows = np.ascontiguousarray(train[_places(generator, train, TRIED_ROWS)])
    say("choosing a screen: neighbors of a sample")
    max_key = _kth_keys(queries, train, metric, k, n_threads)
    say("choosing a screen: fitting candidates")
    cascades = list(
        candidates(
            train,
            kernel_metric(metric),
            screen,
            seen=lambda some: as_screened(some, metric)[:],
        )
    )
    coded = code_for_all(cascades, as_screened(rows, metric), n_threads)
    searchers = [Searcher(rows, metric, screen_of(rows, metric), n_threads)] + [
        Searcher(rows, metric, cascade, n_threads, codes)
        for cascade, codes in zip(cascades, coded, strict=True)
    ]
    trials = {one.screen.name: _Trial(one, queries, max_key, k, len(train)) for one in searchers}
    for name, trial in trials.items():
        say(f"choosing a screen: trying {name}")
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


def screen_of(train: np.ndarray, metric: str, name: str = "direct") -> Direct:
    """The screen that "none" or "direct" means for such rows."""
    return direct_screen(screened_type(train, metric), kernel_metric(metric), name)


def _places(generator: np.random.Generator, train: np.ndarray, count: int) -> np.ndarray:
    return np.sort(generator.choice(len(train), min(len(train), count), replace=False))


def _kth_keys(
    queries: np.ndarray, train: np.ndarray, metric: str, k: int, n_threads: int
) -> np.ndarray:
    """The k-th smallest key of each query, a chunk of rows at a time."""
    best = no_keys(len(queries), k, metric, absent=True)
    row_bytes = train.shape[1] * screened_type(train, metric).itemsize
    step = max(k, CHUNK_BYTES // row_bytes)
    for start in range(0, len(train), step):
        some = train[start : start + step]
        searcher = Searcher(some, metric, screen_of(some, metric), n_threads)
        found = no_keys(len(queries), min(k, len(searcher.train)), metric)
        max_key = best.keys[:, -1].copy()

        def search(some: slice, searcher=searcher, found=found, max_key=max_key) -> None:
            block = searcher.block(queries[some], found.of(some), max_key[some])
            block.search(0, searcher.panels.n_panels)
            block.finish()

        halves = np.array_split(np.arange(len(queries)), n_threads)
        parts = [slice(part[0], part[-1] + 1) for part in halves if len(part)]
        for_each(search, parts, n_threads)
        merge(best, found)
    return best.keys[:, -1].copy()


class _Trial:
    """What a searcher of sample rows takes for sample queries.

    Once with the k-th distances that the queries end with, as most of a search goes; and once
    from nothing, since any screen keeps the first rows: of the i-th, in random order, a share
    of some k / i, hence of N rows that many more than of n: in all 1 + ln(N / k) times k.
    """

    def __init__(
        self, searcher: Searcher, queries: np.ndarray, max_key: np.ndarray, k: int, n_rows: int
    ) -> None:
        self.searcher, self.queries, self.n_rows = searcher, queries, n_rows
        self.max_key, self.k = max_key, k
        self.found = no_keys(len(queries), k, searcher.metric)
        # Seconds: the least of all tries.
        self.coding = self.late = self.early = np.inf

    def run(self, tries: int) -> None:
        for _ in range(tries):
            self.coding, self.late, whole = self._try(self.max_key, self.coding, self.late)
            if whole:
                self.coding, self.early, whole = self._try(None, self.coding, self.early)
            if not whole:
                break

    def _try(self, max_key: np.ndarray | None, coding: float, searching: float):
        block = self.searcher.block(self.queries, self.found, max_key)
        n_panels = self.searcher.panels.n_panels
        reached = block.search(0, n_panels, self.searcher.may_give_up)
        # One that gave up would have been as slow with the rows that were left.
        seconds = block.seconds * n_panels / reached
        return min(coding, block.coding_seconds), min(searching, seconds), reached == n_panels

    @property
    def cost(self) -> float:
        """Microseconds a query over all rows, on one thread."""
        n, k = len(self.searcher.train), self.k
        growth = (1 + np.log(self.n_rows / k)) / (1 + np.log(n / k))
        first = max(0, self.early - self.late) * growth if self.early < np.inf else 0
        seconds = self.coding + self.late * self.n_rows / n + first
        return float(seconds / len(self.queries) * 1e6)
