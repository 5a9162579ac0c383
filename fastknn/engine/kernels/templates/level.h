/* The rest of a level, the same C on each: exact distances, sums of chunks, and the table.
 *
 * Included last by a per-CPU file, which has included tile.h (dot_u8, sad_u8), select.h
 * (select_i32) and floats.h (f32, f64), and has said:
 *
 *     LEVEL, LEVEL_NAME    the name of the table, and of the level as Python sees it
 *     DOUBLE_LANES         float64 lanes of the level's vectors: 2, 4 or 8
 *     OWN_L2_BLOCK         only where the level has its own l2_block(count, a, b, sign)
 *
 * It defines `fastknn_kernels_<LEVEL>`, the one symbol of the file. Compilers see the flags of the
 * CPU and use its vectors. Results are the same to the bit on every level. */

/* Eight lanes of float64, as the vectors that the level has: GCC keeps wider ones in memory. */
typedef double Doubles __attribute__((vector_size(DOUBLE_LANES * sizeof(double))));
typedef float Singles __attribute__((vector_size(DOUBLE_LANES * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(DOUBLE_LANES * sizeof(int32_t))));
enum { PARTS = 8 / DOUBLE_LANES };

#define LOAD_DOUBLES(TYPE, BETWEEN)                                                \
    static ALWAYS_INLINE Doubles JOIN(doubles, TYPE)(const TYPE *values)           \
    {                                                                              \
        typedef TYPE Given __attribute__((vector_size(DOUBLE_LANES * sizeof(TYPE)))); \
        Given given;                                                               \
        memcpy(&given, values, sizeof given);                                      \
        return __builtin_convertvector(__builtin_convertvector(given, BETWEEN), Doubles); \
    }

LOAD_DOUBLES(uint8_t, Integers)
LOAD_DOUBLES(int8_t, Integers)
LOAD_DOUBLES(float, Singles)
LOAD_DOUBLES(double, Doubles)

static ALWAYS_INLINE Doubles magnitude(Doubles x)
{
    typedef int64_t Bits __attribute__((vector_size(DOUBLE_LANES * sizeof(int64_t))));
    return (Doubles)((Bits)x & INT64_MAX);
}

/* The differences of the last elements, fewer than eight, and zeros. Every count has a copy of its
 * own, in which lanes are constants: narrow rows consist of nothing else. */
#define LAST_LANE(i) (i < count ? query[i < count ? i : 0] - (double)row[i < count ? i : 0] : 0)
#define LAST_CASE(n)                                                                       \
    case n: {                                                                              \
        enum { count = n };                                                                \
        const double lanes[8] = {LAST_LANE(0), LAST_LANE(1), LAST_LANE(2), LAST_LANE(3),   \
                                 LAST_LANE(4), LAST_LANE(5), LAST_LANE(6), 0};             \
        memcpy(last, lanes, sizeof lanes);                                                 \
        return;                                                                            \
    }
#define LAST(TYPE)                                                                         \
    static ALWAYS_INLINE void JOIN(last, TYPE)(size_t left, const double *query,           \
                                               const TYPE *row, Doubles last[PARTS])       \
    {                                                                                      \
        switch (left) {                                                                    \
            LAST_CASE(1) LAST_CASE(2) LAST_CASE(3) LAST_CASE(4)                            \
            LAST_CASE(5) LAST_CASE(6) LAST_CASE(7)                                         \
        }                                                                                  \
        memset(last, 0, PARTS * sizeof *last);                                             \
    }

LAST(uint8_t)
LAST(int8_t)
LAST(float)
LAST(double)

#define LANE(sum, i) (sum)[(i) / DOUBLE_LANES][(i) % DOUBLE_LANES]

/* Eight independent sums: the order is part of the contract (kernels.h). Limit: a load and four
 * operations per vector and row, and one add behind the other, so several rows go in step. Out of
 * the L2 cache 4.4 elements per nanosecond with AVX2; eight lanes in one vector type, which GCC 12
 * keeps in memory there, took 3.7 times as long. */
#define REFINE(NAME, ROW, TERM)                                                            \
    static ALWAYS_INLINE void JOIN(NAME, some)(const int count, size_t width,              \
                                               const double *query,                        \
                                               const void *const *rows, double *distances) \
    {                                                                                      \
        Doubles sums[REFINED_TOGETHER][PARTS] = {{{0}}};                                   \
        size_t i = 0;                                                                      \
        for (; i + 8 <= width; i += 8) {                                                   \
            UNROLL                                                                         \
            for (int part = 0; part < PARTS; part++) {                                     \
                const size_t at = i + (size_t)(part * DOUBLE_LANES);                       \
                const Doubles values = doubles_double(query + at);                         \
                UNROLL                                                                     \
                for (int r = 0; r < count; r++) {                                          \
                    const Doubles difference =                                             \
                        values - JOIN(doubles, ROW)((const ROW *)rows[r] + at);            \
                    sums[r][part] += TERM;                                                 \
                }                                                                          \
            }                                                                              \
        }                                                                                  \
        UNROLL                                                                             \
        for (int r = 0; r < count; r++) {                                                  \
            if (i < width) {                                                               \
                Doubles last[PARTS];                                                       \
                JOIN(last, ROW)(width - i, query + i, (const ROW *)rows[r] + i, last);     \
                UNROLL                                                                     \
                for (int part = 0; part < PARTS; part++) {                                 \
                    const Doubles difference = last[part];                                 \
                    sums[r][part] += TERM;                                                 \
                }                                                                          \
            }                                                                              \
            distances[r] = ((LANE(sums[r], 0) + LANE(sums[r], 4))                          \
                            + (LANE(sums[r], 2) + LANE(sums[r], 6)))                       \
                           + ((LANE(sums[r], 1) + LANE(sums[r], 5))                        \
                              + (LANE(sums[r], 3) + LANE(sums[r], 7)));                    \
        }                                                                                  \
    }                                                                                      \
                                                                                           \
    static void NAME(size_t width, const double *query, int count, const void *const *rows, \
                     double *distances)                                                    \
    {                                                                                      \
        int r = 0;                                                                         \
        for (; r + REFINED_TOGETHER <= count; r += REFINED_TOGETHER)                       \
            JOIN(NAME, some)(REFINED_TOGETHER, width, query, rows + r, distances + r);     \
        for (; r < count; r++)                                                             \
            JOIN(NAME, some)(1, width, query, rows + r, distances + r);                    \
    }

REFINE(l1_refine_u8, uint8_t, magnitude(difference))
REFINE(l2_refine_u8, uint8_t, difference *difference)
REFINE(l1_refine_f32, float, magnitude(difference))
REFINE(l2_refine_f32, float, difference *difference)
REFINE(l1_refine_f64, double, magnitude(difference))
REFINE(l2_refine_f64, double, difference *difference)
REFINE(l1_refine_s8, int8_t, magnitude(difference))
REFINE(l2_refine_s8, int8_t, difference *difference)

/* Limit: what it reads; 16 elements per nanosecond out of the L1 cache with AVX-512. */
#define CENTER(NAME, TYPE)                                                                    \
    static double NAME(size_t count, const void *given, const double *center, float factor,   \
                       float *rounded)                                                        \
    {                                                                                         \
        const TYPE *values = given;                                                           \
        Doubles sum[PARTS] = {{0}};                                                           \
        double squares = 0;                                                                   \
        size_t i = 0;                                                                         \
        for (; i + 8 <= count; i += 8) {                                                      \
            UNROLL                                                                            \
            for (int part = 0; part < PARTS; part++) {                                        \
                const size_t at = i + (size_t)(part * DOUBLE_LANES);                          \
                Singles some = __builtin_convertvector(                                       \
                    JOIN(doubles, TYPE)(values + at) - doubles_double(center + at), Singles); \
                const Doubles wide = __builtin_convertvector(some, Doubles);                  \
                sum[part] += wide * wide;                                                     \
                some *= factor;                                                               \
                memcpy(rounded + at, &some, sizeof some);                                     \
            }                                                                                 \
        }                                                                                     \
        for (; i < count; i++) {                                                              \
            const float one = (float)((double)values[i] - center[i]);                         \
            squares += (double)one * one;                                                     \
            rounded[i] = factor * one;                                                        \
        }                                                                                     \
        UNROLL                                                                                \
        for (int lane = 0; lane < 8; lane++)                                                  \
            squares += LANE(sum, lane);                                                       \
        return squares;                                                                       \
    }

CENTER(center_f32, float)
CENTER(center_f64, double)

/* Ranks by counting: n * n comparisons without a branch, which for a panel beats any sort. */
static uint64_t nearest(int n, const float *scores, int k)
{
    uint64_t bits = 0;
    for (int i = 0; i < n; i++) {
        int32_t rank = 0;
        for (int j = 0; j < n; j++)
            rank += scores[j] < scores[i];
        bits |= (uint64_t)(rank < k) << i;
    }
    return bits;
}

#define ACCUMULATE(NAME, SCORE)                                        \
    static void NAME(int count, const void *scores, double *totals)    \
    {                                                                  \
        for (int i = 0; i < count; i++)                                \
            totals[i] += (double)((const SCORE *)scores)[i];           \
    }

ACCUMULATE(accumulate_i32, int32_t)
ACCUMULATE(accumulate_f32, float)
ACCUMULATE(accumulate_f64, double)

/* One row of bytes against another, in blocks that an int32 holds. Compilers turn the plain sums
 * into their processor's SAD and 16-bit multiply-add: with AVX2, 80 (L1) and 30 (L2) bytes a
 * nanosecond out of the L2 cache. A level that can do better defines l2_block itself. Signed bytes
 * are taken BYTE_SIGN higher, which is their sign bit turned: `sign` is that for them, else 0. */
#define BLOCK_SUM(NAME, TERM)                                                     \
    static ALWAYS_INLINE int32_t NAME(size_t count, const uint8_t *a,             \
                                      const uint8_t *b, const uint8_t sign)       \
    {                                                                             \
        int32_t sum = 0;                                                          \
        for (size_t i = 0; i < count; i++) {                                      \
            const uint8_t one = a[i] ^ sign, other = b[i] ^ sign;                 \
            const int16_t difference = (int16_t)(one - other);                    \
            sum += TERM;                                                          \
        }                                                                         \
        return sum;                                                               \
    }

BLOCK_SUM(l1_block, abs(difference))
#ifndef OWN_L2_BLOCK
BLOCK_SUM(l2_block, difference *difference)
#endif

#define BYTE_DISTANCE(NAME, BLOCK, SIGN)                                            \
    static uint64_t NAME(size_t width, const void *one, const void *other)          \
    {                                                                               \
        const uint8_t *a = one, *b = other;                                         \
        uint64_t total = 0;                                                         \
        while (width > 0) {                                                         \
            const size_t count = width < BYTE_BLOCK ? width : BYTE_BLOCK;           \
            total += (uint64_t)BLOCK(count, a, b, SIGN);                            \
            a += count;                                                             \
            b += count;                                                             \
            width -= count;                                                         \
        }                                                                           \
        return total;                                                               \
    }

BYTE_DISTANCE(l1_bytes_u8, l1_block, 0)
BYTE_DISTANCE(l2_bytes_u8, l2_block, 0)
BYTE_DISTANCE(l1_bytes_s8, l1_block, BYTE_SIGN)
BYTE_DISTANCE(l2_bytes_s8, l2_block, BYTE_SIGN)

static ALWAYS_INLINE void butterfly(float *a, float *b)
{
    const float sum = *a + *b, difference = *a - *b;
    *a = sum;
    *b = difference;
}

/* The largest strides first: those are whole vectors; the last three levels stay in eight lanes.
 * Limit: one load, one add and one store an element and level, out of the L1 cache. */
_Static_assert(HADAMARD_MIN == 8, "the last strides of a Hadamard transform stay in eight lanes");
static void hadamard(size_t size, float *values)
{
    for (size_t stride = size / 2; stride >= 8; stride /= 2)
        for (size_t start = 0; start < size; start += 2 * stride) {
            float *restrict a = values + start, *restrict b = a + stride;
            for (size_t i = 0; i < stride; i++)
                butterfly(a + i, b + i);
        }
    for (size_t start = 0; start < size; start += 8) {
        float *eight = values + start;
        for (int stride = 4; stride > 0; stride /= 2)
            for (int i = 0; i < 8; i++)
                if (!(i & stride))
                    butterfly(eight + i, eight + i + stride);
    }
}

#include "whole.h"

/* A select takes the scores of a panel in whole vectors. */
_Static_assert(sad_u8_rows % select_i32_lanes == 0 && dot_u8_rows % select_i32_lanes == 0,
               "select_i32 takes whole vectors");
_Static_assert(l1_f32_rows % select_f32_lanes == 0 && l1_f64_rows % select_f64_lanes == 0,
               "the selects of floats take whole vectors");

/* Tiles of several panels, whose scores go no further than to the select. Limit: a store and a load
 * of each more than the tile and the select; but these are reached once for all panels, which from
 * outside takes as long as a panel of few columns. */
#define SCREEN(kind, SCORE, select)                                                        \
    static uint64_t JOIN(kind, screen)(int queries, const void *packed,                    \
                                       const void *thresholds, int n_panels,               \
                                       const int64_t *numbers, const ScorePanels *panels,  \
                                       uint64_t *candidates)                               \
    {                                                                                      \
        enum { rows = JOIN(kind, rows) };                                                  \
        _Alignas(VECTOR_BYTES) SCORE scores[JOIN(kind, queries) * rows];                   \
        uint64_t any = 0;                                                                  \
        for (int p = 0; p < n_panels; p++) {                                               \
            JOIN(kind, tile)(queries, panels->groups, packed,                              \
                             panels->data + numbers[p] * panels->panel_bytes, scores);     \
            any |= select(queries, rows, scores,                                           \
                          (const SCORE *)panels->bias + numbers[p] * rows, thresholds,     \
                          candidates + p * queries)                                        \
                   << p * queries;                                                         \
        }                                                                                  \
        return any;                                                                        \
    }

SCREEN(sad_u8, int32_t, select_i32)
SCREEN(dot_u8, int32_t, select_i32)
SCREEN(l1_f32, float, select_f32)
SCREEN(l2_f32, float, select_f32)
SCREEN(dot_f32, float, select_f32)
SCREEN(l1_f64, double, select_f64)
SCREEN(l2_f64, double, select_f64)
SCREEN(dot_f64, double, select_f64)

#define TILE_ENTRY(kind, scores)                                                           \
    {JOIN(kind, queries), JOIN(kind, rows), JOIN(kind, group), JOIN(kind, query_bytes), scores, \
     JOIN(kind, tile), JOIN(kind, screen)}

const Kernels JOIN(fastknn_kernels, LEVEL) = {
    LEVEL_NAME,
    {{TILE_ENTRY(sad_u8, I32_SCORES), TILE_ENTRY(dot_u8, I32_SCORES),
      TILE_ENTRY(dot_u8, I32_SCORES)},
     {TILE_ENTRY(l1_f32, F32_SCORES), TILE_ENTRY(l2_f32, F32_SCORES),
      TILE_ENTRY(dot_f32, F32_SCORES)},
     {TILE_ENTRY(l1_f64, F64_SCORES), TILE_ENTRY(l2_f64, F64_SCORES),
      TILE_ENTRY(dot_f64, F64_SCORES)}},
    {{l1_refine_u8, l2_refine_u8},
     {l1_refine_f32, l2_refine_f32},
     {l1_refine_f64, l2_refine_f64},
     {l1_refine_s8, l2_refine_s8}},
    {select_i32, select_f32, select_f64},
    nearest,
    {NULL, center_f32, center_f64},
    code_tile,
    {l1_boxes, l2_boxes},
    {{l1_bytes_u8, l2_bytes_u8}, {l1_bytes_s8, l2_bytes_s8}},
    {accumulate_i32, accumulate_f32, accumulate_f64},
    hadamard,
    {NULL, exponent_f32, exponent_f64, NULL},
    {split_u8, split_f32, split_f64, split_s8},
    {product_u8, product_f32, product_f64, product_s8},
};
