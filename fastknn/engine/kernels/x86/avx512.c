/* The level for AVX-512 with VNNI (contract: kernels.h; macros: the templates): 32 registers, 24 of
 * them accumulators.
 *
 * Limits: the dot does 64 multiply-adds per instruction (vpdpbusd), the SAD 64 absolute
 * differences in two (vpsadbw and an add), a float tile 16 elements in three. */
#include <immintrin.h>

#include "../templates/common.h"

#define LEVEL avx512
#define LEVEL_NAME "avx512"

/* Pins an accumulator to its register after each step. Left alone, GCC 12 computes all the
 * products of a step first, runs out of registers and spills: half the speed. */
static ALWAYS_INLINE __m512i in_register(__m512i sum)
{
    __asm__("" : "+v"(sum));
    return sum;
}

#define TILE dot_u8
#define TILE_QUERIES 12
#define TILE_VECTORS 2
#define TILE_LANES 16
#define TILE_GROUP 4
#define ROW uint8_t
#define QUERY int8_t
#define SCORE int32_t
#define VECTOR __m512i
#define LOAD(p) _mm512_load_si512(p)
#define BROADCAST(p) _mm512_set1_epi32(load_i32(p))
#define ZERO() _mm512_setzero_si512()
#define STEP(sum, rows, query) in_register(_mm512_dpbusd_epi32(sum, rows, query))
#define STORE(p, sum) _mm512_store_si512(p, _mm512_add_epi32(sum, sum))
#define START(x) _mm512_set1_epi32(x)
#define FLOATS __m512
#define TO_FLOATS(sum) _mm512_cvtepi32_ps(sum)
#define LOAD_FLOATS(p) _mm512_load_ps(p)
#define SPREAD_FLOAT(x) _mm512_set1_ps(x)
#define MUL_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define AT_MOST(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)
#include "../templates/tile.h"

#define TILE sad_u8
#define TILE_QUERIES 12
#define TILE_VECTORS 2
#define TILE_LANES 8
#define TILE_GROUP 8
#define ROW uint8_t
#define QUERY uint8_t
#define SCORE int32_t
#define VECTOR __m512i
#define LOAD(p) _mm512_load_si512(p)
#define BROADCAST(p) _mm512_set1_epi64(load_i64(p))
#define ZERO() _mm512_setzero_si512()
#define STEP(sum, rows, query) _mm512_add_epi64(sum, _mm512_sad_epu8(rows, query))
#define STORE(p, sum) _mm256_store_si256((__m256i *)(p), _mm512_cvtepi64_epi32(sum))
#include "../templates/tile.h"

#define SELECT select_i32
#define SELECT_LANES 16
#define SCORE int32_t
#define VECTOR __m512i
#define LOAD(p) _mm512_load_si512(p)
#define SPREAD(x) _mm512_set1_epi32(x)
#define ADD(a, b) _mm512_add_epi32(a, b)
#define IS_CANDIDATE(score, threshold) _mm512_cmple_epi32_mask(score, threshold)
#include "../templates/select.h"

#define FLOAT float
#define FLOAT_NAME f32
#define FLOAT_QUERIES 12
#define FLOAT_VECTORS 2
#define FLOAT_LANES 16
#define FLOAT_VECTOR __m512
#define FLOAT_LOAD(p) _mm512_load_ps(p)
#define FLOAT_STORE(p, v) _mm512_store_ps(p, v)
#define FLOAT_SPREAD(x) _mm512_set1_ps(x)
#define FLOAT_ADD(a, b) _mm512_add_ps(a, b)
#define FLOAT_SUB(a, b) _mm512_sub_ps(a, b)
#define FLOAT_MUL(a, b) _mm512_mul_ps(a, b)
#define FLOAT_ADD_PRODUCT(sum, a, b) _mm512_fmadd_ps(a, b, sum)
#define FLOAT_ABS(a) _mm512_abs_ps(a)
#define FLOAT_IS_CANDIDATE(score, threshold)                     \
    (_mm512_cmp_ps_mask(score, threshold, _CMP_LE_OQ)        \
     | _mm512_cmp_ps_mask(score, _mm512_set1_ps(HUGE_VALF), _CMP_EQ_OQ))
#define FLOAT_MAX(a, b) _mm512_max_ps(a, b)
#include "../templates/floats.h"

#define FLOAT double
#define FLOAT_NAME f64
#define FLOAT_QUERIES 12
#define FLOAT_VECTORS 2
#define FLOAT_LANES 8
#define FLOAT_VECTOR __m512d
#define FLOAT_LOAD(p) _mm512_load_pd(p)
#define FLOAT_STORE(p, v) _mm512_store_pd(p, v)
#define FLOAT_SPREAD(x) _mm512_set1_pd(x)
#define FLOAT_ADD(a, b) _mm512_add_pd(a, b)
#define FLOAT_SUB(a, b) _mm512_sub_pd(a, b)
#define FLOAT_MUL(a, b) _mm512_mul_pd(a, b)
#define FLOAT_ADD_PRODUCT(sum, a, b) _mm512_fmadd_pd(a, b, sum)
#define FLOAT_ABS(a) _mm512_abs_pd(a)
#define FLOAT_IS_CANDIDATE(score, threshold)                     \
    (_mm512_cmp_pd_mask(score, threshold, _CMP_LE_OQ)        \
     | _mm512_cmp_pd_mask(score, _mm512_set1_pd(HUGE_VAL), _CMP_EQ_OQ))
#include "../templates/floats.h"

/* Sum of squared differences of bytes (level.h): with d = |a - b|, whose square is no product of a
 * byte and a signed one, d**2 = d (d - 128) + 128 d. Six operations for 64 bytes. */
#define OWN_L2_BLOCK
static ALWAYS_INLINE void add_squares(__m512i a, __m512i b, __m512i *products, __m512i *sums)
{
    const __m512i d = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
    *products = _mm512_dpbusd_epi32(*products, d, _mm512_xor_si512(d, _mm512_set1_epi8(-128)));
    *sums = _mm512_dpbusd_epi32(*sums, d, _mm512_set1_epi8(1));
}

static ALWAYS_INLINE int32_t l2_block(size_t count, const uint8_t *a, const uint8_t *b,
                                      const uint8_t sign)
{
    const __m512i turned = _mm512_set1_epi8((char)sign);
    __m512i products[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t i = 0;
    for (; i + 128 <= count; i += 128) {
        UNROLL
        for (int j = 0; j < 2; j++)
            add_squares(_mm512_xor_si512(_mm512_loadu_si512(a + i + 64 * j), turned),
                        _mm512_xor_si512(_mm512_loadu_si512(b + i + 64 * j), turned),
                        &products[j], &sums[j]);
    }
    for (; i < count; i += 64) {
        const __mmask64 real = count - i < 64 ? ((__mmask64)1 << (count - i)) - 1 : ~(__mmask64)0;
        add_squares(_mm512_xor_si512(_mm512_maskz_loadu_epi8(real, a + i), turned),
                    _mm512_xor_si512(_mm512_maskz_loadu_epi8(real, b + i), turned),
                    &products[0], &sums[0]);
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(
        _mm512_add_epi32(products[0], products[1]),
        _mm512_slli_epi32(_mm512_add_epi32(sums[0], sums[1]), 7)));
}

#define DOUBLE_LANES 8
#include "../templates/level.h"
