# The k best rows for large k: a reservoir per query in place of a heap. Rows are appended until it
# is full, then all but the k nearest are dropped, and the k-th of them is what later rows have to
# beat. It is also what screens compare with: never below the k-th key so far, hence a valid bound,
# if a looser one.
#
# Rows arrive in ascending order (search.pxi; `in_order` swaps rows for k below MAX_PANEL_ROWS
# only), and both dropping and sorting are stable. So entries of one key stay in the order of their
# rows, and neither has to look at rows.
#
# Limit: O(1) per row that is kept and no worse for any order of the rows: selection and sorting go
# by the bits of keys, eight at a time, so at most eight times over the entries (sixteen for
# angles).

cpdef enum:
    # The k from which a reservoir is used, more than MAX_PANEL_ROWS. Measured with 50,000 rows on
    # AVX2 (benchmarks/test_many_neighbors.py), in processor time: it costs as much as a heap for k
    # of about 100 for bytes, which are not refined, and for k of 250 to 400 for float32, of which
    # its looser bound refines a seventh more; at 10,000 a quarter (bytes) to a half (128 float32).
    RESERVOIR_K = 256

cdef enum:
    RADIX = 256


cdef extern from *:
    """
    /* Keys as words of the same order, and back; -0.0 is 0.0. */
    static inline uint64_t word_of(double key)
    {
        uint64_t bits;
        key += 0.0;
        memcpy(&bits, &key, sizeof(bits));
        return bits ^ (-(bits >> 63) | (uint64_t)1 << 63);
    }

    static inline double key_of(uint64_t word)
    {
        double key;
        word ^= ((word >> 63) - 1) | (uint64_t)1 << 63;
        memcpy(&key, &word, sizeof(key));
        return key;
    }

    #define highest_bit(bits) (63 - __builtin_clzll(bits))
    """
    uint64_t word_of(double) noexcept nogil
    double key_of(uint64_t) noexcept nogil
    int highest_bit(uint64_t) noexcept nogil


