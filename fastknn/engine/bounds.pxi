# Scores of one tile, and what scores and codes say: thresholds with their slack, later stages.

cdef inline bint is_refined(const Queries *queries) noexcept nogil:
    """Say whether candidates are refined; else their scores are the distances."""
    return queries.angles or queries.exact != NULL or queries.exact_bytes != NULL


cdef const char *score_tile(const PackedRows *panels, const Queries *queries, const char *packed,
                            int count, Py_ssize_t panel) noexcept nogil:
    """Compute the scores of one tile, before the bias, in the type that `panels.scores` names."""
    cdef Py_ssize_t step = count * panels.tile.group * panels.tile.query_bytes
    cdef const Tile *tile = panels.tile
    cdef const char *data = panels.data + panel * panels.panel_bytes
    cdef Py_ssize_t group_bytes = tile.rows * tile.group * panels.item_bytes
    cdef Py_ssize_t group = 0, groups
    if panels.groups <= panels.chunk_groups:
        tile.tile(count, panels.groups, packed, data, queries.score)
        return queries.score
    memset(queries.total, 0, count * tile.rows * sizeof(double))
    while group < panels.groups:
        groups = min(panels.chunk_groups, panels.groups - group)
        tile.tile(count, groups, packed + group * step, data + group * group_bytes, queries.score)
        kernels.accumulate[tile.scores](count * tile.rows, queries.score, queries.total)
        group += groups
    return <const char *>queries.total


cdef void measure_slack(const PackedRows *panels, Queries *queries) noexcept nogil:
    """Set how far a score may lie above the distance that the refine would give.

    A sum of n non-negative terms, each rounded t times, is off by at most a factor
    1 + (n + t) u (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; the
    1.001 covers the higher orders); a square that underflows is off by at most half the
    smallest subnormal. Scores of bytes are exact.
    """
    cdef double width = panels.given.width, terms = min(width, <double>DEPTH_LIMIT_FLOATS)
    cdef double u64 = 2.0**-53, tiny64 = 2.0**-1074
    cdef double u = 2.0**-24 if panels.given.element == F32 else u64
    queries.screen_slack = queries.screen_tiny = 0
    if panels.center != NULL:
        queries.screen_slack = expansion_slack(panels)
        queries.screen_tiny = (width + 4) * 2.0**-140
    elif panels.given.element != U8:
        queries.screen_slack = 1.001 * ((terms + 3) * u + (width / terms + 3) * u64)
        queries.screen_tiny = (width + 4) * (2.0**-149 if panels.given.element == F32 else tiny64)
    queries.refine_slack = queries.refine_tiny = 0
    if queries.angles:
        queries.refine_slack, queries.refine_tiny = 2.0**-46, 2.0**-112
    elif queries.exact != NULL:
        width = queries.train.width
        queries.refine_slack = 1.001 * (width / 8 + 12) * u64
        queries.refine_tiny = (width + 4) * tiny64


