"""Threads and processor, as users ask for them."""

from __future__ import annotations

import os
import platform
import re
import warnings
from typing import Any

from . import _core
from . import _validate as check

MAX_THREADS = 256


def check_environment() -> None:
    """Warn of settings in the environment that the core passes over."""
    threads, isa = os.environ.get("GENMODELS_NUM_THREADS"), os.environ.get("GENMODELS_ISA")
    if threads and not (re.fullmatch("0*[0-9]{1,3}", threads) and 1 <= int(threads[-3:]) <= MAX_THREADS):
        warnings.warn(f"GENMODELS_NUM_THREADS={threads} is ignored: it is not in 1..{MAX_THREADS}", stacklevel=3)
    if isa and isa not in (here := _core.cpu_info()["isa_available"]):
        warnings.warn(f"GENMODELS_ISA={isa} is ignored: it is none of {', '.join(here)}", stacklevel=3)


def set_num_threads(n: int) -> None:
    """Use up to n threads, 1..256, from now on, in the whole process. Results do not depend on it."""
    _core.set_num_threads(check.integer(n, "number of threads", 1, MAX_THREADS))


def get_num_threads() -> int:
    """Threads in use: GENMODELS_NUM_THREADS at first, or the processors this process may run on."""
    return _core.get_num_threads()


def cpu_info() -> dict[str, Any]:
    """What computes here.

    cpu: the processor's name; isa: the instruction set of the kernels in use; isa_available: those that could be, which
    GENMODELS_ISA chooses from; isa_machine: the best the processor has; bf16: the processor multiplies bfloat16 in
    "blocks" (AMX), in "pairs" (AVX-512), or not at all ("none"); threads; compiler.
    """
    return {"cpu": _processor_name(), **_core.cpu_info()}


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return next(iter(names), platform.processor() or platform.machine())
