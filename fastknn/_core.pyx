# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The blocked macro-kernels: packing, scores of a tile, survivors, refine, top-K.

`Panels` are the training rows, packed once; a `QueryBlock` is some queries, packed once, with
the best rows found for each. `QueryBlock.search` walks panels (outer) and query tiles (inner):
the block stays in the L2 cache, and a panel is read from memory once a block. Nothing here
checks its arguments: `index.py` hands over arrays that are already sound.

Limit: one tile costs ``width / group`` steps of `queries * rows` lanes each; the select after
it costs one load, add and compare a row, and survivors are rare once the heaps are full.
"""

import os

import numpy as np

from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, floor, nextafterf, sqrt
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, int8_t, int16_t, int32_t, int64_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from "_kernels/kernels.h" nogil:
    enum:
        DEPTH_LIMIT_BYTES
        DEPTH_LIMIT_FLOATS
        MAX_TILE_QUERIES
        MAX_PANEL_ROWS
        QUERY_ZERO
        L1
        L2
        U8
        F32
        F64
        I32_SCORES
        F32_SCORES
        F64_SCORES
        LEVELS

    ctypedef struct Tile:
        int queries
        int rows
        int group
        int query_bytes
        int scores
        void (*tile)(int, size_t, const void *, const void *, void *) noexcept nogil

    ctypedef double (*Refine)(size_t, const double *, const void *) noexcept nogil
    ctypedef void (*Select)(int, int, const void *, const void *, const void *, uint64_t *) noexcept nogil
    ctypedef void (*Accumulate)(int, const void *, double *) noexcept nogil

    ctypedef struct Kernels:
        const char *name
        Tile tiles[3][2]
        Refine refine[3][2]
        Select select[3]
        Accumulate accumulate[3]

    const Kernels *fastknn_kernels(int)
    const char *fastknn_level_name(int)


# ---------------------------------------------------------------------------------------------
# The level: chosen once, at import, outside all loops.

cdef const Kernels *kernels = NULL


def cpu_levels():
    """Names of the levels that were built and that this processor runs, slowest first."""
    return [
        fastknn_level_name(level).decode() for level in range(LEVELS) if fastknn_kernels(level)
    ]


def cpu_level():
    """Name of the kernels in use: ``"base"``, ``"avx2"`` or ``"avx512"``.

    The best level that was built and that this processor runs, or the one that the environment
    variable ``FASTKNN_CPU`` named when fastknn was imported.

    Examples
    --------
    >>> import fastknn
    >>> fastknn.cpu_level() in ("base", "avx2", "avx512")
    True
    """
    return kernels.name.decode()


def _choose_level():
    global kernels
    usable = cpu_levels()
    wanted = os.environ.get("FASTKNN_CPU", "") or usable[len(usable) - 1]
    for level in range(LEVELS):
        if fastknn_level_name(level).decode() == wanted and wanted in usable:
            kernels = fastknn_kernels(level)
            return
    raise RuntimeError(
        f"FASTKNN_CPU={wanted!r} cannot be used: this build and processor run {', '.join(usable)}"
    )


_choose_level()


# ---------------------------------------------------------------------------------------------
# Memory and packing.

cdef inline char *address(object array):
    """First byte of a NumPy array, read-only ones included."""
    return <char *><size_t>array.ctypes.data


def aligned(count, dtype):
    """An uninitialised array that starts on a 64-byte boundary, for vector loads."""
    dtype = np.dtype(dtype)
    memory = np.empty(count * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start:start + count * dtype.itemsize].view(dtype)


ctypedef fused unit:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef void spread(unit *packed, const char *row, Py_ssize_t row_bytes, Py_ssize_t lanes) noexcept nogil:
    """Spread one row over one lane of zeroed memory: its group g goes to packed[g * lanes]."""
    cdef Py_ssize_t g, whole = row_bytes // <Py_ssize_t>sizeof(unit)
    for g in range(whole):
        # memcpy of a constant size is one move, whatever the alignment of the row.
        memcpy(packed + g * lanes, row + g * sizeof(unit), sizeof(unit))
    memcpy(packed + whole * lanes, row + whole * sizeof(unit), row_bytes % sizeof(unit))


cdef void pack_row(char *packed, const char *row, Py_ssize_t row_bytes, Py_ssize_t lanes,
                   Py_ssize_t lane, int group_bytes) noexcept nogil:
    packed += lane * group_bytes
    if group_bytes == 1:
        spread(<uint8_t *>packed, row, row_bytes, lanes)
    elif group_bytes == 2:
        spread(<uint16_t *>packed, row, row_bytes, lanes)
    elif group_bytes == 4:
        spread(<uint32_t *>packed, row, row_bytes, lanes)
    else:
        spread(<uint64_t *>packed, row, row_bytes, lanes)


ctypedef struct Rows:
    # Training rows packed for one kind of tile.
    const Tile *tile
    int element, metric, scores
    Py_ssize_t n_rows, width, item_bytes, stride
    Py_ssize_t groups, chunk_groups, panel_bytes
    const char *given
    char *panels
    char *bias


ctypedef struct Queries:
    # Some packed queries, and the best rows found so far for each.
    Py_ssize_t n, k, survivors, refined
    char *packed
    char *threshold
    char *score
    double *total
    double *constant
    const double *exact
    const double *errors
    double *distances
    int64_t *indices
    double screen_slack, screen_tiny, refine_slack, refine_tiny


cdef inline int score_bytes(const Rows *train) noexcept nogil:
    return 8 if train.scores == F64_SCORES else 4


cdef void set_score(char *scores, int kind, Py_ssize_t i, double value) noexcept nogil:
    if kind == I32_SCORES:
        (<int32_t *>scores)[i] = <int32_t>value
    elif kind == F32_SCORES:
        (<float *>scores)[i] = <float>value
    else:
        (<double *>scores)[i] = value


cdef double get_score(const char *scores, int kind, Py_ssize_t i) noexcept nogil:
    if kind == I32_SCORES:
        return (<const int32_t *>scores)[i]
    if kind == F32_SCORES:
        return (<const float *>scores)[i]
    return (<const double *>scores)[i]


cdef double row_bias(const Rows *train, const uint8_t *row) noexcept nogil:
    """What a row adds to its scores (kernels.h): an exact integer, or nothing."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    if train.element != U8 or train.metric != L2:
        return 0
    for i in range(train.width):
        total += <int32_t>row[i] * (<int32_t>row[i] - 2 * QUERY_ZERO)
    return <double>total


