"""The choice among screens by measurement: each is tried on a sample of rows."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastknn._utils.threads import for_each
from fastknn.metrics.keys import merge, no_keys
from fastknn.metrics.names import kernel_metric
from fastknn.screens.cascade import Cascade, encode_for_all
from fastknn.screens.direct import DIFFERENCES, EXPANDED, Direct
from fastknn.screens.grouping import Grouping
from fastknn.screens.inputs import as_screened, screened_type
from fastknn.screens.proposals import propose
from fastknn.search.policy import GROUPS, LIMITS, Known, choose
from fastknn.search.searcher import Searcher, screen_of


class Effort(NamedTuple):
    """How much is tried."""

    # The sample of rows, and the rows of it that are queries.
    n_rows: int = LIMITS.looked_rows
    n_queries: int = 256
    # Many neighbors take longer, and of fewer queries say as much: so many neighbors for all
    # queries together, but never fewer queries than this.
    n_neighbors: int = 12_800
    fewest_queries: int = 64
    # The numbers of neighbors for which screens are tried.
    smallest_k: int = 10
    largest_k: int = 256
    # The share of a sample's rows that groups must not leave, for all rows to be grouped.
    promising_share: float = 0.35
    # One of so many queries says whether they leave more.
    promising_queries: int = 4
    # And one of so many whether all rows in groups are quicker than the direct screen.
    tried_queries: int = 2
    # Tries of each screen, and then of those whose cost is this near to the best.
    first_tries: int = 1
    turns: int = 3
    near: float = 1.5
    # Bytes that are packed at a time where only a few queries ask.
    chunk_bytes: int = 16 << 20


EFFORT = Effort()


class Choice(NamedTuple):
    """What was chosen, and why."""

    screen: Direct | Cascade
    # Microseconds per query on one thread, by what was tried.
    costs: dict[str, float]
    # The searcher of all rows that was chosen, where the trial has made it: rows in groups.
    searcher: Searcher | None = None

    @property
    def name(self) -> str:
        return self.screen.name if self.searcher is None else self.searcher.name


def choose_screen(
    train: np.ndarray,
    metric: str,
    screen: str,
    n_threads: int,
    k: int,
    seed: int = 0,
    packed: Searcher | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Choice:
    """The quickest screen of the kind that `screen` names for k neighbors, and what each cost.

    Each is tried on a sample of rows, with a sample of rows as queries that know their final
    k-th distance among *all* rows, so that the share of candidates is that of a whole search.
    Costs are microseconds per query on one thread, extrapolated to all rows (`_Trial`). How many
    groups of rows are within reach depends on how many rows there are: where the sample lets hope,
    all rows are grouped, and searched as they are. `packed` is a searcher of all rows, if there is
    one already. `say` is called with what is being done.
    """
    if screen in ("none", "direct"):
        return Choice(screen_of(train, metric, screen), {})
    generator = np.random.default_rng(seed)
    effort = EFFORT
    k = min(max(k, effort.smallest_k), effort.largest_k, len(train))
    n_queries = min(effort.n_queries, max(effort.fewest_queries, effort.n_neighbors // k))
    queries = np.ascontiguousarray(train[_places(generator, train, n_queries)])
    known = Known.of(train, metric, k=k)
    within = choose(GROUPS, known).choice
    if screen == "grouped" and within != "auto":
        return _grouped(train, metric, within, n_threads, k, queries, say, turns=0)
    rows = np.ascontiguousarray(train[_places(generator, train, effort.n_rows)])
    if screen == "promising":
        return _if_promising(train, metric, within, n_threads, k, queries, say, rows, packed)
    say("choosing a screen: neighbors of a sample")
    max_key = _kth_keys(queries, train, metric, k, n_threads, packed)
    say("choosing a screen: fitting proposals")
    cascades = list(
        propose(
            train,
            kernel_metric(metric),
            "auto" if screen == "grouped" else screen,
            screened=lambda some: as_screened(some, metric)[:],
        )
    )
    encoded = encode_for_all(cascades, as_screened(rows, metric), n_threads)
    searchers = [Searcher(rows, metric, screen_of(rows, metric), n_threads)] + [
        Searcher(rows, metric, cascade, n_threads, codes)
        for cascade, codes in zip(cascades, encoded, strict=True)
    ]
    trials = {one.screen.name: _Trial(one, queries, max_key, k, len(train)) for one in searchers}
    for name, trial in trials.items():
        say(f"choosing a screen: trying {name}")
        trial.run(effort.first_tries)
    # Those near the best take turns: the machine may have been busy with something else before.
    best = min(trial.cost for trial in trials.values())
    near = [trial for trial in trials.values() if trial.cost < effort.near * best]
    for _ in range(effort.turns if len(near) > 1 else 0):
        for trial in near:
            trial.run(1)
    costs = {name: trial.cost for name, trial in trials.items()}
    if screen in ("quantized", "projected") and len(trials) > 1:
        del trials["direct"]
    chosen = min(trials.values(), key=lambda trial: trial.cost).searcher.screen
    grouped = screen == "grouped"
    if screen == "auto":
        say("choosing a screen: trying groups")
        some = slice(None, None, effort.promising_queries)
        share = _share_within_reach(rows, metric, n_threads, queries[some], max_key[some], k)
        grouped = share < effort.promising_share
    if not grouped:
        return Choice(chosen, costs)
    tried = _grouped(
        train,
        metric,
        chosen if within == "auto" else within,
        n_threads,
        k,
        queries,
        say,
        effort.turns,
    )
    costs = {**costs, **tried.costs}
    if screen == "auto" and costs[tried.name] > costs[chosen.name]:
        return Choice(chosen, costs)
    return tried._replace(costs=costs)


def _grouped(
    train: np.ndarray,
    metric: str,
    within: str | Direct | Cascade,
    n_threads: int,
    k: int,
    queries: np.ndarray,
    say: Callable[[str], object],
    turns: int,
) -> Choice:
    """All rows in groups, compared as `within` says, and what a search takes.

    Without `turns` a single screen is not tried at all.
    """
    say("choosing a screen: grouping the rows")
    screened, kind = as_screened(train, metric), kernel_metric(metric)
    grouping = Grouping.of(screened, kind, n_threads)
    if grouping is None:
        return Choice(screen_of(train, metric), {"direct": np.inf})
    if within == EXPANDED:
        within = "differences"
    if not isinstance(within, str):
        screens = [within]
    else:
        quantized = propose(
            train, kind, "quantized", screened=lambda some: as_screened(some, metric)[:]
        )
        screens = [DIFFERENCES] if within in ("differences", "either") else []
        screens += list(quantized) if within in ("quantized", "either") else []
    searchers = [
        Searcher(train, metric, screen, n_threads, grouping=grouping)
        for screen in screens or [DIFFERENCES]
    ]
    if len(searchers) == 1 and not turns:
        return Choice(searchers[0].screen, {}, searchers[0])
    trials = [_WholeTrial(searcher, queries, k) for searcher in searchers]
    for _ in range(turns or EFFORT.turns):
        for trial in trials:
            trial.run(1)
    best = min(trials, key=lambda trial: trial.cost).searcher
    costs = {trial.searcher.name: trial.cost for trial in trials}
    return Choice(best.screen, costs, best)


def _if_promising(
    train: np.ndarray,
    metric: str,
    within: str,
    n_threads: int,
    k: int,
    queries: np.ndarray,
    say: Callable[[str], object],
    rows: np.ndarray,
    packed: Searcher | None,
) -> Choice:
    """All rows in groups, or the direct screen where a sample of rows says that it is quicker.

    That takes a tenth of the time of a trial of all screens.
    """
    direct = screen_of(train, metric)
    say("choosing a screen: trying groups")
    some = queries[:: EFFORT.promising_queries]
    max_key = _kth_keys(some, train, metric, k, n_threads, packed)
    if _share_within_reach(rows, metric, n_threads, some, max_key, k) >= EFFORT.promising_share:
        return Choice(direct, {})
    whole = None if packed is None else packed.packed_as(direct)
    if whole is None:
        whole = Searcher(train, metric, direct, n_threads)
    some = queries[:: EFFORT.tried_queries]
    trial = _WholeTrial(whole, some, k)
    trial.run(1)
    tried = _grouped(train, metric, within, n_threads, k, some, say, turns=1)
    costs = {direct.name: trial.cost, **tried.costs}
    if costs[tried.name] > trial.cost:
        return Choice(direct, costs)
    return tried._replace(costs=costs)


def _share_within_reach(
    rows: np.ndarray,
    metric: str,
    n_threads: int,
    queries: np.ndarray,
    max_key: np.ndarray,
    k: int,
) -> float:
    """The share of the rows of a sample whose groups the queries cannot rule out.

    Groups of a sample are larger than those of all rows: of these, a smaller share is within reach.
    """
    grouping = Grouping.of(as_screened(rows, metric), kernel_metric(metric), n_threads)
    if grouping is None:
        return 1.0
    searcher = Searcher(rows, metric, DIFFERENCES, n_threads, grouping=grouping)
    found = no_keys(len(queries), min(k, len(rows)), metric)
    return searcher.share_within_reach(queries, found, max_key)


def _places(generator: np.random.Generator, train: np.ndarray, count: int) -> np.ndarray:
    return np.sort(generator.choice(len(train), min(len(train), count), replace=False))


def _kth_keys(
    queries: np.ndarray,
    train: np.ndarray,
    metric: str,
    k: int,
    n_threads: int,
    packed: Searcher | None = None,
) -> np.ndarray:
    """The k-th smallest key of each query, from rows that are packed already or else by chunks."""
    best = no_keys(len(queries), k, metric, absent=True)
    row_bytes = train.shape[1] * screened_type(train, metric).itemsize
    step = max(k, EFFORT.chunk_bytes // row_bytes)
    whole = None if packed is None else packed.packed_as(screen_of(train, metric))

    def chunks() -> Iterator[Searcher]:
        for start in range(0, len(train), step):
            chunk = train[start : start + step]
            yield Searcher(chunk, metric, screen_of(chunk, metric), n_threads)

    for searcher in chunks() if whole is None else [whole]:
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
        self.encoding = self.late = self.early = np.inf

    def run(self, tries: int) -> None:
        for _ in range(tries):
            encoding, self.late, whole = self._try(self.max_key, self.late)
            if whole:
                # What it takes to find near rows is part of this one.
                encoding, self.early, whole = self._try(None, self.early)
            self.encoding = min(self.encoding, encoding)
            if not whole:
                break

    def _try(self, max_key: np.ndarray | None, searching: float) -> tuple[float, float, bool]:
        block = self.searcher.block(self.queries, self.found, max_key)
        n_panels = self.searcher.panels.n_panels
        reached = block.search(0, n_panels, self.searcher.give_up)
        # One that gave up would have been as slow with the rows that were left.
        seconds = block.work.seconds * n_panels / reached
        return block.work.encoding_seconds, min(searching, seconds), reached == n_panels

    @property
    def cost(self) -> float:
        """Microseconds per query over all rows, on one thread."""
        n, k = len(self.searcher.train), self.k
        growth = (1 + np.log(self.n_rows / k)) / (1 + np.log(n / k))
        first = max(0, self.early - self.late) * growth if self.early < np.inf else 0
        seconds = self.encoding + self.late * self.n_rows / n + first
        return float(seconds / len(self.queries) * 1e6)


class _WholeTrial:
    """What a searcher of all rows takes for sample queries: a search as any other."""

    def __init__(self, searcher: Searcher, queries: np.ndarray, k: int) -> None:
        self.searcher, self.queries = searcher, queries
        self.found = no_keys(len(queries), k, searcher.metric)
        self.seconds = np.inf

    def run(self, tries: int) -> None:
        for _ in range(tries):
            began = time.perf_counter()
            steps = iter([(0, self.searcher.panels.n_panels)])
            for _ in self.searcher.search(self.queries, self.found, steps):
                pass
            self.seconds = min(self.seconds, time.perf_counter() - began)

    @property
    def cost(self) -> float:
        """Microseconds per query, on one thread."""
        return self.seconds / len(self.queries) * 1e6
