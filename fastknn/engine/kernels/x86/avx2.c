/* The level for AVX2 with FMA (contract: kernels.h; macros: the templates): 16 registers, 12 of
 * them accumulators.
 *
 * Limits: the SAD does 32 absolute differences in two instructions. There is no exact
 * u8 x s8 dot (vpmaddubsw saturates), so bytes are widened on the way in and multiplied as
 * 16-bit pairs: 16 multiply-adds in two instructions. A float tile does 8 elements in three. */
#include <immintrin.h>

#include "../templates/common.h"

#define LEVEL avx2
#define LEVEL_NAME "avx2"

/* Pins an accumulator to its register after each step. Left alone, GCC 12 computes all the
 * products of a step first, runs out of registers and spills: half the speed. */
static ALWAYS_INLINE __m256i in_register(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

#define TILE dot_u8
#define TILE_QUERIES 6
#define TILE_VECTORS 2
#define TILE_LANES 8
#define TILE_GROUP 2
#define ROW uint8_t
#define QUERY int16_t
#define SCORE int32_t
#define VECTOR __m256i
#define LOAD(p) _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(p)))
#define BROADCAST(p) _mm256_set1_epi32(load_i32(p))
#define ZERO() _mm256_setzero_si256()
#define STEP(sum, rows, query) in_register(_mm256_add_epi32(sum, _mm256_madd_epi16(rows, query)))
#define STORE(p, sum) _mm256_store_si256((__m256i *)(p), _mm256_add_epi32(sum, sum))
#define START(x) _mm256_set1_epi32(x)
#define FLOATS __m256
#define TO_FLOATS(sum) _mm256_cvtepi32_ps(sum)
#define LOAD_FLOATS(p) _mm256_load_ps(p)
#define SPREAD_FLOAT(x) _mm256_set1_ps(x)
#define MUL_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define AT_MOST(a, b) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ))
#include "../templates/tile.h"

/* The low halves of four 64-bit sums. */
static ALWAYS_INLINE __m128i narrow_i64(__m256i sums)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(sums, even));
}

#define TILE sad_u8
#define TILE_QUERIES 6
#define TILE_VECTORS 2
#define TILE_LANES 4
#define TILE_GROUP 8
#define ROW uint8_t
#define QUERY uint8_t
#define SCORE int32_t
#define VECTOR __m256i
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define BROADCAST(p) _mm256_set1_epi64x(load_i64(p))
#define ZERO() _mm256_setzero_si256()
#define STEP(sum, rows, query) in_register(_mm256_add_epi64(sum, _mm256_sad_epu8(rows, query)))
#define STORE(p, sum) _mm_store_si128((__m128i *)(p), narrow_i64(sum))
#include "../templates/tile.h"

#define SELECT select_i32
#define SELECT_LANES 8
#define SCORE int32_t
#define VECTOR __m256i
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define SPREAD(x) _mm256_set1_epi32(x)
#define ADD(a, b) _mm256_add_epi32(a, b)
#define IS_CANDIDATE(score, threshold) \
    (0xffu & ~_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(score, threshold))))
#include "../templates/select.h"

#define FLOAT float
#define FLOAT_NAME f32
#define FLOAT_QUERIES 6
#define FLOAT_VECTORS 2
#define FLOAT_LANES 8
#define FLOAT_VECTOR __m256
#define FLOAT_LOAD(p) _mm256_load_ps(p)
#define FLOAT_STORE(p, v) _mm256_store_ps(p, v)
#define FLOAT_SPREAD(x) _mm256_set1_ps(x)
#define FLOAT_ADD(a, b) _mm256_add_ps(a, b)
#define FLOAT_SUB(a, b) _mm256_sub_ps(a, b)
#define FLOAT_MUL(a, b) _mm256_mul_ps(a, b)
#define FLOAT_ADD_PRODUCT(sum, a, b) _mm256_fmadd_ps(a, b, sum)
#define FLOAT_ABS(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define FLOAT_IS_CANDIDATE(score, threshold)                                         \
    _mm256_movemask_ps(                                                          \
        _mm256_or_ps(_mm256_cmp_ps(score, threshold, _CMP_LE_OQ),                \
                     _mm256_cmp_ps(score, _mm256_set1_ps(HUGE_VALF), _CMP_EQ_OQ)))
#define FLOAT_MAX(a, b) _mm256_max_ps(a, b)
#include "../templates/floats.h"

#define FLOAT double
#define FLOAT_NAME f64
#define FLOAT_QUERIES 6
#define FLOAT_VECTORS 2
#define FLOAT_LANES 4
#define FLOAT_VECTOR __m256d
#define FLOAT_LOAD(p) _mm256_load_pd(p)
#define FLOAT_STORE(p, v) _mm256_store_pd(p, v)
#define FLOAT_SPREAD(x) _mm256_set1_pd(x)
#define FLOAT_ADD(a, b) _mm256_add_pd(a, b)
#define FLOAT_SUB(a, b) _mm256_sub_pd(a, b)
#define FLOAT_MUL(a, b) _mm256_mul_pd(a, b)
#define FLOAT_ADD_PRODUCT(sum, a, b) _mm256_fmadd_pd(a, b, sum)
#define FLOAT_ABS(a) _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
#define FLOAT_IS_CANDIDATE(score, threshold)                                         \
    _mm256_movemask_pd(                                                          \
        _mm256_or_pd(_mm256_cmp_pd(score, threshold, _CMP_LE_OQ),                \
                     _mm256_cmp_pd(score, _mm256_set1_pd(HUGE_VAL), _CMP_EQ_OQ)))
#include "../templates/floats.h"

#define DOUBLE_LANES 4
#include "../templates/level.h"
