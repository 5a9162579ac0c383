# Which rows are candidates: the screen of a tile, the later stages of a cascade, and the exact keys
# of what these leave. Nothing here knows what is kept of the candidates, but for the threshold.

cdef extern from *:
    """
    #include <time.h>

    #define lowest_bit(bits) __builtin_ctzll(bits)

    /* Nanoseconds since some moment, for shares of time. */
    static inline uint64_t tick_count(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    }
    """
    int lowest_bit(uint64_t) noexcept nogil
    uint64_t tick_count() noexcept nogil


cdef void lap(Queries *queries, Py_ssize_t stage) noexcept nogil:
    """Add the time since the last lap to this stage."""
    cdef uint64_t now = tick_count()
    queries.ticks[stage] += now - queries.last_tick
    queries.last_tick = now


cdef inline uint64_t wanted_rows(const PackedRows *panels, Py_ssize_t panel) noexcept nogil:
    """Return a bit per row of a panel that may be found: all but the padding of the last panel."""
    cdef Py_ssize_t real = panels.n_rows - panel * panels.tile.rows
    return (<uint64_t>-1) >> (64 - min(<Py_ssize_t>panels.tile.rows, real))


ctypedef struct TileQueries:
    # `count` queries from `first` on, which are compared with a panel together, as they are packed.
    int count
    Py_ssize_t first
    const char *packed


cdef inline TileQueries tile_from(const PackedRows *panels, const Queries *queries,
                                  Py_ssize_t first) noexcept nogil:
    """Return the tile that begins with a query."""
    cdef TileQueries tile
    tile.first, tile.count = first, <int>min(queries.together, queries.n - first)
    tile.packed = packed_tile(panels, queries, first)
    return tile


cdef inline uint64_t screen_codes(const PackedRows *panels, const Queries *queries,
                                  const TileQueries *tile, int n_panels, const int64_t *numbers,
                                  uint64_t *candidates) noexcept nogil:
    """Find the rows of some panels that a tile's queries cannot rule out by their L2 codes.

    candidates : gets a bit per row for each query of the first panel, then of the second, and so on

    Returns a bit for each of these, of which there are 64 at most.
    """
    cdef CodePanels codes
    cdef QueryTerms terms
    codes.data, codes.panel_bytes, codes.groups = panels.data, panels.panel_bytes, panels.groups
    codes.scale, codes.energy, codes.ratio = panels.scale, panels.energy, panels.ratio
    terms.start = queries.start + tile.first
    terms.scale = queries.code_scale + tile.first
    terms.reach = queries.code_reach + tile.first
    terms.limit = queries.code_limit + tile.first
    return kernels.code_tile(
        tile.count, tile.packed, &terms, n_panels, numbers, &codes, candidates)


cdef inline bint are_screened_together(const PackedRows *panels,
                                       const Queries *queries) noexcept nogil:
    """Say whether candidates are all that is needed of some panels, and come without scores."""
    return panels.energy != NULL or is_refined(queries) and panels.groups <= panels.chunk_groups


cdef inline uint64_t screen_panels(const PackedRows *panels, const Queries *queries,
                                   const TileQueries *tile, int n_panels, const int64_t *numbers,
                                   uint64_t *candidates) noexcept nogil:
    """Find the rows of some panels that a tile's queries cannot rule out: as `screen_codes`."""
    cdef ScorePanels scored
    if panels.energy != NULL:
        return screen_codes(panels, queries, tile, n_panels, numbers, candidates)
    scored.data, scored.panel_bytes, scored.groups = panels.data, panels.panel_bytes, panels.groups
    scored.bias = panels.bias
    return panels.tile.screen(
        tile.count, tile.packed, queries.threshold + tile.first * score_bytes(panels), n_panels,
        numbers, &scored, candidates)


