"""A training step in steady state allocates nothing of 16 KB or more; a library preloaded into a child process counts.

Small objects of Python, the dict of losses for instance, stay below that.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "native" / "allocation_counter.c"
SANITIZED = os.environ.get("GENMODELS_BUILD") in ("asan", "tsan")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloading is the Linux loader's"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer replaces malloc itself"),
]

COUNTING = """
import ctypes, os, mmap
import numpy as np
import genmodels as gm
from genmodels import layers as L

library = ctypes.CDLL(None)
library.allocation_count.restype = ctypes.c_long

def counted(function):
    before = library.allocation_count()
    function()
    return library.allocation_count() - before
"""

DELIBERATE = """
import ctypes
def aligned():
    pointer = ctypes.c_void_p()
    library.posix_memalign(ctypes.byref(pointer), ctypes.c_size_t(64), ctypes.c_size_t(16384))
library.malloc.restype = library.calloc.restype = library.realloc.restype = library.memalign.restype = ctypes.c_void_p
library.aligned_alloc.restype = ctypes.c_void_p
size, small, half = (ctypes.c_size_t(n) for n in (16384, 16383, 8192))
print(counted(lambda: library.malloc(small)), counted(lambda: library.malloc(size)))
print(counted(lambda: library.calloc(small, ctypes.c_size_t(1))), counted(lambda: library.calloc(size, size)))
print(counted(lambda: library.realloc(None, small)), counted(lambda: library.realloc(None, size)))
print(counted(lambda: library.memalign(64, small)), counted(lambda: library.memalign(64, size)))
print(counted(lambda: library.aligned_alloc(64, half)), counted(lambda: library.aligned_alloc(64, size)))
print(counted(lambda: None), counted(aligned))
print(counted(lambda: mmap.mmap(-1, 4096)), counted(lambda: mmap.mmap(-1, 1 << 20)))
print(counted(lambda: np.empty(100)), counted(lambda: np.empty(4096, np.float32)))
print(0, counted(lambda: gm.Network([L.Dense(100)], (100,))) > 0)
"""

MODELS = """
def layered(classes, dtype):
    encoder = [L.Conv2D(24, 3, strides=2, padding="same"), L.BatchNorm(), L.LeakyReLU(0.2), L.Dropout(0.2),
               L.Conv2D(16, 3, padding=1), L.ReLU(), L.Flatten(), L.Dense(40), L.BatchNorm(), L.ReLU()]
    decoder = [L.Dense(7 * 7 * 16), L.Tanh(), L.Dropout(0.1), L.Reshape((7, 7, 16)),
               L.Conv2DTranspose(20, 4, strides=2, padding=1), L.BatchNorm(), L.ReLU(),
               L.Conv2DTranspose(1, 3, strides=2, padding="same"), L.Sigmoid()]
    return gm.VAE(encoder=encoder, decoder=decoder, input_shape=(28, 28, 1), latent_dim=6, num_classes=classes,
                  reconstruction="mse", optimizer=gm.optimizers.RMSprop(1e-3, momentum=0.9))

def recurrent(dtype):
    encoder = [L.Reshape((28, 28)), L.LSTM(40), L.LayerNorm(), L.LSTM(30, return_sequences=False)]
    decoder = [L.Dense(7 * 7 * 16), L.Reshape((7, 7, 16)), L.UpSampling2D(8), L.MaxPool2D(3, 1, "same"), L.AvgPool2D(),
               L.Conv2D(1, 3, padding="same"), L.Sigmoid()]
    return gm.VAE(encoder=encoder, decoder=decoder, input_shape=(28, 28, 1), latent_dim=6)

POOLED = [L.Conv2D(24, 3, padding=1, spectral_norm=True), L.LeakyReLU(0.2), L.MaxPool2D(), L.Dropout(0.2),
          L.Conv2D(16, 3, strides=2, padding="same"), L.ReLU(), L.AvgPool2D(3, 2, "same"), L.UpSampling2D(),
          L.Conv2DTranspose(8, 3, spectral_norm=True), L.LeakyReLU(0.1), L.Flatten(), L.Dense(40), L.ReLU(), L.Dense(1)]
RECURRENT = [L.Conv2D(8, 3, strides=2, padding="same"), L.LayerNorm(), L.Tanh(), L.GlobalMaxPool2D(), L.Reshape((2, 4)),
             L.LSTM(12, return_sequences=False), L.BatchNorm(), L.ReLU(), L.Dense(1)]

def gan(objective, classes, **changes):
    generator = [L.Dense(7 * 7 * 16), L.BatchNorm(), L.ReLU(), L.Dropout(0.1), L.Reshape((7, 7, 16)),
                 L.Conv2DTranspose(20, 4, strides=2, padding=1), L.BatchNorm(), L.ReLU(),
                 L.Conv2DTranspose(1, 3, strides=2, padding="same", spectral_norm=True), L.Tanh()]
    return gm.GAN(generator=generator, discriminator=changes.pop("discriminator", POOLED), input_shape=(28, 28, 1),
                  latent_dim=6, objective=objective, num_classes=classes, ema=0.9, **changes)

