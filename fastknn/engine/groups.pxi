# The walk that leaves out whole groups of rows: per query, from groups of groups down to groups, the
# nearest first.
#
# Rows are in the order of `ordering.pxi`, and z is a non-expansive map. Proof that a group may be
# left out: for every row x of it, z(x) lies in the group's box, so that
#     dist(q, x) >= dist(z(q), z(x)) >= dist(point, box) - error,   error >= dist(z(q), point),
# and a row beyond the reach of the query is not one of the k best. A box of boxes contains them all.
#
# Limit: BOX_LANES boxes cost 5 operations on as many floats per coordinate; of them, those within
# reach are sorted by insertion. A group costs a tile of one query.

cdef enum:
    PREFETCH_BYTES = 1024  # of a visit: the processor foresees the rest itself
    PREFETCHED = 2  # visits ahead that are asked for
    TIMED_QUERIES = 64  # one of so many is timed: reading the clock takes time itself


ctypedef struct Visit:
    # A box that may be within reach: its bound, and which of its level it is.
    float bound
    int level
    Py_ssize_t box


cdef inline Py_ssize_t look_into(Queries *queries, Py_ssize_t query, int level, Py_ssize_t block,
                                 Visit *visits, Py_ssize_t size) noexcept nogil:
    """Add those of a block of boxes that may be within reach, the nearest last; return the size."""
    cdef Walk *walk = &queries.walk
    cdef const Boxes *boxes = walk.boxes
    cdef Py_ssize_t first = size, place, real = boxes.counts[level] - block * BOX_LANES
    cdef uint64_t bits
    cdef float bound
    cdef int lane
    bits = kernels.boxes[boxes.metric](
        boxes.width, walk.points + query * boxes.width,
        boxes.levels[level] + block * 2 * BOX_LANES * boxes.width, walk.limits[query], walk.bounds)
    if real < BOX_LANES:
        bits &= ((<uint64_t>1) << real) - 1
    walk.n_boxes += min(real, <Py_ssize_t>BOX_LANES)
    while bits:
        lane = lowest_bit(bits)
        bits &= bits - 1
        bound, place = walk.bounds[lane], size
        while place > first and visits[place - 1].bound < bound:
            visits[place] = visits[place - 1]
            place -= 1
        visits[place].bound, visits[place].level = bound, level
        visits[place].box = block * BOX_LANES + lane
        size += 1
    return size


cdef inline void prefetch_visit(const PackedRows *panels, const Queries *queries,
                                const Visit *visit) noexcept nogil:
    """Ask for what a visit will read first: the rows of a group, or the boxes in a box."""
    cdef const Boxes *boxes = queries.walk.boxes
    cdef Py_ssize_t block_bytes = 2 * BOX_LANES * boxes.width * sizeof(float), group_bytes
    if visit.level > 0:
        prefetch_bytes(<const char *>boxes.levels[visit.level - 1] + visit.box * block_bytes,
                       min(block_bytes, <Py_ssize_t>PREFETCH_BYTES))
        return
    group_bytes = boxes.group_rows // panels.tile.rows * panels.panel_bytes
    prefetch_bytes(panels.data + visit.box * group_bytes,
                   min(group_bytes, <Py_ssize_t>PREFETCH_BYTES))
    prefetch(panels.bias + visit.box * boxes.group_rows * score_bytes(panels))


cdef void search_group(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                       Py_ssize_t group, bint timed) noexcept nogil:
    """Search the rows of one group."""
    cdef Py_ssize_t n_panels = queries.walk.boxes.group_rows // panels.tile.rows
    cdef Py_ssize_t panel = group * n_panels, last
    last = min(panel + n_panels, (panels.n_rows + panels.tile.rows - 1) // panels.tile.rows)
    queries.walk.n_rows += min(last * panels.tile.rows, panels.n_rows) - panel * panels.tile.rows
    while panel < last:
        search_tile(panels, queries, query, 1, panel, wanted_rows(panels, panel), timed)
        panel += 1


cdef void walk_groups(const PackedRows *panels, Queries *queries, Py_ssize_t query,
                      bint timed) noexcept nogil:
    """Search all groups that may have a row within reach of a query.

    First some about the group that is near to it, which have as many rows as are wanted: then the
    k-th distance is known roughly before any bound is looked at.
    """
    cdef Walk *walk = &queries.walk
    cdef Visit visits[BOX_LANES * MAX_BOX_LEVELS]
    cdef int level = walk.boxes.n_levels - 1
    cdef Py_ssize_t n_first = 1, group = walk.starts[query], first, last, size, ahead
    queries.last_tick = tick_count() if timed else 0
    while n_first * walk.boxes.group_rows < n_wanted(&queries.keeper):
        n_first *= 2
    first = group - group % n_first
    last = min(first + n_first, walk.boxes.counts[0])
    for group in range(first, last):
        search_group(panels, queries, query, group, timed)
    size = look_into(queries, query, level, 0, visits, 0)
    while size > 0:
        size -= 1
        if size >= PREFETCHED:
            prefetch_visit(panels, queries, &visits[size - PREFETCHED])
        if visits[size].bound > walk.limits[query]:
            continue  # the limit has come down since it was added
        if visits[size].level > 0:
            ahead = size
            size = look_into(queries, query, visits[size].level - 1, visits[size].box, visits, size)
            for ahead in range(max(ahead, size - PREFETCHED), size):
                prefetch_visit(panels, queries, &visits[ahead])
        elif not first <= visits[size].box < last:
            if timed:
                lap(queries, GROUPS)
            search_group(panels, queries, query, visits[size].box, timed)
    if timed:
        lap(queries, GROUPS)


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
