# The same walk where all distances are wanted: scores are written out, nothing is screened.

ctypedef fused number:
    float
    double


ctypedef fused score_type:
    int32_t
    float
    double


cdef inline void write_scores(number *out, const score_type *score, const score_type *bias,
                              int count, double constant, bint root) noexcept nogil:
    cdef int i
    if root:
        for i in range(count):
            out[i] = <number>sqrt(<double>score[i] + <double>bias[i] + constant)
    else:
        for i in range(count):
            out[i] = <number>(<double>score[i] + <double>bias[i] + constant)


cdef void write_panel(const Rows *train, const Queries *queries, Py_ssize_t panel, number *out,
                      Py_ssize_t stride) noexcept nogil:
    """Distances of every query to one panel's rows; `out` is the panel's first column."""
    cdef int rows = train.tile.rows, size = score_bytes(train), count, i
    cdef Py_ssize_t first_row = panel * rows, first = 0
    cdef int real = <int>min(<Py_ssize_t>rows, train.n_rows - first_row)
    cdef const char *bias = train.bias + first_row * size
    cdef const char *score
    cdef bint root = train.given.metric == L2
    cdef double constant
    while first < queries.n:
        count = <int>min(<Py_ssize_t>train.tile.queries, queries.n - first)
        score = score_tile(train, queries, first, count, panel)
        for i in range(count):
            constant = queries.constant[first + i]
            if train.scores == I32_SCORES:
                write_scores(out, <const int32_t *>score, <const int32_t *>bias, real, constant,
                             root)
            elif train.scores == F32_SCORES:
                write_scores(out, <const float *>score, <const float *>bias, real, constant, root)
            else:
                write_scores(out, <const double *>score, <const double *>bias, real, constant,
                             root)
            score += rows * size
            out = <number *>(<char *>out + stride)
        first += count
