"""The package as a whole: what importing it loads, and what it reads from the environment."""

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import genmodels as gm

HOUSE = Path(gm.__file__).parents[1]
WITH_EXAMPLES = [path for path in sorted(HOUSE.glob("genmodels/**/*.py")) if ">>> " in path.read_text(encoding="utf-8")]


def test_importing_stays_light():
    """No extra is loaded, and no submodule that most programs do not need."""
    code = "import sys, genmodels; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert {"genmodels.training.loop", "genmodels.checkpoint"} <= loaded  # of fit, save and load: not in a forked child
    extras = {"matplotlib", "tqdm", "pooch", "pandas", "safetensors", "PIL", "torch"}
    assert not loaded & {
        *extras,
        "genmodels.plot",
        "genmodels.datasets",
        "genmodels.metrics",
        "genmodels.sweep",
        "genmodels.zoo",
        "genmodels.cli",
    }


@pytest.mark.parametrize(
    ("name", "value", "heeded"),
    [
        ("GENMODELS_NUM_THREADS", "2", True),
        ("GENMODELS_NUM_THREADS", "0003", True),
        ("GENMODELS_NUM_THREADS", "0", False),
        ("GENMODELS_NUM_THREADS", "257", False),
        ("GENMODELS_NUM_THREADS", "many", False),
        ("GENMODELS_NUM_THREADS", "+200", False),
        ("GENMODELS_NUM_THREADS", " 200", False),
        ("GENMODELS_ISA", "portable", True),
        ("GENMODELS_ISA", "AVX2", False),
        ("GENMODELS_ISA", "", True),
        *(("GENMODELS_ISA", isa, isa in gm.cpu_info()["isa_available"]) for isa in ("avx2", "avx512", "amx", "neon")),
    ],
)
def test_a_setting_that_is_passed_over_is_told(name, value, heeded):
    done = subprocess.run(
        [sys.executable, "-c", "import genmodels; print(genmodels.get_num_threads(), genmodels.cpu_info()['isa'])"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (f"{name}={value} is ignored" in done.stderr) is not heeded
    if value:
        assert (value.lstrip(" +0") in done.stdout.split()) is heeded


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.parent.name + "." + path.stem)
def test_examples_in_docstrings_do_what_they_show(path):
    name = ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_type_that_callbacks_and_load_speak_of_is_public():
    assert "Model" in gm.__all__
    assert isinstance(gm.zoo.build("vae-keras"), gm.Model)


def test_submodules_come_when_asked_for():
    for name in ("callbacks", "datasets", "metrics", "zoo", "plot", "sweep"):
        assert name in dir(gm)
        assert getattr(gm, name).__name__ == f"genmodels.{name}"
    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        gm.plots  # noqa: B018
