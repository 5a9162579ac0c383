# Rows in an order in which groups of GROUP_ROWS of them, one after another, lie close together, and
# the boxes of these groups.
#
# The order is that of the leaves of a k-d tree: rows are split about a median of the coordinate
# along which they vary most, until a group is left. Every split but the last of a range is at a
# power of two of groups, so that BOX_LANES groups that begin at a multiple of BOX_LANES are a subtree,
# and so are BOX_LANES of these. Splitting along coordinates, and not across them, makes boxes tight.
#
# Limit: O(1) per row and level of the tree, whatever the values: the median is found by their bits.

cpdef enum:
    GROUP_ROWS = 16  # of the smallest groups; panels of every level are a few of them, or they of it
    BOX_WIDTH_MAX = 64  # coordinates of a box at most

cdef enum:
    VARIANCE_ROWS = 256  # rows from which the variances of coordinates are estimated


cdef Py_ssize_t widest_coordinate(const float *values, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """Return the coordinate of the largest variance, in a sample of n rows."""
    cdef double mean[BOX_WIDTH_MAX]
    cdef double squares[BOX_WIDTH_MAX]
    cdef Py_ssize_t every = (n + VARIANCE_ROWS - 1) // VARIANCE_ROWS, row = 0, j, widest = 0
    cdef Py_ssize_t count = (n + every - 1) // every
    cdef double difference
    memset(mean, 0, sizeof(mean))
    memset(squares, 0, sizeof(squares))
    while row < n:
        for j in range(width):
            mean[j] += values[row * width + j]
        row += every
    for j in range(width):
        mean[j] /= count
    row = 0
    while row < n:
        for j in range(width):
            difference = values[row * width + j] - mean[j]
            squares[j] += difference * difference
        row += every
    for j in range(1, width):
        if squares[j] > squares[widest]:
            widest = j
    return widest


cdef inline void swap_rows(float *values, int64_t *numbers, Py_ssize_t one, Py_ssize_t other,
                           Py_ssize_t width) noexcept nogil:
    cdef float spare[BOX_WIDTH_MAX]
    memcpy(spare, values + one * width, width * sizeof(float))
    memcpy(values + one * width, values + other * width, width * sizeof(float))
    memcpy(values + other * width, spare, width * sizeof(float))
    numbers[one], numbers[other] = numbers[other], numbers[one]


cdef Py_ssize_t split(float *values, int64_t *numbers, Py_ssize_t n, Py_ssize_t width,
                      uint64_t *words) noexcept nogil:
    """Put the lower rows along the widest coordinate first; return their number.

    words : n of them, of any value
    """
    cdef Py_ssize_t n_groups = (n + GROUP_ROWS - 1) // GROUP_ROWS, row, other, column
    cdef Py_ssize_t middle, equal, equal_before = 0
    cdef uint64_t median, word
    middle = GROUP_ROWS * (<Py_ssize_t>1 << highest_bit(n_groups - 1))
    column = widest_coordinate(values, n, width)
    for row in range(n):
        words[row] = word_of(values[row * width + column])
    equal = middle
    median = kth_word(words, n, &equal)  # `equal` rows at the median belong to the lower ones
    for row in range(middle):
        equal_before += word_of(values[row * width + column]) == median
    equal, equal_before = max(0, equal - equal_before), min(equal, equal_before)
    other = middle
    for row in range(middle):
        word = word_of(values[row * width + column])
        if word < median:
            continue
        if word == median and equal_before > 0:
            equal_before -= 1
            continue
        while True:  # as many of the others belong here as of these do not
            word = word_of(values[other * width + column])
            if word < median:
                break
            if word == median and equal > 0:
                equal -= 1
                break
            other += 1
        swap_rows(values, numbers, row, other, width)
        other += 1
    return middle


cdef void order(float *values, int64_t *numbers, Py_ssize_t n, Py_ssize_t width,
                uint64_t *words) noexcept nogil:
    """Split rows until groups are left."""
    cdef Py_ssize_t middle
    while n > GROUP_ROWS:
        middle = split(values, numbers, n, width, words)
        if n - middle < middle:  # the smaller part first: the depth stays that of the tree
            order(values + middle * width, numbers + middle, n - middle, width, words)
            n = middle
        else:
            order(values, numbers, middle, width, words)
            values += middle * width
            numbers += middle
            n -= middle


def order_rows(values, numbers, bint once=False):
    """Put rows into the order of groups, in place, with the GIL released.

    values : ndarray (n, width) of float32, C-contiguous, width at most BOX_WIDTH_MAX
    numbers : ndarray (n,) of int64, which are moved with the rows
    once : split them once

    Returns the number of rows before the first split.
    """
    cdef float *value = <float *>address(values)
    cdef int64_t *number = <int64_t *>address(numbers)
    cdef Py_ssize_t n = values.shape[0], width = values.shape[1], middle = n
    scratch = np.empty(n, np.uint64)
    cdef uint64_t *words = <uint64_t *>address(scratch)
    with nogil:
        if once and n > GROUP_ROWS:
            middle = split(value, number, n, width, words)
        else:
            order(value, number, n, width, words)
    return middle


def group_boxes(values, errors, lower, upper):
    """Compute the boxes of groups of GROUP_ROWS rows, each of which lies within its error.

    values : ndarray (n, width) of float32; errors : (n,) of float64, infinite for rows that may be
    anywhere; lower, upper : (n_groups, width) of float32; all C-contiguous.
    """
    cdef const float *value = <float *>address(values)
    cdef const double *error = <double *>address(errors)
    cdef float *low = <float *>address(lower)
    cdef float *high = <float *>address(upper)
    cdef Py_ssize_t n = values.shape[0], width = values.shape[1], row, j
    cdef float below, above
    with nogil:
        for row in range(n):
            if row % GROUP_ROWS == 0 and row > 0:
                low += width
                high += width
            for j in range(width):
                below = -float_above(error[row] - value[j])
                above = float_above(error[row] + value[j])
                low[j] = below if row % GROUP_ROWS == 0 else min(low[j], below)
                high[j] = above if row % GROUP_ROWS == 0 else max(high[j], above)
            value += width
