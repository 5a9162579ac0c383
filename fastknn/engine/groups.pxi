# The walk that leaves out whole groups of rows: per query, from groups of groups down to groups, the
# nearest first.
#
# Rows are in the order of `ordering.pxi`, and z is a non-expansive map. Proof that a group may be
# left out: for every row x of it, z(x) lies in the group's box, so that
#     dist(q, x) >= dist(z(q), z(x)) >= dist(point, box) - error,   error >= dist(z(q), point),
# and a row beyond the reach of the query is not one of the k best. A box of boxes contains them all.
#
# Queries that begin with the same group are near to each other: where groups are large, up to BUNDLE
# of them are walked for together. What one of them has to look at is read from the cache once for all,
# and compared with all.
#
# Groups wait for each other while their rows come from memory, and are searched together: first one by
# one, for until the k-th distance is about known every row that is refined lowers it, then more.
# The nearest come first, until then: sorting all would take longer than it saves.
#
# Limit: BOX_LANES boxes cost 5 operations on as many floats per coordinate and query. A group costs a
# tile of as many queries.

cdef enum:
    # Queries that are walked for together, at most; and the bytes of a group from which that pays.
    # On AVX-512, the graph of 1,000,000 x 50 takes 14.0 s in bundles of 4, 14.5 s of 8, 18.6 s without;
    # 8 and 20 columns, in codes, take up to a fifth longer in bundles.
    BUNDLE = 4
    BUNDLED_BYTES = 768
    PREFETCHED = 2  # blocks of boxes ahead that are asked for
    # Panels that are searched together at most, and turns after which there may be one more. With
    # one more each turn, a graph of 50,000 x 50 refines 8 % more rows; with all from the start, 95 %.
    TOGETHER = 8
    TURNS = 4
    TIMED_QUERIES = 64  # one of so many is timed: reading the clock takes time itself


ctypedef struct Opened:
    # A block of boxes of one level, looked into for a bundle of queries: how far its boxes are from
    # each query, and those that may be within reach and were not visited yet, the next one last.
    Py_ssize_t block
    float *bounds  # BOX_LANES for each query
    int n_left
    int left[BOX_LANES]


cdef inline bint is_wanted(const Walk *walk, const TileQueries *bundle, const Opened *opened,
                           int lane) noexcept nogil:
    """Say whether a box is within reach of any query of a bundle, by their limits as they are now."""
    cdef int i
    for i in range(bundle.count):
        if opened.bounds[i * BOX_LANES + lane] <= walk.limits[bundle.first + i]:
            return True
    return False


cdef inline void look_into(Queries *queries, const TileQueries *bundle, int level,
                           const Opened *above, int box, bint ranked,
                           Opened *opened) noexcept nogil:
    """Find the boxes of a block that may be within reach.

    above, box : the block in which one box has all of these, and which; or NULL
    ranked : let them be visited by their distance from the query that is nearest to each
    """
    cdef Walk *walk = &queries.walk
    cdef const Boxes *boxes = walk.boxes
    cdef Py_ssize_t block = 0 if above == NULL else above.block * BOX_LANES + box, real, query
    cdef const float *ends = boxes.levels[level] + block * 2 * BOX_LANES * boxes.width
    cdef uint64_t bits = 0
    cdef float nears[BOX_LANES]
    cdef float nearest = 0
    cdef float *bounds
    cdef int lane, i, place, n = 0
    opened.block = block
    opened.bounds = walk.bounds + level * BUNDLE * BOX_LANES
    real = min(boxes.counts[level] - block * BOX_LANES, <Py_ssize_t>BOX_LANES)
    for i in range(bundle.count):
        query, bounds = bundle.first + i, opened.bounds + i * BOX_LANES
        if above != NULL and above.bounds[i * BOX_LANES + box] > walk.limits[query]:
            for lane in range(BOX_LANES):
                bounds[lane] = INFINITY
            continue
        bits |= kernels.boxes[boxes.metric](
            boxes.width, walk.points + query * boxes.width, ends, walk.limits[query], bounds)
        walk.n_boxes += real
    bits &= (<uint64_t>-1) >> (64 - real)
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - 1
        place = n
        if ranked:
            nearest = opened.bounds[lane]
            for i in range(1, bundle.count):
                nearest = min(nearest, opened.bounds[i * BOX_LANES + lane])
            while place > 0 and nears[place - 1] < nearest:
                nears[place], opened.left[place] = nears[place - 1], opened.left[place - 1]
                place -= 1
        nears[place], opened.left[place] = nearest, lane
        n += 1
    opened.n_left = n


