# The walk: screen a panel, take candidates through the rest of the cascade, keep the k best.

cdef extern from *:
    """
    static inline int lowest_bit(uint64_t bits)
    {
    #if defined(__GNUC__)
        return __builtin_ctzll(bits);
    #else
        int place = 0;
        while (!(bits >> place & 1))
            place++;
        return place;
    #endif
    }

    /* Time in any unit, for shares of time: as cheaply as the processor has it. */
    #if defined(__GNUC__) && defined(__x86_64__)
    #define tick_count() ((uint64_t)__builtin_ia32_rdtsc())
    #else
    #include <time.h>
    #define tick_count() ((uint64_t)clock())
    #endif
    """
    int lowest_bit(uint64_t) noexcept nogil
    uint64_t tick_count() noexcept nogil


cdef void lap(Queries *queries, Py_ssize_t stage) noexcept nogil:
    """The time since the last lap went to this stage."""
    cdef uint64_t now = tick_count()
    queries.ticks[stage] += now - queries.last_tick
    queries.last_tick = now


cdef void refine_candidates(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                            Py_ssize_t first_row,     uint64_t candidates, const char *score, Py_ssize_t first_score,
                 bint timed) noexcept nogil:
    """Take one query's candidates in one panel through what is left of the cascade.

    Where the scores are the distances, those of the query begin at `first_score`.
    """
    cdef Best best = best_of(&queries.best, queries.k, query)
    cdef double keys[REFINED_TOGETHER]
    cdef uint64_t low[REFINED_TOGETHER]
    cdef int64_t rows[REFINED_TOGETHER]
    cdef uint64_t left
    cdef int lanes[MAX_PANEL_ROWS]
    cdef int lane, count, i, place = 0, n
    cdef Py_ssize_t stage
    cdef bint found = False, refines = is_refined(queries)
    memset(low, 0, sizeof(low))
    for stage in range(queries.n_stages):
        left = candidates
        while left:
            lane = lowest_bit(left)
            left &= left - 1
            queries.candidates[stage] += 1
            queries.bytes_read += queries.stages[stage].rows.width
            if ruled_out(&queries.stages[stage], query, first_row + lane, queries.reach[query]):
                candidates &= ~(<uint64_t>1 << lane)
        if timed:
            lap(queries, stage + 1)
    n = in_order(panels, queries, candidates, score, first_score, first_row, lanes)
    while place < n:
        count = 0
        while place < n and count < REFINED_TOGETHER:
            lane = lanes[place]
            place += 1
            rows[count] = first_row + lane
            if not refines:
                keys[count] = whole_score(
                    panels, score, first_score + lane, rows[count]) + queries.constant[query]
            elif score != NULL and found and (
                get_score(queries.threshold, panels.scores, query)
                < whole_score(panels, score, first_score + lane, rows[count]) < INFINITY
            ):
                continue  # the threshold has come down since it was screened
            count += 1
        queries.candidates[queries.n_stages] += count
        if refines:
            queries.refined += count
            queries.bytes_read += count * queries.train_bytes
            exact_keys(queries, query, count, rows, best.keys[0], keys, low)
        if queries.reservoirs.capacity:
            found |= keep_in_reservoir(
                &queries.reservoirs, queries.k, query, count, keys, low, rows, &best)
            count = 0
        for i in range(count):
            if comes_before(keys[i], low[i], rows[i], &best, 0):
                sift_down(&best, queries.k, keys[i], low[i], rows[i])
                found = True
        if found and (place == n or refines and best.keys[0] < INFINITY):
            set_threshold(panels, queries, query)
    if timed:
        lap(queries, queries.n_stages + 1)


cdef inline double whole_score(const PackedRows *panels, const char *score, Py_ssize_t place,
                               Py_ssize_t row) noexcept nogil:
    return get_score(score, panels.scores, place) + get_score(panels.bias, panels.scores, row)


cdef int in_order(const PackedRows *panels, const Queries *queries, uint64_t candidates, const char *score,
                  Py_ssize_t first_score, Py_ssize_t first_row, int *lanes) noexcept nogil:
    """Write the candidates' lanes in the order in which to refine them; return their number.

    Where more than k survive, as of the first rows of a search, the k nearest by their scores go
    first: once those are refined, most of the others are beyond the new threshold.
    """
    cdef float scores[MAX_PANEL_ROWS]
    cdef int lane, n = 0, nearest = 0, i
    cdef uint64_t first
    while candidates:
        lanes[n] = lowest_bit(candidates)
        candidates &= candidates - 1
        n += 1
    if n <= queries.k or n <= REFINED_TOGETHER or score == NULL or queries.train.width < WORTH_RANKING:
        return n
    for i in range(n):
        scores[i] = <float>whole_score(panels, score, first_score + lanes[i], first_row + lanes[i])
    first = kernels.nearest(n, scores, <int>queries.k)
    for i in range(n):  # a swap each: the order of the others does not matter
        if first >> i & 1:
            lanes[nearest], lanes[i] = lanes[i], lanes[nearest]
            nearest += 1
    return n


