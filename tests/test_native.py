"""The C core tested from C: the programs of tests/native/, compiled with the core but without its Python part.

The flags are those of setup.py, so GENMODELS_BUILD=asan or tsan runs the same cases under a sanitizer; CC chooses the
compiler, and EMULATOR is the command that runs the programs of a cross compiler. The build itself is part of the test:
the core must compile without Python's headers and without warnings. Where it was compiled for Python already, OBJECTS
names the folder of what came of it.
"""

import fcntl
import os
import re
import runpy
import shlex
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "tests" / "native"
PROGRAMS = sorted(path.stem for path in NATIVE.glob("test_*.c"))
MUST_FAIL = "test_check"  # its cases, but one, show that a failure is noticed
BUILD = os.environ.get("GENMODELS_BUILD", "release")
OBJECTS = os.environ.get("OBJECTS")
EMULATOR = shlex.split(os.environ.get("EMULATOR", ""))
# Sanitizers make everything slower, and a fork from a threaded program is what several cases are about.
ENVIRONMENT = os.environ | {
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0:allocator_may_return_null=1",
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def cases(program: str) -> list[str]:
    """The names of a program's cases, read from its source."""
    return re.findall(r"^TEST\((\w+)\)", (NATIVE / f"{program}.c").read_text(), re.MULTILINE)


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, **options)


def run_case(program: Path, case: str) -> subprocess.CompletedProcess[str]:
    return run([*EMULATOR, str(program), case], env=ENVIRONMENT, timeout=300)


class Compiler:
    """Compiles C into one folder with the flags that setup.py gives the extension."""

    def __init__(self, folder: Path) -> None:
        setup = runpy.run_path(str(ROOT / "setup.py"), run_name="flags")
        flags, self.linker_flags = setup["BUILDS"][BUILD]
        self.folder = folder
        self.command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        self.flags = [*setup["COMMON"], *flags, "-Werror", f"-I{ROOT / 'csrc'}", f"-I{NATIVE}"]

    def object(self, source: Path) -> Path:
        output = self.folder / (str(source.relative_to(ROOT)).replace(os.sep, "-") + ".o")
        result = run([*self.command, *self.flags, "-c", str(source), "-o", str(output)])
        assert result.returncode == 0, f"{source}: {result.stderr}"
        return output

    def program(self, name: str, objects: list[Path]) -> Path:
        output = self.folder / name
        command = [*self.command, *map(str, objects), "-o", str(output), *self.linker_flags, "-pthread", "-lm"]
        result = run(command)
        assert result.returncode == 0, f"{name}: {result.stderr}"
        return output


def build(folder: Path) -> None:
    """Every test program, into the folder."""
    compiler = Compiler(folder)
    core = [path for path in sorted((ROOT / "csrc").rglob("*.c")) if path.parent.name != "python"]
    compiled = [Path(OBJECTS, path.relative_to(ROOT)).with_suffix(".o") for path in core] if OBJECTS else []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shared = list(pool.map(compiler.object, [NATIVE / "check.c", *([] if compiled else core)]))
        own = list(pool.map(compiler.object, [NATIVE / f"{name}.c" for name in PROGRAMS]))
    for name, main in zip(PROGRAMS, own, strict=True):
        compiler.program(name, [main, *shared, *compiled])


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every test program, by name. Of several workers of pytest-xdist the first one builds, and the others wait."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tmp_path_factory.mktemp("native")
        build(folder)
    else:
        folder = tmp_path_factory.getbasetemp().parent / "native"
        folder.mkdir(exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "built").exists():
                build(folder)
                (folder / "built").touch()
    return {name: folder / name for name in PROGRAMS}


@pytest.mark.parametrize(
    ("program", "case"), [(program, case) for program in PROGRAMS if program != MUST_FAIL for case in cases(program)]
)
def test_case(programs: dict[str, Path], program: str, case: str) -> None:
    result = run_case(programs[program], case)
    assert result.returncode == 0, f"exit code {result.returncode}: {result.stderr}"


@pytest.mark.parametrize("case", cases(MUST_FAIL))
def test_checks_notice_failures(programs: dict[str, Path], case: str) -> None:
    result = run_case(programs[MUST_FAIL], case)
    assert (result.returncode == 0) == (case == "passes"), f"exit code {result.returncode}: {result.stderr}"


def test_unknown_case_is_refused(programs: dict[str, Path]) -> None:
    assert run_case(programs[PROGRAMS[0]], "no_such_case").returncode == 2
