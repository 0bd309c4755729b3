"""Every layer's gradients against finite differences, in the float32 code as it ships.

The function is f(x, w) = sum(r * forward(x)), its sum in float64, with random r. Along a direction d of independent
normal numbers, of deviation s, the derivative is <g, d>, a number of size s |g|; the central difference of fourth
order with step h must be within BOUND * s |g| of it. s is 1, or a kernel's own deviation. h = 1/32 is wide enough that
the float32 rounding of the outputs stays below the bound, and the fourth order keeps the curvature below it too.
Kinks are kept out of reach: every channel that goes into a ReLU has a bias that keeps it on one side of 0, channel by
channel the other one; the values that go into a max pool lie far apart. What goes into a LayerNorm is spread out too:
its curvature is large where the values of a row are close.
"""

from __future__ import annotations

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

STEP, BOUND, DIRECTIONS = 2.0**-5, 1e-3, 5
BATCH = 6
APART = (L.ReLU, L.LeakyReLU, L.LayerNorm)
"""Layers before which a bias keeps the channels apart."""
MAXIMA = (L.MaxPool2D, L.GlobalMaxPool2D)


class Function:
    """f of a network in training mode, at one point (x, weights)."""

    def __init__(self, layers: list[L.Layer], input_shape: tuple[int, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.net = gm.Network(layers, input_shape)
        self.r = self.rng.standard_normal((BATCH, *self.net.output_shape), np.float32)
        draw = self.far_apart if isinstance(self.net.layers[0], MAXIMA) else self.off_zero
        self.x = draw((BATCH, *input_shape)) * np.float32(8 if isinstance(self.net.layers[0], L.LayerNorm) else 1)
        for name, weight in self.net.weights.items():
            weight[...] = self.start(name, weight)

    def start(self, name: str, weight: np.ndarray) -> np.ndarray:
        """Weights away from their initial 0 and 1."""
        index, kind = name.split(".")
        following = self.net.layers[int(index) + 1 :]
        if kind in ("gamma", "moving_var"):
            return self.rng.uniform(0.6, 0.9, weight.shape)
        if kind == "kernel":
            return weight
        sides = 6 * (-1.0) ** np.arange(weight.size) if following and isinstance(following[0], APART) else 0
        return sides + self.rng.uniform(-0.5, 0.5, weight.shape)

    def off_zero(self, shape: tuple[int, ...]) -> np.ndarray:
        """Values of both signs, 0.5 to 1.5 from 0."""
        return np.float32(self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape))

    def far_apart(self, shape: tuple[int, ...]) -> np.ndarray:
        """In no sample two values closer than 1."""
        ranks = np.tile(np.arange(np.prod(shape[1:])), (shape[0], 1))
        return np.float32(self.rng.permuted(ranks, axis=1) - ranks.mean()).reshape(shape)

    def output(self) -> np.ndarray:
        self.net._core.clock = 0  # the same dropout masks every time
        return self.net.forward(self.x, training=True)

    def value(self) -> float:
        return float(np.sum(np.float64(self.output()) * self.r))

    def gradients(self) -> dict[str, np.ndarray]:
        """By name, and "x" of the input; copies."""
        self.output()
        dx = self.net.backward(self.r)
        return {"x": dx, **{name: gradient.copy() for name, gradient in self.net.gradients.items()}}

    def places(self) -> dict[str, np.ndarray]:
        """The arrays those gradients belong to, to be moved in place."""
        return {"x": self.x, **{name: self.net.weights[name] for name in self.net.gradients}}

    def difference(self, place: np.ndarray, direction: np.ndarray) -> float:
        """The derivative of f when `place` moves along `direction`."""
        start, values = place.copy(), {}
        for steps in (-2, -1, 1, 2):
            place[...] = start + steps * STEP * direction
            values[steps] = self.value()
        place[...] = start
        return (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * STEP)


def check(function: Function, without: tuple[str, ...] = ()) -> None:
    """`without`: kinds of weights that this function does not depend on."""
    places = function.places()
    for name, gradient in function.gradients().items():
        if name.endswith(without) and without:
            assert not gradient.any(), name
            continue
        assert np.abs(gradient).max() > 0, f"{name}: nothing to compare"
        for _ in range(DIRECTIONS):
            scale = float(places[name].std()) if name.endswith("kernel") else 1.0
            direction = scale * function.rng.standard_normal(gradient.shape)
            error = abs(function.difference(places[name], direction) - np.sum(gradient * direction))
            error /= scale * np.linalg.norm(gradient)
            assert error <= BOUND, name


IMAGE, FLAT = (7, 6, 5), (40,)
CONVOLUTIONS = [
    L.Conv2D(9, 3),
    L.Conv2D(9, 3, strides=2, padding="same"),
    L.Conv2D(1, (5, 4), strides=(3, 1), padding=(2, 1), use_bias=False),
    L.Conv2D(17, 1, strides=3, padding="valid"),
    L.Conv2DTranspose(9, 3),
    L.Conv2DTranspose(9, 3, strides=2, padding="same"),
    L.Conv2DTranspose(1, (5, 4), strides=(3, 2), padding=(2, 1), output_padding=(2, 0), use_bias=False),
    L.Conv2DTranspose(17, 2, strides=3, padding="same"),
]
POOLS = [
    L.MaxPool2D(),
    L.MaxPool2D(3, strides=2, padding="same"),
    L.MaxPool2D((4, 3), strides=(1, 2), padding=(2, 1)),
    L.AvgPool2D(),
    L.AvgPool2D(3, strides=2, padding="same"),
    L.AvgPool2D((4, 3), strides=(1, 2), padding=(2, 1)),
    L.AvgPool2D(2, strides=3),
    L.GlobalMaxPool2D(),
    L.GlobalAvgPool2D(),
    L.UpSampling2D(),
    L.UpSampling2D((1, 3)),
]
OTHERS = [
    L.BatchNorm(),
    L.LayerNorm(),
    L.ReLU(),
    L.LeakyReLU(0.3),
    L.Tanh(),
    L.Sigmoid(),
    L.Dropout(0.4),
    L.Flatten(),
]
RECURRENT = [
    L.LSTM(6),
    L.LSTM(6, return_sequences=False),
    L.LSTM(1),
    L.LSTM(17, return_sequences=False),
]
FLAT_LAYERS = [L.Dense(13), L.Dense(70, use_bias=False), L.Reshape((2, 4, 5)), L.BatchNorm(), L.LayerNorm(1e-3)]
STACKS = {
    "discriminator": [
        *(L.Conv2D(12, 3, strides=2, padding="same"), L.LeakyReLU(0.2), L.Dropout(0.3)),
        *(L.Conv2D(8, 3, padding=1, use_bias=False), L.BatchNorm(), L.ReLU(), L.Flatten(), L.Dense(3)),
    ],
    "autoencoder": [
        *(L.Conv2D(6, 3, strides=2, padding="same"), L.Tanh(), L.Flatten(), L.Dense(24), L.LeakyReLU()),
        *(L.Reshape((2, 3, 4)), L.Conv2DTranspose(5, 4, strides=2, padding=1, use_bias=False), L.BatchNorm(), L.ReLU()),
        *(L.Conv2DTranspose(2, 3, strides=2, padding="same"), L.Sigmoid()),
    ],
    "recurrent": [
        *(L.Reshape((8, 24)), L.LSTM(10), L.Tanh(), L.LSTM(12, return_sequences=False), L.Tanh(), L.Dense(9)),
    ],
    "recurrent, all outputs": [
        *(L.Conv2D(3, 3, padding="same"), L.Tanh(), L.Reshape((8, 36)), L.LSTM(10), L.Flatten(), L.Dense(9)),
    ],
    "pools": [
        *(L.Conv2D(12, 3, padding="same"), L.Tanh(), L.AvgPool2D(3, 2, "same"), L.LayerNorm()),
        *(L.UpSampling2D(), L.Tanh(), L.Conv2D(8, 3, padding=1), L.AvgPool2D(), L.Flatten(), L.Dense(20)),
    ],
}


def test_every_layer_is_here() -> None:
    """Whoever adds a layer adds its gradient check."""
    checked = {type(layer) for layer in [*CONVOLUTIONS, *POOLS, *OTHERS, *RECURRENT, *FLAT_LAYERS]}
    assert checked == set(L.KINDS.values())


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, *POOLS, *OTHERS], ids=repr)
def test_layer_on_images(layer: L.Layer) -> None:
    check(Function([layer], IMAGE))


