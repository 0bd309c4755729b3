"""Builds the C core as genmodels._core; everything else about the package is in pyproject.toml.

GENMODELS_BUILD = release (default) | debug | asan (addresses and undefined behaviour) | tsan (data races) |
                  emulated (csrc/kernels/isa_emulated.c)
GENMODELS_WERROR = 1 makes warnings errors.
"""

import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No -ffast-math and no fused multiply-adds of the compiler's own choice: the same bits on every machine of one kind.
# -D_DEFAULT_SOURCE: strict C11 hides POSIX.
COMMON = ["-std=c11", "-D_DEFAULT_SOURCE", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"]
COMMON += ["-Wall", "-Wextra", "-Wconversion"]
# Functions begin cache lines: where the register tiles' loops lay was chance, and could cost a third of their speed.
RELEASE = ["-O3", "-g0", "-falign-functions=64"]
STRIP = "-Wl,-x" if sys.platform == "darwin" else "-s"
# -fno-wrapv: Python's own flags may ask that signed overflow wraps, which would hide it.
SANITIZE = ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", "-fno-wrapv"]
ADDRESS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# build -> (compiler flags, linker flags)
BUILDS = {
    "release": (RELEASE, [STRIP]),
    "debug": (["-O0", "-g", "-UNDEBUG"], []),
    "asan": ([*SANITIZE, *ADDRESS], ADDRESS),
    "tsan": ([*SANITIZE, "-fsanitize=thread"], ["-fsanitize=thread"]),
    "emulated": (["-O2", "-g", "-DGM_EMULATED"], []),
}


class ParallelBuild(build_ext):
    """Compiles the sources of the one extension side by side."""

    def build_extension(self, ext: Extension) -> None:
        compile_one = self.compiler.compile

        def compile_all(sources, *args, **kwargs):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                jobs = [pool.submit(compile_one, [source], *args, **kwargs) for source in sources]
                return [name for job in jobs for name in job.result()]

        self.compiler.compile = compile_all
        self.force = True  # what lies in build/ may have been compiled with other flags
        super().build_extension(ext)


def core() -> Extension:
    """The extension, as the environment asks for it."""
    build = os.environ.get("GENMODELS_BUILD", "release")
    if build not in BUILDS:
        raise SystemExit(f"GENMODELS_BUILD is {build!r}, must be one of {', '.join(BUILDS)}")
    compiler_flags, linker_flags = BUILDS[build]
    werror = ["-Werror"] if os.environ.get("GENMODELS_WERROR") == "1" else []
    # -isystem: the headers of Python and NumPy are not ours to warn about.
    system = [f"-isystem{path}" for path in (sysconfig.get_path("include"), numpy.get_include())]
    return Extension(
        "genmodels._core",
        sources=sorted(glob("csrc/**/*.c", recursive=True)),
        depends=sorted(glob("csrc/**/*.h", recursive=True)),
        include_dirs=["csrc"],
        extra_compile_args=[*COMMON, *compiler_flags, *werror, *system],
        extra_link_args=["-pthread", *linker_flags],
        libraries=["m"],
    )


if __name__ == "__main__":
    setup(ext_modules=[core()], cmdclass={"build_ext": ParallelBuild})