cdef void pack_panel(const Rows *train, Py_ssize_t panel) noexcept nogil:
    cdef char *packed = train.panels + panel * train.panel_bytes
    cdef const char *given
    cdef Py_ssize_t lane, row
    cdef double bias
    memset(packed, 0, train.panel_bytes)
    for lane in range(train.tile.rows):
        row = panel * train.tile.rows + lane
        bias = 0
        if row < train.n_rows:
            given = train.given + row * train.stride
            pack_row(packed, given, train.width * train.item_bytes, train.tile.rows, lane,
                     train.tile.group * <int>train.item_bytes)
            bias = row_bias(train, <const uint8_t *>given)
        set_score(train.bias, train.scores, row, bias)


cdef char *packed_tile(const Rows *train, const Queries *queries, Py_ssize_t first,
                       Py_ssize_t group) noexcept nogil:
    """A tile's queries, from a group on; `first` is the tile's first query."""
    cdef Py_ssize_t lanes = min(<Py_ssize_t>train.tile.queries, queries.n - first)
    return queries.packed + (
        (first * train.groups + lanes * group) * train.tile.group * train.tile.query_bytes
    )


cdef double flip(const Rows *train, const uint8_t *query, char *flipped) noexcept nogil:
    """Write QUERY_ZERO - query as the dot reads it; return the sum of squares."""
    cdef int64_t squares = 0
    cdef Py_ssize_t i
    for i in range(train.width):
        squares += <int32_t>query[i] * query[i]
        if train.tile.query_bytes == 1:
            (<int8_t *>flipped)[i] = <int8_t>(QUERY_ZERO - <int32_t>query[i])
        else:
            (<int16_t *>flipped)[i] = <int16_t>(QUERY_ZERO - <int32_t>query[i])
    return <double>squares


