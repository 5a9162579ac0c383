# The k best rows in a binary heap on (key, row), with the worst at the root. Its memory is that of
# the result, and it starts full of (infinity, INT64_MAX), which every real row comes before. Where
# float64 does not hold a whole key (angles.h), `low` has the rest of it.
#
# Up to SORTED_K rows are kept sorted, the worst first, which is a heap, too: a new one passes half of
# them in a loop that the processor foresees better than a way through a tree, and at the end there is
# nothing to sort. `keep_in_heap` and `sort_heap` go together: what is sifted alone is not sorted.

cdef enum:
    SORTED_K = 16


cdef inline Best best_of(const Best *every, Py_ssize_t k, Py_ssize_t query) noexcept nogil:
    """Return the k best of one query."""
    cdef Best best
    cdef Py_ssize_t first = query * k
    best.keys = every.keys + first
    best.low = NULL if every.low == NULL else every.low + first
    best.rows = every.rows + first
    return best


cdef inline bint comes_before(double key, uint64_t low, int64_t row, const Best *best,
                              Py_ssize_t place) noexcept nogil:
    """Say whether a row is nearer than the one at some place of a heap; a NaN never is."""
    if key != best.keys[place]:
        return key < best.keys[place]
    if best.low != NULL and low != best.low[place]:
        return low < best.low[place]
    return row < best.rows[place]


cdef inline void put(Best *best, Py_ssize_t place, double key, uint64_t low, int64_t row) noexcept nogil:
    best.keys[place] = key
    best.rows[place] = row
    if best.low != NULL:
        best.low[place] = low


cdef inline void fill_absent(Best *best, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Put rows that are not there into the places first..last-1."""
    cdef Py_ssize_t place
    for place in range(first, last):
        put(best, place, INFINITY, 0, INT64_MAX)


cdef inline uint64_t low_at(const Best *best, Py_ssize_t place) noexcept nogil:
    return 0 if best.low == NULL else best.low[place]


cdef inline bint in_order_at(const Best *best, Py_ssize_t place, Py_ssize_t other) noexcept nogil:
    return comes_before(best.keys[place], low_at(best, place), best.rows[place], best, other)


cdef void sift_down(Best *best, Py_ssize_t size, double key, uint64_t low,
                    int64_t row) noexcept nogil:
    """Put a row in place of the root of a heap of `size` rows."""
    cdef Py_ssize_t hole = 0, child
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and in_order_at(best, child, child + 1):
            child += 1
        if not comes_before(key, low, row, best, child):
            break
        put(best, hole, best.keys[child], low_at(best, child), best.rows[child])
        hole = child
    put(best, hole, key, low, row)


cdef inline void slide_down(Best *best, Py_ssize_t size, double key, uint64_t low,
                            int64_t row) noexcept nogil:
    """Put a row in place of the worst of `size` sorted rows."""
    cdef Py_ssize_t hole = 0
    while hole + 1 < size and comes_before(key, low, row, best, hole + 1):
        put(best, hole, best.keys[hole + 1], low_at(best, hole + 1), best.rows[hole + 1])
        hole += 1
    put(best, hole, key, low, row)


cdef inline bint keep_in_heap(Best *best, Py_ssize_t k, int n, const double *keys,
                              const uint64_t *low, const int64_t *rows) noexcept nogil:
    """Put those of n rows that come before the worst into a heap; say whether there were any."""
    cdef bint any = False
    cdef int i
    for i in range(n):
        if not comes_before(keys[i], low[i], rows[i], best, 0):
            continue
        if k <= SORTED_K:
            slide_down(best, k, keys[i], low[i], rows[i])
        else:
            sift_down(best, k, keys[i], low[i], rows[i])
        any = True
    return any


cdef inline void swap_places(Best *best, Py_ssize_t one, Py_ssize_t other) noexcept nogil:
    cdef double key = best.keys[one]
    cdef uint64_t low = low_at(best, one)
    cdef int64_t row = best.rows[one]
    put(best, one, best.keys[other], low_at(best, other), best.rows[other])
    put(best, other, key, low, row)


cdef void sort_heap(Best *best, Py_ssize_t size) noexcept nogil:
    """Sort a heap: nearest first."""
    cdef double key
    cdef uint64_t low
    cdef int64_t row
    cdef Py_ssize_t last
    if size <= SORTED_K:
        for last in range(size - 1, (size - 1) // 2, -1):
            swap_places(best, last, size - 1 - last)
        return
    for last in range(size - 1, 0, -1):
        key, low, row = best.keys[last], low_at(best, last), best.rows[last]
        put(best, last, best.keys[0], low_at(best, 0), best.rows[0])
        sift_down(best, last, key, low, row)


cdef void merge_sorted(Best *into, Py_ssize_t k, const Best *other, Py_ssize_t n_other,
                       Best *scratch) noexcept nogil:
    """Merge two sorted lists into the first, which has k entries and keeps the k best."""
    cdef Py_ssize_t place, mine = 0, theirs = 0
    if n_other == 0 or not comes_before(
            other.keys[0], low_at(other, 0), other.rows[0], into, k - 1):
        return
    for place in range(k):
        put(scratch, place, into.keys[place], low_at(into, place), into.rows[place])
    for place in range(k):
        if theirs < n_other and comes_before(
                other.keys[theirs], low_at(other, theirs), other.rows[theirs], scratch, mine):
            put(into, place, other.keys[theirs], low_at(other, theirs), other.rows[theirs])
            theirs += 1
        else:
            put(into, place, scratch.keys[mine], low_at(scratch, mine), scratch.rows[mine])
            mine += 1
