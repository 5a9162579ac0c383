# The k smallest entries of rows of a given matrix, by the keeper of a search.

cdef enum:
    COMPARED_TOGETHER = 16


cdef inline Py_ssize_t next_to_keep(const number *row, Py_ssize_t column, Py_ssize_t n,
                                    double worst) noexcept nogil:
    """Return the next column whose entry is NaN or below the worst kept; n where there is none.

    An entry that is equal loses: its column is higher.
    """
    cdef number limit = <number>worst
    cdef int i, some
    while column + COMPARED_TOGETHER <= n:
        some = 0
        for i in range(COMPARED_TOGETHER):
            some |= not row[column + i] >= limit
        if some:
            break
        column += COMPARED_TOGETHER
    while column < n and row[column] >= limit:
        column += 1
    return column


cdef bint top_of_row(const number *row, Py_ssize_t n, Keeper *keeper) noexcept nogil:
    """Write the k smallest entries of a row, in ascending order; False where there is NaN."""
    cdef Py_ssize_t column = 0
    cdef double key
    cdef uint64_t low = 0
    cdef int64_t entry
    # A copy, whose fields no store through a pointer can change: compilers keep them in registers.
    cdef Keeper copy = keeper[0]
    start_keeping(keeper, 0)
    while column < n:
        if has_threshold(&copy, 0):  # else even infinity is nearer than what is not there
            column = next_to_keep(row, column, n, threshold_key(&copy, 0))
            if column == n:
                break
        key, entry = row[column], column
        if key != key:
            return False
        offer(&copy, 0, 1, &key, &low, &entry)
        column += 1
    finish_keeping(keeper, 0)
    return True


def topk(const number[:, ::1] distances, number[:, ::1] values, int64_t[:, ::1] indices):
    """Find the k smallest entries per row by (entry, column); return the first row with NaN, or -1.

    Parameters
    ----------
    distances : ndarray (m, n) of float32 or float64
    values : ndarray (m, k) of the same type, where the entries go, in ascending order
    indices : ndarray (m, k) of int64, where their columns go
    """
    cdef Py_ssize_t row, place, m = distances.shape[0], n = distances.shape[1], k = values.shape[1]
    cdef Py_ssize_t bad = -1
    cdef Best best
    cdef double[::1] keys = np.empty(k)
    memory = reservoir_memory(1, k, n, False)
    best.keys, best.low, best.rows = &keys[0], NULL, NULL
    cdef Keeper keeper = keeper_of(best, k, memory)
    with nogil:
        for row in range(m):
            keeper.best.rows = &indices[row, 0]
            if not top_of_row(&distances[row, 0], n, &keeper):
                bad = row
                break
            for place in range(k):
                values[row, place] = <number>keys[place]
    return bad
