# Angles: rows as whole numbers, their exact sums of products, and the keys of angles (angles.h).
#
# What is known of a row beforehand, as int64 `measures`: its shift (kernels.h), or NOT_FINITE; its
# sum of squares, as two limbs; and, if rows are centered, the sum of its elements, as two limbs,
# and of bytes the sum of squares before that. Under "correlation" rows are centered: width * x -
# sum(x) are whole numbers too, whose sums of products are width * <q, x> - sum(q) * sum(x).

cdef extern from "kernels/angles.h" nogil:
    cpdef enum:
        MEASURES
        MEASURES_CENTERED

    ctypedef unsigned long long Natural  # in truth 128 bits
    void angle_key(Whole, Natural, Natural, double *, uint64_t *)
    double angle_distance(double, uint64_t)


cdef extern from *:
    """
    /* A sum of products without what the means add to it; centered sums may be of a row itself. */
    static inline __int128 centered(__int128 product, long long width, __int128 sum, __int128 other)
    {
        return width * product - sum * other;
    }
    """
    Whole centered(Whole, long long, Whole, Whole) noexcept nogil


cdef inline Whole wide(const int64_t *limbs) noexcept nogil:
    cdef Whole value
    memcpy(&value, limbs, sizeof(value))
    return value


cdef inline void exact_angle(const Queries *queries, Py_ssize_t query, int64_t row, double worst,
                             double *key, uint64_t *low) noexcept nogil:
    """Compute the key of one pair; NaN where either is not finite."""
    cdef const Matrix *train = &queries.train
    cdef const Numbers *ours = &queries.numbers
    cdef const int64_t *mine = ours.measures + query * ours.n_measures
    cdef const int64_t *theirs = queries.train_numbers.measures + row * ours.n_measures
    cdef const char *values = train.data + row * train.stride
    cdef Whole product, squares = wide(mine + 1), row_squares = wide(theirs + 1)
    cdef Py_ssize_t squares_of_bytes = 5 if ours.n_measures > MEASURES else 1
    cdef double cosine2
    low[0] = 0
    if mine[0] == NOT_FINITE or theirs[0] == NOT_FINITE:
        key[0] = NAN
        return
    if queries.exact_bytes != NULL:
        product = (
            mine[squares_of_bytes] + theirs[squares_of_bytes]
            - <int64_t>kernels.byte_distance[train.element == S8][L2](
                train.width, queries.exact_bytes + query * train.width, values)
        ) // 2
    else:
        kernels.product[train.element](
            train.width, ours.high_halves + query * train.width,
            ours.low_halves + query * train.width, values, train.item, <int>theirs[0], &product)
    if ours.n_measures > MEASURES:
        product = centered(product, train.width, wide(mine + 3), wide(theirs + 3))
    # Most of a search's candidates are far enough away for float64 to tell.
    if squares != 0 and row_squares != 0:
        cosine2 = <double>product * <double>product / (<double>squares * <double>row_squares)
        key[0] = 1 - cosine2 if product >= 0 else 1 + cosine2
        if key[0] > worst + 2.0**-45:
            key[0] = INFINITY
            return
    angle_key(product, <Natural>squares, <Natural>row_squares, key, low)


cdef double squared_chord(const Queries *queries, Py_ssize_t query, double key) noexcept nogil:
    """Return the squared distance between directions at the angle of a key: 2 (1 - cosine).

    Rounded by less than what `measure_slack` leaves for it. Of an upper bound only the
    upper part of the key is known: it stands for the next key.
    """
    if not key < INFINITY:
        return key
    if key == threshold_key(&queries.keeper, query):
        return 2 * angle_distance(key, threshold_low(&queries.keeper, query))
    return 2 * angle_distance(key * (1 + 2.0**-52), 0)


cdef void measure_row(const Matrix *rows, Py_ssize_t row, bint center, int bits, int64_t *measures,
                      int32_t *high, int32_t *low) noexcept nogil:
    """Write the measures of a row; `high` and `low` get the halves of its whole numbers."""
    cdef const char *values = rows.data + row * rows.stride
    cdef int shift = 0, exponent
    cdef Whole squares, total = 0
    cdef Py_ssize_t i
    memset(measures, 0, (MEASURES_CENTERED if center else MEASURES) * sizeof(int64_t))
    if not of_bytes(rows.element):
        exponent = kernels.exponent[rows.element](rows.width, values)
        if exponent == NOT_FINITE:
            measures[0] = NOT_FINITE
            memset(high, 0, rows.width * sizeof(int32_t))
            memset(low, 0, rows.width * sizeof(int32_t))
            return
        shift = 0 if exponent == ALL_ZERO else bits - exponent
    measures[0] = shift
    kernels.split[rows.element](rows.width, values, shift, high, low)
    kernels.product[rows.element](rows.width, high, low, values, rows.item, shift, &squares)
    if center:
        measures[5] = <int64_t>squares if of_bytes(rows.element) else 0
        for i in range(rows.width):
            total += <int64_t>high[i] * (<int64_t>1 << HALF_BITS) + low[i]
        memcpy(measures + 3, &total, sizeof(total))
        squares = centered(squares, rows.width, total, total)
    memcpy(measures + 1, &squares, sizeof(squares))


def measure(rows, int64_t[:, ::1] measures, bint center, int bits, int32_t[:, ::1] high=None,
            int32_t[:, ::1] low=None):
    """Fill the measures of rows, and their halves where these are wanted, with the GIL released.

    Parameters
    ----------
    rows : ndarray (n_rows, width) of uint8, int8, float32 or float64, consecutive within a row
    measures : ndarray (n_rows, 3) of int64, or (n_rows, 6) where they are centered
    center : bool
        Whether each row's mean is taken from it.
    bits : int
        Magnitudes of the whole numbers are at most 2**bits.
    high, low : ndarray (n_rows, width) of int32, optional
    """
    cdef Matrix matrix = as_matrix(rows, "l2")
    cdef Py_ssize_t row, n_rows = len(rows)
    scratch = np.empty((2, matrix.width), np.int32) if high is None else None
    cdef int32_t[:, ::1] kept = scratch
    with nogil:
        for row in range(n_rows):
            measure_row(&matrix, row, center, bits, &measures[row, 0],
                        &kept[0, 0] if high is None else &high[row, 0],
                        &kept[1, 0] if high is None else &low[row, 0])


def angle_distances(double[:, ::1] keys, uint64_t[:, ::1] low):
    """Replace keys of angles by cosine distances, 0 to 2, in place."""
    cdef Py_ssize_t row, column
    with nogil:
        for row in range(keys.shape[0]):
            for column in range(keys.shape[1]):
                keys[row, column] = angle_distance(keys[row, column], low[row, column])
