# The walk: screen a panel, take candidates through the rest of the cascade, compute their keys, and
# offer them to the keeper. Which rows are candidates is in candidates.pxi, what is kept in
# keep.pxi.
#
# Few candidates of a query and a panel wait in a ring until what they read next has come: it is in
# memory or in the third cache, and the tiles that are screened meanwhile need neither.

cdef enum:
    PREFETCH_BYTES = 1024  # of what will be read: the processor foresees the rest itself
    # One of so many tiles of a timed panel is timed: of 100 rows, reading the clock for each query
    # took a tenth of the search.
    TIMED_TILES = 8
    SCREENED_BYTES = 16384  # of panels that a tile is screened against in one call
    # Rows per neighbor from which on that is so (`rows_panel_by_panel`).
    SEEN_PER_NEIGHBOR = 4


cdef inline int64_t row_number(const PackedRows *panels, Py_ssize_t row) noexcept nogil:
    """Return the caller's number of a row."""
    return row if panels.numbers == NULL else panels.numbers[row]


cdef inline void prefetch_candidates(const PackedRows *panels, const Queries *queries,
                                     Py_ssize_t first_row, uint64_t candidates) noexcept nogil:
    """Ask for the numbers and the first bytes of the rows of candidates."""
    prefetch(<const char *>(panels.numbers + first_row))
    while candidates:
        prefetch(queries.train.data + (first_row + lowest_bit(candidates)) * queries.train.stride)
        candidates &= candidates - 1


cdef inline void prefetch_some(const char *first, Py_ssize_t n_bytes) noexcept nogil:
    """Ask for the beginning of some bytes."""
    prefetch_bytes(first, min(n_bytes, <Py_ssize_t>PREFETCH_BYTES))


cdef inline void put_off(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                         Py_ssize_t row, int stage) noexcept nogil:
    """Let a candidate wait, and ask for what its next stage or refine will read.

    There must be room for it.
    """
    cdef Candidate *candidate
    cdef const Stage *next_stage
    cdef Py_ssize_t width = queries.train.width  # of the query, as the refine reads it
    candidate = &queries.waiting[(queries.first_waiting + queries.n_waiting) % WAITING]
    candidate.query, candidate.row, candidate.stage = query, row, stage
    queries.n_waiting += 1
    if stage < queries.n_stages:
        next_stage = &queries.stages[stage]
        width = next_stage.rows.width
        prefetch_some(next_stage.rows.data + row * next_stage.rows.stride, width)
        prefetch_some(<const char *>next_stage.query_codes + query * width, width)
        return
    prefetch_some(queries.train.data + row * queries.train.stride, queries.train_bytes)
    if queries.exact_bytes != NULL:
        prefetch_some(<const char *>queries.exact_bytes + query * width, width)
    elif queries.exact != NULL:
        prefetch_some(<const char *>(queries.exact + query * width), width * sizeof(double))


cdef inline bint refine_rows(const PackedRows *panels, Queries *queries, Py_ssize_t query, int count,
                             const int64_t *rows) noexcept nogil:
    """Compute the keys of some rows, REFINED_TOGETHER at most, and offer them to the keeper.

    Says whether the threshold may have fallen.
    """
    cdef double keys[REFINED_TOGETHER]
    cdef uint64_t low[REFINED_TOGETHER]
    cdef int64_t numbers[REFINED_TOGETHER]
    cdef const int64_t *in_train = rows
    cdef int i
    if queries.by_number:
        in_train = numbers
    for i in range(count):
        numbers[i], low[i] = row_number(panels, rows[i]), 0
    queries.refined += count
    queries.bytes_read += count * queries.train_bytes
    exact_keys(queries, query, count, in_train, threshold_key(&queries.keeper, query), keys, low)
    return offer(&queries.keeper, query, count, keys, low, numbers)


cdef inline void lower_threshold(const PackedRows *panels, Queries *queries,
                                 Py_ssize_t query) noexcept nogil:
    """Set the threshold anew when that of the keeper has fallen, unless `max_key` is lower still."""
    if threshold_key(&queries.keeper, query) <= queries.max_key[query]:
        set_threshold(panels, queries, query)


cdef void take_waiting(const PackedRows *panels, Queries *queries, bint timed) noexcept nogil:
    """Take the candidate that waited longest through its next stage, or refine and offer it."""
    cdef Candidate candidate = queries.waiting[queries.first_waiting]
    cdef Py_ssize_t query = candidate.query
    cdef int64_t row = candidate.row
    queries.first_waiting = (queries.first_waiting + 1) % WAITING
    queries.n_waiting -= 1
    if candidate.stage < queries.n_stages:
        if passes(queries, query, row, candidate.stage):
            put_off(panels, queries, query, row, candidate.stage + 1)
        if timed:
            lap(queries, candidate.stage + 1)
        return
    queries.candidates[queries.n_stages] += 1
    if refine_rows(panels, queries, query, 1, &row):
        lower_threshold(panels, queries, query)
    if timed:
        lap(queries, REFINE)