cdef void pack_queries(const Rows *train, Queries *queries, const char *codes,
                       char *flipped) noexcept nogil:
    """Pack tile by tile; the last tile may be short. `flipped` is scratch for one query."""
    cdef Py_ssize_t query, first, lanes, code_bytes = train.width * train.tile.query_bytes
    cdef const char *code
    memset(queries.packed, 0,
           queries.n * train.groups * train.tile.group * train.tile.query_bytes)
    for query in range(queries.n):
        first = query - query % train.tile.queries
        lanes = min(<Py_ssize_t>train.tile.queries, queries.n - first)
        code = codes + query * train.width * train.item_bytes
        queries.constant[query] = 0
        if train.element == U8 and train.metric == L2:
            queries.constant[query] = flip(train, <const uint8_t *>code, flipped)
            code = flipped
        pack_row(packed_tile(train, queries, first, 0), code, code_bytes, lanes, query - first,
                 train.tile.group * train.tile.query_bytes)


# ---------------------------------------------------------------------------------------------
# The k best rows: a binary heap on (distance, row), worst at the root. It lives in the rows of
# the result, and starts full of (infinity, INT64_MAX), which every real row beats.

cdef inline bint before(double distance, int64_t row, double other, int64_t other_row) noexcept nogil:
    return distance < other or (distance == other and row < other_row)


cdef void sift_down(double *distances, int64_t *rows, Py_ssize_t size,
                    double distance, int64_t row) noexcept nogil:
    """Put (distance, row) in place of the root."""
    cdef Py_ssize_t hole = 0, child
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and before(distances[child], rows[child],
                                       distances[child + 1], rows[child + 1]):
            child += 1
        if not before(distance, row, distances[child], rows[child]):
            break
        distances[hole] = distances[child]
        rows[hole] = rows[child]
        hole = child
    distances[hole] = distance
    rows[hole] = row


cdef void sort_heap(double *distances, int64_t *rows, Py_ssize_t size) noexcept nogil:
    """Nearest first."""
    cdef double distance
    cdef int64_t row
    cdef Py_ssize_t last
    for last in range(size - 1, 0, -1):
        distance, row = distances[last], rows[last]
        distances[last], rows[last] = distances[0], rows[0]
        sift_down(distances, rows, last, distance, row)


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
    """
    int lowest_bit(uint64_t) noexcept nogil


# ---------------------------------------------------------------------------------------------
# Scores of one tile, and what they say.

cdef const char *score_tile(const Rows *train, const Queries *queries, Py_ssize_t first, int count,
                            Py_ssize_t panel) noexcept nogil:
    """Scores of one tile, before the bias, in the type that `train.scores` says."""
    cdef const Tile *tile = train.tile
    cdef const char *rows = train.panels + panel * train.panel_bytes
    cdef Py_ssize_t group_bytes = tile.rows * tile.group * train.item_bytes
    cdef Py_ssize_t group = 0, groups
    if train.groups <= train.chunk_groups:
        tile.tile(count, train.groups, packed_tile(train, queries, first, 0), rows, queries.score)
        return queries.score
    memset(queries.total, 0, count * tile.rows * sizeof(double))
    while group < train.groups:
        groups = min(train.chunk_groups, train.groups - group)
        tile.tile(count, groups, packed_tile(train, queries, first, group),
                  rows + group * group_bytes, queries.score)
        kernels.accumulate[tile.scores](count * tile.rows, queries.score, queries.total)
        group += groups
    return <const char *>queries.total


cdef void measure_slack(const Rows *train, Queries *queries) noexcept nogil:
    """How far a score may lie above the distance that the refine would give.

    A sum of n non-negative terms, each rounded t times, is off by at most a factor
    1 + (n + t) u (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; the
    1.001 covers the higher orders); a square that underflows is off by at most half the
    smallest subnormal. Scores of bytes are exact.
    """
    cdef double width = train.width, terms = min(train.width, <Py_ssize_t>DEPTH_LIMIT_FLOATS)
    cdef double u64 = 2.0**-53, tiny64 = 2.0**-1074
    cdef double u = 2.0**-24 if train.element == F32 else u64
    queries.screen_slack = queries.screen_tiny = 0
    if train.element != U8:
        queries.screen_slack = 1.001 * ((terms + 3) * u + (width / terms + 3) * u64)
        queries.screen_tiny = (width + 4) * (2.0**-149 if train.element == F32 else tiny64)
    queries.refine_slack = 1.001 * (width / 8 + 12) * u64
    queries.refine_tiny = (width + 4) * tiny64


cdef void set_threshold(const Rows *train, Queries *queries, Py_ssize_t query) noexcept nogil:
    """The largest score that a row may have and still be one of the k best.

    With tau the k-th best distance so far (squared under L2), s a row's score, r its refined
    distance, e the distance from the query to its codes, the row is dropped when s > limit:
        s <= S (1 + screen_slack) + screen_tiny, with S = dist(codes, x), so S > reach;
        dist(query, x) >= S - e > (tau + refine_tiny) (1 + refine_slack), so r > tau.
    Exact integers need no slack, and rows come in the order of their index: a tie is too late.
    Each step is rounded up by at least as much as its own rounding (`up`).
    """
    cdef double up = 1 + 2.0**-50, tau = queries.distances[query * queries.k], limit
    cdef double error = 0 if queries.errors == NULL else queries.errors[query]
    if queries.exact == NULL:
        limit = tau - 1
    else:
        limit = (tau + queries.refine_tiny) * (1 + queries.refine_slack) * up
        if error > 0 and train.metric == L2:
            limit = (sqrt(limit) + error) ** 2 * up
        elif error > 0:
            limit = (limit + error) * up
        limit = (limit * (1 + queries.screen_slack) + queries.screen_tiny) * up
    limit -= queries.constant[query]
    if train.scores == I32_SCORES:
        limit = min(max(floor(limit), <double>INT32_MIN), <double>INT32_MAX)
    elif train.scores == F32_SCORES:
        limit = nextafterf(<float>limit, INFINITY) if limit < FLT_MAX else INFINITY
    set_score(queries.threshold, train.scores, query, limit)


cdef void refine(const Rows *train, Queries *queries, Py_ssize_t query, Py_ssize_t first_row,
                 uint64_t survivors, const char *score, const char *bias) noexcept nogil:
    """Exact distances of one query's survivors in one panel; keep the best."""
    cdef double *distances = queries.distances + query * queries.k
    cdef int64_t *indices = queries.indices + query * queries.k
    cdef double distance
    cdef int64_t row
    cdef int lane
    cdef bint better = False
    while survivors:
        lane = lowest_bit(survivors)
        survivors &= survivors - 1
        row = first_row + lane
        queries.survivors += 1
        if queries.exact == NULL:
            distance = (get_score(score, train.scores, lane) + get_score(bias, train.scores, lane)
                        + queries.constant[query])
        else:
            queries.refined += 1
            distance = kernels.refine[train.element][train.metric](
                train.width, queries.exact + query * train.width,
                train.given + row * train.stride)
        if before(distance, row, distances[0], indices[0]):
            sift_down(distances, indices, queries.k, distance, row)
            better = True
    if better:
        set_threshold(train, queries, query)


