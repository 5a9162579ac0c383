# What the non-expansive maps of screens (screens/maps.py) need and NumPy does too slowly.

cdef extern from "math.h" nogil:
    float nextafterf(float, float)

# Added to a float64 of magnitude below 2**51, and subtracted, it leaves the nearest whole number.
cdef double ROUNDING = 1.5 * 2.0**52


def group_sums(rows, order, ends, signs, out):
    """Compute signed sums over groups of columns: out[i, g] = sum of signs * rows[i, order].

    rows : ndarray (n, width) of float32; order, signs : (width,) of int64 and float32;
    ends : (groups,) of int64; out : (n, groups) of float64; all C-contiguous.
    """
    cdef const float *row = <float *>address(rows)
    cdef const float *sign = <float *>address(signs)
    cdef const int64_t *place = <int64_t *>address(order)
    cdef const int64_t *end = <int64_t *>address(ends)
    cdef double *sums = <double *>address(out)
    cdef Py_ssize_t n = len(rows), width = rows.shape[1], groups = len(ends), i, g, j
    cdef double total
    with nogil:
        for i in range(n):
            j = 0
            for g in range(groups):
                total = 0
                while j < end[g]:
                    total += <double>sign[j] * row[place[j]]
                    j += 1
                sums[g] = total
            row += width
            sums += groups


