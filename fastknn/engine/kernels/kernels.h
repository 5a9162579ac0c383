/* The contract of the micro-kernels, and the table through which they are reached.
 *
 * Every search and every distance matrix is a walk over *tiles*: a few queries against one
 * *panel* of training rows. A level (portable, avx2, avx512) is one `Kernels` table. README.md in
 * this folder says how to add one.
 *
 * Layout.  Rows lie in lanes. A panel holds `rows` training rows; consecutive elements of one
 * row are kept together in groups of `group` (what one lane swallows in one instruction), and
 * the groups of all rows of the panel follow one another:
 *
 *     panel:   [group 0: row 0, row 1, ... row rows-1] [group 1: row 0, ...] ...
 *     queries: [group 0: query 0, ... query n-1]       [group 1: query 0, ...] ...
 *
 * Padding.  The width is padded to whole groups, and the last panel to whole rows, with code
 * values that add nothing (zero against zero; for the dot, zero rows). Padding rows do get
 * scores; whoever reads the scores masks them.
 *
 * Alignment.  Panels, packed queries, scores and biases start on a multiple of VECTOR_BYTES. A
 * group of a panel is whole vectors of its level, so every load of a level is aligned for it.
 *
 * Ownership.  Kernels own nothing and keep nothing: no allocation, no static state. They read
 * `groups` groups and write n * rows scores, row-major by query.
 *
 * Limits.  Byte scores are int32, hence DEPTH_LIMIT_BYTES (asserted below).
 * Float scores are summed in order of depth, one lane per (query, row) pair, without FMA: the
 * same bits on every level. DEPTH_LIMIT_FLOATS bounds how long one sum grows before it is
 * carried to float64, and with it the rounding error.
 */
#ifndef FASTKNN_KERNELS_H
#define FASTKNN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__GNUC__) || !defined(__SIZEOF_INT128__)
#error "fastknn needs GCC or Clang for a 64-bit processor: vector extensions and __int128"
#endif

#define FASTKNN_HIDDEN __attribute__((visibility("hidden")))

/* The constants that proofs rest on stand here and nowhere else. `_core.pyx` exports them to Python
 * by the same names. */
enum {
    /* Layout. */
    VECTOR_BYTES = 64,     /* alignment of packed memory: the widest vector of any level */
    MAX_TILE_QUERIES = 16, /* queries with candidates are the bits of one uint64_t */
    MAX_PANEL_ROWS = 64,   /* candidates of a panel are the bits of one uint64_t */
    REFINED_TOGETHER = 4,  /* rows whose refines go in step; see level.h */
    HADAMARD_MIN = 8,      /* the least size of a Hadamard transform */
    BOX_LANES = 16,        /* boxes that are compared together */

    /* Sums. */
    DEPTH_LIMIT_BYTES = 32768, /* elements in one int32 sum of a tile of bytes */
    DEPTH_LIMIT_FLOATS = 256,  /* elements in one float sum of a tile */
    BYTE_BLOCK = 16384,        /* elements in one int32 sum of a ByteDistance */

    /* Bytes. */
    MAX_BYTE = 255,
    QUERY_ZERO = 127, /* the dot reads queries of bytes as QUERY_ZERO - q, which fits int8 */
    CODE_ZERO = 128,  /* the byte that stands for zero in a code */
    MAX_CODE = 127,   /* the largest magnitude of an L2 code: CODE_ZERO - code fits int8 */
    BYTE_SIGN = 128,  /* signed bytes are compared as bytes this much higher: the sign bit turned */

    /* Whole numbers (see `Whole` below). */
    WHOLE_BITS = 56,      /* magnitudes are at most 2**WHOLE_BITS */
    HALF_BITS = 28,       /* bits of the lower half of one */
    WHOLE_BLOCK = 64,     /* elements in one int64 sum of products of halves */
    WHOLE_SUM_BITS = 125, /* magnitudes of sums of products are at most 2**WHOLE_SUM_BITS */
    ALL_ZERO = -10000,    /* exponents of rows of zeros, and of rows with NaN or infinity */
    NOT_FINITE = 10000
};

/* What follows from what. */
_Static_assert(MAX_PANEL_ROWS <= 64 && MAX_TILE_QUERIES <= 64, "candidates are bits of a uint64_t");
_Static_assert(QUERY_ZERO <= INT8_MAX && QUERY_ZERO - MAX_BYTE >= INT8_MIN,
               "queries of bytes fit int8 in a dot");
