/* Which levels were built and run on this processor (contract: kernels.h, `fastknn_kernels`).
 *
 * setup.py compiles this file without any CPU's flags, and defines FASTKNN_HAVE_<LEVEL> for each
 * level that it has built. */
#include "kernels.h"

const char *fastknn_level_name(int level)
{
    static const char *const names[LEVELS] = {"portable", "avx2", "avx512"};
    return 0 <= level && level < LEVELS ? names[level] : NULL;
}

const Kernels *fastknn_kernels(int level)
{
    if (level == 0)
        return &fastknn_kernels_portable;
#ifdef FASTKNN_HAVE_AVX2
    if (level == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &fastknn_kernels_avx2;
#endif
#ifdef FASTKNN_HAVE_AVX512
    if (level == 2 && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        return &fastknn_kernels_avx512;
#endif
    return NULL;
}
