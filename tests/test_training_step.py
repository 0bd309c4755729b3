"""What a training step promises: the same bits for any number of threads, and no allocation."""

import json
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

NATIVE = Path(__file__).resolve().parent / "native"
THREADS = [1, 2, 3, 7]


def images(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def conditional_vae() -> gm.VAE:
    """Every kind of layer, with sizes that no tile divides; labels too."""
    return gm.VAE(
        encoder=[
            *[L.Conv2D(18, 5, strides=2, padding="same"), L.BatchNorm(), L.LeakyReLU(0.2)],
            *[L.Conv2D(33, 3, padding=1), L.ReLU(), L.Dropout(0.2), L.Flatten(), L.Dense(37), L.Tanh()],
        ],
        decoder=[
            *[L.Dense(7 * 7 * 19), L.ReLU(), L.Reshape((7, 7, 19))],
            *[L.Conv2DTranspose(35, 4, strides=2, padding=1), L.BatchNorm(), L.LeakyReLU(0.1)],
            *[L.Conv2DTranspose(3, 3, padding="same"), L.Sigmoid()],
        ],
        input_shape=(14, 14, 3),
        latent_dim=5,
        num_classes=4,
        seed=3,
    )


def train(model: gm.VAE, steps: int, batch: int, labels: bool) -> dict[str, bytes]:
    """Steps of full and short batches in turn; all weights, optimizer state and the last losses as bytes."""
    x = images(batch, model.input_shape)
    y = np.arange(batch) % 4 if labels else None
    for step in range(steps):
        n = batch if step % 3 else batch - 5
        losses = model.train_step(x[:n], None if y is None else y[:n])
    arrays = {**model.weights, **model._optimizer_tensors(), "losses": np.array(list(losses.values()))}
    return {name: np.asarray(value).tobytes() for name, value in arrays.items()}


@pytest.mark.parametrize("name", ["vae-keras", "every layer"])
def test_threads_do_not_change_the_bits(name: str, threads) -> None:
    def run(count: int) -> dict[str, bytes]:
        threads(count)
        model = gm.zoo.build(name, seed=1) if name in gm.zoo.names() else conditional_vae()
        return train(model, steps=100, batch=16, labels=name not in gm.zoo.names())

    start, results = run(1), [run(count) for count in THREADS[1:]]
    for count, result in zip(THREADS[1:], results, strict=True):
        different = [key for key in start if start[key] != result[key]]
        assert not different, f"{count} threads: {different}"


def test_seed_changes_the_bits() -> None:
    """The comparison above would also hold if nothing depended on anything."""
    weights = [gm.zoo.build("vae-keras", seed=seed).weights["encoder.0.kernel"].tobytes() for seed in (1, 1, 2)]
    assert weights[0] == weights[1] != weights[2]


COUNTING = """
import ctypes, json, sys
import numpy as np
import genmodels as gm

counter = ctypes.c_long.in_dll(ctypes.CDLL(None), "large_allocations")
gm.set_num_threads(2)
model = gm.zoo.build("vae-keras", seed=0)
random = np.random.default_rng(0)
batches = [random.integers(0, 256, (n, 28, 28, 1), dtype=np.uint8) for n in (64, 23)]
batches += [random.random((n, 28, 28, 1), dtype=np.float32) for n in (64, 23, 1)]

def count(function):
    before = counter.value
    function()
    return counter.value - before

def steps():
    for x in batches:
        model.train_step(x)

first, second = count(steps), count(steps)
steady = count(steps) + count(steps)
print(json.dumps({"building": first, "steady": steady, "control": count(lambda: np.empty(16 * 1024, np.uint8))}))
"""


@pytest.fixture(scope="module")
def counting_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("counting") / "count_allocations.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-shared", "-fPIC", "-O1", str(NATIVE / "count_allocations.c"), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="counts by replacing the functions of glibc")
def test_training_step_does_not_allocate(counting_library: Path) -> None:
    environment = os.environ | {"LD_PRELOAD": str(counting_library)}
    command = [sys.executable, "-c", COUNTING]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)
    assert counts["control"] == 1  # the counter counts
    assert counts["building"] > 0  # and sees this library's allocations
    assert counts["steady"] == 0
