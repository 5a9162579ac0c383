/* Which level this processor runs. Compiled without any CPU's flags. */
#include "kernels.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define CPU_HAS(feature) __builtin_cpu_supports(feature)
#else
#define CPU_HAS(feature) 0
#endif

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
    if (level == 1 && CPU_HAS("avx2") && CPU_HAS("fma"))
        return &fastknn_kernels_avx2;
#endif
#ifdef FASTKNN_HAVE_AVX512
    if (level == 2 && CPU_HAS("fma") && CPU_HAS("avx512f") && CPU_HAS("avx512bw")
        && CPU_HAS("avx512vl") && CPU_HAS("avx512dq") && CPU_HAS("avx512vnni"))
        return &fastknn_kernels_avx512;
#endif
    return NULL;
}