cdef inline void set_box_limit(Queries *queries, Py_ssize_t query, double reach) noexcept nogil:
    """Set the largest bound that a group may have whose rows may be within reach of a query.

    A bound is a sum of `width` non-negative terms of at most three roundings each: at most a factor
    1 + 1.01 (width + 4) u above the exact one, u = 2**-24, and half the smallest subnormal per
    term (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    cdef Walk *walk = &queries.walk
    cdef double width = walk.boxes.width
    cdef double limit = (reach + walk.errors[query]) * (1 + 2.0**-50)
    if walk.boxes.metric == L2:
        limit *= limit
    limit = limit * (1 + 1.01 * (width + 4) * 2.0**-24) + (width + 4) * 2.0**-149
    walk.limits[query] = float_above(limit) if limit < FLT_MAX / 2 else INFINITY


cdef void set_threshold(const PackedRows *panels, Queries *queries,
                        Py_ssize_t query) noexcept nogil:
    """Set the largest score that a row may have and still be one of the k best.

    With tau the k-th best distance so far (squared under L2, and of directions for angles: see
    `squared_chord`), s a row's score, r its refined
    distance, e the distance from the query to its codes, the row is dropped when s > limit:
        s <= S (1 + screen_slack) + screen_tiny, with S = dist(codes, x), so S > reach + e;
        dist(query, x) >= S - e > reach >= (tau + refine_tiny) (1 + refine_slack), so r > tau.
    Exact integers need no slack, and where rows come in the order of their index, a tie is too late.
    Each step is rounded up by at least as much as its own rounding (`up`).
    """
    cdef double up = 1 + 2.0**-50, kth_key = threshold_key(&queries.keeper, query)
    cdef double tau = min(kth_key, queries.max_key[query]), reach, limit
    cdef double error = 0 if queries.errors == NULL else queries.errors[query]
    cdef bint squared = panels.given.metric == L2
    if queries.angles:
        tau = squared_chord(queries, query, tau)
    if not is_refined(queries):
        limit = min(kth_key - (panels.numbers == NULL), queries.max_key[query])
        if queries.walk.boxes != NULL:
            set_box_limit(queries, query, sqrt(max(limit, 0)) * up if squared else limit)
    else:
        limit = (tau + queries.refine_tiny) * (1 + queries.refine_slack) * up
        # Without any of these e is 0, and squares can be compared without taking roots.
        if panels.scale != NULL or error != 0 or queries.walk.boxes != NULL:
            reach = sqrt(limit) * up if squared else limit
            queries.reach[query] = reach
            if queries.walk.boxes != NULL:
                set_box_limit(queries, query, reach)
            reach = (reach + error) * up
            if panels.scale != NULL:
                set_code_threshold(panels, queries, query, reach)
                return
            limit = reach * reach if squared else reach
        limit = (limit * (1 + queries.screen_slack) + queries.screen_tiny) * up
    limit -= queries.constant[query]
    if limit != limit:
        limit = INFINITY  # of a query with NaN: nothing is ruled out, and nothing found
    if panels.scores == I32_SCORES:
        limit = min(max(floor(limit), <double>INT32_MIN), <double>INT32_MAX)
    elif panels.scores == F32_SCORES:
        limit = float_above(limit) if limit < FLT_MAX / 2 else INFINITY
    set_score(queries.threshold, panels.scores, query, limit)


cdef void set_code_threshold(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                             double reach) noexcept nogil:
    """Set the same for codes, whose bounds are derived in screens/cascade.py."""
    cdef double limit
    if panels.given.metric == L1:
        limit = min(floor(reach / queries.scale[query] * (1 + 2.0**-50)), <double>INT32_MAX)
        set_score(queries.threshold, panels.scores, query, limit)
        return
    reach = float_above(min(reach, FAR_AWAY))
    queries.code_reach[query] = <float>(2 * reach)
    reach *= reach
    limit = reach - queries.constant[query] + CODE_SLACK * (reach + queries.constant[query])
    queries.code_limit[query] = float_above(limit)


cdef bint ruled_out(const Stage *stage, Py_ssize_t query, Py_ssize_t row,
                    double reach) noexcept nogil:
    """Say whether the lower bound of a later stage puts a row beyond the reach of a query."""
    cdef Py_ssize_t width = stage.rows.width
    cdef double distance = <double>kernels.byte_distance[False][stage.rows.metric](
        width, stage.query_codes + query * width, stage.rows.data + row * stage.rows.stride)
    cdef double scale = stage.scale[row], query_scale = stage.query_scale[query]
    cdef double query_energy, row_energy
    reach = (reach + stage.query_error[query] + stage.error[row]) * (1 + 2.0**-50)
    if stage.rows.metric == L1:
        return distance * scale > reach * (1 + 2.0**-50)
    # 2 <q, x> = |q|**2 + |x|**2 - |q - x|**2 in integers; then the law of cosines at two scales.
    query_energy, row_energy = stage.query_norm[query], stage.norm[row]
    distance = query_scale * scale * (query_energy + row_energy - distance)
    query_energy *= query_scale * query_scale
    row_energy *= scale * scale
    return (query_energy + row_energy - distance
            > reach * reach + 2.0**-48 * (query_energy + row_energy + reach * reach))
