# The k best rows: a binary heap on (distance, row), worst at the root. It lives in the rows of
# the result, and starts full of (infinity, INT64_MAX), which every real row beats.

cdef inline bint before(double distance, int64_t row, double other, int64_t other_row) noexcept nogil:
    return distance < other or (distance == other and row < other_row)


cdef void sift_down(double *distances, int64_t *rows, Py_ssize_t size,
                    double distance, int64_t row) noexcept nogil:
    """Put (distance, row) in place of the root."""
    cdef Py_ssize_t hole = 0, child
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and before(distances[child], rows[child],
                                       distances[child + 1], rows[child + 1]):
            child += 1
        if not before(distance, row, distances[child], rows[child]):
            break
        distances[hole] = distances[child]
        rows[hole] = rows[child]
        hole = child
    distances[hole] = distance
    rows[hole] = row


cdef void sort_heap(double *distances, int64_t *rows, Py_ssize_t size) noexcept nogil:
    """Nearest first."""
    cdef double distance
    cdef int64_t row
    cdef Py_ssize_t last
    for last in range(size - 1, 0, -1):
        distance, row = distances[last], rows[last]
        distances[last], rows[last] = distances[0], rows[0]
        sift_down(distances, rows, last, distance, row)
