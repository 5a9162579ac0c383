# Near rows before the walk: of a few groups of rows per query, those whose codes are nearest are
# refined. The k-th key of these bounds that of all rows, and the walk begins with it.
#
# Limit: a tile of one query per panel, two operations per row on its score, and n_best refines. Rows
# come from memory while those near to the next query are found.

cdef inline uint64_t nearer_codes(const PackedRows *panels, const Queries *queries,
                                  const TileQueries *tile, Py_ssize_t panel, double worst,
                                  float *scores) noexcept nogil:
    """Score a panel's rows by how far their codes lie from those of one query, up to a constant.

    Under L2 with s, c the scales and the values of codes (screens/cascade.py):
        |s_q c_q - s_x c_x|**2 - |s_q c_q|**2 = |s_x c_x|**2 + 2 s_q s_x (-<c_q, c_x>).
    Errors and roundings move a score a little, which changes no more than which rows are refined.

    Returns a bit per row whose score is below `worst`.
    """
    cdef const int32_t *score = <const int32_t *>score_tile(
        panels, queries, tile.packed, tile.count, panel)
    cdef Py_ssize_t first_row = panel * panels.tile.rows, lane
    cdef const float *scale = panels.scale + first_row
    cdef const float *energy = panels.energy + first_row
    cdef float half, start, limit = <float>worst
    cdef uint64_t bits = 0
    if panels.energy == NULL:
        for lane in range(panels.tile.rows):
            scores[lane] = <float>score[lane]
    else:
        # The dot that is stored is twice that of the query, negated, and bytes (kernels.h).
        half = queries.code_scale[tile.first] / 2
        start = 2 * <float>queries.start[tile.first]
        for lane in range(panels.tile.rows):
            scores[lane] = energy[lane] + half * scale[lane] * (start + <float>score[lane])
    for lane in range(panels.tile.rows):
        bits |= <uint64_t>(scores[lane] < limit) << lane
    return bits


cdef void find_near(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                    const int64_t *groups, Py_ssize_t n_groups, Py_ssize_t group_rows,
                    Best *nearest, Py_ssize_t n_best) noexcept nogil:
    """Find the n_best rows of some groups whose codes are nearest to a query, and ask for them."""
    cdef Py_ssize_t together = group_rows // panels.tile.rows, group, panel, last, place
    cdef Py_ssize_t n_panels = (panels.n_rows + panels.tile.rows - 1) // panels.tile.rows, row
    cdef float scores[MAX_PANEL_ROWS]
    cdef TileQueries tile
    cdef uint64_t bits
    cdef int lane
    tile.first, tile.count, tile.packed = query, 1, packed_tile(panels, queries, query)
    fill_absent(nearest, 0, n_best)
    for group in range(n_groups):
        last = min((groups[group] + 1) * together, n_panels)
        for panel in range(groups[group] * together, last):
            bits = wanted_rows(panels, panel) & nearer_codes(
                panels, queries, &tile, panel, nearest.keys[0], scores)
            while bits:
                lane = lowest_bit(bits)
                bits &= bits - 1
                if scores[lane] < nearest.keys[0]:
                    sift_down(nearest, n_best, scores[lane], 0, panel * panels.tile.rows + lane)
    for place in range(n_best):
        row = nearest.rows[place]
        if row != INT64_MAX:
            row = row_number(panels, row) if queries.by_number else row
            prefetch_some(queries.train.data + row * queries.train.stride, queries.train_bytes)


cdef void refine_near(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                      const Best *nearest, Py_ssize_t n_best) noexcept nogil:
    """Offer the rows that were found near to a query."""
    cdef int64_t rows[REFINED_TOGETHER]
    cdef Py_ssize_t place = 0
    cdef int count
    while place < n_best:
        count = 0
        while place < n_best and count < REFINED_TOGETHER:
            if nearest.rows[place] != INT64_MAX:
                rows[count] = nearest.rows[place]
                count += 1
            place += 1
        if count > 0:
            refine_rows(panels, queries, query, count, rows)
