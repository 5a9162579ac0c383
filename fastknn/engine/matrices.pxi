# The walk where all distances are wanted: scores are written as distances, and nothing is screened.

ctypedef fused number:
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


cdef void write_panel(const PackedRows *panels, const Queries *queries, Py_ssize_t panel,
                      number *out, Py_ssize_t stride) noexcept nogil:
    """Write the distances of every query to the rows of a panel; `out` is its first column."""
    cdef int panel_rows = panels.tile.rows, size = score_bytes(panels), count, i
    cdef Py_ssize_t first_row = panel * panel_rows, first = 0
    cdef int real = <int>min(<Py_ssize_t>panel_rows, panels.n_rows - first_row)
    cdef const char *bias = panels.bias + first_row * size
    cdef const char *score
    cdef bint root = panels.given.metric == L2
    cdef double constant
    while first < queries.n:
        count = <int>min(queries.together, queries.n - first)
        score = score_tile(panels, queries, packed_tile(panels, queries, first), count, panel)
        for i in range(count):
            constant = queries.constant[first + i]
            if panels.scores == I32_SCORES:
                write_scores(out, <const int32_t *>score, <const int32_t *>bias, real, constant,
                             root)
            elif panels.scores == F32_SCORES:
                write_scores(out, <const float *>score, <const float *>bias, real, constant, root)
            else:
                write_scores(out, <const double *>score, <const double *>bias, real, constant,
                             root)
            score += panel_rows * size
            out = <number *>(<char *>out + stride)
        first += count
