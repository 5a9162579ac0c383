# What is kept of the candidates, per query. The walk (search.pxi) finds candidates and computes
# their keys; it knows a `Keeper` by these functions only, and nothing else dispatches on how rows
# are kept:
#
#     start_keeping     nothing is kept yet
#     threshold_key     the key beyond which a row is not kept; it never rises (threshold_low: the
#                       rest of it, for angles)
#     n_wanted          how many rows are wanted
#     offer             takes some rows with their keys; says whether the threshold may have fallen
#     finish_keeping    turns what is kept into a list
#
# Two ways of keeping the k best rows exist: a heap (heap.pxi), and from RESERVOIR_K on a reservoir
# (reservoir.pxi). Another way, such as all rows within a radius, is a third branch of these
# functions.
#
# Limit: one branch per group of at most REFINED_TOGETHER candidates, none per row of a panel.

cdef inline bint has_reservoirs(const Keeper *keeper) noexcept nogil:
    return keeper.reservoirs.capacity > 0


cdef inline void start_keeping(Keeper *keeper, Py_ssize_t query) noexcept nogil:
    """Fill all places with rows that are not there, which every real row comes before."""
    cdef Best best = best_of(&keeper.best, keeper.k, query)
    if has_reservoirs(keeper):
        keeper.reservoirs.counts[query] = 0
        fill_absent(&best, 0, 1)
    else:
        fill_absent(&best, 0, keeper.k)


cdef inline Py_ssize_t n_wanted(const Keeper *keeper) noexcept nogil:
    """Say how many rows are wanted per query."""
    return keeper.k


cdef inline bint has_threshold(const Keeper *keeper, Py_ssize_t query) noexcept nogil:
    """Say whether n_wanted rows were kept, so that others must come before the worst of them."""
    return keeper.best.rows[query * keeper.k] != INT64_MAX


cdef inline double threshold_key(const Keeper *keeper, Py_ssize_t query) noexcept nogil:
    """Return the key beyond which a row is not kept; infinity at first."""
    return keeper.best.keys[query * keeper.k]


cdef inline uint64_t threshold_low(const Keeper *keeper, Py_ssize_t query) noexcept nogil:
    """Return the rest of that key."""
    return low_at(&keeper.best, query * keeper.k)


cdef inline bint offer(Keeper *keeper, Py_ssize_t query, int n, const double *keys,
                       const uint64_t *low, const int64_t *rows) noexcept nogil:
    """Keep those of n rows that belong to the best; say whether the threshold may have fallen."""
    cdef Best best = best_of(&keeper.best, keeper.k, query)
    if has_reservoirs(keeper):
        return keep_in_reservoir(&keeper.reservoirs, keeper.k, query, n, keys, low, rows, &best)
    return keep_in_heap(&best, keeper.k, n, keys, low, rows)


cdef inline void finish_keeping(Keeper *keeper, Py_ssize_t query) noexcept nogil:
    """Turn what is kept into a list: nearest first, and rows that are not there last."""
    cdef Best best = best_of(&keeper.best, keeper.k, query)
    if has_reservoirs(keeper):
        empty_reservoir(&keeper.reservoirs, keeper.k, query, &best)
    else:
        sort_heap(&best, keeper.k)


cdef reservoir_memory(Py_ssize_t n, Py_ssize_t k, Py_ssize_t n_rows, bint with_low):
    """Make the memory of n empty reservoirs; None where the k best are kept in heaps.

    It consists of keys, the rest of keys (or None), rows, counts and scratch.
    """
    if k < RESERVOIR_K:
        return None
    shape = n, reservoir_capacity(k, n_rows)
    return (np.empty(shape), np.empty(shape, np.uint64) if with_low else None,
            np.empty(shape, np.int64), np.zeros(n, np.int64), np.empty(shape[1], np.uint64))


cdef Keeper keeper_of(Best best, Py_ssize_t k, memory):
    """Make a keeper of the k best that writes to `best`, with this `reservoir_memory`."""
    cdef Keeper keeper
    keeper.k, keeper.best, keeper.reservoirs.capacity = k, best, 0
    if memory is None:
        return keeper
    keys, low, rows, counts, words = memory
    keeper.reservoirs.capacity = keys.shape[1]
    keeper.reservoirs.entries.keys = <double *>address(keys)
    keeper.reservoirs.entries.low = NULL if low is None else <uint64_t *>address(low)
    keeper.reservoirs.entries.rows = <int64_t *>address(rows)
    keeper.reservoirs.counts = <int64_t *>address(counts)
    keeper.reservoirs.words = <uint64_t *>address(words)
    return keeper


def reservoir_bytes(Py_ssize_t k, Py_ssize_t n_rows, angles):
    """Return the bytes that a thread holds per query beside the result, for k of n_rows rows."""
    if k < RESERVOIR_K:
        return 0
    return reservoir_capacity(k, n_rows) * (24 if angles else 16)
