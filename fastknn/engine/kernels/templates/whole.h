/* Rows as whole numbers: exponents, halves, and exact sums of products (contract: `Whole`,
 * `Exponent`, `Split` and `Product` in kernels.h).
 *
 * Included by level.h. Nothing here depends on the order of elements or on the level. */

/* Adding and subtracting it rounds |x| < 2**51 to a whole number, ties to even, on every level. */
#define ROUNDER 0x1.8p52

/* The unit of the upper half; its inverse is exact, too. */
#define UNIT ((double)(1LL << HALF_BITS))

static ALWAYS_INLINE double nearest_whole(double x)
{
    return (x + ROUNDER) - ROUNDER;
}

/* The largest magnitude as an integer: the bits of magnitudes are ordered as they are, infinity
 * and NaN above all others. Limit: what it reads. */
#define EXPONENT(NAME, TYPE, BITS, MAGNITUDE, INFINITE)                        \
    static int NAME(size_t width, const void *row)                             \
    {                                                                          \
        BITS largest = 0, bits;                                                \
        TYPE value;                                                            \
        int exponent;                                                          \
        for (size_t i = 0; i < width; i++) {                                   \
            memcpy(&bits, (const TYPE *)row + i, sizeof bits);                 \
            bits &= MAGNITUDE;                                                 \
            largest = bits > largest ? bits : largest;                         \
        }                                                                      \
        if (largest >= INFINITE)                                               \
            return NOT_FINITE;                                                 \
        memcpy(&value, &largest, sizeof value);                                \
        (void)frexp(value, &exponent);                                         \
        return largest == 0 ? ALL_ZERO : exponent;                             \
    }

EXPONENT(exponent_f32, float, int32_t, INT32_MAX, 0x7f800000)
EXPONENT(exponent_f64, double, int64_t, INT64_MAX, 0x7ff0000000000000)

/* 2**exponent, from -1022 to 1023. */
static ALWAYS_INLINE double power(int exponent)
{
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* x * 2**shift, rounded, as high * 2**HALF_BITS + low. The remainder is exact: it is a multiple of
 * the last place of x * 2**shift, and no larger. Float64 takes two factors, for shifts that no
 * double holds. */
#define SPLIT(NAME, TYPE, SCALED)                                                    \
    static void NAME(size_t count, const void *row, int shift, int32_t *restrict high, \
                     int32_t *restrict low)                                          \
    {                                                                                \
        const TYPE *values = row;                                                    \
        const double first = power(shift / 2), second = power(shift - shift / 2);    \
        const double whole = sizeof(TYPE) == 4 ? power(shift) : 0;                   \
        (void)first, (void)second, (void)whole;                                      \
        for (size_t i = 0; i < count; i++) {                                         \
            const double value = SCALED;                                             \
            const double upper = nearest_whole(value * (1 / UNIT));                  \
            high[i] = (int32_t)upper;                                                \
            low[i] = (int32_t)nearest_whole(value - upper * UNIT);                   \
        }                                                                            \
    }

SPLIT(split_f32, float, values[i] * whole)
SPLIT(split_f64, double, values[i] * first * second)

#define SPLIT_BYTES(NAME, TYPE)                                                      \
    static void NAME(size_t count, const void *row, int shift, int32_t *restrict high, \
                     int32_t *restrict low)                                          \
    {                                                                                \
        (void)shift;                                                                 \
        for (size_t i = 0; i < count; i++) {                                         \
            high[i] = 0;                                                             \
            low[i] = ((const TYPE *)row)[i];                                         \
        }                                                                            \
    }

SPLIT_BYTES(split_u8, uint8_t)
SPLIT_BYTES(split_s8, int8_t)

/* Limit: four products of 32 bits per element, of which a vector multiplies four with AVX2, and
 * some twelve operations to split four elements: about 1.5 elements per nanosecond. Compilers' code
 * for it reaches 0.7 to 0.9, half of what the refine of differences does; only candidates come
 * here. int64 holds the sums of WHOLE_BLOCK products of halves (asserted in kernels.h). */
#define PRODUCT(NAME, SPLIT)                                                         \
    static void NAME(size_t width, const int32_t *restrict high,                     \
                     const int32_t *restrict low, const void *row, size_t item,      \
                     int shift, Whole *sum)                                          \
    {                                                                                \
        int32_t row_high[WHOLE_BLOCK], row_low[WHOLE_BLOCK];                         \
        Whole total = 0;                                                             \
        for (size_t start = 0; start < width; start += WHOLE_BLOCK) {                \
            const size_t left = width - start;                                       \
            const size_t count = left < WHOLE_BLOCK ? left : WHOLE_BLOCK;            \
            int64_t upper = 0, middle = 0, lower = 0;                                \
            SPLIT(count, (const char *)row + start * item, shift, row_high, row_low); \
            for (size_t i = 0; i < count; i++) {                                     \
                const int64_t h = high[start + i], l = low[start + i];               \
                upper += h * row_high[i];                                            \
                middle += h * row_low[i] + l * row_high[i];                          \
                lower += l * row_low[i];                                             \
            }                                                                        \
            total += (Whole)upper * ((Whole)1 << 2 * HALF_BITS)                      \
                     + (Whole)middle * ((Whole)1 << HALF_BITS) + lower;              \
        }                                                                            \
        *sum = total;                                                                \
    }

PRODUCT(product_u8, split_u8)
PRODUCT(product_f32, split_f32)
PRODUCT(product_f64, split_f64)
PRODUCT(product_s8, split_s8)