_Static_assert(MAX_CODE <= INT8_MAX && CODE_ZERO + MAX_CODE <= MAX_BYTE && CODE_ZERO >= MAX_CODE,
               "L2 codes are bytes, and fit int8 in a dot");
_Static_assert(2LL * -INT8_MIN * MAX_BYTE * DEPTH_LIMIT_BYTES <= INT32_MAX,
               "twice a dot of bytes fits int32");
_Static_assert((long long)MAX_BYTE * MAX_BYTE * DEPTH_LIMIT_BYTES <= INT32_MAX,
               "|q - x|**2 - |q|**2 of bytes fits int32");
_Static_assert((long long)MAX_CODE * (CODE_ZERO + MAX_BYTE) * DEPTH_LIMIT_BYTES <= INT32_MAX,
               "a dot of codes fits int32, with what it starts from");
_Static_assert((long long)MAX_BYTE * MAX_BYTE * BYTE_BLOCK <= INT32_MAX,
               "a block of squared differences of bytes fits int32");
_Static_assert(BOX_LANES * sizeof(float) % VECTOR_BYTES == 0, "every load of boxes is aligned");
_Static_assert(WHOLE_BITS == 2 * HALF_BITS, "a whole number consists of two halves");
_Static_assert(WHOLE_BLOCK <= INT64_MAX >> 2 * HALF_BITS,
               "a block of products of halves fits int64");
_Static_assert(WHOLE_SUM_BITS < 127, "sums of products, and their differences, fit 128 bits");

enum { L1 = 0, L2 = 1, DOT = 2 };
/* Signed bytes are never packed: panels hold them as bytes, BYTE_SIGN higher, at the same
 * distances. */
enum { U8 = 0, F32 = 1, F64 = 2, S8 = 3 };
enum { I32_SCORES = 0, F32_SCORES = 1, F64_SCORES = 2 };

/* A tile's queries against some panels, and a `Select` of their scores, which are not kept: of panel
 * numbers[p], candidates[p * queries + i] gets bit j when scores[i][j] + bias[j] <= thresholds[i] or
 * the score overflowed. Returns which of these have a bit, 64 of them at most. */
typedef struct {
    const char *data;
    size_t panel_bytes, groups;
    const char *bias; /* of all rows, in the type of the scores */
} ScorePanels;

typedef uint64_t (*Screen)(int queries, const void *packed, const void *thresholds, int n_panels,
                           const int64_t *numbers, const ScorePanels *panels,
                           uint64_t *candidates);

/* One kind of tile. Scores by kind:
 *     U8,  L1:  sum |q - x|
 *     U8,  L2:  2 * <QUERY_ZERO - q, x>; with a row's bias  <x, x> - 2 * QUERY_ZERO * sum(x)
 *               added this is  |q - x|**2 - |q|**2, in exact integers
 *     U8,  DOT: the same as L2
 *     F32, F64: sum |q - x|, sum (q - x)**2, sum q x
 */
typedef struct {
    int queries;     /* the most queries in a tile */
    int rows;        /* rows in a panel */
    int group;       /* elements of one row that lie together */
    int query_bytes; /* size of one packed query element: int8 or int16, or the float itself */
    int scores;      /* I32_SCORES, F32_SCORES or F64_SCORES */
    void (*tile)(int queries, size_t groups, const void *packed, const void *panel, void *scores);
    Screen screen;
} Tile;

/* Exact distances of one query to some rows (L2 squared) by the direct formula in float64, each
 * in one fixed order: eight partial sums (element i goes to sum i mod 8), then
 * ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)). */
typedef void (*Refine)(size_t width, const double *query, int count, const void *const *rows,
                       double *distances);

/* candidates[i] gets bit j when scores[i][j] + bias[j] <= thresholds[i]; a float score that
 * overflowed to infinity says nothing about the row, which stays a candidate. Returns which queries
 * have candidates: bit i for query i. */
typedef uint64_t (*Select)(int queries, int rows, const void *scores, const void *bias,
                       const void *thresholds, uint64_t *candidates);

/* Which of n scores, MAX_PANEL_ROWS at most, are among the k smallest: bit i for scores[i]. More
 * than k where some are equal. */
typedef uint64_t (*Nearest)(int n, const float *scores, int k);

/* rounded[i] = factor * (float)(values[i] - center[i]), with factor a power of two or its negative;
 * returns the sum of squares of the rounded differences, in float64 and in any order. */
typedef double (*Center)(size_t count, const void *values, const double *center, float factor,
                         float *rounded);

