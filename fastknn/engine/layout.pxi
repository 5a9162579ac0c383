# What the macro-kernels work on: rows, queries and stages, as plain structures over memory that
# Python objects own (Panels, CodeRows, QueryBlock).

cdef inline char *address(object array) except? NULL:
    """Return the address of an array, which may be read-only and which the caller keeps alive."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef char *first = <char *>view.buf
    PyBuffer_Release(&view)
    return first


cdef inline char *next_vector(char *memory) noexcept nogil:
    """Return the first address from `memory` on that vectors can be loaded from."""
    return memory + (-<size_t>memory & (VECTOR_BYTES - 1))


def aligned(count, dtype):
    """Make an uninitialised array that starts on a multiple of VECTOR_BYTES, for vector loads."""
    dtype = np.dtype(dtype)
    memory = np.empty(count * dtype.itemsize + VECTOR_BYTES, np.uint8)
    cdef char *first = address(memory)
    cdef Py_ssize_t start = next_vector(first) - first
    return memory[start:start + count * dtype.itemsize].view(dtype)


cdef enum:
    MAX_STAGES = 4  # of a cascade, the packed one included
    WORTH_RANKING = 12  # width from which a few refines cost more than to rank a panel's scores
    CENTERED_AT_ONCE = 32  # elements of a row that are centered before the next row's are
    CACHE_LINE_BYTES = 64
    WAITING = 32  # candidates of a block that wait for what they will read
    MAX_BOX_LEVELS = 12  # of groups of groups: more rows than any memory holds
    REFINE = MAX_STAGES  # in `ticks`: the refine, and what groups took
    GROUPS = MAX_STAGES + 1

# Room for float32 in the bound of an L2 screen, of the magnitudes that it adds
# (screens/cascade.py).
cdef double CODE_SLACK = 2.0**-19
# No reach is longer; its square is a float32. Encoded data stay well below (screens/cascade.py).
cdef double FAR_AWAY = 1e18


ctypedef struct Matrix:
    # Rows as they lie in somebody's array.
    const char *data
    Py_ssize_t stride, width, item
    int element, metric


cdef inline bint of_bytes(int element) noexcept nogil:
    return element == U8 or element == S8


ctypedef struct PackedRows:
    # The training rows, or their codes, packed into panels for one kind of tile.
    const Tile *tile
    int scores
    Py_ssize_t n_rows, item_bytes
    Py_ssize_t groups, chunk_groups, panel_bytes
    Matrix given
    char *data
    char *bias
    # The caller's number of each row (NULL where rows are in the caller's order).
    const int64_t *numbers
    # For the expanded screen (else NULL): what is subtracted from every row and query.
    const double *center
    # Codes only (else NULL): x is within error of scale * (code - CODE_ZERO), as mapped.
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


ctypedef struct Best:
    # The best rows found so far: of all queries, or of one.
    double *keys
    uint64_t *low  # NULL where float64 holds the keys
    int64_t *rows


ctypedef struct Reservoirs:
    # For many neighbors (reservoir.pxi): per query, rows of which the k nearest are among the best.
    Py_ssize_t capacity  # of each; 0 where the best rows are in heaps
    Best entries
    int64_t *counts
    uint64_t *words


ctypedef struct Keeper:
    # What is kept of the candidates (keep.pxi): the k best rows of each query, in heaps or, where
    # reservoirs have a capacity, in those. The first place of `best` has the worst of the k best so
    # far; with reservoirs the others have nothing until the end.
    Py_ssize_t k
    Best best
    Reservoirs reservoirs


ctypedef struct Numbers:
    # Rows as whole numbers (angles.pxi): MEASURES of each row; halves of queries that are not
    # bytes.
    const int64_t *measures
    Py_ssize_t n_measures
    const int32_t *high_halves
    const int32_t *low_halves


ctypedef struct Boxes:
    # Boxes of groups of rows (level 0), of BOX_LANES of these, and so on up to one block of boxes.
    Py_ssize_t group_rows, width
    int n_levels, metric
    Py_ssize_t counts[MAX_BOX_LEVELS]
    const float *levels[MAX_BOX_LEVELS]


ctypedef struct Walk:
    # Queries as boxes see them (groups.pxi): points, how far they may be off, a group near to each,
    # and the bound beyond which no group is within reach. `boxes` is NULL where rows are not grouped.
    const Boxes *boxes
    Py_ssize_t n_panels, group_panels  # of all rows, and of a group
    const float *points
    const double *errors
    const int64_t *starts
    float *limits
    # Scratch: bounds of a block of boxes for some queries, and these packed together.
    float *bounds
    char *packed
    int64_t n_boxes, n_rows


ctypedef struct Candidate:
    # A row that a query could not rule out, and the stage that it has to pass next.
    Py_ssize_t query, row
    int stage


ctypedef fused score_type:
    int32_t
    float
    double


ctypedef struct Queries:
    # Some packed queries, and what was found so far for each.
    Py_ssize_t n, n_stages
    Py_ssize_t together  # queries in a full tile
    int64_t candidates[MAX_STAGES]
    int64_t refined
    # Rows seen, what later stages and refines read of them, and both when last looked at.
    int64_t rows_seen, bytes_read, rows_then, bytes_then
    # The time that the stages, the refine and groups took in some of the panels.
    uint64_t ticks[MAX_STAGES + 2]
    uint64_t last_tick
    char *packed
    char *threshold
    char *score
    double *total
    char *first_scores  # of a tile and the first panels (early.pxi)
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
    # The refine: float64 queries, or bytes like those of the rows, or, for angles, whole numbers;
    # all NULL where scores are the distances.
    const double *exact
    const uint8_t *exact_bytes
    bint angles
    Numbers numbers, train_numbers
    Keeper keeper
    # A ring of candidates (search.pxi), the oldest first.
    Candidate waiting[WAITING]
    Py_ssize_t first_waiting, n_waiting
    Walk walk
    Matrix train
    bint by_number  # whether `train` is in the caller's order, and not in that of the panels
    Py_ssize_t train_bytes
    double *max_key
    bint in_sequence  # whether rows that follow each other are near to each other (early.pxi)
    double screen_slack, screen_tiny, refine_slack, refine_tiny


cdef inline float float_above(double x) noexcept nogil:
    """Return a float32 that is no smaller; the step is twice what the conversion may lose."""
    return <float>(x + fabs(x) * 2.0**-23 + 1e-38)


cdef inline double score_below(int kind, double x) noexcept nogil:
    """Return a score of this type that is no larger."""
    return x if kind == F64_SCORES else -<double>float_above(-x)


cdef inline double expansion_slack(const PackedRows *panels) noexcept nogil:
    """Return the relative slack that float32 needs in the expanded screen.

    Let x, q be a row and a query minus the center, x', q' what they are rounded to, u = 2**-24,
    and the screen's float32 sum be |x'|**2 (1 - s) - 2 <q', x'> up to
        (min(width, 256) + 3) u (|q'|**2 + |x'|**2)     the products (Higham, section 3.1)
        + 2 u (|q'|**2 + |x'|**2)                       the bias added to them.
    |q - x| >= |q' - x'| - e with e**2 <= 3 u**2 (|q'|**2 + |x'|**2) + tiny, and
        (R + e)**2 <= R**2 (1 + u) + e**2 (1 + 1 / u).
    So a row beyond R**2 (1 + s) - |q'|**2 (1 - s) + tiny has |q - x| > R where s is at least
    (min(width, 256) + 9) u; the rest is for the roundings of float64 and of higher order.
    """
    return 1.001 * (min(panels.given.width, <Py_ssize_t>DEPTH_LIMIT_FLOATS) + 12) * 2.0**-24


cdef inline int score_bytes(const PackedRows *panels) noexcept nogil:
    return 8 if panels.scores == F64_SCORES else 4


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
