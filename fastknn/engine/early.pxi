# The first panels of a direct screen: their scores bound the k-th key before any row is refined.
#
# Without that, each row that is one of the k best so far is refined, k (1 + ln(n / k)) of n rows;
# then hardly more than k of the first EARLY_ROWS are, which of few rows are all.
#
# Proof. Each of k rows has a key of at most the largest of k numbers that their keys do not exceed
# (`key_below`). So a row with a larger key is not one of the k best.
#
# Those k rows need not be the nearest ones: rows are dealt out to lanes, and the k best of the
# nearest rows of all lanes are taken. Of 100 rows in 32 lanes these are on an average among the 12
# nearest for k = 10, and are found without a branch.
#
# Limit: a tile's scores are copied; four operations per row and query, and as many per pair of lanes.

cdef enum:
    # Rows that are looked at, at most: in all, per neighbor, and in bytes of panels, which are read
    # for every tile. From 256 to 1,024 saves 4 to 18 % for k = 10 and costs 14 % for k = 1.
    EARLY_ROWS = 1024
    EARLY_ROWS_PER_NEIGHBOR = 128
    EARLY_BYTES = 1 << 20
    EARLY_PANELS = 128  # they have eight rows at least
    EARLY_LANES = 64  # half of them for up to EARLY_K / 2 neighbors: `nearest` takes their square
    EARLY_K = 32  # more neighbors would be too many for the lanes


