"""genmodels._core called directly, and where its callers may be: it raises or works, and never crashes or hangs."""

import os
import subprocess
import sys

import numpy as np
import pytest

from genmodels import _core

DENSE = {"kind": "Dense", "units": 3}


def network(*layers, shape=(4,)):
    return _core.Network(layers or (DENSE,), shape, 1)


def run(program: str) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


# ---- arrays -----------------------------------------------------------------------------------------


def test_an_array_of_a_dtype_without_a_number_is_refused():
    """NumPy's own example of one that others could have added."""
    core = np._core if hasattr(np, "_core") else np.core  # before NumPy 2
    scaled = core._multiarray_umath._get_sfloat_dtype()
    with pytest.raises(TypeError, match="x has dtype _ScaledFloatTestDType"):
        network().forward(np.ones((2, 4)).astype(scaled(1.0)), False)


def test_a_gradient_that_cannot_be_overwritten_is_refused():
    net, kept = network(), bytes(24)
    net.forward(np.ones((2, 4), np.float32), True)
    with pytest.raises(ValueError, match="dy is read-only"):
        net.backward(np.frombuffer(kept, np.float32).reshape(2, 3))
    net.backward(np.ones((2, 3), np.float32))  # the forward still waits for it
    assert kept == bytes(24)


# ---- networks ---------------------------------------------------------------------------------------

ADAM = {"kind": "Adam", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}
IMAGE = {"kind": "Reshape", "shape": (2, 2, 1)}


def gan(average):
    generator = network({"kind": "Dense", "units": 4}, {"kind": "BatchNorm", "epsilon": 1e-5}, IMAGE)
    discriminator = network({"kind": "Flatten"}, {"kind": "Dense", "units": 1}, shape=(2, 2, 1))
    sizes = {"image": (2, 2, 1), "latent_dim": 4, "critic_steps": 1, "ema": 0.5 if average else 0.0}
    config = {**sizes, "generator_optimizer": ADAM, "discriminator_optimizer": ADAM}
    return _core.GAN(generator, discriminator, average, config)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([DENSE], "GAN: the average has 1 layers, must have the 3 of the generator"),
        (
            [{"kind": "Dense", "units": 4}, {"kind": "ReLU"}, IMAGE],
            "the average has another layer 1 than the generator",
        ),
        ([DENSE, {"kind": "BatchNorm", "epsilon": 1e-5}, {"kind": "Flatten"}], "has another layer 0"),
    ],
)
def test_an_average_of_other_layers_is_refused(layers, words):
    """It would be written beyond its end."""
    with pytest.raises(ValueError, match=words):
        gan(network(*layers))


@pytest.mark.parametrize(("field", "text"), [("kind", "Dense\0"), ("precision", "bf16\0"), ("precision", "\ud800")])
def test_a_text_with_something_behind_its_end_is_refused(field, text):
    with pytest.raises(ValueError, match=f"{field} is '.*', which "):
        network({**DENSE, field: text})


# ---- numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 2**64, 2**64 + 5, 1.0, "1"])
@pytest.mark.parametrize(
    "call",
    [
        lambda n: _core.normal(n, 1, 4),
        lambda n: _core.normal(1, n, 4),
        lambda n: _core.normal(1, 1, 4, n),
        lambda n: _core.uniform(1, 1, 4, n),
        lambda n: _core.permutation(n, 0, 4),
        lambda n: _core.permutation(0, n, 4),
        lambda n: _core.Network((DENSE,), (4,), n),
        lambda n: _core.Network((DENSE,), (4,), 1, n),
    ],
)
def test_numbers_beyond_their_64_bits_do_not_wrap_round(call, number):
    with pytest.raises((OverflowError, TypeError)):
        call(number)


def test_a_stream_beyond_32_bits_does_not_wrap_round():
    with pytest.raises(ValueError, match=f"stream is {2**32 + 1}, must be below {2**24}"):
        _core.Network((DENSE,), (4,), 1, 2**32 + 1)


def test_the_last_number_of_steps_is_kept():
    """A file may hold it: the step behind it must not be number 0, whose corrections are infinite."""
    model, x = gan(None), np.ones((4, 2, 2, 1), np.float32)
    for index in range(2):
        model.set_optimizer_steps(index, 2**64 - 1)
    losses = model.train_step(x, 1, None, None, None)
    assert np.isfinite(losses).all()
    assert model.optimizer_steps(0) == model.optimizer_steps(1) == 2**64 - 1
    assert np.isfinite(model.generate(np.ones((1, 4), np.float32), None)).all()


# ---- threads and processes -------------------------------------------------------------------------

ENDING = """
import os, sys, threading
import numpy as np
import genmodels as gm
from genmodels import layers as L

net, x = gm.Network([L.Dense(1000), L.Dense(1000)], (1000,)), np.zeros((100, 1000), np.float32)

class Last:
    def __del__(self, net=net._core, x=x, write=os.write):
        net.forward(x, False)
        write(1, b"let in")

def train():
    while True:
        net.forward(x, training=True)
        begun.set()

sys.last, begun = Last(), threading.Event()  # the one is deleted last of all
threading.Thread(target=train, daemon=True).start()
begun.wait()
"""


def test_an_interpreter_that_ends_does_not_wait_for_the_threads_it_ends():
    """A thread that still computes never gets the GIL again: it must not keep its network locked."""
    assert run(ENDING) == "let in"