cdef void exact_keys(const Queries *queries, Py_ssize_t query, int count, const int64_t *rows,
                     double worst, double *keys, uint64_t *low) noexcept nogil:
    """The keys that rows are ordered by: distances, squared under L2, or those of angles.

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


cdef void search_panel(const PackedRows *panels, Queries *queries, Py_ssize_t panel,
                       bint timed) noexcept nogil:
    """Screen every query against one panel; refine what survives."""
    cdef int panel_rows = panels.tile.rows, size = score_bytes(panels), count, i
    cdef Py_ssize_t first_row = panel * panel_rows, first = 0, query
    cdef int real = <int>min(<Py_ssize_t>panel_rows, panels.n_rows - first_row)
    cdef uint64_t real_rows = (<uint64_t>-1) >> (64 - real), with_candidates
    cdef uint64_t candidates[MAX_TILE_QUERIES]
    cdef const char *score
    queries.last_tick = tick_count() if timed else 0
    if panels.data == NULL:  # nothing is ruled out
        for query in range(queries.n):
            refine_candidates(panels, queries, query, first_row, real_rows, NULL, 0, timed)
        return
    while first < queries.n:
        count = <int>min(<Py_ssize_t>panels.tile.queries, queries.n - first)
        if panels.energy != NULL:
            score = NULL
            with_candidates = screen_codes(panels, queries, first, count, panel, candidates)
        else:
            score = score_tile(panels, queries, first, count, panel)
            with_candidates = kernels.select[panels.scores](
                count, panel_rows, score, panels.bias + first_row * size,
                queries.threshold + first * size, candidates)
        if timed:
            lap(queries, 0)
        while with_candidates:
            i = lowest_bit(with_candidates)
            with_candidates &= with_candidates - 1
            refine_candidates(panels, queries, first + i, first_row, candidates[i] & real_rows, score,
                              i * panel_rows, timed)
        first += count


cdef inline uint64_t screen_codes(const PackedRows *panels, const Queries *queries, Py_ssize_t first,
                                  int count, Py_ssize_t panel, uint64_t *candidates) noexcept nogil:
    """Rows of a panel that a tile's queries cannot rule out by their L2 codes."""
    cdef RowTerms row_terms
    cdef QueryTerms query_terms
    row_terms.scale = panels.scale + panel * panels.tile.rows
    row_terms.energy = panels.energy + panel * panels.tile.rows
    row_terms.ratio = panels.ratio[panel]
    query_terms.start = queries.start + first
    query_terms.scale = queries.code_scale + first
    query_terms.reach = queries.code_reach + first
    query_terms.limit = queries.code_limit + first
    return kernels.code_tile(
        count, panels.groups, packed_tile(panels, queries, first, 0),
        panels.data + panel * panels.panel_bytes, &row_terms, &query_terms, candidates)


cdef bint pays(const PackedRows *panels, Queries *queries, Py_ssize_t panel) noexcept nogil:
    """Whether a cascade still is cheaper than the direct screen; asked after each panel.

    It is not where what a window of rows made it read row by row is a good part of what a
    direct tile would read. The first rows do not count: any screen keeps them.
    """
    cdef int64_t rows, read
    queries.rows_seen += panels.tile.rows
    rows = queries.rows_seen - queries.rows_then
    if rows < WINDOW_ROWS or (panel + 1) * panels.tile.rows % MAX_PANEL_ROWS:
        return True
    read = queries.bytes_read - queries.bytes_then
    queries.rows_then, queries.bytes_then = queries.rows_seen, queries.bytes_read
    if queries.rows_seen - rows < EARLY_ROWS * queries.k:
        return True
    return read * ROW_BY_ROW < rows * queries.n * queries.train_bytes


cdef void prefetch_rows(const PackedRows *panels, const Queries *queries, Py_ssize_t panel) noexcept nogil:
    """Ask for the training rows of a panel that is to come.

    Where nothing is packed, all of them will be read; and once most survive for one or other of
    the block's queries, reading all ahead costs less than waiting for each.
    """
    cdef Py_ssize_t first = panel * panels.tile.rows, row, byte
    cdef bint most = queries.exact_bytes != NULL and 2 * queries.refined >= first
    if panels.data != NULL and not most:
        return
    for row in range(first, min(first + panels.tile.rows, panels.n_rows)):
        for byte in range(0, queries.train_bytes, 64):
            prefetch(queries.train.data + row * queries.train.stride + byte)