cdef inline Py_ssize_t early_panels(const PackedRows *panels, const Queries *queries,
                                    Py_ssize_t n_panels) noexcept nogil:
    """Say how many of the first panels are worth a look at their scores; none of other screens."""
    cdef Py_ssize_t k = queries.keeper.k, n_rows
    if (panels.data == NULL or panels.scale != NULL or queries.angles or k > EARLY_K
            or not is_refined(queries)):
        return 0
    n_rows = min(<Py_ssize_t>EARLY_ROWS, k * EARLY_ROWS_PER_NEIGHBOR)
    n_panels = min(n_panels, n_rows // panels.tile.rows, EARLY_BYTES // panels.panel_bytes)
    return n_panels if n_panels * panels.tile.rows >= 2 * k else 0


cdef inline float spread_of_scores(const PackedRows *panels) noexcept nogil:
    """Return 1 and by what share of bias and constant a distance may exceed its score.

    Only in the expanded screen is there such a share.     In terms of `expansion_slack`, with m = min(width, 256), M = |q'|**2 + |x'|**2, f the score with
    its bias b, and c the constant:
        |q' - x'|**2 <= f + c + M - b - c + (m + 3) u M,    M <= (b + c) (1 + 1.01 (s + 3 u)) + tiny
        |q - x|**2 <= |q' - x'|**2 (1 + u) + 3.01 u M + tiny <= |q' - x'|**2 + 5.2 u M + tiny
    so that |q - x|**2 <= f + c + 3 s (b + c) + tiny, as s >= 13 u. The rest is for the roundings of
    f + spread * b, at most 8 u M.
    """
    return 1 + 4 * <float>expansion_slack(panels) if panels.center != NULL else 1


cdef inline void note_smallest(const score_type *score, const score_type *bias, Py_ssize_t n_rows,
                               float spread, float *smallest) noexcept nogil:
    """Bring the smallest score + bias (1 + spread) of each lane up to date with a row for each.

    What is not finite, as of rows that are out of the screen's range, bounds nothing.
    """
    cdef float above
    cdef Py_ssize_t row
    for row in range(n_rows):
        if score_type is float:
            above = score[row] + spread * bias[row]
        else:
            above = float_above(<double>score[row] + <double>spread * <double>bias[row])
        smallest[row] = above if -INFINITY < above < smallest[row] else smallest[row]


cdef double key_below(const PackedRows *panels, const Queries *queries, Py_ssize_t query,
                      double above) noexcept nogil:
    """Return a number that no row's key exceeds for which `note_smallest` noted this or less.

    Scores of bytes are exact; sums of differences are off by `screen_slack` of the distance at most
    (`measure_slack`), to either side; for the expanded screen see `spread_of_scores`. The query is
    `errors` away from its codes (triangle inequality). Each step is rounded upwards.
    """
    cdef double up = 1 + 2.0**-50, spread = spread_of_scores(panels)
    cdef double constant = queries.constant[query], distance
    if not (above < INFINITY and -INFINITY < constant < INFINITY):
        return INFINITY
    distance = above + spread * constant
    if panels.center != NULL:
        distance = max(distance, 0) * up + 2.0**-120 + 2 * queries.screen_tiny
    else:
        distance = (distance + queries.screen_tiny) * (1 + 2.1 * queries.screen_slack) * up
    if queries.errors != NULL and queries.errors[query] != 0:
        if panels.given.metric == L2:
            distance = sqrt(distance) * up
        distance = (distance + queries.errors[query]) * up
        if panels.given.metric == L2:
            distance *= distance * up
    return (distance * (1 + queries.refine_slack) + queries.refine_tiny) * up * up


cdef void set_early_threshold(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                              const char *score, Py_ssize_t panel_bytes, Py_ssize_t panel,
                              Py_ssize_t n_panels) noexcept nogil:
    """Let no row be wanted beyond k rows of some panels, by what scores say of these.

    score : those of the query and the first of n_panels panels from `panel` on; the next are
        `panel_bytes` behind them
    """
    cdef float smallest[EARLY_LANES]
    cdef float spread = spread_of_scores(panels), above = -INFINITY
    cdef double key
    cdef Py_ssize_t rows = panels.tile.rows, place, row, last, n_rows, size = score_bytes(panels)
    cdef Py_ssize_t k = queries.keeper.k, n_lanes = EARLY_LANES if 2 * k > EARLY_K else EARLY_LANES // 2
    cdef Py_ssize_t chunk = min(rows, n_lanes)
    cdef float *lanes
    cdef const char *bias
    cdef const char *scores
    cdef uint64_t nearest
    for place in range(n_lanes):
        smallest[place] = INFINITY
    for place in range(n_panels):
        row, last = (panel + place) * rows, min((panel + place + 1) * rows, panels.n_rows)
        scores = score + place * panel_bytes
        while row < last:
            n_rows, lanes = min(chunk, last - row), smallest + row % n_lanes
            bias = panels.bias + row * size
            if panels.scores == I32_SCORES:
                note_smallest(<const int32_t *>scores, <const int32_t *>bias, n_rows, spread, lanes)
            elif panels.scores == F32_SCORES:
                note_smallest(<const float *>scores, <const float *>bias, n_rows, spread, lanes)
            else:
                note_smallest(<const double *>scores, <const double *>bias, n_rows, spread, lanes)
            row += n_rows
            scores += n_rows * size
    nearest = kernels.nearest(<int>n_lanes, smallest, <int>k)
    while nearest:
        above = max(above, smallest[lowest_bit(nearest)])
        nearest &= nearest - 1
    key = key_below(panels, queries, query, above)
    if key < queries.max_key[query]:
        queries.max_key[query] = key
        set_threshold(panels, queries, query)


cdef void refine_first(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                       Py_ssize_t panel, Py_ssize_t n_panels, const uint64_t *candidates,
                       Py_ssize_t stride) noexcept nogil:
    """Refine and offer a query's candidates in some panels: a bit per row, `stride` from panel to panel.

    They do not wait (search.pxi): so few rows are in the cache.
    """
    cdef int64_t rows[REFINED_TOGETHER]
    cdef Py_ssize_t place
    cdef uint64_t left
    cdef int count = 0
    cdef bint lower = False
    for place in range(n_panels):
        left = candidates[place * stride] & wanted_rows(panels, panel + place)
        while left:
            rows[count] = (panel + place) * panels.tile.rows + lowest_bit(left)
            left &= left - 1
            count += 1
            if count == REFINED_TOGETHER:
                lower |= refine_rows(panels, queries, query, count, rows)
                queries.candidates[0] += count
                count = 0
    lower |= refine_rows(panels, queries, query, count, rows)
    queries.candidates[0] += count
    if lower:
        lower_threshold(panels, queries, query)


cdef void search_first_panels(const PackedRows *panels, Queries *queries, Py_ssize_t panel,
                              Py_ssize_t n_panels, bint timed) noexcept nogil:
    """Screen every query against some panels, look at all scores, and offer the candidates."""
    cdef Py_ssize_t first = 0, every = TIMED_TILES * queries.together, place, bytes
    cdef Py_ssize_t query_bytes = panels.tile.rows * score_bytes(panels), first_row
    cdef uint64_t per_panel[MAX_TILE_QUERIES * EARLY_PANELS]
    cdef uint64_t *candidates
    cdef TileQueries tile
    cdef const char *score
    cdef bint now_timed
    cdef int i
    while n_panels > 0 and first < queries.n:
        now_timed = timed and first % every == 0
        if now_timed:
            queries.last_tick = tick_count()
        tile.first, tile.count = first, <int>min(queries.together, queries.n - first)
        tile.packed = packed_tile(panels, queries, first)
        bytes = tile.count * query_bytes
        for place in range(n_panels):
            score = score_tile(panels, queries, tile.packed, tile.count, panel + place)
            memcpy(queries.first_scores + place * bytes, score, bytes)
        for i in range(tile.count):
            set_early_threshold(panels, queries, first + i, queries.first_scores + i * query_bytes,
                                bytes, panel, n_panels)
        for place in range(n_panels):
            first_row = (panel + place) * panels.tile.rows
            candidates = per_panel + place * tile.count
            kernels.select[panels.scores](
                tile.count, panels.tile.rows, queries.first_scores + place * bytes,
                panels.bias + first_row * score_bytes(panels),
                queries.threshold + first * score_bytes(panels), candidates)
        if now_timed:
            lap(queries, 0)
        for i in range(tile.count):
            refine_first(panels, queries, first + i, panel, n_panels, per_panel + i, tile.count)
        if now_timed:
            lap(queries, REFINE)
        first += tile.count
