"""Training rows packed for one screen, and the search of one block of queries."""

import time
from collections.abc import Iterator

import numpy as np

from fastknn._utils.locks import Lock
from fastknn._utils.rows import BLOCK_ELEMENTS, InBlocks, Rows, is_on_disk
from fastknn._utils.threads import for_each, thread_count
from fastknn.engine import _core
from fastknn.metrics.angles import (
    as_whole,
    measured,
)
from fastknn.metrics.keys import Keys
from fastknn.metrics.names import ANGLES, kernel_metric
from fastknn.screens.cascade import Cascade
from fastknn.screens.direct import Direct, direct_screen, exactly
from fastknn.screens.inputs import as_screened, queries_as_screened, screened_type
from fastknn.search import policy
from fastknn.search.policy import SEARCH, Known, choose, may_fall_back

# Elements that a thread packs at a time.
PACKED_ELEMENTS = 4_000_000


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
    fallback : Searcher, optional
        The same rows for the fallback, where they are packed already.
    """

    def __init__(
        self,
        train: np.ndarray,
        metric: str,
        screen: Direct | Cascade,
        n_threads: int,
        codes: "list[_core.CodeRows] | None" = None,
        measures: np.ndarray | None = None,
        fallback: "Searcher | None" = None,
    ) -> None:
        self.train, self.metric, self.screen = train, metric, screen
        self.n_threads, self._fallback, self._lock = n_threads, fallback, Lock()
        self.angles, self.screen_metric = metric in ANGLES, kernel_metric(metric)
        self.screened_dtype = screened_type(train, metric)
        if self.angles and measures is None:
            measures = measured(train, metric, n_threads)
        self.measures = measures
        screened = as_screened(train, metric)
        self.codes = screen.encode_rows(screened, n_threads) if codes is None else codes
        self.panels = screen.panels(screened, self.screen_metric, self.codes)
        pack(self.panels, None if self.codes else screened, n_threads)
        self._on_disk: bool | None = None

    def __reduce__(self) -> tuple:
        # Panels are laid out for this processor: they are packed again where they arrive.
        codes = self.codes or None
        return _unpickled, (self.train, self.metric, self.screen, codes, self.measures)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        fallback = 0 if self._fallback is None else self._fallback.nbytes
        measures = 0 if self.measures is None else self.measures.nbytes
        codes = sum(codes.nbytes for codes in self.codes)
        return self.panels.nbytes + codes + measures + fallback

    def reservoir_bytes(self, k: int) -> int:
        """What a thread keeps per query beside the result while it searches for k neighbors."""
        return _core.reservoir_bytes(k, len(self.train), self.angles)

    @property
    def panels_together(self) -> int:
        """Panels that one thread should have: where they end, a panel of any kind may begin."""
        return max(1, _core.MAX_PANEL_ROWS // self.panels.panel_rows) if self.codes else 1

    @property
    def may_give_up(self) -> bool:
        """Whether a search that does not pay may go to the fallback."""
        fallback = self.screen.fallback(self.screened_dtype, self.screen_metric)
        if fallback is not None and self._on_disk is None:
            self._on_disk = is_on_disk(self.train)
        return may_fall_back(fallback is not None, bool(self._on_disk))

    @property
    def give_up(self) -> tuple[int, int, int] | None:
        """When the engine ends a search that does not pay; None for never."""
        return policy.LIMITS.give_up if self.may_give_up else None

    def fallback(self) -> "Searcher":
        """The same rows for the fallback: packed when first asked for, and kept."""
        with self._lock:
            if self._fallback is None:
                screen = self.screen.fallback(self.screened_dtype, self.screen_metric)
                assert screen is not None, "asked only where `may_give_up`"
                self._fallback = Searcher(
                    self.train, self.metric, screen, self.n_threads, measures=self.measures
                )
            return self._fallback

    def packed_as(self, screen: Direct) -> "Searcher | None":
        """The same rows for this screen, if they are packed for it: this searcher or a fallback."""
        if not self.codes and self.screen == screen:
            return self
        return None if self._fallback is None else self._fallback.packed_as(screen)

    def for_neighbors(self, k: int) -> "Searcher":
        """The searcher for k neighbors: this one, or the fallback (`policy.SEARCH`)."""
        known = Known.of(self.train, self.metric, k=k)
        use_fallback = self.codes and choose(SEARCH, known).choice == "fallback"
        return self.fallback() if use_fallback and self.may_give_up else self

    def search(
        self,
        queries: np.ndarray,
        found: Keys,
        steps: Iterator[tuple[int, int]],
        block: _core.QueryBlock | None = None,
        max_key: np.ndarray | None = None,
    ) -> Iterator[tuple[_core.QueryBlock, int]]:
        """Search ranges of panels, in increasing order: yields the block at work, and its rows.

        Where a screen turns out not to pay for these queries, the fallback takes over
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
                panel = block.search(began // panel_rows, -(-last // panel_rows), searcher.give_up)
                reached = min(panel * panel_rows, last)
                yield block, reached - began
                if reached < last:
                    searcher = searcher.fallback()
                    block = searcher.block(queries, found, max_key, resume=block)

    def with_screen(self, screen: Direct | Cascade, n_threads: int) -> "Searcher":
        """The same rows for another screen; what is packed for it already is kept."""
        if isinstance(screen, Direct):
            packed = self.packed_as(screen)
            if packed is not None:
                return packed
        fallback = screen.fallback(self.screened_dtype, self.screen_metric)
        return Searcher(
            self.train,
            self.metric,
            screen,
            n_threads,
            measures=self.measures,
            fallback=None if fallback is None else self.packed_as(fallback),
        )

    def with_more(self, train: np.ndarray, n_threads: int) -> "Searcher":
        """The same over `train`, which begins with the rows that are here already.

        Only the new rows are encoded: errors are measured, so bounds hold for rows that the
        map was not made for.
        """
        more = train[len(self.train) :]
        added = []
        if self.codes:
            added = self.screen.encode_rows(as_screened(more, self.metric), n_threads)
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
        measures = None if self.measures is None else self.measures[rows]
        return Searcher(train, self.metric, self.screen, n_threads, codes or None, measures)

    def block(
        self,
        queries: np.ndarray,
        found: Keys,
        max_key: np.ndarray | None = None,
        resume: _core.QueryBlock | None = None,
        encoded: dict | None = None,
    ) -> _core.QueryBlock:
        """Some queries, encoded (unless they are) and packed; where to write what they find."""
        began = time.perf_counter()
        encoded = self.encode_queries(queries) if encoded is None else encoded
        block = _core.QueryBlock(
            self.panels,
            **encoded,
            found=found,
            max_key=max_key,
            resume=resume,
        )
        block.encoding_seconds = time.perf_counter() - began
        return block

    def encode_queries(self, queries: np.ndarray) -> dict:
        """Queries as the stages and the refine compare them: arguments of `_core.QueryBlock`."""
        screened, slack = queries_as_screened(queries, self.train, self.metric)
        encoded, final = self.screen.encode_queries(
            screened, self.screened_dtype, self.screen_metric, self.codes, slack
        )
        if self.measures is not None:
            encoded.update(as_whole(queries, self.train, self.metric, self.measures))
            encoded["train"] = self.train
        elif not final:
            encoded.update(train=self.train, exact=exactly(queries, self.train.dtype))
        return encoded


def _unpickled(train, metric, screen, codes, measures) -> Searcher:
    """A searcher with the threads of the process that it arrives in."""
    return Searcher(train, metric, screen, thread_count(None), codes, measures)


def pack(panels: _core.Panels, screened: Rows | None, n_threads: int) -> None:
    """Fill all panels, with rows of `screened` where these are made a block at a time."""
    made = screened if isinstance(screened, InBlocks) else None
    elements = PACKED_ELEMENTS if made is None else BLOCK_ELEMENTS
    step, rows = max(1, elements // (panels.width * panels.panel_rows)), panels.panel_rows

    def some(first: int) -> None:
        last = min(first + step, panels.n_panels)
        panels.pack(first, last, None if made is None else made[first * rows : last * rows])

    for_each(some, range(0, panels.n_panels if panels.packed else 0, step), n_threads)


def screen_of(train: np.ndarray, metric: str, name: str = "direct") -> Direct:
    """The screen that "none" or "direct" means for such rows."""
    return direct_screen(screened_type(train, metric), kernel_metric(metric), name)