def hadamard_rounds(rows, order, signs, Py_ssize_t block, out):
    """Do some rounds of: permute, change signs, take the Hadamard transform of every block.

    rows : ndarray (n, width) of float32; order, signs : (rounds, padded) of int64 and float32,
    with padded >= width a multiple of block, a power of two; out : (n, padded) of float64; all
    C-contiguous.
    """
    scratch = aligned(2 * out.shape[1], np.float32)
    cdef const float *row = <float *>address(rows)
    cdef const int64_t *place
    cdef const float *sign
    cdef double *result = <double *>address(out)
    cdef float *now = <float *>address(scratch)
    cdef float *after
    cdef Py_ssize_t n = len(rows), width = rows.shape[1], padded = out.shape[1]
    cdef Py_ssize_t rounds = len(order), i, j, turn
    cdef const int64_t *first_place = <int64_t *>address(order)
    cdef const float *first_sign = <float *>address(signs)
    with nogil:
        for i in range(n):
            memcpy(now, row, width * sizeof(float))
            memset(now + width, 0, (padded - width) * sizeof(float))
            place, sign = first_place, first_sign
            for turn in range(rounds):
                after = now + padded if turn % 2 == 0 else now - padded
                for j in range(padded):
                    after[j] = sign[j] * now[place[j]]
                for j in range(padded // block):
                    kernels.hadamard(block, after + j * block)
                now = after
                place += padded
                sign += padded
            for j in range(padded):
                result[j] = now[j]
            now -= padded if rounds % 2 else 0
            row += width
            result += padded


ctypedef fused given_type:
    float
    double
    uint8_t


cdef inline bint center_row(const given_type *row, const float *mean, Py_ssize_t width,
                            double largest, float *centered) noexcept nogil:
    """Subtract the mean, rounding once (float64: twice); False if an element is not below largest.

    Such a row becomes the mean.
    """
    cdef Py_ssize_t j
    cdef bint inside = True
    for j in range(width):
        inside &= fabs(row[j]) < largest
        if given_type is double:
            centered[j] = <float>(row[j] - mean[j])
        else:
            centered[j] = <float>row[j] - mean[j]
    if not inside:
        memset(centered, 0, width * sizeof(float))
    return inside


cdef void image_rows(const given_type *row, Py_ssize_t n, Py_ssize_t width, const float *mean,
                     double largest, const float *directions, Py_ssize_t n_directions,
                     const int64_t *order, float *centered, float *point,
                     double *norms) noexcept nogil:
    """Compute images and norms as `image` does: with directions, or with an order if they are NULL."""
    cdef const float *direction
    cdef double norm
    cdef bint inside
    cdef Py_ssize_t i, j, p
    for i in range(n):
        inside = center_row(row, mean, width, largest, centered)
        direction, norm = directions, 0
        if directions == NULL:
            for j in range(width):
                point[j] = centered[order[j]]
                norm += fabs(centered[j])
        else:
            memset(point, 0, n_directions * sizeof(float))
            for j in range(width):
                norm += <double>centered[j] * centered[j]
                for p in range(n_directions):
                    point[p] += centered[j] * direction[p]
                direction += n_directions
            norm = sqrt(norm)
        norms[i] = norm if inside else INFINITY
        row += width
        point += n_directions


def image(rows, mean, double largest, double factor, double least, directions=None, order=None):
    """Compute the images of rows under one of two maps, and how far off each is at most.

    The rows about a mean are projected onto a few directions, or their columns are put into an
    order. In float32; each element of a projection is a sum in order of the columns.

    rows : ndarray (n, width) of float32, float64 or uint8, C-contiguous
    mean : (width,) of float32
    largest : a row with an element that is not below it is taken for the mean, and its error is
        infinite
    factor, least : the error is the norm of the centered row, or with an order the sum of its
        magnitudes, in float64, times `factor`, plus `least`
    directions : (width, n_directions) of float32; or else
    order : (width,) of int64

    Returns the images, float32, and the errors, float64.
    """
    cdef Py_ssize_t n = rows.shape[0], width = rows.shape[1], i
    cdef Py_ssize_t n_directions = width if directions is None else directions.shape[1]
    points, errors = np.empty((n, n_directions), np.float32), np.empty(n)
    cdef const char *row = address(rows)
    cdef const float *middle = <float *>address(mean)
    cdef const float *direction = NULL if directions is None else <float *>address(directions)
    cdef const int64_t *place = NULL if order is None else <int64_t *>address(order)
    cdef float *point = <float *>address(points)
    cdef double *error = <double *>address(errors)
    cdef float *centered = <float *>malloc(max(1, width) * sizeof(float))
    cdef int element = ELEMENTS[rows.dtype]
    if centered == NULL:
        raise MemoryError
    with nogil:
        if element == F32:
            image_rows(<const float *>row, n, width, middle, largest, direction, n_directions, place,
                       centered, point, error)
        elif element == F64:
            image_rows(<const double *>row, n, width, middle, largest, direction, n_directions, place,
                       centered, point, error)
        else:
            image_rows(<const uint8_t *>row, n, width, middle, largest, direction, n_directions, place,
                       centered, point, error)
        for i in range(n):
            error[i] = error[i] * factor + least
        free(centered)
    return points, errors


def quantize(values, slack, double smallest, codes, scale, missed, largest):
    """Round rows to codes at the finest scale that holds each: screens/quantization.py.

    values : ndarray (n, width) of float64, C-contiguous
    slack : (n,) of float64, below which no scale is; smallest : a scale below which none is
    codes : (n, >= width) of uint8, filled up with CODE_ZERO
    scale : (n,) of float32
    missed : (n,) of float64, the sum of squares of what rounding missed of each row
    largest : (n,) of float64, the largest magnitude of each row
    """
    cdef const double *value = <double *>address(values)
    cdef const double *off = <double *>address(slack)
    cdef uint8_t *code = <uint8_t *>address(codes)
    cdef float *scales = <float *>address(scale)
    cdef double *squares = <double *>address(missed)
    cdef double *most = <double *>address(largest)
    cdef Py_ssize_t n = len(values), width = values.shape[1], padded = codes.shape[1], i, j
    cdef double high, unit, inverse, difference, square
    cdef float above
    with nogil:
        for i in range(n):
            high = 0
            for j in range(width):
                high = max(high, fabs(value[j]))
            above = nextafterf(<float>max(high / MAX_CODE, off[i]), INFINITY)
            unit = above = max(above, <float>smallest)
            inverse, square = 1 / unit, 0
            for j in range(width):
                # The nearest whole number: the sum has no room for a fraction.
                difference = (value[j] * inverse + ROUNDING) - ROUNDING
                code[j] = <uint8_t>(<int>difference + CODE_ZERO)
                difference = value[j] - difference * unit
                square += difference * difference
            memset(code + width, CODE_ZERO, padded - width)
            scales[i], squares[i], most[i] = above, square, high
            value += width
            code += padded