cdef inline void take_all_waiting(const PackedRows *panels, Queries *queries,
                                  bint timed) noexcept nogil:
    while queries.n_waiting > 0:
        take_waiting(panels, queries, timed)


cdef inline bint may_wait(const Queries *queries, uint64_t candidates) noexcept nogil:
    """Say whether there are so few candidates that thresholds do not fall while they wait."""
    cdef int count = 0
    while candidates and count <= REFINED_TOGETHER:
        candidates &= candidates - 1
        count += 1
    return count <= REFINED_TOGETHER and queries.together > 1 and is_refined(queries)


cdef void keep_candidates(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                          Py_ssize_t first_row, uint64_t candidates, const char *score,
                          Py_ssize_t first_score, bint timed) noexcept nogil:
    """Take one query's candidates in one panel through what is left of the cascade, and offer them.

    Where the scores are the distances, those of the query begin at `first_score`.
    """
    cdef Keeper *keeper = &queries.keeper
    cdef double keys[REFINED_TOGETHER]
    cdef uint64_t low[REFINED_TOGETHER]
    cdef int64_t rows[REFINED_TOGETHER]
    cdef int64_t numbers[REFINED_TOGETHER]
    cdef int lanes[MAX_PANEL_ROWS]
    cdef int lane, count, place = 0, n
    cdef bint lower = False, refines = is_refined(queries)
    if may_wait(queries, candidates):
        while candidates:
            while queries.n_waiting == WAITING:
                take_waiting(panels, queries, timed)
            put_off(panels, queries, query, first_row + lowest_bit(candidates), 0)
            candidates &= candidates - 1
        return
    take_all_waiting(panels, queries, timed)  # rows come in order
    memset(low, 0, sizeof(low))
    if not queries.by_number and refines and queries.together == 1:
        prefetch_candidates(panels, queries, first_row, candidates)
    candidates = later_stages(queries, query, first_row, candidates, timed)
    n = in_order(panels, queries, candidates, score, first_score, first_row, lanes)
    while place < n:
        count = 0
        while place < n and count < REFINED_TOGETHER:
            lane = lanes[place]
            place += 1
            rows[count] = first_row + lane
            if not refines:
                numbers[count] = row_number(panels, first_row + lane)
                keys[count] = whole_score(
                    panels, score, first_score + lane, rows[count]) + queries.constant[query]
            elif score != NULL and lower and (
                get_score(queries.threshold, panels.scores, query)
                < whole_score(panels, score, first_score + lane, rows[count]) < INFINITY
            ):
                continue  # the threshold has come down since it was screened
            count += 1
        queries.candidates[queries.n_stages] += count
        if refines:
            lower |= refine_rows(panels, queries, query, count, rows)
        else:
            lower |= offer(keeper, query, count, keys, low, numbers)
        if lower and (place == n or refines and threshold_key(keeper, query) < INFINITY):
            lower_threshold(panels, queries, query)
    if timed:
        lap(queries, REFINE)


cdef void search_tile(const PackedRows *panels, Queries *queries, const TileQueries *tile,
                      Py_ssize_t panel, uint64_t wanted, bint timed) noexcept nogil:
    """Screen a tile of queries against one panel, and offer the candidates."""
    cdef uint64_t candidates[MAX_TILE_QUERIES]
    cdef uint64_t with_candidates
    cdef const char *score
    cdef int i
    with_candidates = screen_tile(panels, queries, tile, panel, candidates, &score)
    if timed:
        lap(queries, 0)
    while with_candidates:
        i = lowest_bit(with_candidates)
        with_candidates &= with_candidates - 1
        keep_candidates(panels, queries, tile.first + i, panel * panels.tile.rows,
                        candidates[i] & wanted, score, i * panels.tile.rows, timed)


cdef void search_panel(const PackedRows *panels, Queries *queries, Py_ssize_t panel,
                       bint timed) noexcept nogil:
    """Screen every query against one panel, and offer the candidates' keys to the keeper."""
    cdef Py_ssize_t first = 0, every = TIMED_TILES * queries.together
    cdef TileQueries tile
    cdef uint64_t wanted = wanted_rows(panels, panel)
    cdef bint now_timed
    while first < queries.n:
        now_timed = timed and first % every == 0
        if now_timed:
            queries.last_tick = tick_count()
        if panels.data == NULL:  # nothing is ruled out
            keep_candidates(
                panels, queries, first, panel * panels.tile.rows, wanted, NULL, 0, now_timed)
            first += 1
            continue
        tile = tile_from(panels, queries, first)
        search_tile(panels, queries, &tile, panel, wanted, now_timed)
        first += tile.count


