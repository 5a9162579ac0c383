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
# Limit: BOX_LANES boxes cost 5 operations on as many floats per coordinate and query; of them, those
# within reach are sorted by insertion. A group costs a tile of as many queries.

cdef enum:
    # Queries that are walked for together, at most; and the bytes of a group from which that pays.
    # On AVX-512, the graph of 1,000,000 x 50 takes 14.0 s in bundles of 4, 14.5 s of 8, 18.6 s without;
    # 8 and 20 columns, in codes, take up to a fifth longer in bundles.
    BUNDLE = 4
    BUNDLED_BYTES = 768
    PREFETCHED = 2  # visits ahead that are asked for
    TIMED_QUERIES = 64  # one of so many is timed: reading the clock takes time itself


ctypedef struct Visit:
    # A box that may be within reach: its bound for each query of a bundle, and the least of them;
    # and which box of its level it is.
    float bounds[BUNDLE]
    float nearest
    int level
    Py_ssize_t box


cdef inline bint is_wanted(const Walk *walk, const TileQueries *bundle,
                           const Visit *visit) noexcept nogil:
    """Say whether a box is within reach of any query of a bundle, by their limits as they are now."""
    cdef int i
    for i in range(bundle.count):
        if visit.bounds[i] <= walk.limits[bundle.first + i]:
            return True
    return False


cdef inline Py_ssize_t look_into(Queries *queries, const TileQueries *bundle, const Visit *parent,
                                 int level, Py_ssize_t block, Visit *visits,
                                 Py_ssize_t size) noexcept nogil:
    """Add those of a block of boxes that may be within reach, the nearest last; return the size.

    parent : the box that has them, or NULL
    """
    cdef Walk *walk = &queries.walk
    cdef const Boxes *boxes = walk.boxes
    cdef const float *ends = boxes.levels[level] + block * 2 * BOX_LANES * boxes.width
    cdef Py_ssize_t first = size, place, real = boxes.counts[level] - block * BOX_LANES, query
    cdef uint64_t bits = 0
    cdef float nearest
    cdef float *bounds
    cdef int lane, i
    for i in range(bundle.count):
        query = bundle.first + i
        bounds = walk.bounds + i * BOX_LANES
        if parent != NULL and parent.bounds[i] > walk.limits[query]:
            for lane in range(BOX_LANES):
                bounds[lane] = INFINITY
            continue
        bits |= kernels.boxes[boxes.metric](
            boxes.width, walk.points + query * boxes.width, ends, walk.limits[query], bounds)
        walk.n_boxes += min(real, <Py_ssize_t>BOX_LANES)
    if real < BOX_LANES:
        bits &= ((<uint64_t>1) << real) - 1
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - 1
        nearest = walk.bounds[lane]
        for i in range(1, bundle.count):
            nearest = min(nearest, walk.bounds[i * BOX_LANES + lane])
        place = size
        while place > first and visits[place - 1].nearest < nearest:
            visits[place] = visits[place - 1]
            place -= 1
        for i in range(bundle.count):
            visits[place].bounds[i] = walk.bounds[i * BOX_LANES + lane]
        visits[place].nearest, visits[place].level = nearest, level
        visits[place].box = block * BOX_LANES + lane
        size += 1
    return size


cdef inline Py_ssize_t bytes_of_group(const PackedRows *panels,
                                      const Boxes *boxes) noexcept nogil:
    return boxes.group_rows // panels.tile.rows * panels.panel_bytes


cdef inline void prefetch_visit(const PackedRows *panels, const Queries *queries,
                                const Visit *visit) noexcept nogil:
    """Ask for what a visit will read first: the rows of a group, or the boxes in a box."""
    cdef const Boxes *boxes = queries.walk.boxes
    cdef Py_ssize_t block_bytes = 2 * BOX_LANES * boxes.width * sizeof(float), group_bytes
    if visit.level > 0:
        prefetch_some(<const char *>boxes.levels[visit.level - 1] + visit.box * block_bytes,
                      block_bytes)
        return
    group_bytes = bytes_of_group(panels, boxes)
    prefetch_some(panels.data + visit.box * group_bytes, group_bytes)
    prefetch(panels.bias + visit.box * boxes.group_rows * score_bytes(panels))


cdef void search_group(const PackedRows *panels, Queries *queries, const TileQueries *bundle,
                       Py_ssize_t group, bint timed) noexcept nogil:
    """Search the rows of one group."""
    cdef Py_ssize_t n_panels = queries.walk.boxes.group_rows // panels.tile.rows
    cdef Py_ssize_t panel = group * n_panels, last
    last = min(panel + n_panels, (panels.n_rows + panels.tile.rows - 1) // panels.tile.rows)
    queries.walk.n_rows += bundle.count * (
        min(last * panels.tile.rows, panels.n_rows) - panel * panels.tile.rows)
    while panel < last:
        search_tile(panels, queries, bundle, panel, wanted_rows(panels, panel), timed)
        panel += 1


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
    if bytes_of_group(panels, queries.walk.boxes) >= BUNDLED_BYTES:
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
    cdef Visit visits[BOX_LANES * MAX_BOX_LEVELS]
    cdef Visit visit
    cdef Py_ssize_t n_first = first_groups(queries), group = walk.starts[query], first, last, size
    cdef Py_ssize_t ahead
    cdef TileQueries bundle = bundle_from(panels, queries, query, n_first)
    queries.last_tick = tick_count() if timed else 0
    first = group - group % n_first
    last = min(first + n_first, walk.boxes.counts[0])
    for group in range(first, last):
        search_group(panels, queries, &bundle, group, timed)
    size = look_into(queries, &bundle, NULL, walk.boxes.n_levels - 1, 0, visits, 0)
    while size > 0:
        size -= 1
        if size >= PREFETCHED:
            prefetch_visit(panels, queries, &visits[size - PREFETCHED])
        visit = visits[size]
        if not is_wanted(walk, &bundle, &visit):
            continue  # the limits have come down since it was added
        if visit.level > 0:
            ahead = size
            size = look_into(queries, &bundle, &visit, visit.level - 1, visit.box, visits, size)
            for ahead in range(max(ahead, size - PREFETCHED), size):
                prefetch_visit(panels, queries, &visits[ahead])
        elif not first <= visit.box < last:
            if timed:
                lap(queries, GROUPS)
            search_group(panels, queries, &bundle, visit.box, timed)
    if timed:
        lap(queries, GROUPS)
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
