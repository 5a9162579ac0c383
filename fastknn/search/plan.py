"""How a search is cut into parts: blocks of queries, shares of the rows, steps between Ctrl-Cs."""

from collections.abc import Iterator
from typing import NamedTuple

from fastknn.engine import _core

# Packed queries of a block: about half of a common L2 cache, the other half is the panel's.
QUERY_BLOCK_BYTES = 512 << 10
# Queries of a block at most: bounds what a thread holds for narrow rows.
QUERY_BLOCK_MAX = 1024
# Elements of the queries of a block at most: a refine keeps them in float64.
QUERY_BLOCK_ELEMENTS = 4 << 20
# Element pairs between two looks at Ctrl-C: 10 ms for bytes, half a second at the very worst.
STEP_PAIRS = 2_000_000_000
# Work below which a thread costs more than it gives, in bytes that a tile of queries compares, some
# 1e11 a second: a thread takes 0.2 ms, one or two more where the other core sleeps.
THREAD_BYTES = 1 << 26
# The same for a byte of the result, whose place some refines and comparisons are made for.
RESULT_BYTE = 1 << 9
# Queries in the time that the rows come from memory; and, unpacked, rows that take one's time.
FREE_QUERIES = 8
# Pieces of the rows for each of the threads that share them.
SHARED_PIECES = 8
# Partial results of a split over rows at most; above it, split over queries.
PARTIAL_BYTES = 16 << 20
# What a block of queries keeps beside the results at most, for very many neighbors: some hundred
# queries for k = 10,000, and one at least.
RESERVOIR_BYTES = 32 << 20


class Part(NamedTuple):
    """Work for one thread: a block of queries against the rows, or against its share of them."""

    queries: slice
    split: int
    # All panels, in the pieces between which Ctrl-C is looked at. Parts that differ in nothing
    # but `split` share them, each taking the next piece when it has done one.
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
    """Cut a search into parts, one after another for each of its threads.

    Many queries are split over queries, into blocks that fit the L2 cache. Few, over rows: each
    thread takes all queries and a share of the panels (unless the partial results, of
    `result_bytes` a query, would be too large). Pieces are of whole multiples of `together`.
    A block keeps `reservoir_bytes` per query beside its results.
    """
    tile, n_panels = panels.tile_queries, panels.n_panels
    if not pays_threads(n_queries, panels, result_bytes):
        n_threads = 1
    few = n_queries < n_threads * tile
    n_units = -(-n_panels // together)
    n_splits = min(n_threads, n_units) if few else 1
    if n_splits * n_queries * (result_bytes + reservoir_bytes) > PARTIAL_BYTES:
        n_splits = 1
    size = min(
        QUERY_BLOCK_BYTES // panels.query_bytes, QUERY_BLOCK_ELEMENTS // width, QUERY_BLOCK_MAX
    )
    if reservoir_bytes:
        size = min(size, RESERVOIR_BYTES // reservoir_bytes)
    size = max(1, size)
    n_blocks = -(-n_queries // size)
    if n_splits == 1:  # the same number of blocks for every thread
        n_blocks = min(n_queries, -(-n_blocks // n_threads) * n_threads)
    size = -(-n_queries // n_blocks)
    if size > tile:
        size += -size % tile
    step = STEP_PAIRS // (min(size, n_queries) * panels.panel_rows * width * together)
    if n_splits > 1:  # several pieces each, for one thread may be slower than the others
        step = min(step, n_units // (n_splits * SHARED_PIECES))
    steps = ranges(0, n_panels, max(1, step) * together)
    parts = []
    for split in range(n_splits):
        for first, last in ranges(0, n_queries, size):
            parts.append(Part(slice(first, last), split, steps))
    return parts, n_splits


def pays_threads(n_queries: int, panels: _core.Panels, result_bytes: int = 0) -> bool:
    """Whether a search is so large that a second thread gives more than it costs."""
    passes = max(n_queries, FREE_QUERIES) if panels.packed else n_queries * FREE_QUERIES
    work = passes * panels.n_rows * panels.query_bytes + n_queries * result_bytes * RESULT_BYTE
    return work >= THREAD_BYTES


def steps_by_block(parts: list[Part]) -> dict[int, Iterator[tuple[int, int]]]:
    """The steps of each block of queries, to be taken by the thread or threads that have it."""
    return {part.queries.start: iter(part.steps) for part in parts}


def ranges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]