cdef void search_panel(const Rows *train, Queries *queries, Py_ssize_t panel) noexcept nogil:
    """Screen every query against one panel; refine what survives."""
    cdef int rows = train.tile.rows, size = score_bytes(train), count, i
    cdef Py_ssize_t first_row = panel * rows, first = 0
    cdef int real = <int>min(<Py_ssize_t>rows, train.n_rows - first_row)
    cdef uint64_t real_rows = (<uint64_t>-1) >> (64 - real)
    cdef uint64_t survivors[MAX_TILE_QUERIES]
    cdef const char *bias = train.bias + first_row * size
    cdef const char *score
    while first < queries.n:
        count = <int>min(<Py_ssize_t>train.tile.queries, queries.n - first)
        score = score_tile(train, queries, first, count, panel)
        kernels.select[train.scores](count, rows, score, bias, queries.threshold + first * size,
                                     survivors)
        for i in range(count):
            if survivors[i] & real_rows:
                refine(train, queries, first + i, first_row, survivors[i] & real_rows,
                       score + i * rows * size, bias)
        first += count


ctypedef fused number:
    float
    double


ctypedef fused score_type:
    int32_t
    float
    double


cdef inline void write_scores(number *out, const score_type *score, const score_type *bias,
                              int count, double constant, bint root) noexcept nogil:
    cdef int i
    if root:
        for i in range(count):
            out[i] = <number>sqrt(<double>score[i] + <double>bias[i] + constant)
    else:
        for i in range(count):
            out[i] = <number>(<double>score[i] + <double>bias[i] + constant)