def classifier(classes):
    layers = [L.Conv2D(24, 3, padding="same", use_bias=False), L.MaxPool2D(), L.BatchNorm(), L.ReLU(), L.Dropout(0.2),
              L.Conv2D(16, 3, padding="same"), L.ReLU(), L.GlobalAvgPool2D(), L.Dense(classes)]
    return gm.Classifier(layers=layers, input_shape=(28, 28, 1), num_classes=classes)

def pixels(n, dtype):
    x = np.random.default_rng(0).integers(0, 256, (n, 28, 28, 1), np.uint8)
    return x if dtype == "uint8" else np.float32(x) / np.float32(255)

def steps(model, classes, dtype):
    # A warm-up with the largest batch, then steady state: the same, short ones, the largest again.
    x, y = pixels(128, dtype), np.arange(128) % classes if classes else None
    batches = [(x[:n], None if y is None else y[:n]) for n in (128, 128, 37, 1, 128, 64, 5, 128)]
    if model.critic_steps > 1:  # to each update its own images
        K, shapes = model.critic_steps, [len(part) // model.critic_steps for part, _ in batches if len(part) > 1]
        batches = [(x[: K * n].reshape(K, n, 28, 28, 1), None if y is None else y[: K * n].reshape(K, n))
                   for n in shapes]
    for batch in batches[:2]:
        model.train_step(*batch)
    return counted(lambda: [model.train_step(*batch) for batch in batches])
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloadable library."""
    library = tmp_path_factory.mktemp("allocation") / "allocation_counter.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fPIC", "-shared"]
    command = [*compiler, *flags, str(SOURCE), "-o", str(library), "-ldl"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return library


def run(counter: Path, program: str) -> list[str]:
    """The lines a counted Python process prints."""
    environment = os.environ | {"LD_PRELOAD": str(counter), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", COUNTING + program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_counter_counts(counter: Path) -> None:
    """Every way to allocate 16 KB is counted, and less is not."""
    lines = run(counter, DELIBERATE)
    assert len(lines) == 9
    for line in lines[:-1]:
        assert line == "0 1", lines
    assert lines[-1] == "0 True"


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "model",
    [
        *["gm.zoo.build('vae-keras')", "layered(0, dtype)", "layered(10, dtype)", "recurrent(dtype)"],
        "classifier(10)",
    ],
)
def test_training_steps_allocate_nothing(counter: Path, model: str, dtype: str, threads: int) -> None:
    classes = 10 if "10" in model else 0
    program = f"dtype = {dtype!r}\ngm.set_num_threads({threads})\nprint(steps({model}, {classes}, dtype))"
    assert run(counter, MODELS + program) == ["0"]


GANS = [
    "gan('bce', 10, discriminator=RECURRENT, label_smoothing=0.1)",
    "gan('lsgan', 0, discriminator=RECURRENT, mixed_batches=True)",
    "gan('wgan', 10, critic_steps=5, clip_weights=0.1)",
    "gan('wgan-gp', 10, critic_steps=3)",
    "gan('wgan-gp', 0)",
    "gan('hinge', 0, discriminator=RECURRENT, critic_steps=2)",
]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("model", GANS)
def test_steps_of_a_gan_allocate_nothing(counter: Path, model: str, dtype: str) -> None:
    classes = 10 if "10" in model else 0
    program = f"gm.set_num_threads(3)\nprint(steps({model}, {classes}, {dtype!r}))"
    assert run(counter, MODELS + program) == ["0"]


def test_network_passes_allocate_only_their_results(counter: Path) -> None:
    """forward and backward hand out fresh arrays; nothing else."""
    program = """
net = gm.Network([L.Conv2D(16, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.Conv2DTranspose(1, 3, 2)], (16, 16, 2))
x, dy = np.ones((32, 16, 16, 2), np.float32), np.ones((32, 33, 33, 1), np.float32)
def step(n):
    net.forward(x[:n], training=True)
    net.backward(dy[:n])
step(32)
print(counted(lambda: step(32)), counted(lambda: step(20)), counted(lambda: step(1)))
"""
    # 32 and 20 samples: the output, a copy of dy to work in, the input gradient. One sample: all are small.
    assert run(counter, program) == ["3 3 0"]


def test_fit_allocates_by_epoch_not_by_step(counter: Path) -> None:
    """The order of the images and a buffer for a batch, once an epoch: twice as many steps allocate as much."""
    program = """
model, x = gm.zoo.build("vae-keras"), np.zeros((80 * 64 + 5, 28, 28, 1), np.uint8)
def fit(n):
    model.fit(x[:n], epochs=1, batch_size=64, verbose="silent")
fit(70)
print(counted(lambda: fit(40 * 64 + 5)), counted(lambda: fit(80 * 64 + 5)))
"""
    fewer, more = run(counter, program)[0].split()
    assert int(fewer) == int(more) <= 8
