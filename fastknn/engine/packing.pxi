# Packing: rows and queries into the lanes of tiles (kernels/kernels.h), and what each of them adds
# to its scores.

cdef extern from *:
    """
    #define prefetch(address) __builtin_prefetch(address, 0, 2)
    """
    void prefetch(const void *) noexcept nogil


cdef enum:
    SQUARED_TOGETHER = 4096  # squares of bytes in one sum of 32 bits


cdef inline void prefetch_bytes(const char *first, Py_ssize_t n_bytes) noexcept nogil:
    """Ask for some bytes, a cache line at a time."""
    cdef const char *byte = first
    while byte < first + n_bytes:
        prefetch(byte)
        byte += CACHE_LINE_BYTES


ctypedef fused unit:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef void spread(unit *packed, const char *row, Py_ssize_t row_bytes, Py_ssize_t lanes) noexcept nogil:
    """Spread one row over one lane of zeroed memory: its group g goes to packed[g * lanes]."""
    cdef Py_ssize_t g, whole = row_bytes // <Py_ssize_t>sizeof(unit)
    for g in range(whole):
        # memcpy of a constant size is one move, whatever the alignment of the row.
        memcpy(packed + g * lanes, row + g * sizeof(unit), sizeof(unit))
    memcpy(packed + whole * lanes, row + whole * sizeof(unit), row_bytes % sizeof(unit))


cdef void pack_row(char *packed, const char *row, Py_ssize_t row_bytes, Py_ssize_t lanes,
                   Py_ssize_t lane, int group_bytes) noexcept nogil:
    packed += lane * group_bytes
    if group_bytes == 1:
        spread(<uint8_t *>packed, row, row_bytes, lanes)
    elif group_bytes == 2:
        spread(<uint16_t *>packed, row, row_bytes, lanes)
    elif group_bytes == 4:
        spread(<uint32_t *>packed, row, row_bytes, lanes)
    else:
        spread(<uint64_t *>packed, row, row_bytes, lanes)


