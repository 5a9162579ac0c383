# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The blocked macro-kernels: packing, scores of a tile, survivors, refine, top-K.

`Panels` are the training rows or their codes, packed once; a `QueryBlock` is some queries, packed
once, with the best rows found for each. `QueryBlock.search` walks panels (outer) and query tiles (inner):
the block stays in the L2 cache, and a panel is read from memory once a block. Nothing here
checks its arguments: `searcher.py` hands over arrays that are already sound.

Limit: one tile costs ``width / group`` steps of `queries * rows` lanes each; the select after
it costs one load, add and compare a row, and survivors are rare once the heaps are full.
"""

import os
from time import perf_counter

import numpy as np

from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, ceil, fabs, floor, sqrt
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, int8_t, int16_t, int32_t, int64_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer


cdef extern from "_kernels/kernels.h" nogil:
    enum:
        DEPTH_LIMIT_BYTES
        DEPTH_LIMIT_FLOATS
        MAX_TILE_QUERIES
        MAX_PANEL_ROWS
        QUERY_ZERO
        L1
        L2
        DOT
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
    ctypedef uint64_t (*Select)(int, int, const void *, const void *, const void *, uint64_t *) noexcept nogil
    ctypedef void (*Accumulate)(int, const void *, double *) noexcept nogil

    ctypedef struct RowTerms:
        const float *scale
        const float *energy
        float ratio

    ctypedef struct QueryTerms:
        const int32_t *start
        const float *scale
        const float *reach
        const float *limit

    ctypedef uint64_t (*CodeTile)(int, size_t, const void *, const void *, const RowTerms *, const QueryTerms *, uint64_t *) noexcept nogil
    ctypedef uint64_t (*ByteDistance)(size_t, const uint8_t *, const uint8_t *) noexcept nogil

    ctypedef void (*Hadamard)(size_t, float *) noexcept nogil

    ctypedef struct Kernels:
        const char *name
        Tile tiles[3][3]
        Refine refine[3][2]
        Select select[3]
        CodeTile code_tile
        ByteDistance bytes[2]
        Accumulate accumulate[3]
        Hadamard hadamard

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

cdef inline char *address(object array) except? NULL:
    """First byte of a NumPy array, read-only ones included; who calls keeps the array alive."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef char *first = <char *>view.buf
    PyBuffer_Release(&view)
    return first


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


cdef enum:
    MAX_STAGES = 4  # of a cascade, the packed one included
    WINDOW_ROWS = 256  # after which it is asked whether a cascade pays
    EARLY_ROWS = 16  # for each neighbour wanted: before that, most rows survive any screen
    ROW_BY_ROW = 4  # bytes in a direct tile take as long as one that is read row by row
    CODE_ZERO = 128  # the byte that stands for zero in an L2 code

# Room for float32 in the bound of an L2 screen, of the magnitudes that it adds (screens.py).
cdef double CODE_SLACK = 2.0**-19
# No reach is longer; its square is a float32. Coded data stay well below (screens.py).
cdef double FAR_AWAY = 1e18


ctypedef struct Matrix:
    # Rows as they lie in somebody's array.
    const char *data
    Py_ssize_t stride, width
    int element, metric


ctypedef struct Rows:
    # Rows (the training rows, or their codes) packed for one kind of tile.
    const Tile *tile
    int scores
    Py_ssize_t n_rows, item_bytes
    Py_ssize_t groups, chunk_groups, panel_bytes
    Matrix given
    char *panels
    char *bias
    # Codes only (else NULL): x is within error of scale * (code - CODE_ZERO) after contraction.
    const float *scale
    const float *error
    float *energy
    float *ratio


ctypedef struct Stage:
    # A later stage of a cascade: codes row by row. The first four belong to the training rows.
    Matrix rows
    const float *scale
    const float *error
    const int32_t *norm
    const uint8_t *query_codes
    const float *query_scale
    const double *query_error
    const int32_t *query_norm


ctypedef struct Queries:
    # Some packed queries, and the best rows found so far for each.
    Py_ssize_t n, k, n_stages
    int64_t survivors[MAX_STAGES]
    int64_t refined
    # Rows seen, what later stages and refines read of them, and both when last looked at.
    int64_t rows_seen, bytes_read, rows_then, bytes_then
    # The time that the stages, and last the refine, took in some of the panels.
    uint64_t ticks[MAX_STAGES + 1]
    uint64_t last_tick
    char *packed
    char *threshold
    char *score
    double *total
    double *constant
    # The first stage: how far queries lie from their codes, and (codes only) at what scale.
    const double *errors
    const float *scale
    float *code_scale
    int32_t *start
    float *code_reach
    float *code_limit
    # The later stages.
    Stage stages[MAX_STAGES]
    double *reach
    # The refine: float64 queries, or NULL and bytes; NULL twice where scores are the distances.
    const double *exact
    const uint8_t *bytes
    double *distances
    int64_t *indices
    Matrix train
    Py_ssize_t train_bytes
    double *cap
    double screen_slack, screen_tiny, refine_slack, refine_tiny


