/* The exact order of angles between rows of whole numbers.
 *
 * For a query q and a row x of whole numbers (kernels.h), s = <q, x>, n = <q, q>, m = <x, x> are
 * exact integers, and so is p = n m - s**2, which is not negative. The key of the pair, from near
 * to far, is
 *
 *     below 45 degrees        p / (n m), the squared sine, cut off after 117 significant bits;
 *     up to 90 degrees        1 - T, with T = s**2 / (n m), the squared cosine, cut off at 2**-116;
 *     above 90 degrees        1 + T:
 *
 * a function of the exact angle alone, which never falls as the angle rises. So equal angles have
 * equal keys, in whatever units rows are. Two different angles have different keys where
 * n m1 m2 <= 2**116, since s1**2 m2 - s2**2 m1 is a whole number: bytes at any width below 6
 * million, whole numbers up to 65,000 in 100 columns. Beyond that, those count as equal that agree
 * in all the bits named above.
 *
 * A key is handed about as `high`, its first 53 significant bits, and `low`, the next 64.
 */
#ifndef FASTKNN_ANGLES_H
#define FASTKNN_ANGLES_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

typedef unsigned __int128 Natural;

enum {
    KEY_BITS = 116, /* the last place of a key from 45 degrees on, 2**-KEY_BITS */
    HIGH_BITS = 53, /* significant bits of `high`, a double, and of `low` */
    LOW_BITS = 64,
    /* int64 values that are known of a row beforehand (angles.pxi); with its mean taken from it. */
    MEASURES = 3,
    MEASURES_CENTERED = 6
};

_Static_assert(HIGH_BITS == DBL_MANT_DIG, "the upper part of a key is a double");
_Static_assert(HIGH_BITS + LOW_BITS == KEY_BITS + 1, "below 45 degrees a key has a bit more");

/* Limbs of 64 bits, the lowest first. */
typedef struct {
    uint64_t limb[5];
} Limbs;

static inline Limbs limbs_product(Natural a, Natural b)
{
    const uint64_t x[2] = {(uint64_t)a, (uint64_t)(a >> 64)}, y[2] = {(uint64_t)b, (uint64_t)(b >> 64)};
    Limbs product = {{0}};
    for (int i = 0; i < 2; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 2; j++) {
            const Natural sum = (Natural)x[i] * y[j] + product.limb[i + j] + carry;
            product.limb[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        product.limb[i + 2] = carry;
    }
    return product;
}

/* Shift four limbs left, by less than 256 bits, none of which is lost. */
static inline void limbs_shift(Limbs *a, int bits)
{
    const int whole = bits / 64, part = bits % 64;
    for (int i = 3; i >= 0; i--) {
        const uint64_t upper = i - whole >= 0 ? a->limb[i - whole] : 0;
        const uint64_t lower = i - whole >= 1 ? a->limb[i - whole - 1] : 0;
        a->limb[i] = part ? upper << part | lower >> (64 - part) : upper;
    }
}

/* floor(2**64 a / d) for a < d, d's highest bit set; leaves the remainder in a. One step of Knuth's
 * division (The Art of Computer Programming, 4.3.1, algorithm D): the estimate from the highest
 * limbs is at most two too large. */
static inline uint64_t limbs_digit(Limbs *a, const Limbs *d)
{
    const Natural top = (Natural)a->limb[3] << 64 | a->limb[2];
    uint64_t digit = a->limb[3] >= d->limb[3] ? UINT64_MAX : (uint64_t)(top / d->limb[3]);
    uint64_t carry = 0, borrow = 0, rest[5];
    for (int i = 0; i < 5; i++) {
        const uint64_t given = i ? a->limb[i - 1] : 0;
        const Natural product = (Natural)digit * (i < 4 ? d->limb[i] : 0) + carry;
        const Natural left = (Natural)given - (uint64_t)product - borrow;
        carry = (uint64_t)(product >> 64);
        rest[i] = (uint64_t)left;
        borrow = (uint64_t)(left >> 64) & 1;
    }
    while (borrow) { /* too large: the rest is negative */
        uint64_t over = 0;
        for (int i = 0; i < 5; i++) {
            const Natural sum = (Natural)rest[i] + (i < 4 ? d->limb[i] : 0) + over;
            rest[i] = (uint64_t)sum;
            over = (uint64_t)(sum >> 64);
        }
        digit--;
        borrow -= over;
    }
    memcpy(a->limb, rest, 4 * sizeof rest[0]);
    return digit;
}

/* The number of zeros above the highest bit of four limbs, not all zero. */
static inline int limbs_zeros(const Limbs *a)
{
    int top = 3;
    while (!a->limb[top])
        top--;
    return 64 * (3 - top) + __builtin_clzll(a->limb[top]);
}

/* a - b, which is not negative, of four limbs. */
static inline Limbs limbs_difference(const Limbs *a, const Limbs *b)
{
    Limbs difference = {{0}};
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        const Natural left = (Natural)a->limb[i] - b->limb[i] - borrow;
        difference.limb[i] = (uint64_t)left;
        borrow = (uint64_t)(left >> 64) & 1;
    }
    return difference;
}

