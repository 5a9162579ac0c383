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


def project(centered, directions, points, norms):
    """Project rows onto a few directions: points = centered @ directions, in float32.

    Each element is a sum in order of the columns; norms gets those of the rows, in float64.

    centered : ndarray (n, width) of float32; directions : (width, n_directions) of float32;
    points : (n, n_directions) of float32; norms : (n,) of float64; all C-contiguous.
    """
    cdef const float *row = <float *>address(centered)
    cdef const float *first = <float *>address(directions)
    cdef const float *direction
    cdef float *point = <float *>address(points)
    cdef double *norm = <double *>address(norms)
    cdef Py_ssize_t n = len(centered), width = centered.shape[1], n_directions = points.shape[1]
    cdef Py_ssize_t i, j, p
    cdef double square
    cdef float value
    with nogil:
        for i in range(n):
            memset(point, 0, n_directions * sizeof(float))
            square, direction = 0, first
            for j in range(width):
                value = row[j]
                square += <double>value * value
                for p in range(n_directions):
                    point[p] += value * direction[p]
                direction += n_directions
            norm[i] = sqrt(square)
            row += width
            point += n_directions


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