cdef void write_panel(const Rows *train, const Queries *queries, Py_ssize_t panel, number *out,
                      Py_ssize_t stride) noexcept nogil:
    """Distances of every query to one panel's rows; `out` is the panel's first column."""
    cdef int rows = train.tile.rows, size = score_bytes(train), count, i
    cdef Py_ssize_t first_row = panel * rows, first = 0
    cdef int real = <int>min(<Py_ssize_t>rows, train.n_rows - first_row)
    cdef const char *bias = train.bias + first_row * size
    cdef const char *score
    cdef bint root = train.metric == L2
    cdef double constant
    while first < queries.n:
        count = <int>min(<Py_ssize_t>train.tile.queries, queries.n - first)
        score = score_tile(train, queries, first, count, panel)
        for i in range(count):
            constant = queries.constant[first + i]
            if train.scores == I32_SCORES:
                write_scores(out, <const int32_t *>score, <const int32_t *>bias, real, constant,
                             root)
            elif train.scores == F32_SCORES:
                write_scores(out, <const float *>score, <const float *>bias, real, constant, root)
            else:
                write_scores(out, <const double *>score, <const double *>bias, real, constant,
                             root)
            score += rows * size
            out = <number *>(<char *>out + stride)
        first += count


# ---------------------------------------------------------------------------------------------
# What Python sees.

SCORE_DTYPES = [np.int32, np.float32, np.float64]
ELEMENTS = {np.dtype(np.uint8): U8, np.dtype(np.float32): F32, np.dtype(np.float64): F64}
METRICS = {"l1": L1, "l2": L2}


cdef class Panels:
    """Training rows packed for one kind of tile (layout: `_kernels/kernels.h`).

    Parameters
    ----------
    train : ndarray (n_rows, width) of uint8, float32 or float64
        Native, aligned, consecutive within a row. Kept: a refine reads it.
    metric : "l1" or "l2"

    The memory is there at once, the rows are not: `pack` brings them, range by range.
    """

    cdef readonly object train
    cdef object panels_array, bias_array
    cdef Rows rows

    def __init__(self, train, metric):
        cdef Rows *rows = &self.rows
        self.train = train
        rows.element = ELEMENTS[train.dtype]
        rows.metric = METRICS[metric]
        rows.tile = &kernels.tiles[rows.element][rows.metric]
        rows.given = address(train)
        rows.n_rows, rows.width = train.shape
        rows.stride, rows.item_bytes = train.strides[0], train.itemsize
        rows.groups = (rows.width + rows.tile.group - 1) // rows.tile.group
        limit = DEPTH_LIMIT_BYTES if rows.element == U8 else DEPTH_LIMIT_FLOATS
        rows.chunk_groups = limit // rows.tile.group
        # Sums of one chunk are kept as they are; longer ones are carried to float64.
        rows.scores = rows.tile.scores if rows.groups <= rows.chunk_groups else F64_SCORES
        rows.panel_bytes = rows.groups * rows.tile.rows * rows.tile.group * rows.item_bytes
        self.panels_array = aligned(self.n_panels * rows.panel_bytes, np.uint8)
        self.bias_array = aligned(self.n_panels * rows.tile.rows, SCORE_DTYPES[rows.scores])
        rows.panels = address(self.panels_array)
        rows.bias = address(self.bias_array)

    @property
    def n_panels(self):
        return (self.rows.n_rows + self.rows.tile.rows - 1) // self.rows.tile.rows

    @property
    def panel_rows(self):
        """Training rows in a panel."""
        return self.rows.tile.rows

    @property
    def tile_queries(self):
        """Queries in a full tile."""
        return self.rows.tile.queries

    @property
    def query_bytes(self):
        """Bytes of one packed query."""
        return self.rows.groups * self.rows.tile.group * self.rows.tile.query_bytes

    @property
    def nbytes(self):
        """Bytes held beside the training rows themselves."""
        return self.panels_array.nbytes + self.bias_array.nbytes

    def pack(self, Py_ssize_t first, Py_ssize_t last):
        """Fill the panels first..last-1 from the training rows."""
        cdef Py_ssize_t panel
        with nogil:
            for panel in range(first, last):
                pack_panel(&self.rows, panel)