cdef inline uint64_t screen_tile(const PackedRows *panels, const Queries *queries,
                                 const TileQueries *tile, Py_ssize_t panel, uint64_t *candidates,
                                 const char **score) noexcept nogil:
    """Find the rows of a panel that a tile's queries cannot rule out.

    candidates : gets a bit per row for each query
    score : gets the scores of the tile, or NULL where none were stored

    Returns a bit per query that has candidates.
    """
    cdef Py_ssize_t first_row = panel * panels.tile.rows
    cdef int64_t number = panel
    cdef int size = score_bytes(panels)
    if panels.energy != NULL:
        score[0] = NULL
        return screen_codes(panels, queries, tile, 1, &number, candidates)
    score[0] = score_tile(panels, queries, tile.packed, tile.count, panel)
    return kernels.select[panels.scores](
        tile.count, panels.tile.rows, score[0], panels.bias + first_row * size,
        queries.threshold + tile.first * size, candidates)


cdef inline bint passes(Queries *queries, Py_ssize_t query, Py_ssize_t row,
                        Py_ssize_t stage) noexcept nogil:
    """Say whether a later stage cannot rule out a row."""
    queries.candidates[stage] += 1
    queries.bytes_read += queries.stages[stage].rows.width
    return not ruled_out(&queries.stages[stage], query, row, queries.reach[query])


cdef inline uint64_t later_stages(Queries *queries, Py_ssize_t query, Py_ssize_t first_row,
                                  uint64_t candidates, bint timed) noexcept nogil:
    """Return those of a query's candidates in a panel that no later stage rules out."""
    cdef uint64_t left
    cdef Py_ssize_t stage
    cdef int lane
    for stage in range(queries.n_stages):
        left = candidates
        while left:
            lane = lowest_bit(left)
            left &= left - 1
            if not passes(queries, query, first_row + lane, stage):
                candidates &= ~(<uint64_t>1 << lane)
        if timed:
            lap(queries, stage + 1)
    return candidates


cdef inline double whole_score(const PackedRows *panels, const char *score, Py_ssize_t place,
                               Py_ssize_t row) noexcept nogil:
    """Return a score of a tile with the row's bias added."""
    return get_score(score, panels.scores, place) + get_score(panels.bias, panels.scores, row)


cdef int in_order(const PackedRows *panels, const Queries *queries, uint64_t candidates,
                  const char *score, Py_ssize_t first_score, Py_ssize_t first_row,
                  int *lanes) noexcept nogil:
    """Write the candidates' lanes in the order in which to refine them; return their number.

    Where there are more of them than rows are wanted, as in the first panels of a search, the ones
    with the lowest scores go first: once those are refined, most of the others are beyond the new
    threshold.
    """
    cdef float scores[MAX_PANEL_ROWS]
    cdef int lane, n = 0, nearest = 0, i
    cdef Py_ssize_t wanted = n_wanted(&queries.keeper)
    cdef uint64_t first
    while candidates:
        lanes[n] = lowest_bit(candidates)
        candidates &= candidates - 1
        n += 1
    if n <= wanted or n <= REFINED_TOGETHER or score == NULL or queries.train.width < WORTH_RANKING:
        return n
    for i in range(n):
        scores[i] = <float>whole_score(panels, score, first_score + lanes[i], first_row + lanes[i])
    first = kernels.nearest(n, scores, <int>wanted)
    for i in range(n):  # a swap each: the order of the others does not matter
        if first >> i & 1:
            lanes[nearest], lanes[i] = lanes[i], lanes[nearest]
            nearest += 1
    return n


cdef void exact_keys(const Queries *queries, Py_ssize_t query, int count, const int64_t *rows,
                     double worst, double *keys, uint64_t *low) noexcept nogil:
    """Compute the keys that rows are ordered by: distances (squared under L2), or those of angles.

    A key of an angle that is surely above `worst` may come out as infinity.
    """
    cdef const Matrix *train = &queries.train
    cdef const void *values[REFINED_TOGETHER]
    cdef int i
    for i in range(count):
        values[i] = train.data + rows[i] * train.stride
    if queries.angles:
        for i in range(count):
            exact_angle(queries, query, rows[i], worst, &keys[i], &low[i])
        return
    if queries.exact != NULL:
        kernels.refine[train.element][train.metric](
            train.width, queries.exact + query * train.width, count, values, keys)
        return
    for i in range(count):
        keys[i] = <double>kernels.byte_distance[train.element == S8][train.metric](
            train.width, queries.exact_bytes + query * train.width, values[i])
