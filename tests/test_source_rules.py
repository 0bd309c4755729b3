"""The source's own rules, read from the files: what may include what, what a library must not do, how long files are.

Each rule is a function from a file's name and text to a list of complaints. Every one is tried on a bad sample too.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
C_FILES = sorted(path for path in (ROOT / "csrc").rglob("*.[ch]"))
NATIVE_FILES = sorted((ROOT / "tests" / "native").glob("*.[ch]"))
PACKAGE_FILES = sorted((ROOT / "genmodels").rglob("*.py"))
PYTHON_FILES = sorted([*PACKAGE_FILES, ROOT / "setup.py", *(ROOT / "tests").rglob("*.py")])
BUILD_FILES = [ROOT / "setup.py", ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".ci" / "run"]

LAYERS = ["base", "kernels", "metrics", "layers", "network", "models", "python"]
MOST_LINES = 500

Rule = Callable[[str, str], list[str]]


def without_comments(text: str) -> str:
    """C without its comments and with empty string literals."""
    pattern = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
    return pattern.sub(lambda match: '""' if match.group().startswith('"') else " ", text)


def includes(text: str) -> list[str]:
    return re.findall(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", text, re.MULTILINE)


def calls(text: str, names: str) -> list[str]:
    """The C functions of `names` that are called (or taken the address of), members of structs apart."""
    return re.findall(rf"(?<![\w.>])({names})\b(?=\s*[(;,)])", without_comments(text))


# ---- C -----------------------------------------------------------------------------------------------------------


def include_order(name: str, text: str) -> list[str]:
    """base <- kernels <- layers <- network <- models <- python."""
    own = name.split("/")[1]
    ours = [include for include in includes(text) if include.split("/")[0] in LAYERS]
    bad = [include for include in ours if LAYERS.index(include.split("/")[0]) > LAYERS.index(own)]
    unknown = [
        include for include in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.MULTILINE) if include not in ours
    ]
    return [f"{own}/ must not include {include}" for include in bad] + [
        f"{include}: no such layer" for include in unknown
    ]


def libc_only_in_base(name: str, text: str) -> list[str]:
    allowed = [*LAYERS, *(["cpuid.h", "sys"] if "/base/" in name else ["immintrin.h", "arm_neon.h"])]
    standard = {"assert.h", "fenv.h", "float.h", "inttypes.h", "limits.h", "math.h", "pthread.h", "sched.h", "signal.h"}
    standard |= {"stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h"}
    standard |= {"string.h", "time.h", "unistd.h", "sanitizer/asan_interface.h"}
    if "/python/" in name:
        return []
    return [f"includes {i}" for i in includes(text) if i not in standard and i.split("/")[0] not in allowed]


def python_only_in_python(name: str, text: str) -> list[str]:
    if "/python/" in name:
        return []
    return [
        f"includes {include}" for include in includes(text) if include == "Python.h" or include.startswith("numpy/")
    ]


def library_is_quiet(name: str, text: str) -> list[str]:
    """No printing, no ending of the process, no process-wide random numbers."""
    forbidden = "printf|fprintf|puts|putchar|perror|exit|_exit|abort|assert|rand|srand|drand48"
    return [f"calls {call}" for call in calls(text.replace("format(printf,", "format("), forbidden)]


def kernels_do_not_allocate(name: str, text: str) -> list[str]:
    if not name.startswith(("csrc/kernels/", "csrc/layers/")):
        return []
    return [f"calls {call}" for call in calls(text, "malloc|calloc|realloc|free|posix_memalign|aligned_alloc|mmap")]


def no_isa_condition_in_bodies(name: str, text: str) -> list[str]:
    """Inside a target pragma gcc defines __AVX2__ and clang does not."""
    return [f"tests {macro}" for macro in re.findall(r"^\s*#.*\b(__AVX\w*__|__FMA__|__SSE\w*__)", text, re.MULTILINE)]


# ---- Python ------------------------------------------------------------------------------------------------------


def package_does_not_print(name: str, text: str) -> list[str]:
    if name == "genmodels/cli.py":
        return []
    return [
        f"line {n}: print("
        for n, line in enumerate(text.splitlines(), 1)
        if re.match(r"[^#\"']*(?<![\w.])print\(", line)
    ]


def loads_no_code(name: str, text: str) -> list[str]:
    """Nothing that runs what a file says: no pickle, no eval."""
    runs = r"(?<![\w.])(?:import\s+pickle|from\s+pickle|pickle\.\w+|eval\(|exec\(|marshal\b|shelve\b)"
    return [f"uses {match}" for match in re.findall(rf"{runs}|allow_pickle\s*=\s*True", text)]


def optional_packages_are_lazy(name: str, text: str) -> list[str]:
    """The extras are imported where they are used, never at the top of a module."""
    extras = "matplotlib|tqdm|pooch|pandas|safetensors|IPython|torch|scipy|PIL"
    return [
        f"top-level import of {match}" for match in re.findall(rf"^(?:import|from)\s+({extras})\b", text, re.MULTILINE)
    ]


# ---- any file ----------------------------------------------------------------------------------------------------


def not_too_long(name: str, text: str) -> list[str]:
    lines = text.count("\n") + 1
    return [f"{lines - 1} lines, at most {MOST_LINES}"] if lines - 1 > MOST_LINES else []


def portable_build(name: str, text: str) -> list[str]:
    """What is built here runs on every machine of the kind, with IEEE arithmetic."""
    code = re.sub(r"#.*", "", text)
    return [
        f"has {flag}"
        for flag in re.findall(r"-march=\w+|-ffast-math|-Ofast|-funsafe-math-optimizations|-mtune=native", code)
    ]


RULES: list[tuple[Rule, list[Path]]] = [
    (include_order, C_FILES),
    (libc_only_in_base, C_FILES),
    (python_only_in_python, C_FILES),
    (library_is_quiet, C_FILES),
    (kernels_do_not_allocate, C_FILES),
    (no_isa_condition_in_bodies, C_FILES),
    (not_too_long, [*C_FILES, *NATIVE_FILES, *PYTHON_FILES]),
    (package_does_not_print, PACKAGE_FILES),
    (loads_no_code, PACKAGE_FILES),
    (optional_packages_are_lazy, PACKAGE_FILES),
    (portable_build, BUILD_FILES),
]


@pytest.mark.parametrize(("rule", "files"), RULES, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_holds(rule: Rule, files: list[Path]) -> None:
    assert files
    complaints = []
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        complaints += [f"{name}: {complaint}" for complaint in rule(name, path.read_text(encoding="utf-8"))]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("rule", "name", "bad", "good"),
    [
        (include_order, "csrc/base/a.c", '#include "kernels/conv.h"', '#include "base/error.h"'),
        (include_order, "csrc/network/a.c", '#include "models/vae.h"', '#include "layers/layer.h"'),
        (include_order, "csrc/layers/a.c", '#include "conv.h"', "#include <math.h>"),
        (libc_only_in_base, "csrc/base/a.c", "#include <omp.h>", "#include <pthread.h>"),
        (libc_only_in_base, "csrc/base/a.c", "#include <immintrin.h>", "#include <math.h>"),
        (python_only_in_python, "csrc/layers/a.c", "#include <Python.h>", "/* Python.h */"),
        (python_only_in_python, "csrc/base/a.h", "#include <numpy/arrayobject.h>", ""),
        (library_is_quiet, "csrc/base/a.c", 'printf("x");', '/* printf("x") */ snprintf(text, 3, "exit(");'),
        (library_is_quiet, "csrc/base/a.c", "if (x) abort();", "table->exit(3);"),
        (library_is_quiet, "csrc/base/a.c", "atexit(f); exit(1);", "gm_exit(1);"),
        (kernels_do_not_allocate, "csrc/kernels/a.c", "p = malloc(3);", "gm_arena_floats(a, 3);"),
        (no_isa_condition_in_bodies, "csrc/kernels/a.h", "#if defined(__AVX2__)", "#if defined(__x86_64__)"),
        (package_does_not_print, "genmodels/a.py", "    print(x)", "    pprint(x)  # print(x)"),
        (loads_no_code, "genmodels/a.py", "import pickle", "# the pickled batches are not read"),
        (loads_no_code, "genmodels/a.py", "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=False)"),
        (loads_no_code, "genmodels/a.py", "y = eval(text)", "y = model.eval(x)"),
        (optional_packages_are_lazy, "genmodels/a.py", "import tqdm", "def f():\n    import tqdm"),
        (not_too_long, "a.c", "\n" * (MOST_LINES + 1), "\n" * MOST_LINES),
        (portable_build, "setup.py", 'flags = ["-march=native"]', "# no -march=native"),
        (portable_build, "setup.py", '"-ffast-math"', '"-ffp-contract=off"'),
    ],
)
def test_rule_can_fail(rule: Rule, name: str, bad: str, good: str) -> None:
    assert rule(name, bad)
    assert not rule(name, good)


# ---- the kernel lists ----------------------------------------------------------------------------------------------


def lists_without_test(table: str, tests: str) -> list[str]:
    """The lists GM_KERNELS is joined from that no native test runs through."""
    body = re.search(r"#define GM_KERNELS\(X\)((?:.*\\\n)*.*)", without_comments(table))
    assert body is not None, "table.h has no GM_KERNELS"
    return [name for name in re.findall(r"(\w+)\(X\)", body.group(1)) if f"{name}(RUN)" not in tests]


def test_every_kernel_is_tested() -> None:
    table = (ROOT / "csrc" / "kernels" / "table.h").read_text()
    tests = "".join(path.read_text() for path in NATIVE_FILES)
    assert not lists_without_test(table, tests)
    assert lists_without_test(table, tests.replace("GM_TILE_KERNELS(RUN)", "")) == ["GM_TILE_KERNELS"]


def test_numpy_headers_are_in_one_file() -> None:
    users = [path.name for path in C_FILES if any(name.startswith("numpy/") for name in includes(path.read_text()))]
    assert len(users) == 1, users


def test_files_were_found() -> None:
    """A rule over no files holds for the wrong reason."""
    assert {path.parent.name for path in C_FILES} >= set(LAYERS)
    assert ROOT / "genmodels" / "__init__.py" in PACKAGE_FILES