/* An L2 screen of a tile's queries against some panels: the same candidates, of L2 codes, whose
 * scores need not be kept (derivation: screens/cascade.py). Queries come as the negated values of
 * their codes and rows as bytes, so that start_i + <query_i, row_j> = -D with D the inner product of
 * the codes, and of panel numbers[p]
 *     candidates[p * queries + i] gets bit j when
 *         scale_j (2 scale_i (-D) - 2 reach_i ratio) + energy_j <= limit_i
 * up to float32 rounding, for which energy and limit make room. The shape is that of the dot. Returns
 * which of these have a bit, 64 of them at most. */
typedef struct {
    const char *data;
    size_t panel_bytes, groups;
    const float *scale; /* of all rows, as energy */
    const float *energy;
    const float *ratio; /* per panel: no row of it has an error above ratio * scale_j */
} CodePanels;

typedef struct {
    const int32_t *start;
    const float *scale; /* twice it */
    const float *reach; /* twice the distance that a row's code may lie at */
    const float *limit;
} QueryTerms;

typedef uint64_t (*CodeTile)(int queries, const void *packed, const QueryTerms *query, int n_panels,
                             const int64_t *numbers, const CodePanels *panels,
                             uint64_t *candidates);

/* How far a query lies from BOX_LANES boxes, each a range of every coordinate: for one coordinate
 * after the other come the lower ends of all boxes and then their upper ends, on a multiple of
 * VECTOR_BYTES. bounds[j] = sum of gaps (L2: of their squares), gap = max(lower - query,
 * query - upper, 0), summed in order of the coordinates. Bit j of the result says bounds[j] <= limit,
 * or that it overflowed. Where no bit is set, the sums may be of the first coordinates only. */
typedef uint64_t (*BoxBounds)(size_t width, const float *query, const float *boxes, float limit,
                              float *bounds);

/* sum |a - b| or sum (a - b)**2 over bytes, signed or not: one row against one row. */
typedef uint64_t (*ByteDistance)(size_t width, const void *a, const void *b);

/* totals[i] += scores[i], in float64. */
typedef void (*Accumulate)(int count, const void *scores, double *totals);

/* The Hadamard transform in place, not scaled: `size` is a power of two, HADAMARD_MIN at least.
 * Sums and differences in one order: the same bits on every level. */
typedef void (*Hadamard)(size_t size, float *values);

/* Rows as whole numbers: element x stands for x * 2**shift, rounded to the nearest whole number,
 * where the row's shift makes all of them at most 2**WHOLE_BITS. Their sums of products are exact,
 * whatever the order. Each number comes as two halves, high * 2**HALF_BITS + low, of magnitudes up
 * to 2**HALF_BITS and half of that. Bytes have no shift. */
typedef __int128 Whole;

/* The exponent of the largest magnitude, 2**(e - 1) <= max |x| < 2**e, or what else a row is. */
typedef int (*Exponent)(size_t width, const void *row);
typedef void (*Split)(size_t count, const void *row, int shift, int32_t *high, int32_t *low);
/* The sum of products of a query, in halves, and a row of elements of `item` bytes. */
typedef void (*Product)(size_t width, const int32_t *high, const int32_t *low, const void *row,
                        size_t item, int shift, Whole *sum);

typedef struct {
    const char *name;
    Tile tiles[3][3];      /* by element type, metric */
    Refine refine[4][2];   /* by element type, metric */
    Select select[3];      /* by type of score */
    Nearest nearest;
    Center center[3];      /* by element type; none for bytes */
    CodeTile code_tile;
    BoxBounds boxes[2];    /* by metric */
    ByteDistance byte_distance[2][2]; /* unsigned and signed; by metric */
    Accumulate accumulate[3];
    Hadamard hadamard;
    Exponent exponent[4];  /* by element type; none for bytes */
    Split split[4];        /* by element type */
    Product product[4];    /* by element type */
} Kernels;

FASTKNN_HIDDEN extern const Kernels fastknn_kernels_portable;
FASTKNN_HIDDEN extern const Kernels fastknn_kernels_avx2;
FASTKNN_HIDDEN extern const Kernels fastknn_kernels_avx512;

enum { LEVELS = 3 };

/* The table of a level (0 portable, 1 avx2, 2 avx512), or NULL where it was not built or this
 * processor cannot run it. */
FASTKNN_HIDDEN const Kernels *fastknn_kernels(int level);

/* Name of a level, whether or not it was built. */
FASTKNN_HIDDEN const char *fastknn_level_name(int level);

#endif