cdef inline void prefetch_within(const Boxes *boxes, int level, const Opened *opened, int first,
                                 int last) noexcept nogil:
    """Ask for what some boxes have in them: those to be visited after `first` others, up to `last`."""
    cdef Py_ssize_t block_bytes = 2 * BOX_LANES * boxes.width * sizeof(float), box
    while first < min(last, opened.n_left):
        first += 1
        box = opened.block * BOX_LANES + opened.left[opened.n_left - first]
        prefetch_some(<const char *>boxes.levels[level - 1] + box * block_bytes, block_bytes)


ctypedef struct Waiting:
    # Panels of groups that may have a row within reach; how often they were searched, and how many
    # are to be searched together now.
    int n, turns, most
    int64_t panels[2 * TOGETHER]  # a group has fewer than TOGETHER of them


cdef void search_waiting(const PackedRows *panels, Queries *queries, const TileQueries *bundle,
                         Waiting *waiting, bint timed) noexcept nogil:
    """Search the panels that wait."""
    cdef int64_t panel
    cdef int i, n = waiting.n
    waiting.n = 0
    waiting.turns += 1
    waiting.most = min(1 + waiting.turns // TURNS, <int>TOGETHER)
    if timed:
        lap(queries, GROUPS)
    # Of the first group all rows are candidates: their scores say which to refine first.
    if waiting.turns == 1 or not are_screened_together(panels, queries):
        for i in range(n):
            panel = waiting.panels[i]
            search_tile(panels, queries, bundle, panel, wanted_rows(panels, panel), timed)
        return
    search_together(panels, queries, bundle, n, waiting.panels, timed)


cdef inline void add_group(const PackedRows *panels, Queries *queries, const TileQueries *bundle,
                           Waiting *waiting, Py_ssize_t group, bint timed) noexcept nogil:
    """Let a group wait, and ask for its rows; search those that wait if there are enough."""
    cdef Walk *walk = &queries.walk
    cdef Py_ssize_t panel = group * walk.group_panels, last = panel + walk.group_panels
    last = min(last, walk.n_panels)
    walk.n_rows += bundle.count * (
        min(last * panels.tile.rows, panels.n_rows) - panel * panels.tile.rows)
    while panel < last:
        prefetch_some(panels.data + panel * panels.panel_bytes, panels.panel_bytes)
        if panels.energy == NULL:
            prefetch(panels.bias + panel * panels.tile.rows * score_bytes(panels))
        else:
            prefetch(<const char *>(panels.scale + panel * panels.tile.rows))
            prefetch(<const char *>(panels.energy + panel * panels.tile.rows))
        waiting.panels[waiting.n] = panel
        waiting.n += 1
        panel += 1
    if waiting.n >= waiting.most:
        search_waiting(panels, queries, bundle, waiting, timed)


cdef inline Py_ssize_t first_groups(const Queries *queries) noexcept nogil:
    """Return the number of groups with which a search begins: they have as many rows as wanted."""
    cdef Py_ssize_t n_groups = 1
    while n_groups * queries.walk.boxes.group_rows < n_wanted(&queries.keeper):
        n_groups *= 2
    return n_groups


cdef TileQueries bundle_from(const PackedRows *panels, const Queries *queries, Py_ssize_t first,
                             Py_ssize_t n_first) noexcept nogil:
    """Put together the next queries that begin with the same groups, each packed by itself."""
    cdef Py_ssize_t unit_bytes = panels.tile.group * panels.tile.query_bytes
    cdef const int64_t *starts = queries.walk.starts
    cdef TileQueries bundle
    cdef int i, most = 1
    if queries.walk.group_panels * panels.panel_bytes >= BUNDLED_BYTES:
        most = min(<int>BUNDLE, panels.tile.queries)
    bundle.first, bundle.count, bundle.packed = first, 1, packed_tile(panels, queries, first)
    while (bundle.count < most and first + bundle.count < queries.n
            and starts[first + bundle.count] // n_first == starts[first] // n_first):
        bundle.count += 1
    if bundle.count > 1:
        bundle.packed = queries.walk.packed
        for i in range(bundle.count):
            pack_row(queries.walk.packed, packed_tile(panels, queries, first + i),
                     panels.groups * unit_bytes, bundle.count, i, <int>unit_bytes)
    return bundle


cdef Py_ssize_t walk_groups(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                            bint timed) noexcept nogil:
    """Search all groups that may have a row within reach of a query, and of those near to it.

    First some about the group that is near to it, which have as many rows as are wanted: then the
    k-th distance is known roughly before any bound is looked at. Returns the number of queries.
    """
    cdef Walk *walk = &queries.walk
    cdef Opened opened[MAX_BOX_LEVELS]
    cdef Opened *block
    cdef Waiting waiting
    cdef Py_ssize_t n_first = first_groups(queries), group = walk.starts[query], first, last
    cdef int top = walk.boxes.n_levels - 1, level = top, lane
    cdef TileQueries bundle = bundle_from(panels, queries, query, n_first)
    queries.last_tick = tick_count() if timed else 0
    first = group - group % n_first
    last = min(first + n_first, walk.boxes.counts[0])
    waiting.n = waiting.turns = waiting.most = 0
    for group in range(first, last):
        add_group(panels, queries, &bundle, &waiting, group, timed)
    look_into(queries, &bundle, top, NULL, 0, True, &opened[top])
    while level <= top:
        block = &opened[level]
        if block.n_left == 0:
            level += 1
            continue
        block.n_left -= 1
        lane = block.left[block.n_left]
        if not is_wanted(walk, &bundle, block, lane):
            continue  # the limits have come down since it was looked at
        if level == 0:
            group = block.block * BOX_LANES + lane
            if not first <= group < last:
                add_group(panels, queries, &bundle, &waiting, group, timed)
            continue
        prefetch_within(walk.boxes, level, block, PREFETCHED - 1, PREFETCHED)
        level -= 1
        look_into(queries, &bundle, level, block, lane, level > 0 or waiting.most < TOGETHER,
                  &opened[level])
        if level > 0:
            prefetch_within(walk.boxes, level, &opened[level], 0, PREFETCHED)
    search_waiting(panels, queries, &bundle, &waiting, timed)
    return bundle.count


cdef Py_ssize_t nearest_group(const Boxes *boxes, const float *point, float *bounds) noexcept nogil:
    """Return the group that is reached by going into the nearest box of every level."""
    cdef Py_ssize_t block = 0, real
    cdef int level = boxes.n_levels - 1, lane, nearest
    while level >= 0:
        kernels.boxes[boxes.metric](
            boxes.width, point, boxes.levels[level] + block * 2 * BOX_LANES * boxes.width, INFINITY,
            bounds)
        real = min(<Py_ssize_t>BOX_LANES, boxes.counts[level] - block * BOX_LANES)
        nearest = 0
        for lane in range(1, <int>real):
            if bounds[lane] < bounds[nearest]:
                nearest = lane
        block = block * BOX_LANES + nearest
        level -= 1
    return block