/* Whether a < b, of four limbs. */
static inline int limbs_below(const Limbs *a, const Limbs *b)
{
    for (int i = 3; i > 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i];
    return a->limb[0] < b->limb[0];
}

/* floor(2**128 a / d) for a < d, d's highest bit set. */
static inline Natural limbs_fraction(Limbs a, const Limbs *d)
{
    const uint64_t first = limbs_digit(&a, d);
    return (Natural)first << 64 | limbs_digit(&a, d);
}

/* value * 2**exponent as high and low, value not zero. */
static inline void cut_off(Natural value, int exponent, double *high, uint64_t *low)
{
    const uint64_t upper = (uint64_t)(value >> 64);
    const int zeros = upper ? __builtin_clzll(upper) : 64 + __builtin_clzll((uint64_t)value);
    value <<= zeros;
    const int dropped = 128 - HIGH_BITS;
    *high = ldexp((double)(uint64_t)(value >> dropped), dropped - zeros + exponent);
    *low = (uint64_t)(value >> (128 - HIGH_BITS - LOW_BITS));
}

/* The key of a pair; a row or query of zeros is at a right angle to everything. */
static inline void angle_key(Whole s, Natural n, Natural m, double *high, uint64_t *low)
{
    const Natural right = (Natural)1 << KEY_BITS, size = s < 0 ? -(Natural)s : (Natural)s;
    if (!s || !n || !m) {
        cut_off(right, -KEY_BITS, high, low);
        return;
    }
    Limbs square = limbs_product(size, size), product = limbs_product(n, m);
    Limbs rest = limbs_difference(&product, &square);
    const int zeros = limbs_zeros(&product);
    const int acute = s > 0 && limbs_below(&rest, &square);
    *high = 0;
    *low = 0;
    if (acute && !(rest.limb[0] | rest.limb[1] | rest.limb[2] | rest.limb[3]))
        return;
    limbs_shift(&product, zeros);
    if (acute) {
        const int bits = limbs_zeros(&rest) - 1; /* one less: it stays below the product */
        limbs_shift(&rest, bits);
        cut_off(limbs_fraction(rest, &product), zeros - bits - 128, high, low);
        return;
    }
    limbs_shift(&square, zeros);
    Natural cosine2 = right; /* opposite directions */
    if (limbs_below(&square, &product))
        cosine2 = limbs_fraction(square, &product) >> (128 - KEY_BITS);
    cut_off(s < 0 ? right + cosine2 : right - cosine2, -KEY_BITS, high, low);
}

/* The distance 1 - cosine of a key, in float64. Every step rises, or falls, with the key, also as
 * rounded, and where two formulas meet neither passes the value there; so distances never disagree
 * with the order of keys. Nothing cancels:
 *     1 - c = (1 - c**2) / (1 + c), with 1 - c**2 the key up to 90 degrees. */
static inline double angle_distance(double high, uint64_t low)
{
    const double meet = 1 - 0x1.6a09e667f3bcdp-1; /* 1 - sqrt(1 / 2) */
    double distance, rest;
    int exponent;
    (void)frexp(high, &exponent);
    rest = ldexp((double)low, exponent - HIGH_BITS - LOW_BITS);
    if (!(high < 1))
        return 1 + sqrt((high - 1) + rest);
    if (high + rest <= 0.5) {
        distance = (high + rest) / (1 + sqrt(1 - (high + rest)));
        return distance < meet ? distance : meet;
    }
    distance = 1 - sqrt((1 - high) - rest);
    return distance > meet ? distance : meet;
}

#endif
