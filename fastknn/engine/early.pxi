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
# Where rows that follow each other are near to each other, as in series and sorted tables, the first
# ones say little about most queries, and the rows come nearer and nearer to the others, so that each
# of them is refined: 1,600 of 20,000 rows of a random walk, and 7 of the same rows in any order.
# There, panels that are spread over all rows are looked at, and searched again with the others.
#
# Limit: a tile's scores are copied; four operations per row and query, and as many per pair of lanes.

cdef enum:
    # Rows that are looked at, at most: in all, per neighbor, and in bytes of panels, which are read
    # for every tile. From 256 to 1,024 saves 4 to 18 % for k = 10 and costs 14 % for k = 1.
    EARLY_ROWS = 1024
    EARLY_ROWS_PER_NEIGHBOR = 128
    EARLY_BYTES = 1 << 20
    EARLY_PANELS = 128
    EARLY_LANES = 64  # half of them for up to EARLY_K / 2 neighbors: `nearest` takes their square
    EARLY_K = 32  # more neighbors would be too many for the lanes
    # Rows of the panels that are spread over n rows: the square root of so many times n. A row that is
    # looked at costs 1 / 40 of a refine, and the 16 rows of a panel say little more than one of them.
    # And a share of all rows at most.
    SPREAD_ROWS = 640
    SPREAD_SHARE = 4


cdef inline Py_ssize_t early_panels(const PackedRows *panels, const Queries *queries,
                                    Py_ssize_t n_panels) noexcept nogil:
    """Say how many of some panels are worth a look at their scores; none of other screens."""
    cdef Py_ssize_t k = queries.keeper.k, rows = panels.tile.rows, n_rows
    if (panels.data == NULL or panels.scale != NULL or queries.angles or k > EARLY_K
            or not is_refined(queries)):
        return 0
    if queries.in_sequence:
        n_rows = n_panels * rows
        n_panels = min(<Py_ssize_t>sqrt(SPREAD_ROWS * <double>n_rows), n_rows // SPREAD_SHARE) // rows
    else:
        n_rows = min(<Py_ssize_t>EARLY_ROWS, k * EARLY_ROWS_PER_NEIGHBOR)
        n_panels = min(n_panels, n_rows // rows, EARLY_BYTES // panels.panel_bytes,
                       <Py_ssize_t>EARLY_PANELS)
    return n_panels if n_panels * rows >= 2 * k else 0


cdef inline float spread_of_scores(const PackedRows *panels) noexcept nogil:
    """Return 1 and by what share of bias and constant a distance may exceed its score.

    Only in the expanded screen is there such a share. In terms of `expansion_slack`, with
    m = min(width, 256), M = |q'|**2 + |x'|**2, f the score with its bias b, and c the constant:
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


cdef inline Py_ssize_t lanes_for(Py_ssize_t k) noexcept nogil:
    return EARLY_LANES if 2 * k > EARLY_K else EARLY_LANES // 2


cdef void note_panel(const PackedRows *panels, const char *score, Py_ssize_t panel,
                     Py_ssize_t place, float spread, float *smallest,
                     Py_ssize_t n_lanes) noexcept nogil:
    """Bring the lanes of a query up to date with its scores of a panel, which is the place-th."""
    cdef Py_ssize_t rows = panels.tile.rows, row = panel * rows, n_rows, size = score_bytes(panels)
    cdef Py_ssize_t last = min(row + rows, panels.n_rows), chunk = min(rows, n_lanes)
    cdef Py_ssize_t lane = place * rows % n_lanes
    cdef const char *bias
    cdef float *lanes
    while row < last:
        n_rows, lanes = min(chunk, last - row), smallest + lane
        bias = panels.bias + row * size
        if panels.scores == I32_SCORES:
            note_smallest(<const int32_t *>score, <const int32_t *>bias, n_rows, spread, lanes)
        elif panels.scores == F32_SCORES:
            note_smallest(<const float *>score, <const float *>bias, n_rows, spread, lanes)
        else:
            note_smallest(<const double *>score, <const double *>bias, n_rows, spread, lanes)
        row += n_rows
        score += n_rows * size


cdef void set_early_threshold(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                              const float *smallest, Py_ssize_t n_lanes) noexcept nogil:
    """Let no row be wanted beyond the k-th smallest of the lanes of a query."""
    cdef uint64_t nearest = kernels.nearest(<int>n_lanes, smallest, <int>queries.keeper.k)
    cdef float above = -INFINITY
    cdef double key
    while nearest:
        above = max(above, smallest[lowest_bit(nearest)])
        nearest &= nearest - 1
    key = key_below(panels, queries, query, above)
    if key < queries.max_key[query]:
        queries.max_key[query] = key
        set_threshold(panels, queries, query)


cdef void look_at_spread(const PackedRows *panels, Queries *queries, Py_ssize_t first,
                         Py_ssize_t last, Py_ssize_t n_panels, bint timed) noexcept nogil:
    """Look at the scores of n_panels panels that are spread over first..last-1, and refine none."""
    cdef Py_ssize_t n_lanes = lanes_for(queries.keeper.k), i, place, panel, query
    cdef float spread = spread_of_scores(panels)
    cdef float *smallest = <float *>malloc(queries.n * n_lanes * sizeof(float))
    cdef TileQueries tile
    cdef const char *score
    if smallest == NULL:
        return  # then more rows are refined
    for i in range(queries.n * n_lanes):
        smallest[i] = INFINITY
    if timed:
        queries.last_tick = tick_count()
    for place in range(n_panels):
        panel = first + (2 * place + 1) * (last - first) // (2 * n_panels)
        query = 0
        while query < queries.n:
            tile = tile_from(panels, queries, query)
            score = score_tile(panels, queries, tile.packed, tile.count, panel)
            for i in range(tile.count):
                note_panel(panels, score + i * panels.tile.rows * score_bytes(panels), panel, place,
                           spread, smallest + (query + i) * n_lanes, n_lanes)
            query += tile.count
    for i in range(queries.n):
        set_early_threshold(panels, queries, i, smallest + i * n_lanes, n_lanes)
    free(smallest)
    if timed:
        lap(queries, 0)


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
    if count > 0:
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
    cdef float smallest[EARLY_LANES]
    cdef float spread = spread_of_scores(panels)
    cdef Py_ssize_t n_lanes = lanes_for(queries.keeper.k)
    cdef TileQueries tile
    cdef const char *score
    cdef bint now_timed
    cdef int i
    while first < queries.n:
        now_timed = timed and first % every == 0
        if now_timed:
            queries.last_tick = tick_count()
        tile = tile_from(panels, queries, first)
        bytes = tile.count * query_bytes
        for place in range(n_panels):
            score = score_tile(panels, queries, tile.packed, tile.count, panel + place)
            memcpy(queries.first_scores + place * bytes, score, bytes)
        for i in range(tile.count):
            for place in range(n_lanes):
                smallest[place] = INFINITY
            for place in range(n_panels):
                note_panel(panels, queries.first_scores + place * bytes + i * query_bytes,
                           panel + place, place, spread, smallest, n_lanes)
            set_early_threshold(panels, queries, first + i, smallest, n_lanes)
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
