"""Search: put blocks of work on threads, gather the result.

The way of a query: `Index.search` cuts queries and panels into blocks (`plan.py`); each block's
queries are encoded as the training rows are (`Searcher.block`) and handed to `_core.QueryBlock`,
which screens, refines and keeps the best k with the GIL released.
"""

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from fastknn._utils.arrays import as_indices
from fastknn._utils.changes import RowsSample
from fastknn._utils.locks import Lock
from fastknn._utils.matrices import as_matrix, as_queries, check_width
from fastknn._utils.progress import ProgressArgument, check_progress, show_progress, show_status
from fastknn._utils.scalars import as_count, as_flag, as_k, as_path
from fastknn._utils.scales import warn_of_scales
from fastknn._utils.threads import check_n_jobs, for_each, thread_count
from fastknn.engine import _core
from fastknn.engine._core import cpu_level
from fastknn.metrics.keys import (
    Keys,
    as_distances,
    check_found,
    leave_out_beyond,
    merge,
    no_keys,
)
from fastknn.metrics.names import ANGLES, metric_name
from fastknn.search import storage
from fastknn.search.growth import Growth
from fastknn.search.plan import Part, pays_threads, plan, plan_grouped, steps_by_block
from fastknn.search.policy import Known
from fastknn.search.searcher import Searcher
from fastknn.search.trial import choose_screen

__all__ = ["Index", "cpu_level", "load_index"]

SCREENS = ("auto", "none", "direct", "quantized", "projected", "grouped")
# Of a neighbor in a result: its key and its row.
KEY_BYTES = 16
# Why an index has its screen, where nothing else is known.
AS_ASKED = "as asked"
# Attributes that differ from run to run with the clock, or with the searches that were made.
MEASURED = ("costs_", "_last", "_growth", "_lock")


