"""Build the extension: one Cython module, and one C object per CPU level.

The compiler is GCC or Clang (`kernels.h` refuses others). Only the per-CPU kernel files get CPU
flags; which of them runs is decided at run time. A compiler that does not know a level's flags
leaves that level out, with a notice.
"""

import glob
import os
import platform
import sys
from collections.abc import Sequence

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

KERNELS = "fastknn/engine/kernels"
HEADERS = sorted(glob.glob(f"{KERNELS}/**/*.h", recursive=True))
# -Wno-psabi: vectors wider than the level's are returned by inlined functions only.
C_FLAGS = [
    "-std=c11",
    "-O3",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wno-psabi",
]
# Level: flags. The order is that of the levels in dispatch.c; portable is always built.
LEVELS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"],
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


class BuildKernels(build_ext):
    """build_ext, with a set of flags for each kernel file."""

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = [*C_FLAGS, *ext.extra_compile_args]
        have = []
        objects = self.compile_kernel("portable/portable.c")
        for level, cpu_flags in LEVELS.items() if X86 else ():
            try:
                objects += self.compile_kernel(f"x86/{level}.c", cpu_flags)
                have.append((f"FASTKNN_HAVE_{level.upper()}", "1"))
            except CompileError:
                print(
                    f"fastknn: NOTICE: this compiler cannot build the {level} kernels "
                    f"(needs {' '.join(cpu_flags)}); going on without them",
                    file=sys.stderr,
                )
        objects += self.compile_kernel("dispatch.c", macros=have)
        ext.extra_objects = [*ext.extra_objects, *objects]
        super().build_extension(ext)

    def compile_kernel(
        self, name: str, cpu_flags: Sequence[str] = (), macros: Sequence[tuple[str, str]] = ()
    ) -> list[str]:
        return self.compiler.compile(
            [f"{KERNELS}/{name}"],
            output_dir=self.build_temp,
            macros=list(macros),
            extra_postargs=[*C_FLAGS, *cpu_flags, *os.environ.get("FASTKNN_CFLAGS", "").split()],
            depends=HEADERS,
        )


setup(
    ext_modules=cythonize(
        [
            Extension(
                "fastknn.engine._core",
                ["fastknn/engine/_core.pyx"],
                depends=[*HEADERS, *glob.glob("fastknn/engine/*.pxi")],
                extra_compile_args=os.environ.get("FASTKNN_CFLAGS", "").split(),
                extra_link_args=os.environ.get("FASTKNN_LDFLAGS", "").split(),
            )
        ],
        language_level=3,
    ),
    cmdclass={"build_ext": BuildKernels},
)