cdef inline Py_ssize_t panels_at_once(const PackedRows *panels,
                                      const Queries *queries) noexcept nogil:
    """Say how many panels a tile of queries is screened against in one call.

    Several where they are narrow and of a direct screen: what lies around the kernel takes as long
    as the kernel then. They are in the L1 cache together, and end where panels of any kind do.
    """
    cdef Py_ssize_t unit = max(1, <Py_ssize_t>MAX_PANEL_ROWS // panels.tile.rows), n
    if panels.scale != NULL or panels.data == NULL or not are_screened_together(panels, queries):
        return 1
    n = min(<Py_ssize_t>SCREENED_BYTES // panels.panel_bytes,
            <Py_ssize_t>MAX_PANEL_ROWS // queries.together)
    return max(1, n - n % unit)


cdef inline Py_ssize_t rows_panel_by_panel(const Queries *queries) noexcept nogil:
    """Say how many rows are screened panel by panel first, while thresholds fall fast."""
    return max(<Py_ssize_t>MAX_PANEL_ROWS, n_wanted(&queries.keeper)) * SEEN_PER_NEIGHBOR


cdef void search_together(const PackedRows *panels, Queries *queries, const TileQueries *tile,
                          int n_panels, const int64_t *numbers, bint timed) noexcept nogil:
    """Screen a tile of queries against some panels in one call, and offer the candidates.

    There is a bit for each query and panel: MAX_PANEL_ROWS of them at most.
    """
    cdef uint64_t candidates[MAX_PANEL_ROWS]
    cdef uint64_t found = screen_panels(panels, queries, tile, n_panels, numbers, candidates)
    cdef int64_t panel
    cdef int i
    if timed:
        lap(queries, 0)
    while found:
        i = lowest_bit(found)
        found &= found - 1
        panel = numbers[i // tile.count]
        keep_candidates(panels, queries, tile.first + i % tile.count, panel * panels.tile.rows,
                        candidates[i] & wanted_rows(panels, panel), NULL, 0, timed)


cdef void search_panels(const PackedRows *panels, Queries *queries, Py_ssize_t panel, int n_panels,
                        bint timed) noexcept nogil:
    """Screen every query against some panels at once, and offer the candidates."""
    cdef Py_ssize_t first = 0, every = TIMED_TILES * queries.together
    cdef int64_t numbers[MAX_PANEL_ROWS]
    cdef TileQueries tile
    cdef bint now_timed
    cdef int i
    for i in range(n_panels):
        numbers[i] = panel + i
    while first < queries.n:
        now_timed = timed and first % every == 0
        if now_timed:
            queries.last_tick = tick_count()
        tile = tile_from(panels, queries, first)
        search_together(panels, queries, &tile, n_panels, numbers, now_timed)
        first += tile.count


ctypedef struct GiveUp:
    # When a cascade is given up (`pays`): who calls decides, by the policy.
    Py_ssize_t window_rows, early_rows_per_neighbor, row_by_row


cdef bint pays(const PackedRows *panels, Queries *queries, Py_ssize_t panel,
               const GiveUp *give_up) noexcept nogil:
    """Say whether a cascade still is cheaper than the direct screen; asked after each panel.

    It is given up when it read, row by row, at least a share 1 / row_by_row of the bytes that
    direct tiles would have read of the last window_rows rows. The first early_rows_per_neighbor
    rows per neighbor do not count: most of them are candidates of any screen.
    """
    cdef int64_t rows, read
    queries.rows_seen += panels.tile.rows
    rows = queries.rows_seen - queries.rows_then
    if rows < give_up.window_rows or (panel + 1) * panels.tile.rows % MAX_PANEL_ROWS:
        return True
    read = queries.bytes_read - queries.bytes_then
    queries.rows_then, queries.bytes_then = queries.rows_seen, queries.bytes_read
    if queries.rows_seen - rows < give_up.early_rows_per_neighbor * n_wanted(&queries.keeper):
        return True
    return read * give_up.row_by_row < rows * queries.n * queries.train_bytes


cdef void prefetch_rows(const PackedRows *panels, const Queries *queries,
                        Py_ssize_t panel) noexcept nogil:
    """Ask for the training rows of a panel that is to come.

    Where nothing is packed, all of them will be read; and once most are candidates of one or other
    of the block's queries, reading all ahead costs less than waiting for each.
    """
    cdef Py_ssize_t first = panel * panels.tile.rows, row
    cdef bint most = queries.exact_bytes != NULL and 2 * queries.refined >= first
    if panels.data != NULL and not most:
        return
    for row in range(first, min(first + panels.tile.rows, panels.n_rows)):
        prefetch_bytes(queries.train.data + row * queries.train.stride, queries.train_bytes)