cdef Py_ssize_t reservoir_capacity(Py_ssize_t k, Py_ssize_t n_rows) noexcept nogil:
    """Return the entries per query: half of k more than k, and at most one more than all rows.

    From n rows in random order, c k entries keep k (c + (c - 1) log(n / (c k)) / log(c)) rows: with
    c = 2 a tenth more than with 1.5. Dropping passes about c / (c - 1) entries for each row kept.
    """
    return min(k + k // 2, n_rows) + 1


cdef uint64_t kth_word(uint64_t *words, Py_ssize_t n, Py_ssize_t *rank) noexcept nogil:
    """Return the word of a rank (from 1), which becomes the rank among words equal to it; O(n).

    The words are overwritten.
    """
    cdef Py_ssize_t counts[RADIX]
    cdef uint64_t differ = 0, word
    cdef Py_ssize_t i, same
    cdef int shift, digit
    for i in range(n):
        differ |= words[i] ^ words[0]
    while differ:  # bits that some have and others have not: eight fewer each time
        shift = max(highest_bit(differ) - 7, 0)
        memset(counts, 0, sizeof(counts))
        for i in range(n):
            counts[words[i] >> shift & (RADIX - 1)] += 1
        digit = 0
        while counts[digit] < rank[0]:
            rank[0] -= counts[digit]
            digit += 1
        same = 0
        for i in range(n):
            word = words[i]
            words[same] = word
            same += <int>(word >> shift & (RADIX - 1)) == digit
        n = same
        differ = 0
        for i in range(n):
            differ |= words[i] ^ words[0]
    return words[0]


cdef void drop_all_but(Py_ssize_t k, Best *entries, Py_ssize_t n, uint64_t *words,
                       Best *worst) noexcept nogil:
    """Leave the k nearest of n entries, in the order they had; `worst` gets the k-th.

    words : n of them, of any value
    """
    cdef Py_ssize_t i, left = 0, rank = k
    cdef double key
    cdef uint64_t low = 0
    cdef int64_t row = 0
    cdef bint stays
    for i in range(n):
        words[i] = word_of(entries.keys[i])
    key = key_of(kth_word(words, n, &rank))
    if entries.low != NULL:
        for i in range(n):
            if entries.keys[i] == key:
                words[left] = entries.low[i]
                left += 1
        low = kth_word(words, left, &rank)
        left = 0
    for i in range(n):
        stays = entries.keys[i] < key
        if entries.keys[i] == key:
            if low_at(entries, i) == low:  # the first ones: those of the lowest rows
                stays = rank > 0
                rank -= 1
                row = entries.rows[i] if stays else row
            else:
                stays = low_at(entries, i) < low
        put(entries, left, entries.keys[i], low_at(entries, i), entries.rows[i])
        left += stays
    put(worst, 0, key, low, row)


cdef inline bint keep_in_reservoir(Reservoirs *reservoirs, Py_ssize_t k, Py_ssize_t query, int n,
                                   const double *keys, const uint64_t *low, const int64_t *rows,
                                   Best *worst) noexcept nogil:
    """Append those of n rows that come before the worst; say whether there is a new worst."""
    cdef Best entries = best_of(&reservoirs.entries, reservoirs.capacity, query)
    cdef Py_ssize_t count = reservoirs.counts[query]
    cdef bint dropped = False
    cdef int i
    for i in range(n):
        put(&entries, count, keys[i], low[i], rows[i])
        count += comes_before(keys[i], low[i], rows[i], worst, 0)
        if count == reservoirs.capacity:
            drop_all_but(k, &entries, count, reservoirs.words, worst)
            count = k
            dropped = True
    reservoirs.counts[query] = count
    return dropped


cdef inline uint64_t word_at(const Best *entries, Py_ssize_t place, bint by_low) noexcept nogil:
    return entries.low[place] if by_low else word_of(entries.keys[place])


cdef bint sort_by_words(Best *entries, Best *spare, Py_ssize_t n, bint by_low) noexcept nogil:
    """Sort entries, stably, by keys or the rest of keys; say whether they end in `spare`.

    A radix sort from the lowest digit, without the digits that all have in common.
    """
    cdef Py_ssize_t counts[8][RADIX]
    cdef Py_ssize_t i, digit, before, count
    cdef uint64_t word
    cdef Best source = entries[0], target = spare[0], swapped
    cdef bint moved = False
    cdef int turn
    memset(counts, 0, sizeof(counts))
    for i in range(n):
        word = word_at(entries, i, by_low)
        for turn in range(8):
            counts[turn][word >> 8 * turn & (RADIX - 1)] += 1
    word = word_at(entries, 0, by_low)
    for turn in range(8):
        if counts[turn][word >> 8 * turn & (RADIX - 1)] == n:
            continue
        before = 0
        for digit in range(RADIX):
            count = counts[turn][digit]
            counts[turn][digit] = before
            before += count
        for i in range(n):
            digit = word_at(&source, i, by_low) >> 8 * turn & (RADIX - 1)
            put(&target, counts[turn][digit], source.keys[i], low_at(&source, i), source.rows[i])
            counts[turn][digit] += 1
        swapped, source, target = source, target, source
        moved = not moved
    return moved


cdef void copy_entries(Best *into, const Best *entries, Py_ssize_t n) noexcept nogil:
    memcpy(into.keys, entries.keys, n * sizeof(double))
    memcpy(into.rows, entries.rows, n * sizeof(int64_t))
    if into.low != NULL:
        memcpy(into.low, entries.low, n * sizeof(uint64_t))


cdef void empty_reservoir(Reservoirs *reservoirs, Py_ssize_t k, Py_ssize_t query,
                          Best *best) noexcept nogil:
    """Turn what a reservoir has into a list: nearest first, and rows that are not there last."""
    cdef Best entries = best_of(&reservoirs.entries, reservoirs.capacity, query)
    cdef Py_ssize_t n = reservoirs.counts[query], i
    cdef bint ordered = True
    reservoirs.counts[query] = 0
    if n > k:
        drop_all_but(k, &entries, n, reservoirs.words, best)
        n = k
    fill_absent(best, n, k)
    if n == 0:
        return
    if not sort_by_words(&entries, best, n, False):
        copy_entries(best, &entries, n)
    if best.low == NULL:
        return
    for i in range(1, n):
        ordered &= best.keys[i - 1] != best.keys[i] or best.low[i - 1] <= best.low[i]
    if ordered:  # mostly: few angles have one key and differ in the rest of it
        return
    if not sort_by_words(best, &entries, n, True):
        copy_entries(&entries, best, n)
    if not sort_by_words(&entries, best, n, False):
        copy_entries(best, &entries, n)
