"""precision="bf16": operands of products are rounded to bfloat16, and so is what one convolution or batch normalisation
hands to the next; everything else is as in "float32". precision="high":
close to "float32" where the processor multiplies blocks of bfloat16, and the same elsewhere."""

import os
import subprocess
import sys

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L


def rounded(x):
    """To bfloat16, to nearest and ties to even, as float32."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.round(np.ldexp(mantissa, 8)), exponent - 8).astype(np.float32)


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Layers whose kernel has the input's channels last but one, or last: odd and single channels among them, and windows
# that see one place, all of them, or some.
LAYERS = [
    ((7,), L.Dense(9)),
    ((64,), L.Dense(33)),
    ((5,), L.Dense(1)),
    ((6, 7, 1), L.Conv2D(5, 3, strides=2, padding="same")),
    ((6, 7, 3), L.Conv2D(6, 3, padding="same")),
    ((8, 8, 16), L.Conv2D(20, 4, strides=2, padding=1)),
    ((4, 4, 8), L.Conv2D(17, 4)),
    ((4, 5, 6), L.Conv2DTranspose(1, 3, strides=2, padding="same")),
    ((4, 5, 9), L.Conv2DTranspose(16, 5, strides=2, padding="same")),
]
each_layer = pytest.mark.parametrize(("shape", "layer"), LAYERS, ids=[repr(layer) for _, layer in LAYERS])


IN_BLOCKS = gm.cpu_info()["bf16"] == "blocks"


def pair(shape, layer):
    """The layer in both precisions, with the same weights: values that bfloat16 has."""
    half, full = (gm.Network([layer], shape, precision=precision) for precision in ("bf16", "float32"))
    for name in full.weights:
        half.weights[name][...] = full.weights[name][...] = rounded(random(1, *full.weights[name].shape))
    return half, full


@each_layer
@pytest.mark.parametrize("n", [1, 2, 5])
def test_operands_are_rounded_and_nothing_else(shape, layer, n):
    half, full = pair(shape, layer)
    x = random(2, n, *shape)
    y = half.forward(x, training=True)
    np.testing.assert_allclose(y, full.forward(rounded(x), training=True), rtol=0, atol=1e-5 * np.abs(y).max())
    dy = random(3, *y.shape)
    dx, wanted = half.backward(dy), full.backward(rounded(dy))
    np.testing.assert_allclose(dx, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    kernel = full.gradients["0.kernel"]
    np.testing.assert_allclose(half.gradients["0.kernel"], kernel, rtol=0, atol=1e-5 * np.abs(kernel).max())
    np.testing.assert_allclose(half.gradients["0.bias"], dy.reshape(-1, dy.shape[-1]).sum(0), rtol=1e-4, atol=1e-4)


@each_layer
def test_operands_with_more_bits_are_seen_rounded(shape, layer):
    half, full = pair(shape, layer)
    x = rounded(random(2, 4, *shape))
    before = half.forward(x)
    np.testing.assert_array_equal(half.forward(x * np.float32(1 + 2**-12)), before)
    assert np.abs(full.forward(x * np.float32(1 + 2**-12)) - full.forward(x)).max() > 0


@pytest.mark.parametrize(("shape", "layer"), [*LAYERS, ((3, 5), L.LSTM(6))])
def test_high_is_close_to_float32(shape, layer):
    high, full = (gm.Network([layer], shape, seed=2, precision=precision) for precision in ("high", "float32"))
    x = random(2, 4, *shape)
    y, wanted = high.forward(x, training=True), full.forward(x, training=True)
    dy = random(3, *y.shape)
    found = [(y, wanted), (high.backward(dy), full.backward(dy))]
    found += [(high.gradients[name], gradient) for name, gradient in full.gradients.items()]
    for got, wanted in found:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())
    assert IN_BLOCKS or all(np.array_equal(got, wanted) for got, wanted in found)


# Two networks without a wide layer, whose workspace would hold anything.
WITHOUT_WIDE_LAYERS = {
    "strides": ((14, 14, 32), [L.Conv2D(64, 3, strides=2, padding="same"), L.ReLU(), L.Flatten(), L.Dense(1)]),
    "twice the stride": (
        (8, 8, 8),
        [
            *(L.Conv2D(16, 3, padding="same"), L.ReLU(), L.Conv2D(16, 4, strides=2, padding=1), L.ReLU()),
            L.Conv2D(16, 3, padding="same"),
        ],
    ),
}


@pytest.mark.parametrize("precision", ["float32", "bf16", "high"])
@pytest.mark.parametrize("few", [41, 1])
@pytest.mark.parametrize("name", WITHOUT_WIDE_LAYERS)
def test_a_smaller_batch_after_a_larger_one_has_the_bits_of_a_new_network(name, few, precision):
    shape, layers = WITHOUT_WIDE_LAYERS[name]

    def passes(network, n):
        y = network.forward(x[:n], training=True)
        return y, network.backward(dy[:n]), {name: g.copy() for name, g in network.gradients.items()}

    used, fresh = (gm.Network(layers, shape, seed=0, precision=precision) for _ in range(2))
    x, dy = random(0, 64, *shape), random(1, 64, *used.output_shape)
    passes(used, 64)
    for got, wanted in zip(passes(used, few), passes(fresh, few), strict=True):
        np.testing.assert_equal(got, wanted)


def test_high_takes_every_finite_number():
    high = gm.Network([L.Dense(8)], (8,), precision="high")
    high.weights["0.kernel"][...] = np.eye(8)
    x = np.array([[*np.finfo(np.float32).max * np.array([1, -1, 0.998]), 3.3e38, 1e-30, -1e-30, 0, np.pi]], np.float32)
    np.testing.assert_allclose(high.forward(x), x, rtol=2**-16)
    assert np.isnan(high.forward(np.full((1, 8), np.nan, np.float32))).all()


def test_an_lstm_rounds_what_enters_its_products():
    half, full = (gm.Network([L.LSTM(6)], (3, 5), seed=1, precision=precision) for precision in ("bf16", "float32"))
    x = random(2, 4, 3, 5)
    y, wanted = half.forward(x, training=True), full.forward(x, training=True)
    assert 0 < np.abs(y - wanted).max() < 0.02
    dy = random(3, *y.shape)
    dx, wanted = half.backward(dy), full.backward(dy)
    assert 0 < np.abs(dx - wanted).max() < 0.05 * np.abs(wanted).max()


# Networks, and which of their layers hand on bfloat16 in bf16: convolutions or batch normalisations with an even number
# of channels, if the next one is another such and nothing curved is between them.
CHAINS = {
    "normalised": (
        (9, 8, 6),
        [L.Conv2D(8, 3, strides=2, padding="same", use_bias=False), L.BatchNorm(), L.LeakyReLU(0.2)]
        + [L.Conv2DTranspose(6, 4, strides=2, padding="same"), L.ReLU(), L.Conv2D(1, 3)],
        {0, 2, 4},
    ),
    "from and to vectors": (
        (20,),
        [L.Dense(96, use_bias=False), L.BatchNorm(), L.ReLU(), L.Reshape((4, 4, 6))]
        + [L.Conv2DTranspose(10, 3, padding="same", use_bias=False), L.BatchNorm(), L.Flatten(), L.Dense(5)],
        {3, 4},
    ),
    "other neighbours": (
        (8, 8, 6),
        [L.Conv2D(7, 3), L.Conv2D(8, 3), L.Tanh(), L.Conv2D(8, 1), L.Dropout(0.0), L.Conv2D(6, 3), L.MaxPool2D()],
        set(),
    ),
}


def chained(shape, layers, handed_on, weights, x, dy):
    """Output, input gradient and the gradients of the parameters, layer by layer in float32 on rounded operands; what
    the layers `handed_on` give is rounded too, and so is what comes back to them."""
    networks = []
    for index, layer in enumerate(layers):
        network = gm.Network([layer], shape)
        for name in network.weights:
            network.weights[name][...] = weights[f"{index}{name[1:]}"]
        shape = network.output_shape
        networks.append(network)
    sees = [rounded if "0.kernel" in network.weights else np.asarray for network in networks]
    passes = [rounded if index in handed_on else np.asarray for index in range(len(layers))]
    for network, seen, passed in zip(networks, sees, passes, strict=True):
        x = passed(network.forward(seen(x), training=True))
    gradients, signal = {}, dy
    for index in reversed(range(len(layers))):
        dx = networks[index].backward(sees[index](signal))
        gradients |= {f"{index}{name[1:]}": gradient for name, gradient in networks[index].gradients.items()}
        if f"{index}.bias" in weights:
            gradients[f"{index}.bias"] = signal.reshape(-1, signal.shape[-1]).sum(0)  # no product sees it
        signal = passes[index - 1](dx) if index else dx
    return [x, signal, *(gradients[name] for name in sorted(gradients))]


def distance(found, wanted):
    return [np.abs(a - b).mean() / np.abs(b).mean() for a, b in zip(found, wanted, strict=True)]


@pytest.mark.parametrize("name", CHAINS)
def test_what_convolutions_hand_on_is_stored_rounded(name):
    shape, layers, handed_on = CHAINS[name]
    network = gm.Network(layers, shape, seed=4, precision="bf16")
    for weight, values in network.weights.items():
        if weight.endswith("kernel"):
            values[...] = rounded(values)
    weights = {weight: values.copy() for weight, values in network.weights.items()}
    x = random(5, 7, *shape)
    y = network.forward(x, training=True)
    dy = random(6, *y.shape)
    found = [y, network.backward(dy), *(gradient for _, gradient in sorted(network.gradients.items()))]
    near = distance(found, chained(shape, layers, handed_on, weights, x, dy))
    far = distance(found, chained(shape, layers, set(), weights, x, dy))
    if handed_on:
        assert max(near) < 2e-3  # of a few values the other neighbour
        assert np.mean(near) < 0.3 * np.mean(far)
    else:
        assert max(near) < 1e-5


def test_values_beyond_bfloat16_and_those_that_are_no_numbers():
    half, _ = pair((2,), L.Dense(2))
    half.weights["0.kernel"][...] = np.eye(2)
    largest = np.finfo(np.float32).max  # rounds to infinity, as in any conversion to nearest
    assert not np.isfinite(half.forward(np.array([[largest, 0]], np.float32))).all()
    assert np.isnan(half.forward(np.array([[np.nan, 1]], np.float32))).any()


@pytest.mark.parametrize("build", [small.vae, small.gan, small.classifier], ids=["vae", "gan", "classifier"])
@pytest.mark.parametrize("precision", ["bf16", "high"])
class TestModels:
    def test_they_keep_it_when_they_are_saved(self, build, precision, tmp_path):
        model = build(precision=precision)
        assert all(network.precision == precision for network in model.networks.values())
        assert f"precision={precision!r}" in repr(model)
        assert "precision" not in repr(build())
        model.save(tmp_path / "model.safetensors")
        loaded = gm.load(tmp_path / "model.safetensors")
        assert loaded.precision == precision
        assert all(network.precision == precision for network in loaded.networks.values())

    def test_the_number_of_threads_changes_no_bit(self, build, precision):
        weights = []
        for threads in (1, 2, 3):
            gm.set_num_threads(threads)
            model = build(precision=precision)
            x = np.random.default_rng(1).integers(0, 256, (37, 8, 8, 1), np.uint8)
            labels = np.arange(37) % model.num_classes if model.num_classes else None
            for _ in range(3):
                model.train_step(x, labels)
            weights.append({name: value.copy() for name, value in model.weights.items()})
        for other in weights[1:]:
            assert all(np.array_equal(value, other[name]) for name, value in weights[0].items())

    def test_it_learns_much_as_in_float32(self, build, precision):
        x = np.random.default_rng(1).integers(0, 256, (64, 8, 8, 1), np.uint8)
        losses = []
        for each in (precision, "float32"):
            model = build(precision=each)
            labels = np.arange(64) % model.num_classes if model.num_classes else None
            losses.append([model.train_step(x, labels) for _ in range(10)][-1])
        few = build is small.gan  # no layer of it has more than four channels on both sides
        assert (losses[0] != losses[1]) == (precision == "bf16" or (IN_BLOCKS and not few))
        near = {"rel": 0.05, "abs": 0.02} if precision == "bf16" else {"rel": 1e-3, "abs": 1e-4}
        for term, value in losses[1].items():
            assert losses[0][term] == pytest.approx(value, **near), term


@pytest.fixture(autouse=True)
def threads():
    before = gm.get_num_threads()
    yield
    gm.set_num_threads(before)


@pytest.mark.parametrize("name", gm.zoo.names())
def test_reference_models_begin_as_in_float32(name):
    losses = []
    for precision in ("bf16", "float32", "high"):
        model = gm.zoo.build(name, seed=3, precision=precision)
        x = np.random.default_rng(1).integers(0, 256, (6, *model.input_shape), np.uint8)
        labels = np.arange(6) if model.num_classes else None
        losses.append(model.train_step(x, labels))
        del model
    for term, value in losses[1].items():
        assert losses[0][term] == pytest.approx(value, rel=0.03, abs=0.03), term
        assert losses[2][term] == pytest.approx(value, rel=1e-3, abs=1e-3), term


IN_ANOTHER_SET = """
import sys, numpy as np, genmodels as gm
sys.path.insert(0, sys.argv[1])
import small
model = small.vae(precision="bf16")
x = np.random.default_rng(1).integers(0, 256, (37, 8, 8, 1), np.uint8)
print(repr(model.train_step(x, noise=np.zeros((37, 2), np.float32))["loss"]))
print(repr(model.train_step(x, noise=np.zeros((37, 2), np.float32))["loss"]))
"""


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_instruction_sets_without_such_products_compute_the_same(isa):
    found = []
    for environment in ({}, {"GENMODELS_ISA": isa}):
        command = [sys.executable, "-c", IN_ANOTHER_SET, os.path.dirname(__file__)]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
        found.append([float(line) for line in done.stdout.split()])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
