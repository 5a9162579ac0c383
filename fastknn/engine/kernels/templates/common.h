/* Small words shared by the per-CPU files. Everything here is a macro or static, so that no
 * function compiled with one CPU's flags can be merged with another's. */
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
