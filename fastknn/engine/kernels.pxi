# The kernels' table as Cython sees it (kernels/kernels.h), and the level in use.

cdef extern from "kernels/kernels.h" nogil:
    # What proofs in Python rest on, too: `_core` has these under the same names.
    cpdef enum:
        VECTOR_BYTES
        MAX_PANEL_ROWS
        HADAMARD_MIN
        BOX_LANES
        DEPTH_LIMIT_BYTES
        DEPTH_LIMIT_FLOATS
        CODE_ZERO
        MAX_CODE
        BYTE_SIGN
        WHOLE_BITS
        WHOLE_SUM_BITS

    enum:
        MAX_TILE_QUERIES
        REFINED_TOGETHER
        QUERY_ZERO
        HALF_BITS
        ALL_ZERO
        NOT_FINITE
        L1
        L2
        DOT
        U8
        F32
        F64
        S8
        I32_SCORES
        F32_SCORES
        F64_SCORES
        LEVELS

    ctypedef struct ScorePanels:
        const char *data
        size_t panel_bytes
        size_t groups
        const char *bias

    ctypedef uint64_t (*Screen)(int, const void *, const void *, int, const int64_t *, const ScorePanels *, uint64_t *) noexcept nogil

    ctypedef struct Tile:
        int queries
        int rows
        int group
        int query_bytes
        int scores
        void (*tile)(int, size_t, const void *, const void *, void *) noexcept nogil
        Screen screen

    ctypedef void (*Refine)(size_t, const double *, int, const void **, double *) noexcept nogil
    ctypedef uint64_t (*Select)(int, int, const void *, const void *, const void *, uint64_t *) noexcept nogil
    ctypedef uint64_t (*Nearest)(int, const float *, int) noexcept nogil
    ctypedef double (*Center)(size_t, const void *, const double *, float, float *) noexcept nogil
    ctypedef void (*Accumulate)(int, const void *, double *) noexcept nogil

    ctypedef struct CodePanels:
        const char *data
        size_t panel_bytes
        size_t groups
        const float *scale
        const float *energy
        const float *ratio

    ctypedef struct QueryTerms:
        const int32_t *start
        const float *scale
        const float *reach
        const float *limit

    ctypedef uint64_t (*CodeTile)(int, const void *, const QueryTerms *, int, const int64_t *, const CodePanels *, uint64_t *) noexcept nogil
    ctypedef uint64_t (*BoxBounds)(size_t, const float *, const float *, float, float *) noexcept nogil
    ctypedef uint64_t (*ByteDistance)(size_t, const void *, const void *) noexcept nogil

    ctypedef void (*Hadamard)(size_t, float *) noexcept nogil

    ctypedef long long Whole  # in truth 128 bits: the C compiler knows
    ctypedef int (*Exponent)(size_t, const void *) noexcept nogil
    ctypedef void (*Split)(size_t, const void *, int, int32_t *, int32_t *) noexcept nogil
    ctypedef void (*Product)(size_t, const int32_t *, const int32_t *, const void *, size_t, int, Whole *) noexcept nogil

    ctypedef struct Kernels:
        const char *name
        const Tile tiles[3][3]
        Refine refine[4][2]
        Select select[3]
        Nearest nearest
        Center center[3]
        CodeTile code_tile
        BoxBounds boxes[2]
        ByteDistance byte_distance[2][2]
        Accumulate accumulate[3]
        Hadamard hadamard
        Exponent exponent[4]
        Split split[4]
        Product product[4]

    const Kernels *fastknn_kernels(int)
    const char *fastknn_level_name(int)


# The level: chosen once, at import, outside all loops.

cdef const Kernels *kernels = NULL


def cpu_levels():
    """Return the names of the levels that this build and processor run, slowest first."""
    return [
        fastknn_level_name(level).decode() for level in range(LEVELS) if fastknn_kernels(level)
    ]


def cpu_level():
    """Return the name of the kernels in use: ``"portable"``, ``"avx2"`` or ``"avx512"``.

    The best level that was built and that this processor runs, or the one that the environment
    variable ``FASTKNN_CPU`` named when fastknn was imported.

    Examples
    --------
    >>> import fastknn
    >>> fastknn.cpu_level() in ("portable", "avx2", "avx512")
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