cdef class QueryBlock:
    """Queries packed against some `Panels`, and the k best rows found so far for each.

    Parameters
    ----------
    panels : Panels
    codes : ndarray (n, width), C-contiguous, of the training rows' type
        What the screen compares.
    exact : ndarray (n, width) of float64, C-contiguous, or None
        The queries as given, for the refine. None where scores are exact integers.
    errors : ndarray (n,) of float64 or None
        Upper bounds of the distance from each query to its codes; None means zero.
    distances, indices : ndarray (n, k) of float64 and int64, C-contiguous, or None
        The result, filled in place; None for a block that only writes distance matrices.
    """

    cdef Panels panels
    cdef Queries queries
    cdef object memory

    def __init__(self, Panels panels, codes, exact=None, errors=None, distances=None, indices=None):
        cdef Rows *train = &panels.rows
        cdef Queries *queries = &self.queries
        cdef char *given
        cdef char *flipped
        cdef Py_ssize_t query
        self.panels = panels
        queries.n = len(codes)
        tile_scores = MAX_TILE_QUERIES * MAX_PANEL_ROWS
        packed = aligned(queries.n * panels.query_bytes, np.uint8)
        threshold = aligned(queries.n, SCORE_DTYPES[train.scores])
        score, total = aligned(tile_scores, np.float64), aligned(tile_scores, np.float64)
        constant = aligned(queries.n, np.float64)
        scratch = aligned(panels.query_bytes, np.uint8)
        # The pointers below are into these.
        self.memory = (packed, threshold, score, total, constant, exact, errors, distances, indices)
        queries.packed = address(packed)
        queries.threshold = address(threshold)
        queries.score = address(score)
        queries.total = <double *>address(total)
        queries.constant = <double *>address(constant)
        queries.exact = NULL if exact is None else <double *>address(exact)
        queries.errors = NULL if errors is None else <double *>address(errors)
        given, flipped = address(codes), address(scratch)
        with nogil:
            pack_queries(train, queries, given, flipped)
            measure_slack(train, queries)
        if distances is not None:
            queries.k = distances.shape[1]
            queries.distances = <double *>address(distances)
            queries.indices = <int64_t *>address(indices)
            distances[:] = INFINITY
            indices[:] = INT64_MAX
            for query in range(queries.n):
                set_threshold(train, queries, query)

    @property
    def survivors(self):
        """(query, row) pairs that the screen could not rule out."""
        return self.queries.survivors

    @property
    def refined(self):
        """(query, row) pairs whose distance was computed a second time, exactly."""
        return self.queries.refined

    def search(self, Py_ssize_t first, Py_ssize_t last):
        """Bring the best rows up to date with panels first..last-1, in increasing order."""
        cdef Py_ssize_t panel
        cdef Rows *train = &self.panels.rows
        with nogil:
            for panel in range(first, last):
                search_panel(train, &self.queries, panel)

    def merge(self, QueryBlock other):
        """Take in the best rows of a block of the same queries that saw other panels."""
        cdef Py_ssize_t query, place, root, k = self.queries.k
        cdef double *distances = self.queries.distances
        cdef int64_t *indices = self.queries.indices
        cdef const double *other_distances = other.queries.distances
        cdef const int64_t *other_indices = other.queries.indices
        self.queries.survivors += other.queries.survivors
        self.queries.refined += other.queries.refined
        with nogil:
            for query in range(self.queries.n):
                root = query * k
                for place in range(root, root + k):
                    if before(other_distances[place], other_indices[place],
                              distances[root], indices[root]):
                        sift_down(distances + root, indices + root, k,
                                  other_distances[place], other_indices[place])

    def finish(self):
        """Turn the heaps into the result: nearest first, L2 distances rooted."""
        cdef Py_ssize_t query, place, k = self.queries.k
        cdef double *distances = self.queries.distances
        cdef bint squared = self.panels.rows.metric == L2
        with nogil:
            for query in range(self.queries.n):
                sort_heap(distances + query * k, self.queries.indices + query * k, k)
            if squared:
                for place in range(self.queries.n * k):
                    distances[place] = sqrt(distances[place])

    def write_distances(self, out, Py_ssize_t first, Py_ssize_t last):
        """Distances to the rows of panels first..last-1, into their columns of `out`.

        out : ndarray (n, n_rows) of float32 or float64, consecutive within a row
        """
        cdef Rows *train = &self.panels.rows
        cdef char *start = address(out)
        cdef Py_ssize_t stride = out.strides[0], column_bytes = out.itemsize, panel
        with nogil:
            for panel in range(first, last):
                if column_bytes == 4:
                    write_panel(train, &self.queries, panel,
                                <float *>start + panel * train.tile.rows, stride)
                else:
                    write_panel(train, &self.queries, panel,
                                <double *>start + panel * train.tile.rows, stride)
