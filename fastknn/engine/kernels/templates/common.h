/* What all per-CPU files share: the contract, names joined from parts, forced inlining, and loads.
 *
 * Everything here is a macro or static, so that no function compiled with the flags of one CPU can
 * be merged with that of another. */
#ifndef FASTKNN_COMMON_H
#define FASTKNN_COMMON_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* One packed group of a query, read without assuming a type or an alignment. */
static ALWAYS_INLINE int32_t load_i32(const void *p)
{
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static ALWAYS_INLINE int64_t load_i64(const void *p)
{
    int64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

#endif