@pytest.mark.parametrize("layer", RECURRENT, ids=repr)
@pytest.mark.parametrize("steps", [1, 5])
def test_layer_on_steps(layer: L.Layer, steps: int) -> None:
    check(Function([layer], (steps, 7)), without=("recurrent_kernel",) if steps == 1 else ())


@pytest.mark.parametrize("layer", FLAT_LAYERS, ids=repr)
def test_layer_on_flat_samples(layer: L.Layer) -> None:
    check(Function([layer], FLAT))


@pytest.mark.parametrize("activation", [L.ReLU(), L.LeakyReLU(0.3), L.Tanh(), L.Sigmoid()], ids=repr)
@pytest.mark.parametrize(
    "before", [L.Conv2D(8, 3), L.Conv2DTranspose(8, 3, 2, "same"), L.BatchNorm(), L.LayerNorm()], ids=repr
)
def test_activation_joined_to_the_layer_before(before: L.Layer, activation: L.Layer) -> None:
    """The core applies these in the product's last step, and their derivative in the next product's."""
    check(Function([before, activation, L.Conv2D(4, 2)], IMAGE))


@pytest.mark.parametrize("name", STACKS)
def test_stack(name: str) -> None:
    check(Function(STACKS[name], (8, 12, 2)))


def test_the_check_notices_a_wrong_gradient() -> None:
    """A hundredth too much in one weight tensor is found."""
    function = Function([L.Conv2D(4, 3), L.Tanh()], IMAGE)
    right = function.gradients

    def wrong() -> dict[str, np.ndarray]:
        gradients = right()
        return {**gradients, "0.kernel": gradients["0.kernel"] * np.float32(1.01)}

    function.gradients = wrong  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"0\.kernel"):
        check(function)
