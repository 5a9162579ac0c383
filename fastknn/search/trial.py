"""The choice among screens by measurement: each is tried on a sample of rows."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastknn._utils.threads import for_each
from fastknn.metrics.keys import merge, no_keys
from fastknn.metrics.names import kernel_metric
from fastknn.screens.cascade import Cascade, encode_for_all
from fastknn.screens.direct import Direct
from fastknn.screens.inputs import as_screened, screened_type
from fastknn.screens.proposals import propose
from fastknn.search.searcher import Searcher, screen_of


class Effort(NamedTuple):
    """How much is tried."""

    # The sample of rows, and the rows of it that are queries.
    n_rows: int = 8192
    n_queries: int = 256
    # Many neighbors take longer, and of fewer queries say as much: so many neighbors for all
    # queries together, but never fewer queries than this.
    n_neighbors: int = 12_800
    fewest_queries: int = 64
    # The numbers of neighbors for which screens are tried.
    smallest_k: int = 10
    largest_k: int = 256
    # Tries of each screen, and then of those whose cost is this near to the best.
    first_tries: int = 1
    turns: int = 3
    near: float = 1.5
    # Bytes that are packed at a time where only a few queries ask.
    chunk_bytes: int = 16 << 20


EFFORT = Effort()


def choose_screen(
    train: np.ndarray,
    metric: str,
    screen: str,
    n_threads: int,
    k: int,
    seed: int = 0,
    packed: Searcher | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[Direct | Cascade, dict[str, float]]:
    """The quickest screen of the kind that `screen` names for k neighbors, and what each cost.

    Each is tried on a sample of rows, with a sample of rows as queries that know their final
    k-th distance among *all* rows, so that the share of candidates is that of a whole search.
    Costs are microseconds per query on one thread, extrapolated to all rows (`_Trial`). `packed` is
    a searcher of all rows, if there is one already. `say` is called with what is being done.
    """
    if screen in ("none", "direct"):
        return screen_of(train, metric, screen), {}
    generator = np.random.default_rng(seed)
    effort = EFFORT
    k = min(max(k, effort.smallest_k), effort.largest_k, len(train))
    n_queries = min(effort.n_queries, max(effort.fewest_queries, effort.n_neighbors // k))
    queries = np.ascontiguousarray(train[_places(generator, train, n_queries)])
    rows = np.ascontiguousarray(train[_places(generator, train, effort.n_rows)])
    say("choosing a screen: neighbors of a sample")
    max_key = _kth_keys(queries, train, metric, k, n_threads, packed)
    say("choosing a screen: fitting proposals")
    cascades = list(
        propose(
            train,
            kernel_metric(metric),
            screen,
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
    if screen != "auto" and len(trials) > 1:
        del trials["direct"]
    return min(trials.values(), key=lambda trial: trial.cost).searcher.screen, costs


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
            self.encoding, self.late, whole = self._try(self.max_key, self.encoding, self.late)
            if whole:
                self.encoding, self.early, whole = self._try(None, self.encoding, self.early)
            if not whole:
                break

    def _try(self, max_key: np.ndarray | None, encoding: float, searching: float):
        block = self.searcher.block(self.queries, self.found, max_key)
        n_panels = self.searcher.panels.n_panels
        reached = block.search(0, n_panels, self.searcher.give_up)
        # One that gave up would have been as slow with the rows that were left.
        seconds = block.seconds * n_panels / reached
        return min(encoding, block.encoding_seconds), min(searching, seconds), reached == n_panels

    @property
    def cost(self) -> float:
        """Microseconds per query over all rows, on one thread."""
        n, k = len(self.searcher.train), self.k
        growth = (1 + np.log(self.n_rows / k)) / (1 + np.log(n / k))
        first = max(0, self.early - self.late) * growth if self.early < np.inf else 0
        seconds = self.encoding + self.late * self.n_rows / n + first
        return float(seconds / len(self.queries) * 1e6)