cdef Py_ssize_t byte_sum(const uint8_t *values, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, total = 0
    for i in range(width):
        total += values[i]
    return total


cdef int64_t code_norm(const uint8_t *codes, Py_ssize_t width) noexcept nogil:
    """Return the sum of squares of codes about their zero."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    for i in range(width):
        total += (<int32_t>codes[i] - CODE_ZERO) * (<int32_t>codes[i] - CODE_ZERO)
    return total


cdef double row_bias(const PackedRows *panels, Py_ssize_t row,
                     const uint8_t *values) noexcept nogil:
    """Return what a row adds to its scores: an exact integer, or zero (kernels.h)."""
    cdef Py_ssize_t width = panels.given.width, i
    cdef int64_t total = 0
    if panels.given.element != U8:
        return 0
    if panels.given.metric == L1:
        if panels.scale == NULL:
            return 0
        # No sum of differences comes near a billion: it stands for infinity.
        return -min(ceil(<double>panels.error[row] / panels.scale[row] * (1 + 2.0**-50)), 1e9)
    if panels.scale != NULL:
        return 0  # it is in set_terms
    for i in range(width):
        total += <int32_t>values[i] * (<int32_t>values[i] - 2 * QUERY_ZERO)
    return <double>total


cdef void set_terms(const PackedRows *panels, Py_ssize_t panel) noexcept nogil:
    """Set the terms of an L2 bound that belong to the rows of a panel (kernels.h, RowTerms)."""
    cdef Py_ssize_t first = panel * panels.tile.rows, row
    cdef Py_ssize_t last = min(first + panels.tile.rows, panels.n_rows)
    cdef double ratio = 0, energy, error
    for row in range(first, last):
        if panels.error[row] < INFINITY:
            ratio = max(ratio, panels.error[row] / panels.scale[row])
    panels.ratio[panel] = float_above(ratio)
    for row in range(first, last):
        if panels.error[row] == INFINITY:
            panels.energy[row] = -INFINITY  # always a candidate
            continue
        error = <double>panels.ratio[panel] * panels.scale[row]
        energy = <double>panels.scale[row] * panels.scale[row] * code_norm(
            <const uint8_t *>panels.given.data + row * panels.given.stride, panels.given.width)
        panels.energy[row] = -float_above(
            error * error - energy + CODE_SLACK * (energy + error * error)
        )


# The expanded screen: rows and queries minus a center, rounded to float32 (the proof of its
# bound: `expansion_slack` in layout.pxi).

cdef void pack_centered(const PackedRows *panels, Py_ssize_t panel) noexcept nogil:
    """Pack a panel of centered rows, and their squared norms as biases.

    Some columns of all rows at a time: what they spread to then stays in the L1 cache.
    """
    cdef Py_ssize_t lanes = panels.tile.rows, width = panels.given.width, lane, i = 0, count
    cdef Py_ssize_t first_row = panel * lanes, real_lanes = min(lanes, panels.n_rows - first_row)
    cdef Py_ssize_t given_bytes = 4 if panels.given.element == F32 else 8
    cdef Py_ssize_t ahead = CENTERED_AT_ONCE * given_bytes
    cdef float *packed = <float *>(panels.data + panel * panels.panel_bytes)
    cdef float some[CENTERED_AT_ONCE]
    cdef double squares[MAX_PANEL_ROWS]
    cdef const char *row
    memset(squares, 0, sizeof(squares))
    memset(packed, 0, panels.panel_bytes if real_lanes < lanes else 0)
    while i < width:
        count = min(<Py_ssize_t>CENTERED_AT_ONCE, width - i)
        for lane in range(real_lanes):
            row = panels.given.data + (first_row + lane) * panels.given.stride + i * given_bytes
            # The next columns: no processor foresees so many streams.
            prefetch_bytes(row + ahead, ahead)
            squares[lane] += kernels.center[panels.given.element](
                count, row, panels.center + i, 1, some)
            spread(<uint32_t *>packed + i * lanes + lane, <const char *>some, 4 * count, lanes)
        i += count
    for lane in range(lanes):
        if squares[lane] <= FAR_AWAY * FAR_AWAY:
            set_score(panels.bias, panels.scores, first_row + lane,
                      score_below(panels.scores, squares[lane] * (1 - expansion_slack(panels))))
            continue
        for i in range(width):  # too far for float32, or not a number: it is always a candidate
            packed[i * lanes + lane] = 0
        set_score(panels.bias, panels.scores, first_row + lane, -INFINITY)


cdef double center_query(const PackedRows *panels, const double *query,
                         float *rounded) noexcept nogil:
    """Write -2 times a centered query; return the constant of its scores."""
    cdef double squares = kernels.center[F64](
        panels.given.width, query, panels.center, -2, rounded)
    if squares <= FAR_AWAY * FAR_AWAY:
        return squares * (1 - expansion_slack(panels))
    memset(rounded, 0, 4 * panels.given.width)
    return -INFINITY  # no row is ruled out


cdef void pack_panel(const PackedRows *panels, Py_ssize_t panel) noexcept nogil:
    cdef char *packed = panels.data + panel * panels.panel_bytes
    cdef const char *given
    cdef Py_ssize_t lane, row
    cdef double bias
    if panels.center != NULL:
        pack_centered(panels, panel)
        return
    memset(packed, 0, panels.panel_bytes)
    for lane in range(panels.tile.rows):
        row = panel * panels.tile.rows + lane
        bias = 0
        if row < panels.n_rows:
            given = panels.given.data + row * panels.given.stride
            pack_row(packed, given, panels.given.width * panels.item_bytes, panels.tile.rows, lane,
                     panels.tile.group * <int>panels.item_bytes)
            bias = row_bias(panels, row, <const uint8_t *>given)
        set_score(panels.bias, panels.scores, row, bias)
    if panels.energy != NULL:
        set_terms(panels, panel)


cdef char *packed_tile(const PackedRows *panels, const Queries *queries,
                       Py_ssize_t first) noexcept nogil:
    """Return the packed queries of a tile; `first` is its first query."""
    return queries.packed + first * panels.groups * panels.tile.group * panels.tile.query_bytes


ctypedef fused flipped_type:
    int8_t
    int16_t


cdef inline void flip_as(flipped_type *flipped, const uint8_t *query, Py_ssize_t width,
                         int zero) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(width):
        flipped[i] = <flipped_type>(zero - <int32_t>query[i])


cdef double flip(const PackedRows *panels, const uint8_t *query, int zero,
                 char *flipped) noexcept nogil:
    """Write zero - query as the dot reads it; return the sum of squares."""
    cdef Py_ssize_t i = 0, width = panels.given.width, last
    cdef int64_t squares = 0
    cdef uint32_t some
    if panels.tile.query_bytes == 1:
        flip_as(<int8_t *>flipped, query, width, zero)
    else:
        flip_as(<int16_t *>flipped, query, width, zero)
    while i < width:  # sums of so many fit 32 bits, of which vectors have more
        last, some = min(i + SQUARED_TOGETHER, width), 0
        while i < last:
            some += <uint32_t>query[i] * query[i]
            i += 1
        squares += some
    return <double>squares


cdef void set_query_terms(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                          const uint8_t *code) noexcept nogil:
    """Set what an encoded query adds to scores, and the square of its norm."""
    cdef Py_ssize_t width = panels.given.width
    cdef double scale = queries.scale[query]
    queries.start[query] = <int32_t>(CODE_ZERO * (byte_sum(code, width) - CODE_ZERO * width))
    queries.code_scale[query] = 2 * queries.scale[query]
    queries.constant[query] = scale * scale * code_norm(code, width)


cdef void pack_queries(const PackedRows *panels, Queries *queries, const char *codes,
                       char *flipped) noexcept nogil:
    """Pack tile by tile; the last tile may be short. `flipped` is scratch for one query.

    Codes are of the rows' own type; the expanded screen takes float64.
    """
    cdef Py_ssize_t query, first, lanes, code_bytes = panels.given.width * panels.tile.query_bytes
    cdef Py_ssize_t given_bytes = panels.given.width * (
        8 if panels.center != NULL else panels.item_bytes)
    cdef const char *code
    memset(queries.packed, 0,
           queries.n * panels.groups * panels.tile.group * panels.tile.query_bytes)
    for query in range(queries.n):
        first = query - query % queries.together
        lanes = min(queries.together, queries.n - first)
        code = codes + query * given_bytes
        queries.constant[query] = 0
        if panels.center != NULL:
            queries.constant[query] = center_query(
                panels, <const double *>code, <float *>flipped)
            code = flipped
        elif panels.given.element == U8 and panels.given.metric != L1:
            queries.constant[query] = flip(
                panels, <const uint8_t *>code, QUERY_ZERO if queries.scale == NULL else CODE_ZERO,
                flipped)
            if queries.scale != NULL:
                set_query_terms(panels, queries, query, <const uint8_t *>code)
            code = flipped
        pack_row(packed_tile(panels, queries, first), code, code_bytes, lanes, query - first,
                 panels.tile.group * panels.tile.query_bytes)