cdef inline float float_above(double x) noexcept nogil:
    """A float32 that is no smaller: the step is twice what the conversion may lose."""
    return <float>(x + fabs(x) * 2.0**-23 + 1e-38)


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


cdef Py_ssize_t byte_sum(const uint8_t *values, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, total = 0
    for i in range(width):
        total += values[i]
    return total


cdef int64_t code_norm(const uint8_t *codes, Py_ssize_t width) noexcept nogil:
    """Sum of squares of codes about their zero."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    for i in range(width):
        total += (<int32_t>codes[i] - CODE_ZERO) * (<int32_t>codes[i] - CODE_ZERO)
    return total


cdef double row_bias(const Rows *train, Py_ssize_t row, const uint8_t *values) noexcept nogil:
    """What a row adds to its scores: an exact integer, or nothing (kernels.h, screens.py)."""
    cdef Py_ssize_t width = train.given.width, i
    cdef int64_t total = 0
    if train.given.element != U8:
        return 0
    if train.given.metric == L1:
        if train.scale == NULL:
            return 0
        # A billion is as good as infinity: no sum of differences comes near it.
        return -min(ceil(<double>train.error[row] / train.scale[row] * (1 + 2.0**-50)), 1e9)
    if train.scale != NULL:
        return 0  # it is in set_terms
    for i in range(width):
        total += <int32_t>values[i] * (<int32_t>values[i] - 2 * QUERY_ZERO)
    return <double>total


cdef void set_terms(const Rows *train, Py_ssize_t panel) noexcept nogil:
    """The terms of an L2 bound that belong to a panel's rows (kernels.h, RowTerms; screens.py)."""
    cdef Py_ssize_t first = panel * train.tile.rows, row
    cdef Py_ssize_t last = min(first + train.tile.rows, train.n_rows)
    cdef double ratio = 0, energy, error
    for row in range(first, last):
        if train.error[row] < INFINITY:
            ratio = max(ratio, train.error[row] / train.scale[row])
    train.ratio[panel] = float_above(ratio)
    for row in range(first, last):
        if train.error[row] == INFINITY:
            train.energy[row] = -INFINITY  # always survives
            continue
        error = <double>train.ratio[panel] * train.scale[row]
        energy = <double>train.scale[row] * train.scale[row] * code_norm(
            <const uint8_t *>train.given.data + row * train.given.stride, train.given.width)
        train.energy[row] = -float_above(
            error * error - energy + CODE_SLACK * (energy + error * error)
        )


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
            given = train.given.data + row * train.given.stride
            pack_row(packed, given, train.given.width * train.item_bytes, train.tile.rows, lane,
                     train.tile.group * <int>train.item_bytes)
            bias = row_bias(train, row, <const uint8_t *>given)
        set_score(train.bias, train.scores, row, bias)
    if train.energy != NULL:
        set_terms(train, panel)


cdef char *packed_tile(const Rows *train, const Queries *queries, Py_ssize_t first,
                       Py_ssize_t group) noexcept nogil:
    """A tile's queries, from a group on; `first` is the tile's first query."""
    cdef Py_ssize_t lanes = min(<Py_ssize_t>train.tile.queries, queries.n - first)
    return queries.packed + (
        (first * train.groups + lanes * group) * train.tile.group * train.tile.query_bytes
    )


cdef double flip(const Rows *train, const uint8_t *query, int zero, char *flipped) noexcept nogil:
    """Write zero - query as the dot reads it; return the sum of squares."""
    cdef int64_t squares = 0
    cdef Py_ssize_t i
    for i in range(train.given.width):
        squares += <int32_t>query[i] * query[i]
        if train.tile.query_bytes == 1:
            (<int8_t *>flipped)[i] = <int8_t>(zero - <int32_t>query[i])
        else:
            (<int16_t *>flipped)[i] = <int16_t>(zero - <int32_t>query[i])
    return <double>squares


cdef void set_query_terms(const Rows *train, Queries *queries, Py_ssize_t query,
                          const uint8_t *code) noexcept nogil:
    """What a coded query adds to scores, and the square of its length (screens.py)."""
    cdef Py_ssize_t width = train.given.width
    cdef double scale = queries.scale[query]
    queries.start[query] = <int32_t>(CODE_ZERO * (byte_sum(code, width) - CODE_ZERO * width))
    queries.code_scale[query] = 2 * queries.scale[query]
    queries.constant[query] = scale * scale * code_norm(code, width)


cdef void pack_queries(const Rows *train, Queries *queries, const char *codes,
                       char *flipped) noexcept nogil:
    """Pack tile by tile; the last tile may be short. `flipped` is scratch for one query."""
    cdef Py_ssize_t query, first, lanes, code_bytes = train.given.width * train.tile.query_bytes
    cdef const char *code
    memset(queries.packed, 0,
           queries.n * train.groups * train.tile.group * train.tile.query_bytes)
    for query in range(queries.n):
        first = query - query % train.tile.queries
        lanes = min(<Py_ssize_t>train.tile.queries, queries.n - first)
        code = codes + query * train.given.width * train.item_bytes
        queries.constant[query] = 0
        if train.given.element == U8 and train.given.metric == L2:
            queries.constant[query] = flip(
                train, <const uint8_t *>code, QUERY_ZERO if queries.scale == NULL else CODE_ZERO,
                flipped)
            if queries.scale != NULL:
                set_query_terms(train, queries, query, <const uint8_t *>code)
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

    #if defined(__GNUC__)
    #define prefetch(address) __builtin_prefetch(address, 0, 2)
    #else
    #define prefetch(address) ((void)(address))
    #endif

    /* Time in any unit, for shares of time: as cheaply as the processor has it. */
    #if defined(__GNUC__) && defined(__x86_64__)
    #define tick_count() ((uint64_t)__builtin_ia32_rdtsc())
    #else
    #include <time.h>
    #define tick_count() ((uint64_t)clock())
    #endif
    """
    void prefetch(const void *) noexcept nogil
    int lowest_bit(uint64_t) noexcept nogil
    uint64_t tick_count() noexcept nogil


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
    cdef double width = train.given.width, terms = min(width, <double>DEPTH_LIMIT_FLOATS)
    cdef double u64 = 2.0**-53, tiny64 = 2.0**-1074
    cdef double u = 2.0**-24 if train.given.element == F32 else u64
    queries.screen_slack = queries.screen_tiny = 0
    if train.given.element != U8:
        queries.screen_slack = 1.001 * ((terms + 3) * u + (width / terms + 3) * u64)
        queries.screen_tiny = (width + 4) * (2.0**-149 if train.given.element == F32 else tiny64)
    queries.refine_slack = queries.refine_tiny = 0
    if queries.exact != NULL:
        width = queries.train.width
        queries.refine_slack = 1.001 * (width / 8 + 12) * u64
        queries.refine_tiny = (width + 4) * tiny64


cdef void set_threshold(const Rows *train, Queries *queries, Py_ssize_t query) noexcept nogil:
    """The largest score that a row may have and still be one of the k best.

    With tau the k-th best distance so far (squared under L2), s a row's score, r its refined
    distance, e the distance from the query to its codes, the row is dropped when s > limit:
        s <= S (1 + screen_slack) + screen_tiny, with S = dist(codes, x), so S > reach + e;
        dist(query, x) >= S - e > reach >= (tau + refine_tiny) (1 + refine_slack), so r > tau.
    Exact integers need no slack, and rows come in the order of their index: a tie is too late.
    Each step is rounded up by at least as much as its own rounding (`up`).
    """
    cdef double up = 1 + 2.0**-50, best = queries.distances[query * queries.k]
    cdef double tau = min(best, queries.cap[query]), reach, limit
    cdef double error = 0 if queries.errors == NULL else queries.errors[query]
    cdef bint squared = train.given.metric == L2
    if queries.exact == NULL and queries.bytes == NULL:
        limit = min(best - 1, queries.cap[query])
    else:
        reach = (tau + queries.refine_tiny) * (1 + queries.refine_slack) * up
        if squared:
            reach = sqrt(reach) * up
        queries.reach[query] = reach
        reach = (reach + error) * up
        if train.scale != NULL:
            set_code_threshold(train, queries, query, reach)
            return
        limit = reach * reach if squared else reach
        limit = (limit * (1 + queries.screen_slack) + queries.screen_tiny) * up
    limit -= queries.constant[query]
    if train.scores == I32_SCORES:
        limit = min(max(floor(limit), <double>INT32_MIN), <double>INT32_MAX)
    elif train.scores == F32_SCORES:
        limit = float_above(limit) if limit < FLT_MAX / 2 else INFINITY
    set_score(queries.threshold, train.scores, query, limit)


cdef void set_code_threshold(const Rows *train, Queries *queries, Py_ssize_t query,
                             double reach) noexcept nogil:
    """The same for codes, whose bounds are derived in screens.py."""
    cdef double limit
    if train.given.metric == L1:
        limit = min(floor(reach / queries.scale[query] * (1 + 2.0**-50)), <double>INT32_MAX)
        set_score(queries.threshold, train.scores, query, limit)
        return
    reach = float_above(min(reach, FAR_AWAY))
    queries.code_reach[query] = <float>(2 * reach)
    reach *= reach
    limit = reach - queries.constant[query] + CODE_SLACK * (reach + queries.constant[query])
    queries.code_limit[query] = float_above(limit)


cdef bint ruled_out(const Stage *stage, Py_ssize_t query, Py_ssize_t row, double reach) noexcept nogil:
    """Whether a later stage's bound puts a row beyond the query's reach."""
    cdef Py_ssize_t width = stage.rows.width
    cdef double distance = <double>kernels.bytes[stage.rows.metric](
        width, stage.query_codes + query * width,
        <const uint8_t *>stage.rows.data + row * stage.rows.stride)
    cdef double ours, theirs, scale = stage.scale[row], query_scale = stage.query_scale[query]
    reach = (reach + stage.query_error[query] + stage.error[row]) * (1 + 2.0**-50)
    if stage.rows.metric == L1:
        return distance * scale > reach * (1 + 2.0**-50)
    # 2 <q, x> = |q|**2 + |x|**2 - |q - x|**2 in integers; then the law of cosines at two scales.
    ours, theirs = stage.query_norm[query], stage.norm[row]
    distance = query_scale * scale * (ours + theirs - distance)
    ours *= query_scale * query_scale
    theirs *= scale * scale
    return ours + theirs - distance > reach * reach + 2.0**-48 * (ours + theirs + reach * reach)


cdef void lap(Queries *queries, Py_ssize_t stage) noexcept nogil:
    """The time since the last lap went to this stage."""
    cdef uint64_t now = tick_count()
    queries.ticks[stage] += now - queries.last_tick
    queries.last_tick = now


cdef void refine(const Rows *train, Queries *queries, Py_ssize_t query, Py_ssize_t first_row,
                 uint64_t survivors, const char *score, Py_ssize_t first_score,
                 bint timed) noexcept nogil:
    """Take one query's survivors in one panel through what is left of the cascade.

    Where the scores are the distances, those of the query begin at `first_score`.
    """
    cdef double *distances = queries.distances + query * queries.k
    cdef int64_t *indices = queries.indices + query * queries.k
    cdef double distance
    cdef uint64_t left
    cdef int64_t row
    cdef int lane
    cdef Py_ssize_t stage
    cdef bint found = False
    for stage in range(queries.n_stages):
        left = survivors
        while left:
            lane = lowest_bit(left)
            left &= left - 1
            queries.survivors[stage] += 1
            queries.bytes_read += queries.stages[stage].rows.width
            if ruled_out(&queries.stages[stage], query, first_row + lane, queries.reach[query]):
                survivors &= ~(<uint64_t>1 << lane)
        if timed:
            lap(queries, stage + 1)
    while survivors:
        lane = lowest_bit(survivors)
        survivors &= survivors - 1
        row = first_row + lane
        queries.survivors[queries.n_stages] += 1
        if queries.exact == NULL and queries.bytes == NULL:
            distance = (get_score(score, train.scores, first_score + lane)
                        + get_score(train.bias, train.scores, row) + queries.constant[query])
        else:
            queries.refined += 1
            queries.bytes_read += queries.train_bytes
            distance = exact_distance(queries, query, row)
        if before(distance, row, distances[0], indices[0]):
            sift_down(distances, indices, queries.k, distance, row)
            found = True
    if found:
        set_threshold(train, queries, query)
    if timed:
        lap(queries, queries.n_stages + 1)


cdef double exact_distance(const Queries *queries, Py_ssize_t query, Py_ssize_t row) noexcept nogil:
    """The distance (squared, under L2) that is returned and compared."""
    cdef const Matrix *train = &queries.train
    cdef const char *values = train.data + row * train.stride
    if queries.exact == NULL:
        return <double>kernels.bytes[train.metric](
            train.width, queries.bytes + query * train.width, <const uint8_t *>values)
    return kernels.refine[train.element][train.metric](
        train.width, queries.exact + query * train.width, values)


cdef void search_panel(const Rows *train, Queries *queries, Py_ssize_t panel,
                       bint timed) noexcept nogil:
    """Screen every query against one panel; refine what survives."""
    cdef int rows = train.tile.rows, size = score_bytes(train), count, i
    cdef Py_ssize_t first_row = panel * rows, first = 0
    cdef int real = <int>min(<Py_ssize_t>rows, train.n_rows - first_row)
    cdef uint64_t real_rows = (<uint64_t>-1) >> (64 - real), some
    cdef uint64_t survivors[MAX_TILE_QUERIES]
    cdef const char *score
    queries.last_tick = tick_count() if timed else 0
    while first < queries.n:
        count = <int>min(<Py_ssize_t>train.tile.queries, queries.n - first)
        if train.energy != NULL:
            score = NULL
            some = screen_codes(train, queries, first, count, panel, survivors)
        else:
            score = score_tile(train, queries, first, count, panel)
            some = kernels.select[train.scores](
                count, rows, score, train.bias + first_row * size,
                queries.threshold + first * size, survivors)
        if timed:
            lap(queries, 0)
        while some:
            i = lowest_bit(some)
            some &= some - 1
            refine(train, queries, first + i, first_row, survivors[i] & real_rows, score,
                   i * rows, timed)
        first += count


cdef inline uint64_t screen_codes(const Rows *train, const Queries *queries, Py_ssize_t first,
                                  int count, Py_ssize_t panel, uint64_t *survivors) noexcept nogil:
    """Rows of a panel that a tile's queries cannot rule out by their L2 codes."""
    cdef RowTerms row
    cdef QueryTerms query
    row.scale = train.scale + panel * train.tile.rows
    row.energy = train.energy + panel * train.tile.rows
    row.ratio = train.ratio[panel]
    query.start = queries.start + first
    query.scale = queries.code_scale + first
    query.reach = queries.code_reach + first
    query.limit = queries.code_limit + first
    return kernels.code_tile(
        count, train.groups, packed_tile(train, queries, first, 0),
        train.panels + panel * train.panel_bytes, &row, &query, survivors)


cdef bint pays(const Rows *train, Queries *queries, Py_ssize_t panel) noexcept nogil:
    """Whether a cascade still is cheaper than the direct screen; asked after each panel.

    It is not where what a window of rows made it read row by row is a good part of what a
    direct tile would read. The first rows do not count: any screen keeps them.
    """
    cdef int64_t rows, read
    queries.rows_seen += train.tile.rows
    rows = queries.rows_seen - queries.rows_then
    if rows < WINDOW_ROWS or (panel + 1) * train.tile.rows % MAX_PANEL_ROWS:
        return True
    read = queries.bytes_read - queries.bytes_then
    queries.rows_then, queries.bytes_then = queries.rows_seen, queries.bytes_read
    if queries.rows_seen - rows < EARLY_ROWS * queries.k:
        return True
    return read * ROW_BY_ROW < rows * queries.n * queries.train_bytes


cdef void prefetch_rows(const Rows *train, const Queries *queries, Py_ssize_t panel) noexcept nogil:
    """Ask for the training rows of a panel that is to come.

    Once most rows survive for one or other of the block's queries, reading all of them ahead
    costs less than waiting for each.
    """
    cdef Py_ssize_t first = panel * train.tile.rows, row, byte
    if queries.bytes == NULL or 2 * queries.refined < first:
        return
    for row in range(first, min(first + train.tile.rows, train.n_rows)):
        for byte in range(0, queries.train.width, 64):
            prefetch(queries.train.data + row * queries.train.stride + byte)


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
    cdef bint root = train.given.metric == L2
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

# Every panel's rows divide it.
MOST_PANEL_ROWS = MAX_PANEL_ROWS
SCORE_DTYPES = [np.int32, np.float32, np.float64]
ELEMENTS = {np.dtype(np.uint8): U8, np.dtype(np.float32): F32, np.dtype(np.float64): F64}
METRICS = {"l1": L1, "l2": L2, "dot": DOT}


cdef Matrix as_matrix(array, metric):
    cdef Matrix matrix
    matrix.data = address(array)
    matrix.stride = array.strides[0]
    matrix.width = array.shape[1]
    matrix.element = ELEMENTS[array.dtype]
    matrix.metric = METRICS[metric]
    return matrix


cdef class Panels:
    """Rows packed for one kind of tile (layout: `_kernels/kernels.h`).

    Parameters
    ----------
    given : ndarray (n_rows, width) of uint8, float32 or float64
        Native, aligned, consecutive within a row: the training rows, or their codes.
    metric : "l1" or "l2"
    scale, error : ndarray (n_rows,) of float32, or None
        For codes: what a unit of a row's code is worth, and how far at most the row's
        contraction lies from its code.

    The memory is there at once, the rows are not: `pack` brings them, range by range.
    """

    cdef object memory
    cdef Rows rows

    def __init__(self, given, metric, scale=None, error=None):
        cdef Rows *rows = &self.rows
        rows.given = as_matrix(given, metric)
        rows.tile = &kernels.tiles[rows.given.element][rows.given.metric]
        rows.n_rows, rows.item_bytes = len(given), given.itemsize
        rows.groups = (rows.given.width + rows.tile.group - 1) // rows.tile.group
        limit = DEPTH_LIMIT_BYTES if rows.given.element == U8 else DEPTH_LIMIT_FLOATS
        rows.chunk_groups = limit // rows.tile.group
        # Sums of one chunk are kept as they are; longer ones are carried to float64.
        rows.scores = rows.tile.scores if rows.groups <= rows.chunk_groups else F64_SCORES
        rows.panel_bytes = rows.groups * rows.tile.rows * rows.tile.group * rows.item_bytes
        padded = self.n_panels * rows.tile.rows
        panels = aligned(self.n_panels * rows.panel_bytes, np.uint8)
        bias = aligned(padded, SCORE_DTYPES[rows.scores])
        self.memory = [given, panels, bias]
        rows.panels, rows.bias = address(panels), address(bias)
        if scale is not None:
            terms = [aligned(padded, np.float32) for _ in range(3)]
            terms.append(aligned(self.n_panels, np.float32))
            for term, values in zip(terms, (scale, error, 0)):
                term[:] = 0
                term[:rows.n_rows] = values
            self.memory += terms
            rows.scale, rows.error = <float *>address(terms[0]), <float *>address(terms[1])
            if rows.given.metric == L2:
                rows.energy, rows.ratio = <float *>address(terms[2]), <float *>address(terms[3])

    @property
    def n_panels(self):
        return (self.rows.n_rows + self.rows.tile.rows - 1) // self.rows.tile.rows

    @property
    def n_rows(self):
        return self.rows.n_rows

    @property
    def width(self):
        return self.rows.given.width

    @property
    def panel_rows(self):
        """Rows in a panel."""
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
        """Bytes held beside the given rows."""
        return sum(array.nbytes for array in self.memory[1:])

    def pack(self, Py_ssize_t first, Py_ssize_t last):
        """Fill the panels first..last-1 from the given rows."""
        cdef Py_ssize_t panel
        with nogil:
            for panel in range(first, last):
                pack_panel(&self.rows, panel)


cdef class CodeRows:
    """Codes of rows (of the training set, or of queries) as a later stage reads them.

    Parameters
    ----------
    codes : ndarray (n_rows, width) of uint8, C-contiguous
    metric : "l1" or "l2"
    scale : ndarray (n_rows,) of float32
        What a unit of a row's code is worth. Under L1, the same for all rows and queries.
    error : ndarray (n_rows,), float32 for training rows, float64 for queries
        How far at most the row's contraction lies from its code.
    """

    cdef readonly object codes, scale, error
    cdef object norm
    cdef Matrix rows

    def __init__(self, codes, metric, scale, error):
        cdef Py_ssize_t row
        cdef int32_t *norms
        self.codes, self.scale, self.error = codes, scale, error
        self.rows = as_matrix(codes, metric)
        self.norm = np.zeros(len(codes), np.int32)
        norms = <int32_t *>address(self.norm)
        cdef Py_ssize_t n_rows = len(codes)
        with nogil:
            for row in range(n_rows):
                norms[row] = <int32_t>code_norm(
                    <const uint8_t *>self.rows.data + row * self.rows.stride, self.rows.width)

    def __reduce__(self):
        metric = "l1" if self.rows.metric == L1 else "l2"
        return CodeRows, (self.codes, metric, self.scale, self.error)

    @property
    def nbytes(self):
        return self.codes.nbytes + self.scale.nbytes + self.error.nbytes + self.norm.nbytes


cdef void fill_stage(Stage *stage, CodeRows train, CodeRows queries):
    stage.rows = train.rows
    stage.scale = <const float *>address(train.scale)
    stage.error = <const float *>address(train.error)
    stage.norm = <const int32_t *>address(train.norm)
    stage.query_codes = <const uint8_t *>queries.rows.data
    stage.query_scale = <const float *>address(queries.scale)
    stage.query_error = <const double *>address(queries.error)
    stage.query_norm = <const int32_t *>address(queries.norm)


cdef class QueryBlock:
    """Queries packed against some `Panels`, and the k best rows found so far for each.

    Parameters
    ----------
    panels : Panels
    codes : ndarray (n, width), C-contiguous, of the type that `panels` were given
        What the first stage compares.
    errors : ndarray (n,) of float64 or None
        Upper bounds of the distance from each (contracted) query to its codes; None means zero.
    scale : ndarray (n,) of float32 or None
        For codes: what a unit of each query's code is worth.
    stages : sequence of (CodeRows, CodeRows)
        The later stages: training rows and queries.
    train : ndarray (n_rows, width) or None
        The rows that survivors are refined against; None where scores are the distances.
    exact : ndarray (n, width) of float64 or uint8, C-contiguous, or None
        The queries as given, for the refine: uint8 if both they and `train` are.
    distances, indices : ndarray (n, k) of float64 and int64, C-contiguous, or None
        The result, filled in place; None for a block that only writes distance matrices.
    caps : ndarray (n,) of float64 or None
        Distances (squared, under L2) beyond which rows are not wanted.
    resume : bool, default False
        Whether `distances` and `indices` are what another block of the same queries left there.
    """

    cdef Panels panels
    cdef Queries queries
    cdef object memory
    # (query, row) pairs that the first stage saw; seconds that `search` took.
    cdef readonly int64_t screened
    cdef readonly double seconds
    # Seconds that its queries' codes took: its maker's to say.
    cdef public double coding_seconds

    def __init__(self, Panels panels, codes, *, errors=None, scale=None, stages=(), train=None,
                 exact=None, distances=None, indices=None, caps=None, resume=False):
        cdef Rows *rows = &panels.rows
        cdef Queries *queries = &self.queries
        cdef char *given
        cdef char *flipped
        cdef Py_ssize_t query
        self.panels = panels
        queries.n = len(codes)
        tile_scores = MAX_TILE_QUERIES * MAX_PANEL_ROWS
        packed = aligned(queries.n * panels.query_bytes, np.uint8)
        threshold = aligned(queries.n, SCORE_DTYPES[rows.scores])
        score, total = aligned(tile_scores, np.float64), aligned(tile_scores, np.float64)
        doubles = [aligned(queries.n, np.float64) for _ in range(3)]
        words = [aligned(queries.n, np.int32) for _ in range(4)]
        scratch = aligned(panels.query_bytes, np.uint8)
        # The pointers below are into these.
        self.memory = (packed, threshold, score, total, doubles, words, errors, scale, train,
                       exact, distances, indices, stages)
        queries.packed = address(packed)
        queries.threshold = address(threshold)
        queries.score = address(score)
        queries.total = <double *>address(total)
        queries.constant, queries.reach, queries.cap = (
            <double *>address(doubles[0]), <double *>address(doubles[1]),
            <double *>address(doubles[2]))
        queries.start = <int32_t *>address(words[0])
        queries.code_scale, queries.code_reach, queries.code_limit = (
            <float *>address(words[1]), <float *>address(words[2]), <float *>address(words[3]))
        queries.errors = NULL if errors is None else <double *>address(errors)
        queries.scale = NULL if scale is None else <float *>address(scale)
        queries.exact, queries.bytes = NULL, NULL
        if train is not None:
            queries.train = as_matrix(train, "l1" if rows.given.metric == L1 else "l2")
            queries.train_bytes = train.itemsize * train.shape[1]
            if exact.dtype == np.uint8:
                queries.bytes = <uint8_t *>address(exact)
            else:
                queries.exact = <double *>address(exact)
        queries.n_stages = len(stages)
        for place, (train_codes, query_codes) in enumerate(stages):
            fill_stage(&queries.stages[<int>place], train_codes, query_codes)
        given, flipped = address(codes), address(scratch)
        with nogil:
            pack_queries(rows, queries, given, flipped)
            measure_slack(rows, queries)
        if distances is not None:
            queries.k = distances.shape[1]
            queries.distances = <double *>address(distances)
            queries.indices = <int64_t *>address(indices)
            if not resume:
                distances[:] = INFINITY
                indices[:] = INT64_MAX
            doubles[2][:] = INFINITY if caps is None else caps
            for query in range(queries.n):
                set_threshold(rows, queries, query)

    @property
    def survivors(self):
        """(query, row) pairs that each stage of the cascade could not rule out."""
        return [self.queries.survivors[stage] for stage in range(self.queries.n_stages + 1)]

    @property
    def refined(self):
        """(query, row) pairs whose distance was computed a second time, exactly."""
        return self.queries.refined

    @property
    def stage_seconds(self):
        """What each stage had of `seconds`, and last the refine: estimated from some panels."""
        ticks = [self.queries.ticks[stage] for stage in range(self.queries.n_stages + 2)]
        ticks[0] += not any(ticks)  # it was given up before a panel was timed
        return [self.seconds * tick / sum(ticks) for tick in ticks]

    def search(self, Py_ssize_t first, Py_ssize_t last, bint give_up=False):
        """Bring the best rows up to date with panels first..last-1, in increasing order.

        Returns `last`, or, with `give_up`, after how many panels the cascade had ceased to pay:
        a whole number of the largest panels.
        """
        cdef Py_ssize_t panel
        cdef Rows *train = &self.panels.rows
        began = perf_counter()
        # Some sixteen panels are timed, or every 64th: reading the clock takes time itself.
        cdef Py_ssize_t every = min(64, max(1, self.panels.n_panels // 16))
        with nogil:
            for panel in range(first, last):
                prefetch_rows(train, &self.queries, panel + 1)
                search_panel(train, &self.queries, panel, panel % every == every // 2)
                if give_up and not pays(train, &self.queries, panel):
                    last = panel + 1
                    break
        rows = min(last * train.tile.rows, train.n_rows) - first * train.tile.rows
        self.screened += self.queries.n * rows
        self.seconds += perf_counter() - began
        return last

    def merge(self, QueryBlock other):
        """Take in the best rows of a block of the same queries that saw other panels."""
        cdef Py_ssize_t query, place, root, k = self.queries.k
        cdef double *distances = self.queries.distances
        cdef int64_t *indices = self.queries.indices
        cdef const double *other_distances = other.queries.distances
        cdef const int64_t *other_indices = other.queries.indices
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
        cdef bint squared = self.panels.rows.given.metric == L2
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


def group_sums(rows, order, ends, signs, out):
    """Signed sums over groups of columns (screens.py): out[i, g] = sum of signs * rows[i, order].

    rows : ndarray (n, width) of float32; order, signs : (width,) of int64 and float32;
    ends : (groups,) of int64; out : (n, groups) of float64; all C-contiguous.
    """
    cdef const float *row = <float *>address(rows)
    cdef const float *sign = <float *>address(signs)
    cdef const int64_t *place = <int64_t *>address(order)
    cdef const int64_t *end = <int64_t *>address(ends)
    cdef double *sums = <double *>address(out)
    cdef Py_ssize_t n = len(rows), width = rows.shape[1], groups = len(ends), i, g, j
    cdef double total
    with nogil:
        for i in range(n):
            j = 0
            for g in range(groups):
                total = 0
                while j < end[g]:
                    total += <double>sign[j] * row[place[j]]
                    j += 1
                sums[g] = total
            row += width
            sums += groups


def mix(rows, order, signs, Py_ssize_t block, out):
    """Rounds of: permute, change signs, and take the Hadamard transform of every block.

    rows : ndarray (n, width) of float32; order, signs : (rounds, padded) of int64 and float32,
    with padded >= width a multiple of block, a power of two; out : (n, padded) of float64; all
    C-contiguous.
    """
    scratch = aligned(2 * out.shape[1], np.float32)
    cdef const float *row = <float *>address(rows)
    cdef const int64_t *place
    cdef const float *sign
    cdef double *result = <double *>address(out)
    cdef float *now = <float *>address(scratch)
    cdef float *after
    cdef Py_ssize_t n = len(rows), width = rows.shape[1], padded = out.shape[1]
    cdef Py_ssize_t rounds = len(order), i, j, turn
    cdef const int64_t *first_place = <int64_t *>address(order)
    cdef const float *first_sign = <float *>address(signs)
    with nogil:
        for i in range(n):
            memcpy(now, row, width * sizeof(float))
            memset(now + width, 0, (padded - width) * sizeof(float))
            place, sign = first_place, first_sign
            for turn in range(rounds):
                after = now + padded if turn % 2 == 0 else now - padded
                for j in range(padded):
                    after[j] = sign[j] * now[place[j]]
                for j in range(padded // block):
                    kernels.hadamard(block, after + j * block)
                now = after
                place += padded
                sign += padded
            for j in range(padded):
                result[j] = now[j]
            now -= padded if rounds % 2 else 0
            row += width
            result += padded
