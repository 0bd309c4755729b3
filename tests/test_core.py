"""genmodels._core called directly, and where its callers may be: it raises or works, and never crashes or hangs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import _core
from genmodels import layers as L

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


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda vae: vae.evaluate(np.full((3, 8, 8, 1), 3, np.float32)), ValueError),
        (lambda vae: vae.sample(2**40), (OverflowError, MemoryError)),
        (lambda vae: _core.VAE(*(net._core for net in vae.networks.values()), {"latent_dim": 9}), ValueError),
        (lambda vae: vae.networks["decoder"].forward(np.ones((2, 3), np.float32), training=True), ValueError),
    ],
)
def test_a_call_that_is_refused_leaves_the_backward_that_may_follow(call, error):
    vae, codes = small.vae(), np.ones((2, 2), np.float32)
    decoder = vae.networks["decoder"]
    expected = decoder.backward(decoder.forward(codes, training=True))
    decoder._core.clock = 0  # the same dropout again
    dy = decoder.forward(codes, training=True)
    with pytest.raises(error):
        call(vae)
    vae._core.prior(2, 1)  # which no network has a part in
    np.testing.assert_array_equal(decoder.backward(dy), expected)


def test_a_batch_too_large_for_memory_leaves_the_backward_that_may_follow():
    net = gm.Network([L.Dense(2**18), *[L.Dropout(0.5)] * 40, L.Dense(1)], (1,))
    dy = net.forward(np.ones((2, 1), np.float32), training=True)
    with pytest.raises(MemoryError):
        net.forward(np.ones((2**22, 1), np.float32), training=True)
    assert net.backward(dy).shape == (2, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda vae: vae.decode(np.ones((1, 2), np.float32)),
        lambda vae: vae.evaluate(small.images(2)),
        lambda vae: vae.train_step(small.images(2)),
        lambda vae: vae.networks["decoder"].forward(np.ones((2, 2), np.float32)),
        lambda vae: vae.sample(300),  # more than there is room for
    ],
)
def test_what_computes_with_a_network_takes_its_backward(call):
    vae = small.vae()
    decoder = vae.networks["decoder"]
    dy = decoder.forward(np.ones((2, 2), np.float32), training=True)
    call(vae)
    with pytest.raises(ValueError, match="no forward"):
        decoder.backward(dy)


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
