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
from fastknn.metrics.keys import Keys, no_keys
from fastknn.metrics.names import ANGLES, kernel_metric
from fastknn.screens.cascade import Cascade, row_blocks
from fastknn.screens.direct import Direct, are_in_sequence, direct_screen, exactly
from fastknn.screens.grouping import Grouping
from fastknn.screens.inputs import as_screened, queries_as_screened, screened_type
from fastknn.screens.near import NearRows
from fastknn.search import plan, policy
from fastknn.search.policy import SEARCH, Known, choose, may_fall_back

# What a row of a group costs, in rows of full tiles: tiles of one query, and little is reused.
WALK_COST = 8
# Pairs of a query and a row from which it pays to see whether rows are in sequence: some 25 us.
SEQUENCE_MATTERS = 200_000
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
    grouping : Grouping, optional
        The order in which the rows are packed, so that groups of them can be left out.
    like : Searcher, optional
        Another searcher of the same rows and grouping: what both need is shared.
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
        grouping: Grouping | None = None,
        like: "Searcher | None" = None,
    ) -> None:
        self.train, self.metric, self.screen, self.grouping = train, metric, screen, grouping
        self.n_threads, self._fallback, self._lock = n_threads, fallback, Lock()
        self.angles, self.screen_metric = metric in ANGLES, kernel_metric(metric)
        self.screened_dtype = screened_type(train, metric)
        self._on_disk: bool | None = None
        self._in_sequence: bool | None = None
        self._ungrouped: Searcher | None = None
        # What the policy said last, and to which k, limits and rules.
        self._decided: tuple[tuple, str] | None = None
        # Rows and measures in the order of the panels; on disk, rows stay in their own.
        self.by_number = grouping is not None and is_on_disk(train)
        self.rows: np.ndarray = train if like is None else like.rows
        self.measures: np.ndarray | None = None if like is None else like.measures
        if like is None:
            self.rows, self.measures = self._arranged(measures)
        screened = self._screened()
        self.codes = screen.encode_rows(screened, n_threads) if codes is None else codes
        numbers = None if grouping is None else grouping.numbers
        self.panels = screen.panels(screened, self.screen_metric, self.codes, numbers)
        pack(self.panels, None if self.codes else screened, n_threads)
        self.boxes = None if grouping is None else grouping.boxes(self.panels.panel_rows)
        self.near: NearRows | None = None
        near_pays = self.codes and policy.near_rows_pay(self.panels.width, screened.shape[1])
        if near_pays and grouping is None:
            self.near = NearRows(self.codes[0], self.screen_metric, n_threads)

    def _arranged(self, measures: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows and their measures, in the order of the groups unless they are on disk."""
        if self.angles and measures is None:
            measures = measured(self.train, self.metric, self.n_threads)
        if self.grouping is None or self.by_number:
            return self.train, measures
        numbers = self.grouping.numbers
        rows = np.empty(self.train.shape, self.train.dtype)

        def some(block: slice) -> None:
            np.take(self.train, numbers[block], axis=0, out=rows[block], mode="clip")

        for_each(some, row_blocks(self.train, self.n_threads), self.n_threads)
        return rows, None if measures is None else measures[numbers]

    def _screened(self) -> Rows:
        """The rows as screens compare them, in the order of the panels."""
        if self.grouping is None or not self.by_number:
            return as_screened(self.rows, self.metric)
        like = as_screened(self.train, self.metric)
        return InBlocks(
            self.grouping.numbers,
            lambda some: as_screened(self.train[some], self.metric)[:],
            like.shape[1],
            like.dtype,
        )

    @property
    def measures_by_number(self) -> np.ndarray | None:
        """For angles: the measures in the order of the training set."""
        if self.measures is None or self.grouping is None or self.by_number:
            return self.measures
        measures = np.empty_like(self.measures)
        measures[self.grouping.numbers] = self.measures
        return measures

    def __reduce__(self) -> tuple:
        # Panels are laid out for this processor: they are packed again where they arrive.
        codes, grouping = self.codes or None, self.grouping
        measures = self.measures_by_number
        return _unpickled, (self.train, self.metric, self.screen, codes, measures, grouping)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        total = self._packed_bytes
        if self.measures is not None:
            total += self.measures.nbytes
        if self.grouping is not None:
            total += self.grouping.nbytes + (0 if self.by_number else self.rows.nbytes)
        return total

    @property
    def _packed_bytes(self) -> int:
        """Bytes of what is laid out for the screen and its fallbacks."""
        total = self.panels.nbytes + sum(codes.nbytes for codes in self.codes)
        if self.near is not None:
            total += self.near.nbytes
        if self.boxes is not None:
            total += self.boxes.nbytes
        ungrouped = self if self._ungrouped is None else self._ungrouped
        if ungrouped._fallback is not None:
            total += ungrouped._fallback._packed_bytes
        return total

    @property
    def name(self) -> str:
        """The screens in words."""
        return self.screen.name if self.grouping is None else f"groups, then {self.screen.name}"

    def reservoir_bytes(self, k: int) -> int:
        """What a thread keeps per query beside the result while it searches for k neighbors."""
        if self.grouping is not None:  # rows come in another order than reservoirs take
            return 0
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

    def _are_in_sequence(self, n_queries: int) -> bool:
        """Whether rows follow each other that are near to each other, if that matters.

        It does where rows are compared without codes. Searches that take less time than a look at
        some rows do not ask.
        """
        if self.codes or self.angles or not self.panels.packed:
            return False
        if self.grouping is not None:
            return True
        if self._in_sequence is None and n_queries * len(self.train) >= SEQUENCE_MATTERS:
            self._in_sequence = are_in_sequence(self.train)
        return bool(self._in_sequence)

    def fallback(self) -> "Searcher":
        """The same rows for the fallback: packed when first asked for, and kept."""
        with self._lock:
            if self._fallback is None:
                screen = self.screen.fallback(self.screened_dtype, self.screen_metric)
                assert screen is not None, "asked only where `may_give_up`"
                self._fallback = Searcher(
                    self.train,
                    self.metric,
                    screen,
                    self.n_threads,
                    grouping=self.grouping,
                    like=self,
                ).ungrouped()
            return self._fallback

    def ungrouped(self) -> "Searcher":
        """The same searcher, but one that leaves no groups out; it has the fallback of both."""
        if self.boxes is None:
            return self
        if self._ungrouped is None:
            other = Searcher.__new__(Searcher)
            vars(other).update(vars(self), boxes=None)
            self._ungrouped = other
        return self._ungrouped

    def packed_as(self, screen: Direct) -> "Searcher | None":
        """The same rows for this screen, if they are packed for it: this searcher or a fallback."""
        if self.grouping is not None:  # they are, but in another order
            return None
        if not self.codes and self.screen == screen:
            return self
        return None if self._fallback is None else self._fallback.packed_as(screen)

    def for_neighbors(self, k: int) -> "Searcher":
        """The searcher for k neighbors: this one, or the fallback (`policy.SEARCH`)."""
        asked, decided = (k, policy.LIMITS, policy.RULES), self._decided
        if decided is None or decided[0] != asked:
            rule = choose(SEARCH, Known.of(self.train, self.metric, k=k))
            decided = self._decided = asked, rule.choice
        if decided[1] == "screen":
            return self
        searcher = self.ungrouped()
        return searcher.fallback() if searcher.codes and searcher.may_give_up else searcher

    def search(
        self,
        queries: np.ndarray,
        found: Keys,
        steps: Iterator[tuple[int, int]],
        block: _core.QueryBlock | None = None,
        max_key: np.ndarray | None = None,
    ) -> Iterator[tuple[_core.QueryBlock, float]]:
        """Search ranges of panels, in increasing order: yields the block at work, and its rows.

        The result is complete when there is no more to be yielded.

        Where a screen turns out not to pay for these queries, the fallback takes over
        the rows that are left. Then at most some hundred rows cost more than directly.
        Groups of rows are left out query by query: then `steps` is not looked at.
        """
        if self.boxes is not None:
            yield from self._walk(queries, found, max_key)
            return
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
        block.finish()

    def _walk(
        self, queries: np.ndarray, found: Keys, max_key: np.ndarray | None
    ) -> Iterator[tuple[_core.QueryBlock, float]]:
        """Search the groups within reach of each query: yields as `search`.

        Where most groups are within reach, the queries that are left are compared with all rows.
        """
        own, order, points = found, None, self._points(queries)
        if len(queries) > 1:
            order, points = self._in_order_of_groups(points)
            queries, own = queries[order], no_keys(len(queries), found.rows.shape[1], self.metric)
            max_key = None if max_key is None else max_key[order]
        block, reached, pays = self.block(queries, own, max_key, grouped=points), 0, True
        max_rows = max(1, plan.SIZES.step_pairs // (WALK_COST * self.panels.width))
        few_rows = len(self.train) // policy.LIMITS.grouped_share
        while reached < len(queries) and pays:
            began = reached
            reached, pays = block.walk(began, max_rows, few_rows)
            yield block, (reached - began) * len(self.train) / len(queries)
        block.finish(0, reached)
        if reached < len(queries):
            left, share = slice(reached, len(queries)), 1 - reached / len(queries)
            for block, n_rows in self.ungrouped().search(
                queries[left],
                own.of(left),
                iter(plan.steps_of(len(queries) - reached, self.panels)),
                max_key=None if max_key is None else max_key[left],
            ):
                yield block, n_rows * share
        if order is not None:
            found.put(order, own)

    def share_within_reach(self, queries: np.ndarray, found: Keys, max_key: np.ndarray) -> float:
        """The share of the rows whose groups some queries cannot rule out, given `max_key`."""
        order, points = self._in_order_of_groups(self._points(queries))
        block = self.block(queries[order], found, max_key[order], grouped=points)
        block.walk(0, len(queries) * len(self.train), len(self.train))
        return block.work.screened / (len(queries) * len(self.train))

    def order_of(self, queries: np.ndarray, n_threads: int) -> np.ndarray:
        """An order of queries in which those that are near the same groups are together."""
        starts = np.empty(len(queries), np.int64)

        def some(block: slice) -> None:
            starts[block] = self._points(queries[block])["starts"]

        for_each(some, row_blocks(queries, n_threads), n_threads)
        return np.argsort(starts, kind="stable")

    def _points(self, queries: np.ndarray) -> dict:
        """What the walk over groups needs of queries: arguments of `_core.QueryBlock`."""
        screened, slack = queries_as_screened(queries, self.train, self.metric)
        assert self.grouping is not None
        assert self.boxes is not None
        points, errors = self.grouping.points(screened, slack)
        starts = self.boxes.nearest(points)
        return {"boxes": self.boxes, "points": points, "point_errors": errors, "starts": starts}

    def _in_order_of_groups(self, points: dict) -> tuple[np.ndarray, dict]:
        """An order in which queries of the same groups are together, and `_points` in it."""
        order = np.argsort(points["starts"], kind="stable")
        ordered = {name: points[name][order] for name in ("points", "point_errors", "starts")}
        return order, {**points, **ordered}

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
        more, before = train[len(self.train) :], len(self.train)
        added, grouping, measures, places = [], None, None, None
        if self.grouping is not None:
            grouping = self.grouping.with_more(as_screened(train, self.metric), n_threads)
            every = np.concatenate([self.grouping.places, np.arange(before, len(train))])
            places = every[grouping.numbers]  # of its code: in the old order, or after it
        if self.codes:
            added = self.screen.encode_rows(as_screened(more, self.metric), n_threads)
        if self.angles:
            own = measured(more, self.metric, n_threads)
            measures = np.concatenate([self.measures_by_number, own])
        codes = [
            _core.CodeRows(
                _joined(old.codes, new.codes, places),
                self.screen_metric,
                _joined(old.scale, new.scale, places),
                _joined(old.error, new.error, places),
            )
            for old, new in zip(self.codes, added, strict=True)
        ]
        return Searcher(
            train, self.metric, self.screen, n_threads, codes or None, measures, None, grouping
        )

    def subset(self, train: np.ndarray, rows: np.ndarray, n_threads: int) -> "Searcher":
        """The same over some of the rows, which are `train`; their codes are taken as they are."""
        places, grouping, measures = rows, None, self.measures_by_number
        if self.grouping is not None:
            grouping = self.grouping.subset(rows, as_screened(train, self.metric), n_threads)
            places = self.grouping.places[rows[grouping.numbers]]
        codes = [
            _core.CodeRows(
                old.codes[places], self.screen_metric, old.scale[places], old.error[places]
            )
            for old in self.codes
        ]
        measures = None if measures is None else measures[rows]
        return Searcher(
            train, self.metric, self.screen, n_threads, codes or None, measures, None, grouping
        )

    def block(
        self,
        queries: np.ndarray,
        found: Keys,
        max_key: np.ndarray | None = None,
        resume: _core.QueryBlock | None = None,
        encoded: dict | None = None,
        grouped: dict | None = None,
    ) -> _core.QueryBlock:
        """Some queries, encoded (unless they are) and packed; where to write what they find.

        `grouped` is what the walk over groups needs of them.
        """
        began = time.perf_counter()
        encoded = self.encode_queries(queries) if encoded is None else encoded
        if resume is None:
            max_key = self.early_thresholds(encoded, found.rows.shape[1], max_key)
        block = _core.QueryBlock(
            self.panels,
            **encoded,
            **(grouped or {}),
            found=found,
            max_key=max_key,
            in_sequence=grouped is None and self._are_in_sequence(len(queries)),
            resume=resume,
        )
        block.work.encoding_seconds = time.perf_counter() - began
        return block

    def early_thresholds(
        self, encoded: dict, k: int, max_key: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Keys beyond which no row is one of the k best: `max_key`, or those of near rows."""
        if max_key is not None or self.near is None:
            return max_key
        return self.near.thresholds(encoded, k, self.metric)

    def encode_queries(self, queries: np.ndarray) -> dict:
        """Queries as the stages and the refine compare them: arguments of `_core.QueryBlock`."""
        screened, slack = queries_as_screened(queries, self.train, self.metric)
        encoded, final = self.screen.encode_queries(
            screened, self.screened_dtype, self.screen_metric, self.codes, slack
        )
        if self.measures is not None:
            encoded.update(as_whole(queries, self.rows, self.metric, self.measures))
            encoded["train"] = self.rows
        elif not final:
            encoded.update(train=self.rows, exact=exactly(queries, self.rows.dtype))
        encoded["by_number"] = self.by_number
        return encoded


def _joined(old: np.ndarray, new: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    """Both, one after the other, and then in an order if there is one."""
    both = np.concatenate([old, new])
    return both if places is None else both[places]


def _unpickled(train, metric, screen, codes, measures, grouping) -> Searcher:
    """A searcher with the threads of the process that it arrives in."""
    n_threads = thread_count(None)
    return Searcher(train, metric, screen, n_threads, codes, measures, None, grouping)


def pack(panels: _core.Panels, screened: Rows | None, n_threads: int) -> None:
    """Fill all panels, with rows of `screened` where these are made a block at a time."""
    if not panels.packed:
        return
    made = screened if isinstance(screened, InBlocks) else None
    elements = PACKED_ELEMENTS if made is None else BLOCK_ELEMENTS
    step, rows = max(1, elements // (panels.width * panels.panel_rows)), panels.panel_rows

    def some(first: int) -> None:
        last = min(first + step, panels.n_panels)
        panels.pack(first, last, None if made is None else made[first * rows : last * rows])

    for_each(some, range(0, panels.n_panels, step), n_threads)


def screen_of(train: np.ndarray, metric: str, name: str = "direct") -> Direct:
    """The screen that "none" or "direct" means for such rows."""
    return direct_screen(screened_type(train, metric), kernel_metric(metric), name)