class Index:
    """Training rows, ready for exact nearest-neighbor search.

    Parameters
    ----------
    train : array-like of shape (n_rows, width)
        uint8, int8, float32 or float64 are used as they are and not copied: do not change them
        while the index lives. Every search compares some 64 rows with copies of them, and raises
        if they differ; a change of a few other rows goes unnoticed, and then results may be
        those of neither. Others are converted once: booleans to uint8, float16 and integers of
        16 bits to float32, wider integers to float64.
    metric : str, default "l2"
        "l1" (also "manhattan", "cityblock"), "l2" (also "euclidean"), "sqeuclidean" (L2, but
        distances are squared), "cosine" (1 - the cosine of the angle, from 0 to 2), or
        "correlation" (the same of rows minus their means). Angles are compared exactly: whole
        numbers as they are, and other floats as rounded to 56 bits below each row's largest
        magnitude. Rows of zeros are at distance 1 from every row (under "correlation": constant
        rows).
    screen : {"auto", "none", "direct", "quantized", "projected", "grouped"}, default "auto"
        How rows are ruled out; every screen finds the same neighbors. "none" computes every
        distance directly on the unpacked rows, which suits a few queries.
        "direct" packs the rows, and compares bytes as exact integers; floats in float32 (L2, by
        expanded squares about a center, where those rule out enough) or by their differences,
        and then the candidates again in float64. "quantized" compares them rounded to bytes,
        "projected" their projections (L2) or sums over groups of correlated features (L1),
        rounded to bytes, in one or more stages; both fall back to "direct" where the data leave
        nothing to gain or are too wide. "grouped" puts the rows in an order in which groups of 16
        lie close together, leaves out all groups that the box around them puts out of reach, and
        compares the others as one of the screens before: for few columns, and wherever the data
        have few degrees of freedom. "auto" takes what is quickest on a sample of the rows, where
        the queries that are expected pay for the choice, and "direct" or "none" where they do not.
    expected_k : int, default 10
        Neighbors that searches will mostly want: what "auto" takes is the quickest for so many.
        Any number may be searched for.
    expected_queries : int, optional
        Queries of all searches together, by which "auto" decides how long it may choose: a good
        screen of 50,000 rows of 3,072 bytes takes seconds to find. By default as many as there are
        training rows. If more come, the search with which they pay for it chooses a better screen
        first. None of this changes what is found.
    n_jobs : int or None, default None
        Threads used to build the index: a positive number means itself; None and -1 mean all
        that this process may use, which containers, OMP_NUM_THREADS, threadpoolctl and joblib
        may limit (see the page "How many threads" of the documentation).
    check_finite : bool, default True
        False spares a pass over floats that are known to be neither NaN nor infinite; if some
        are, what is found is undefined.
    progress : bool, default None
        True says on standard error what is being done while a screen is chosen and built. The
        objects that `search` takes count queries, and are told nothing here.

    Attributes
    ----------
    train : ndarray (n_rows, width)
        The training rows.
    cascade : str
        Which screens are used, in words.
    reason : str
        Why these: what they took on the sample, beside the runner-up and the direct screen.
    costs_ : dict of str to float
        What was tried to choose them: microseconds per query on one thread. Copies and pickles
        have the screens, and not these.
    nbytes : int
        Bytes held besides the training rows. Direct: as many again (4 per element of floats under
        L2; for angles 4 per element, 8 of float64), and 4 to 8 per row. With screens: per row, a
        few times the width of their codes. Angles: 24 or 48 per row on top. Rows in groups: a copy
        of the rows, unless they are on disk, 8 per row, and half a byte per row and coordinate of
        their boxes, of which there are 64 at most.
    stats_ : dict
        ``cascade``, ``reason`` and ``costs`` as above; and what the last finished search did:
        ``groups_compared`` (pairs of a query and a group of rows, or of groups), ``rows_skipped``
        (pairs of a query and a row, left out with their group), ``rows_screened`` (all others),
        ``candidates`` (of them, after each stage), ``rows_refined`` (distances computed exactly
        for them; none where the scores are the distances), ``rows_given_up`` (left to the direct
        screen where the cascade did not pay), ``seconds``, and ``stage_seconds`` (of all threads
        together; the stages' shares are estimated from some of the panels).

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be searched (NaN, wrong rank, unknown metric...), by name.

    Notes
    -----
    Direct, building takes one pass over the data, and a search n_queries * n_rows * width
    element operations, whatever the data. Groups are ordered in O(n_rows log(n_rows)); a query
    looks at those within reach, which are few where the data have few degrees of freedom. A screen
    replaces the width by that of its codes, and adds the refine of its candidates; building one
    takes seconds for 50,000 rows of 3,072 bytes.

    A pickle holds the rows, the screens and the codes, and nothing that was counted or timed: it is
    the same before and after a search, unless that search chose a better screen; and whoever loads
    it chooses nothing again. Two indices of the same rows are pickled alike if they chose the same
    screens; the choice depends on the clock where `screen` leaves one.

    Building holds no copy of the rows besides: what screens compare is made of them a block at a
    time, and tried on a sample of 8,192 rows. Only grouping holds more for a while: coordinates of
    all rows, 64 of 4 bytes at most; and where "auto" tries groups and does not take them, what an
    index of groups and its fallback hold.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn import Index
    >>> train = np.array([[0, 0], [3, 4], [6, 8]], dtype=np.uint8)
    >>> distances, indices = Index(train).search(train[:1], k=2)
    >>> distances
    array([[0., 5.]])
    >>> indices
    array([[0, 1]])
    """

    def __init__(
        self,
        train: ArrayLike,
        metric: str = "l2",
        *,
        screen: str = "auto",
        expected_k: int = 10,
        expected_queries: int | None = None,
        n_jobs: int | None = None,
        check_finite: bool = True,
        progress: ProgressArgument = None,
    ) -> None:
        _check_screen(screen)
        expected_k = as_count(expected_k, "expected_k")
        expected_queries = _as_expected(expected_queries)
        check_progress(progress)
        metric = metric_name(metric)
        check_n_jobs(n_jobs)
        # Asking takes as long as a small search. For no queries, only what angles need is built.
        builds = screen != "auto" or expected_queries != 0 or metric in ANGLES
        n_threads = thread_count(n_jobs) if builds else 1
        train = as_matrix(train, "train", as_flag(check_finite, "check_finite"))
        growth = _growth(train, metric, screen, expected_k, expected_queries, n_threads)
        stage = screen if growth is None else growth.stage
        searcher, costs = _built(train, metric, stage, expected_k, n_threads, progress)
        self._hold(metric, screen, searcher, costs, growth=growth)

    def _hold(
        self,
        metric: str,
        screen: str,
        searcher: Searcher,
        costs: dict[str, float],
        why: str = AS_ASKED,
        growth: Growth | None = None,
    ) -> "Index":
        """What every index begins with: the screen that was asked for, and what it came to."""
        self.metric, self.screen = metric, screen
        self._why = why if growth is None else growth.rule.why
        self._keep(searcher)
        self._begin(costs, growth)
        return self

    def _begin(self, costs: dict[str, float], growth: Growth | None = None) -> None:
        """No search was made yet. Without a `growth`, the screen stays."""
        self.costs_, self._growth, self._lock = costs, growth, Lock()
        # Of the last search: what it did, its pairs of a query and a row, and its seconds.
        self._last: tuple[_Tally, int, float] | None = None

    def _keep(self, searcher: Searcher) -> None:
        """Search these rows from now on."""
        self._sample = RowsSample(searcher.train)
        self._searcher, self.train = searcher, searcher.train

    def _grow(self, n_queries: int, k: int, n_jobs: int | None, progress: ProgressArgument) -> None:
        """Build the next screen if these queries pay for it, and nobody else is building it."""
        growth = self._growth
        if growth is None or self._searcher.grouping is not None or not growth.count(n_queries):
            return  # nothing is quicker than groups that pay
        n_threads, before = thread_count(n_jobs), self._searcher
        rule = growth.begin(Known.of(before.train, self.metric, k=k, n_threads=n_threads))
        if rule is None:
            return
        built = None
        try:
            searcher, costs = _built(
                before.train, self.metric, rule.choice, k, n_threads, progress, before
            )
            with self._lock:
                if self._searcher is before:  # else rows were appended meanwhile
                    self._searcher, self.costs_, self._why = searcher, costs, rule.why
                    built = rule
        finally:
            growth.end(built)

    def with_screen(
        self,
        screen: str,
        *,
        expected_k: int = 10,
        expected_queries: int | None = None,
        n_jobs: int | None = None,
        progress: ProgressArgument = None,
    ) -> "Index":
        """An index of the same rows, which are shared, with another screen.

        What is packed for this index and of use to the other is shared, too: it becomes the other's
        fallback.

        Parameters
        ----------
        screen : str
        expected_k : int, default 10
        expected_queries : int, optional
        n_jobs : int or None, default None
        progress : bool, default None
            All as for the constructor.

        Returns
        -------
        Index

        Raises
        ------
        ValueError
            For another word.

        Examples
        --------
        >>> import numpy as np
        >>> from fastknn import Index
        >>> Index(np.eye(3)).with_screen("none").cascade
        'none'
        """
        _check_screen(screen)
        check_progress(progress)
        k, n_expected = as_count(expected_k, "expected_k"), _as_expected(expected_queries)
        n_threads, packed, metric = thread_count(n_jobs), self._searcher, self.metric
        growth = _growth(packed.train, metric, screen, k, n_expected, n_threads)
        stage = screen if growth is None else growth.stage
        searcher, costs = _built(packed.train, metric, stage, k, n_threads, progress, packed)
        return Index.__new__(Index)._hold(metric, screen, searcher, costs, growth=growth)

    def subset(self, rows: ArrayLike, *, n_jobs: int | None = None) -> "Index":
        """An index of some of the rows, with the same screens; nothing is chosen or encoded again.

        Parameters
        ----------
        rows : array-like of int
            Their indices: the first of them is row 0 of the new index.
        n_jobs : int or None, default None

        Returns
        -------
        Index
            Of copies of the rows and of their codes.

        Raises
        ------
        ValueError, TypeError
            If they are not indices of rows, from 0 on.

        Examples
        --------
        >>> import numpy as np
        >>> from fastknn import Index
        >>> Index(np.eye(4)).subset([3, 1]).search([[0, 0, 0, 1.0]], k=1)[1]
        array([[0]])
        """
        rows = as_indices(rows, "rows", len(self))
        self._sample.check(self.train)
        searcher = self._searcher.subset(self.train[rows], rows, thread_count(n_jobs))
        other = Index.__new__(Index)
        return other._hold(self.metric, self.screen, searcher, self.costs_, self._why)

    @property
    def width(self) -> int:
        """Columns of the rows that were given, and of the queries."""
        return self.train.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes held besides the training rows."""
        return self._searcher.nbytes

    @property
    def cascade(self) -> str:
        """Which screens are used, in words."""
        return self._searcher.name

    @property
    def reason(self) -> str:
        """Why these screens: what they and the direct one took on a sample, or as asked."""
        if not self.costs_:
            return self._why
        others = {name: cost for name, cost in self.costs_.items() if name != self.cascade}
        if not others:
            return "no other fits these rows"
        runner_up = min(others, key=others.__getitem__)
        shown = [name for name in dict.fromkeys([runner_up, "direct"]) if name in others]
        return f"{self.costs_[self.cascade]:.3g} us per query on a sample; " + ", ".join(
            f"{name} {others[name]:.3g}" for name in shown
        )

    @property
    def stats_(self) -> dict:
        """The choice of the screens, and what the last finished search did: see `Index`."""
        if self._last is None:
            return self._choice()
        tally, pairs, seconds = self._last
        return {**self._choice(), **tally.stats(pairs), "seconds": seconds}

    def _choice(self) -> dict:
        return {"cascade": self.cascade, "reason": self.reason, "costs": self.costs_}

    def __getstate__(self) -> dict:
        """What was indexed: rows, screens and codes, but nothing that was counted or timed."""
        state = {name: value for name, value in vars(self).items() if name not in MEASURED}
        if self.costs_:
            state["_why"] = "chosen before it was copied"
        if self._sample.changed(self.train) is None:
            del state["_sample"]  # else whoever loads it has to know
        return state

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._begin({})
        if "_sample" not in state:
            self._sample = RowsSample(self.train)

    def __len__(self) -> int:
        return len(self.train)

    def __repr__(self) -> str:
        return (
            f"Index({len(self):,} x {self.width:,} {self.train.dtype}, metric={self.metric!r}, "
            f"screen={self.cascade!r})"
        )

    def __str__(self) -> str:
        """The same with the details, a line for each."""
        lines = {
            "rows": f"{len(self):,} x {self.width:,} {self.train.dtype}",
            "metric": self.metric,
            "screen": self.cascade,
            "chosen": self.reason,
            "codes": f"{self.nbytes / 2**20:.1f} MiB",
            "kernels": cpu_level(),
        }
        return "\n".join(["Index", *(f"  {name:<8} {line}" for name, line in lines.items())])

    def append(self, rows: ArrayLike, *, n_jobs: int | None = None) -> "Index":
        """Add training rows; they get the next indices.

        The screens stay as they were chosen, and only the new rows are encoded. The training
        rows are copied, so that appending a few at a time costs a copy of all each time. Rows in
        groups: the new ones form groups with those that were appended shortly before.

        Parameters
        ----------
        rows : array-like of shape (n_rows, width)
            Of the training rows' type, or converting to it without a change of value.
        n_jobs : int or None, default None

        Returns
        -------
        Index
            This index. Searches that are under way meanwhile are not affected.

        Raises
        ------
        ValueError, TypeError
            For rows that cannot be searched or do not fit; then nothing is changed.

        Examples
        --------
        >>> import numpy as np
        >>> from fastknn import Index
        >>> len(Index(np.eye(4)).append(np.ones((2, 4))))
        6
        """
        rows = as_matrix(rows, "rows")
        check_width(rows, self.width, "rows")
        with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is refused below
            converted = rows.astype(self.train.dtype)
        if not np.array_equal(converted, rows):
            raise ValueError(
                f"rows must convert to {self.train.dtype}, the type of train, without a change "
                "of value"
            )
        n_threads = thread_count(n_jobs)
        with self._lock:
            self._sample.check(self.train)
            # Row by row, as searches read them: NumPy would choose by the strides of what is given.
            train = np.empty((len(self) + len(rows), self.width), self.train.dtype)
            np.concatenate([self.train, converted], out=train)
            self._keep(self._searcher.with_more(train, n_threads))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index, training rows included, to a new folder: see `load_index`.

        The folder appears when it is whole. Format: `fastknn/search/storage.py`.

        Parameters
        ----------
        path : str or os.PathLike
            A folder that does not exist yet, in one that does.

        Raises
        ------
        FileExistsError, OSError
            If there is something already, or it cannot be written.
        """
        path = as_path(path, "path")
        about = {"metric": self.metric, "screen": self.screen, "costs": self.costs_}
        self._sample.check(self.train)
        storage.save(path, about, self._searcher)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        n_jobs: int | None = None,
        progress: ProgressArgument = None,
        check_finite: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the exact k nearest training rows of each query.

        Parameters
        ----------
        queries : array-like of shape (n_queries, width)
            Of any type that `train` may have, not necessarily the same one. There may be none:
            then the results have no rows.
        k : int
            Neighbors to find, from 1 to the number of training rows.
        n_jobs : int or None, default None
            Threads; None and -1 mean all that this process may use, as for the constructor.
        progress : bool or object with an ``update(n)`` method, default None
            True shows a tqdm bar; an object is told of every (perhaps fractional) number of
            queries done.
        check_finite : bool, default True
            As for the constructor.

        Returns
        -------
        distances : ndarray (n_queries, k) of float64
            Ascending. Exact integers for bytes under L1, their square roots under L2; else
            the direct formula in float64. Angles: 1 - cosine, from the exact squared cosine.
        indices : ndarray (n_queries, k) of int64
            Rows of `train`, in the order (exact key, row): the key is the distance, squared under
            L2, or the angle. Two different squares can have one root: then distances are
            equal, and rows need not be in order.

        Raises
        ------
        ValueError, TypeError
            For arguments that cannot be searched (NaN, another width, k out of range...), by name.
            Where nobody looked for NaN (`check_finite`), for a query that has fewer than k
            comparable rows. If the training rows have changed.
        KeyboardInterrupt
            On Ctrl-C, within half a second; no thread is left at work.

        Warns
        -----
        UserWarning
            Where fractions from 0 or -1 to 1 meet bytes of many values: mostly one of `queries`
            and `train` was not divided by 255. What is found is the same.

        Examples
        --------
        >>> import numpy as np
        >>> from fastknn import Index
        >>> index = Index(np.array([[0], [10], [20]], dtype=np.uint8), "l1")
        >>> index.search([[12.5]], k=2)
        (array([[2.5, 7.5]]), array([[1, 2]]))
        """
        found = self.search_keys(
            queries, k, n_jobs=n_jobs, progress=progress, check_finite=check_finite
        )
        check_found(found)
        return as_distances(found, self.metric), found.rows

    def search_keys(
        self,
        queries: ArrayLike,
        k: int,
        *,
        max_key: np.ndarray | None = None,
        n_jobs: int | None = None,
        progress: ProgressArgument = None,
        check_finite: bool = True,
        name: str | None = "queries",
    ) -> Keys:
        """Find neighbors by key, as parts of a training set are searched: see `metrics/keys.py`.

        Parameters
        ----------
        queries, k, n_jobs, progress, check_finite
            As for `search`.
        max_key : ndarray (n_queries,) of float64, optional
            The largest key wanted, per query; rows at it are found too.
        name : str or None, default "queries"
            Of the queries, for the warning that `search` gives; None where that was looked at.

        Returns
        -------
        Keys
            Where a query has fewer than k such rows, absent ones come last.
        """
        started = time.perf_counter()
        queries = as_queries(queries, self.width, as_flag(check_finite, "check_finite"))
        k = as_k(k, len(self))
        self._sample.check(self.train)
        if name is not None:
            warn_of_scales(queries, self.train, self.metric, name)
        check_n_jobs(n_jobs)
        check_progress(progress)
        if max_key is not None:
            max_key = np.ascontiguousarray(max_key, np.float64)
        self._grow(len(queries), k, n_jobs, progress)
        searcher, n_threads = self._searcher.for_neighbors(k), 1
        grouped = searcher.boxes is not None
        if pays_threads(len(queries), searcher.panels, k * KEY_BYTES, grouped):
            n_threads = thread_count(n_jobs)  # asking takes a tenth of the smallest searches
        if not len(queries):  # nothing to plan
            with show_progress(progress, 0):
                self._last = _Tally(), 0, 0.0
            return no_keys(0, k, self.metric)
        if grouped:
            parts, n_splits = plan_grouped(len(queries), n_threads), 1
        else:
            parts, n_splits = plan(
                len(queries),
                searcher.panels,
                n_threads,
                self.width,
                k * KEY_BYTES,
                searcher.panels_together,
                searcher.reservoir_bytes(k),
            )
        # Where several threads share the rows, each has a result of its own; the first is returned.
        found = [no_keys(len(queries), k, self.metric) for _ in range(n_splits)]
        tally, lock = _Tally(), threading.Lock()
        # Queries that meet several splits are encoded once, and here: threads that all want the
        # interpreter wait for each other longer than the coding of a few takes.
        blocks, steps = {}, steps_by_block(parts)
        for rows, split, _ in parts if n_splits > 1 else ():
            if split == 0:
                encoded = searcher.encode_queries(queries[rows])
                most = None if max_key is None else max_key[rows]
                most = searcher.early_thresholds(encoded, k, most)
                for place in range(n_splits):
                    blocks[rows.start, place] = searcher.block(
                        queries[rows], found[place].of(rows), most, encoded=encoded
                    )

        # Queries that are near the same groups of rows are searched one after another.
        order = None
        if grouped and len(parts) > n_threads:
            order = searcher.order_of(queries, n_threads)

        def run(part: Part) -> Iterator[None]:
            rows, split = part.queries, part.split
            some: slice | np.ndarray = rows if order is None else order[rows]
            own = blocks.get((rows.start, split))
            used = [] if own is None else [own]  # a late thread may find nothing to do
            most = None if max_key is None else max_key[some]
            own_found = found[split].of(some)
            for block, done in searcher.search(
                queries[some], own_found, steps[rows.start], own, most
            ):
                if block not in used:
                    used.append(block)
                with lock:
                    advance((rows.stop - rows.start) * done / len(self))
                yield
            if isinstance(some, np.ndarray):  # else it has written to views
                found[split].put(some, own_found)
            with lock:
                tally.add(used)

        with show_progress(progress, len(queries)) as advance:
            for_each(run, parts, n_threads)
        for other in found[1:]:
            merge(found[0], other)
        if max_key is not None:
            leave_out_beyond(max_key, found[0])

        self._last = tally, len(queries) * len(self), time.perf_counter() - started
        if not grouped and self._growth is not None and searcher is self._searcher:
            self._growth.took(len(queries), tally.seconds)
        return found[0]


def _built(
    train: np.ndarray,
    metric: str,
    stage: str,
    k: int,
    n_threads: int,
    progress: ProgressArgument,
    packed: Searcher | None = None,
) -> tuple[Searcher, dict[str, float]]:
    """The rows packed for the screen that is chosen, and what each cost that was tried.

    `packed` is a searcher of the same rows.
    """
    with show_status(progress) as say:
        choice = choose_screen(train, metric, stage, n_threads, k, packed=packed, say=say)
        say(f"building the screen: {choice.name}")
        if choice.searcher is not None:
            return choice.searcher, choice.costs
        if packed is None:
            return Searcher(train, metric, choice.screen, n_threads), choice.costs
        return packed.with_screen(choice.screen, n_threads), choice.costs


def _growth(
    train: np.ndarray, metric: str, screen: str, k: int, n_queries: int | None, n_threads: int
) -> Growth | None:
    """How an index begins and grows; None if its screen is to be as it was asked for."""
    if screen != "auto":
        return None
    n_queries = len(train) if n_queries is None else n_queries
    return Growth(Known.of(train, metric, k=k, n_queries=n_queries, n_threads=n_threads))


def _as_expected(n_queries: int | None) -> int | None:
    return None if n_queries is None else as_count(n_queries, "expected_queries", 0)


def _check_screen(screen: str) -> None:
    if not isinstance(screen, str) or screen not in SCREENS:
        raise ValueError(f"screen must be one of {', '.join(map(repr, SCREENS))}; got {screen!r}")


def load_index(
    path: str | os.PathLike[str],
    *,
    mmap: bool = False,
    verify: bool = True,
    n_jobs: int | None = None,
) -> Index:
    """Load an index that `Index.save` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The folder.
    mmap : bool, default False
        Leave the training rows on disk and read only those that the screens cannot rule out:
        with codes of a few bytes per row, a set several times larger than memory can be searched.
        (An index whose screen is direct packs all its rows in memory nevertheless.)
    verify : bool, default True
        Check the checksums of all arrays, which reads the training rows once.
    n_jobs : int or None, default None
        Threads used to pack the codes.

    Returns
    -------
    Index

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If a file is missing, truncated or altered, or `path` is no folder; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastknn import Index, load_index
    >>> index = Index(np.eye(4, dtype=np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     index.save(f"{folder}/saved")
    ...     load_index(f"{folder}/saved").search(np.eye(4), k=1)[1].ravel()
    array([0, 1, 2, 3])
    """
    mmap, verify = as_flag(mmap, "mmap"), as_flag(verify, "verify")
    about, train, screen, codes, measures, grouping = storage.load(
        as_path(path, "path"), mmap, verify
    )
    metric, n_threads = about["metric"], thread_count(n_jobs)
    searcher = Searcher(train, metric, screen, n_threads, codes or None, measures, None, grouping)
    why = AS_ASKED if about["screen"] != "auto" else "chosen before it was saved"
    return Index.__new__(Index)._hold(metric, about["screen"], searcher, about["costs"], why)


class _Tally:
    """What the blocks of a search did; it is added up when somebody asks."""

    def __init__(self) -> None:
        self._parts: list[list[_core.Work]] = []

    def add(self, blocks: "list[_core.QueryBlock]") -> None:
        """Take in one part's blocks: the one it began with, and the direct one it may end with."""
        self._parts.append([block.work for block in blocks])

    @property
    def seconds(self) -> float:
        """What all blocks took, on all threads together, without their encoding."""
        return sum(work.seconds for part in self._parts for work in part)

    def stats(self, pairs: int) -> dict:
        """What is counted of so many pairs of a query and a row; seconds add up over threads."""
        works = [work for part in self._parts for work in part]
        firsts = [part[0] for part in self._parts]
        others = [work for part in self._parts for work in part[1:]]
        screened = sum(work.screened for work in works)
        # Of no block at all there are a refine and groups still, which took no time.
        *stages, refine, groups = _sums([work.stage_seconds for work in firsts]) or [0.0, 0.0]
        return {
            "groups_compared": sum(work.boxes_compared for work in works),
            "rows_skipped": pairs - screened,
            "rows_screened": screened,
            "candidates": _sums([work.candidates for work in firsts]),
            "rows_refined": sum(work.refined for work in works),
            "rows_given_up": sum(work.screened for work in others),
            "stage_seconds": {
                "encoding": sum(work.encoding_seconds for work in works),
                "groups": groups,
                **{f"stage {place}": one for place, one in enumerate(stages, start=1)},
                "refine": refine,
                "direct": sum(work.seconds for work in others),
            },
        }


def _sums(lists: list[list]) -> list:
    """The sums of the first elements of all lists, of the second, and so on."""
    return [sum(column) for column in zip(*lists, strict=True)]
