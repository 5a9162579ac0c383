"""How a search is cut into parts: blocks of queries, shares of the rows, steps between Ctrl-Cs."""

from collections.abc import Iterator
from typing import NamedTuple

from fastknn.engine import _core


class Sizes(NamedTuple):
    """The constants by which a search is cut."""

    # Packed queries of a block: about half of a common L2 cache. The other half is the panel's.
    query_block_bytes: int = 512 << 10
    # Queries of a block at most. This bounds what a thread holds for narrow rows.
    query_block_max: int = 1024
    # Elements of the queries of a block at most: a refine keeps them in float64.
    query_block_elements: int = 4 << 20
    # Pairs of elements between two looks at Ctrl-C: 10 ms for bytes, half a second at worst.
    step_pairs: int = 2_000_000_000
    # Work below which a second thread costs more than it gives, in bytes that a tile of queries
    # compares, some 1e11 per second. A thread takes 0.2 ms, or one to two if its core sleeps.
    thread_bytes: int = 1 << 26
    # The same for each byte of the result: refines and comparisons are made for it.
    result_byte: int = 1 << 9
    # Queries that are compared in the time in which the rows come from memory. For unpacked rows:
    # what one query takes there, in queries of packed rows.
    free_queries: int = 8
    # Queries from which a second thread pays where groups are left out: each takes some 2 to 30 us.
    grouped_queries: int = 64
    # Pieces of the rows for each of the threads that share them.
    shared_pieces: int = 8
    # Partial results of a split over rows at most. Above it, the search is split over queries.
    partial_bytes: int = 16 << 20
    # What a block of queries keeps beside the results at most, for very many neighbors: some
    # hundred queries for k = 10,000. A block has one query at least.
    reservoir_bytes: int = 32 << 20


SIZES = Sizes()


class Part(NamedTuple):
    """Work for one thread: a block of queries against all rows, or against its share of them."""

    queries: slice
    split: int
    # All panels, in the pieces between which Ctrl-C is looked at. Parts that differ only in
    # `split` share them: each takes the next piece when it is done with one.
    steps: list[tuple[int, int]]


def plan(
    n_queries: int,
    panels: _core.Panels,
    n_threads: int,
    width: int,
    result_bytes: int = 0,
    together: int = 1,
    reservoir_bytes: int = 0,
) -> tuple[list[Part], int]:
    """Cut a search into parts, and say into how many shares the rows are split.

    Many queries are split over queries, into blocks that fit the L2 cache. Few queries are split
    over rows: each thread takes all queries and a share of the panels, unless the partial results
    would be too large.

    Parameters
    ----------
    n_queries : int
    panels : Panels
        The packed training rows.
    n_threads : int
    width : int
        Columns of the rows.
    result_bytes : int
        Of the result, per query.
    together : int
        Panels that one thread should have together: pieces are whole multiples of it.
    reservoir_bytes : int
        What a block keeps beside its results, per query.
    """
    tile, n_panels = panels.tile_queries, panels.n_panels
    if not pays_threads(n_queries, panels, result_bytes):
        n_threads = 1
    few = n_queries < n_threads * tile
    n_units = -(-n_panels // together)
    n_splits = min(n_threads, n_units) if few else 1
    if n_splits * n_queries * (result_bytes + reservoir_bytes) > SIZES.partial_bytes:
        n_splits = 1
    size = min(
        SIZES.query_block_bytes // panels.query_bytes,
        SIZES.query_block_elements // width,
        SIZES.query_block_max,
    )
    if reservoir_bytes:
        size = min(size, SIZES.reservoir_bytes // reservoir_bytes)
    size = max(1, size)
    n_blocks = -(-n_queries // size)
    if n_splits == 1:  # the same number of blocks for every thread
        n_blocks = min(n_queries, -(-n_blocks // n_threads) * n_threads)
    size = -(-n_queries // n_blocks)
    if size > tile:
        size += -size % tile
    step = SIZES.step_pairs // (min(size, n_queries) * panels.panel_rows * width * together)
    if n_splits > 1:  # several pieces each, for one thread may be slower than the others
        step = min(step, n_units // (n_splits * SIZES.shared_pieces))
    steps = ranges(0, n_panels, max(1, step) * together)
    parts = []
    for split in range(n_splits):
        for first, last in ranges(0, n_queries, size):
            parts.append(Part(slice(first, last), split, steps))
    return parts, n_splits


def steps_of(n_queries: int, panels: _core.Panels) -> list[tuple[int, int]]:
    """The panels that some queries are compared with between two looks at Ctrl-C."""
    step = SIZES.step_pairs // (n_queries * panels.panel_rows * panels.width)
    together = max(1, _core.MAX_PANEL_ROWS // panels.panel_rows)
    return ranges(0, panels.n_panels, max(1, step // together) * together)


def plan_grouped(n_queries: int, n_threads: int) -> list[Part]:
    """Cut a search that leaves groups out into blocks of queries: every query is walked for."""
    if n_queries <= SIZES.query_block_max and n_threads == 1:  # at once: many are of one query
        return [Part(slice(0, n_queries), 0, [])]
    n_blocks = -(-n_queries // SIZES.query_block_max)
    n_blocks = min(n_queries, -(-n_blocks // n_threads) * n_threads)
    size = -(-n_queries // n_blocks)
    return [Part(slice(first, last), 0, []) for first, last in ranges(0, n_queries, size)]


def pays_threads(
    n_queries: int, panels: _core.Panels, result_bytes: int = 0, grouped: bool = False
) -> bool:
    """Whether a search is so large that a second thread gives more than it costs."""
    if grouped:
        return n_queries >= SIZES.grouped_queries
    free = SIZES.free_queries
    passes = max(n_queries, free) if panels.packed else n_queries * free
    work = passes * panels.n_rows * panels.query_bytes
    work += n_queries * result_bytes * SIZES.result_byte
    return work >= SIZES.thread_bytes


def steps_by_block(parts: list[Part]) -> dict[int, Iterator[tuple[int, int]]]:
    """The steps of each block of queries, to be taken by the thread or threads that have it."""
    return {part.queries.start: iter(part.steps) for part in parts}


def ranges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    """Consecutive ranges of at most `step` numbers."""
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]
