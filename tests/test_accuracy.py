"""Sums over 20,000 values a channel stay within 1e-5 of float64 arithmetic.

The references are NumPy in float64 on the same float32 inputs, written from the definitions. An error is max |a - b| /
max |b| over a tensor. A plain running float32 sum would be off by 1e-4 and more on the inputs with a mean.
"""

from __future__ import annotations

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

BOUND = 1e-5
VALUES = 20_000

Arrays = dict[str, np.ndarray]


def assert_close(actual: Arrays, expected: Arrays) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        error = np.abs(np.float64(actual[name]) - value).max() / np.abs(value).max()
        assert error <= BOUND, f"{name}: {error:.2g}"


def draw(shape: tuple[int, ...], mean: float, seed: int) -> np.ndarray:
    """Deviation 1 about `mean`."""
    return np.float32(mean + np.random.default_rng(seed).standard_normal(shape))


def passes(net: gm.Network, x: np.ndarray, dy: np.ndarray) -> Arrays:
    """Output, input gradient and weight gradients of one training pass."""
    y = net.forward(x, training=True)
    return {"y": y, "x": net.backward(dy), **net.gradients}


# ---- Batch norm ----


def batch_norm(x: np.ndarray, dy: np.ndarray, gamma: np.ndarray, beta: np.ndarray, layer: L.BatchNorm) -> Arrays:
    """x, dy (rows, C)"""
    n, mean, variance = len(x), x.mean(0), x.var(0)
    inverse = 1 / np.sqrt(variance + layer.epsilon)
    normal = (x - mean) * inverse
    products = (dy * normal).sum(0)
    return {
        "y": gamma * normal + beta,
        "x": gamma * inverse * (dy - dy.sum(0) / n - normal * products / n),
        "0.gamma": products,
        "0.beta": dy.sum(0),
        "moving_mean": layer.momentum * mean,
        "moving_var": 1 - layer.momentum + layer.momentum * variance * n / (n - 1),
    }


@pytest.mark.parametrize("channels", [1, 16, 100])
@pytest.mark.parametrize(("mean", "slope"), [(0, 0.5), (1, 1), (100, 0), (1000, 1), (0, 30), (1000, 30)])
def test_batch_norm(mean: float, slope: float, channels: int) -> None:
    """Means far above the deviation, of the input and of the output's gradient (`slope`)."""
    layer, rng = L.BatchNorm(), np.random.default_rng(3)
    net = gm.Network([layer], (100, 10, channels))
    x, dy = draw((20, 100, 10, channels), mean, 1), draw((20, 100, 10, channels), slope, 2)
    assert x.size // channels == VALUES
    for name in ("0.gamma", "0.beta"):
        net.weights[name][...] = rng.uniform(0.5, 1.5, channels)
    rows = [np.float64(array).reshape(-1, channels) for array in (x, dy)]
    expected = batch_norm(*rows, *(np.float64(net.weights[name]) for name in ("0.gamma", "0.beta")), layer)
    actual = passes(net, x, dy)
    actual |= {name: net.weights[f"0.{name}"] for name in ("moving_mean", "moving_var")}
    assert_close({name: value.reshape(expected[name].shape) for name, value in actual.items()}, expected)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_batch_norm_inference(mean: float) -> None:
    layer = L.BatchNorm()
    net = gm.Network([layer], (7,))
    x = draw((VALUES, 7), mean, 1)
    net.weights["0.moving_mean"][...] = mean + np.linspace(-1, 1, 7)
    net.weights["0.moving_var"][...] = np.linspace(0.5, 2, 7)
    moving_mean, moving_var = (np.float64(net.weights[f"0.{name}"]) for name in ("moving_mean", "moving_var"))
    expected = (np.float64(x) - moving_mean) / np.sqrt(moving_var + layer.epsilon)
    assert_close({"y": net.forward(x)}, {"y": expected})


BETA = np.arange(1.0, 6.0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_batch_norm_of_few_values(count: int) -> None:
    """One value a channel normalises to 0 and counts with its biased variance, 0; more with the unbiased one."""
    layer = L.BatchNorm(momentum=0.25)
    net = gm.Network([layer], (5,))
    net.weights["0.beta"][...] = BETA
    x, dy = draw((count, 5), 10.0, 1), draw((count, 5), 0.0, 2)
    x64, dy64 = np.float64(x), np.float64(dy)
    normal = (x64 - x64.mean(0)) / np.sqrt(x64.var(0) + layer.epsilon)
    results = passes(net, x, dy)
    assert_close({"y": results["y"], "beta": results["0.beta"]}, {"y": normal + BETA, "beta": dy64.sum(0)})
    np.testing.assert_allclose(results["0.gamma"], (dy64 * normal).sum(0), atol=BOUND)
    variance = x64.var(0, ddof=1) if count > 1 else 0
    expected = {"0.moving_mean": 0.25 * x64.mean(0), "0.moving_var": 0.75 + 0.25 * variance * np.ones(5)}
    assert_close({name: net.weights[name] for name in expected}, expected)
    if count == 1:  # the only value cannot change the output: two parts of this size cancel
        assert np.all(np.abs(results["x"]) <= BOUND * np.abs(dy) / np.sqrt(layer.epsilon))


# ---- Layer norm ----


def layer_norm(x: np.ndarray, dy: np.ndarray, gamma: np.ndarray, beta: np.ndarray, layer: L.LayerNorm) -> Arrays:
    """x, dy (rows, C)"""
    inverse = 1 / np.sqrt(x.var(1, keepdims=True) + layer.epsilon)
    normal, d = (x - x.mean(1, keepdims=True)) * inverse, dy * gamma
    products = (d * normal).mean(1, keepdims=True)
    return {
        "y": gamma * normal + beta,
        "x": inverse * (d - d.mean(1, keepdims=True) - normal * products),
        "0.gamma": (dy * normal).sum(0),
        "0.beta": dy.sum(0),
    }


@pytest.mark.parametrize("shape", [(20, 5), (200, 64), (1, VALUES), (VALUES, 7)])
@pytest.mark.parametrize(("mean", "slope"), [(0, 0.5), (1, 1), (100, 0), (1000, 1), (0, 30), (1000, 30)])
def test_layer_norm(mean: float, slope: float, shape: tuple[int, int]) -> None:
    """Long rows and many rows, means far above the deviation."""
    layer, rng, channels = L.LayerNorm(), np.random.default_rng(3), shape[-1]
    net = gm.Network([layer], shape)
    x, dy = draw((3, *shape), mean, 1), draw((3, *shape), slope, 2)
    for name in ("0.gamma", "0.beta"):
        net.weights[name][...] = rng.uniform(0.5, 1.5, channels)
    rows = [np.float64(array).reshape(-1, channels) for array in (x, dy)]
    expected = layer_norm(*rows, *(np.float64(net.weights[name]) for name in ("0.gamma", "0.beta")), layer)
    actual = passes(net, x, dy)
    assert_close({name: value.reshape(expected[name].shape) for name, value in actual.items()}, expected)


# ---- LSTM ----


def lstm(x: np.ndarray, dy: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Arrays:
    """x (N, T, F), dy (N, T, U), all outputs; forwards and backwards through time."""
    steps, state = x.shape[1], np.zeros((len(x), len(recurrent)))
    h, c, gates = [state], [state], []
    for t in range(steps):
        i, f, g, o = np.split(x[:, t] @ kernel + h[-1] @ recurrent + bias, 4, axis=1)
        gates.append((sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)))
        c.append(gates[-1][1] * c[-1] + gates[-1][0] * gates[-1][2])
        h.append(gates[-1][3] * np.tanh(c[-1]))
    dh, dc, dz = state, state, np.zeros((*x.shape[:2], len(bias)))
    for t in reversed(range(steps)):
        (i, f, g, o), tanh = gates[t], np.tanh(c[t + 1])
        dh = dh + dy[:, t]
        dc = dc + dh * o * (1 - tanh**2)
        slopes = (dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2), dh * tanh * o * (1 - o))
        dz[:, t] = np.concatenate(slopes, axis=1)
        dh, dc = dz[:, t] @ recurrent.T, dc * f
    before = np.stack(h[:-1], 1)
    return {
        "y": np.stack(h[1:], 1),
        "x": dz @ kernel.T,
        "0.kernel": np.einsum("ntf,ntz->fz", x, dz, optimize=True),
        "0.recurrent_kernel": np.einsum("ntu,ntz->uz", before, dz, optimize=True),
        "0.bias": dz.sum((0, 1)),
    }


@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize(("samples", "steps", "units"), [(VALUES // 28, 28, 64), (2, 500, 17), (VALUES, 1, 5)])
def test_lstm(samples: int, steps: int, units: int, mean: float) -> None:
    """Kernel and bias gradients are sums over all steps of all samples."""
    features = 28
    net = gm.Network([L.LSTM(units)], (steps, features), seed=1)
    net.weights["0.bias"][...] = np.linspace(-1, 1, 4 * units)
    x, dy = draw((samples, steps, features), mean, 1), draw((samples, steps, units), mean, 2)
    expected = lstm(np.float64(x), np.float64(dy), *(np.float64(view) for view in net.weights.values()))
    actual = passes(net, x, dy)
    if steps == 1:  # the recurrent kernel meets zeros alone
        assert not actual.pop("0.recurrent_kernel").any()
        del expected["0.recurrent_kernel"]
    assert_close(actual, expected)


# ---- Pools ----


@pytest.mark.parametrize("channels", [1, 3, 64, 65])
@pytest.mark.parametrize("mean", [0, 1, 1000])
def test_global_pools(mean: float, channels: int) -> None:
    """A window of 20,000 values; and its adjoint, as many pixels of one."""
    shape = (100, 200, channels)
    x, dy = draw((2, *shape), mean, 1), draw((2, channels), 0.5, 2)
    spread = np.broadcast_to(np.float64(dy)[:, None, None] / VALUES, x.shape)
    expected = {"y": np.float64(x).mean((1, 2)), "x": spread}
    assert_close(passes(gm.Network([L.GlobalAvgPool2D()], shape), x, dy), expected)
    first = x.reshape(2, VALUES, channels).argmax(1)
    places = np.zeros((2, VALUES, channels))
    np.put_along_axis(places, first[:, None], dy[:, None], 1)
    largest = {"y": x.max((1, 2)), "x": places.reshape(x.shape)}
    assert_close(passes(gm.Network([L.GlobalMaxPool2D()], shape), x, dy), largest)


@pytest.mark.parametrize("mean", [1.0, 1000.0])
def test_up_sampling(mean: float) -> None:
    """Every pixel's gradient is a sum over 20,000."""
    x, dy = draw((2, 1, 2, 3), mean, 1), draw((2, 100, 400, 3), mean, 2)
    sums = np.float64(dy).reshape(2, 1, 100, 2, 200, 3).sum((2, 4))
    expected = {"y": np.float64(x).repeat(100, 1).repeat(200, 2), "x": sums}
    assert_close(passes(gm.Network([L.UpSampling2D((100, 200))], (1, 2, 3)), x, dy), expected)


# ---- Products ----


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize("units", [1, 17, 64])
def test_dense(units: int, mean: float) -> None:
    """A batch of 20,000: kernel and bias gradients are sums over it."""
    net = gm.Network([L.Dense(units)], (30,), seed=1)
    net.weights["0.bias"][...] = np.linspace(-1, 1, units)
    x, dy = draw((VALUES, 30), mean, 1), draw((VALUES, units), mean, 2)
    kernel, bias = (np.float64(net.weights[name]) for name in ("0.kernel", "0.bias"))
    x64, dy64 = np.float64(x), np.float64(dy)
    expected = {"y": x64 @ kernel + bias, "x": dy64 @ kernel.T, "0.kernel": x64.T @ dy64, "0.bias": dy64.sum(0)}
    assert_close(passes(net, x, dy), expected)


def test_dense_with_many_inputs() -> None:
    """20,000 inputs a unit: the outputs themselves are long sums."""
    net = gm.Network([L.Dense(9)], (VALUES,), seed=1)
    x, dy = draw((6, VALUES), 5.0, 1), draw((6, 9), 0.0, 2)
    net.weights["0.kernel"][...] = draw((VALUES, 9), 0.5, 3)
    kernel, x64, dy64 = np.float64(net.weights["0.kernel"]), np.float64(x), np.float64(dy)
    expected = {"y": x64 @ kernel, "x": dy64 @ kernel.T, "0.kernel": x64.T @ dy64, "0.bias": dy64.sum(0)}
    assert_close(passes(net, x, dy), expected)


class Window:
    """A 3x3 kernel with stride 2 over images of 2P x 2Q, "same" padding: zeros only at the bottom and right."""

    def __init__(self, image: tuple[int, int, int]) -> None:
        self.rows, self.columns, self.channels = image

    def places(self) -> list[tuple[int, int, slice, slice]]:
        """Each kernel place r, s, and the image rows and columns it meets, zeros included."""
        return [(r, s, slice(r, r + self.rows, 2), slice(s, s + self.columns, 2)) for r in range(3) for s in range(3)]

    def pad(self, image: np.ndarray) -> np.ndarray:
        return np.pad(np.float64(image), ((0, 0), (0, 1), (0, 1), (0, 0)))

    def gather(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """The convolution: image (N, 2P, 2Q, C), kernel (3, 3, C, K) -> (N, P, Q, K)."""
        padded = self.pad(image)
        return sum(padded[:, rows, columns] @ kernel[r, s] for r, s, rows, columns in self.places())

    def scatter(self, map_: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Its adjoint: (N, P, Q, K) -> (N, 2P, 2Q, C)."""
        image = np.zeros((len(map_), self.rows + 1, self.columns + 1, self.channels))
        for r, s, rows, columns in self.places():
            image[:, rows, columns] += np.float64(map_) @ kernel[r, s].T
        return image[:, :-1, :-1]

    def weights(self, image: np.ndarray, map_: np.ndarray) -> np.ndarray:
        """The kernel's gradient (3, 3, C, K)."""
        padded, flat = self.pad(image), np.float64(map_).reshape(-1, map_.shape[-1])
        parts = [padded[:, rows, columns].reshape(-1, self.channels).T @ flat for _, _, rows, columns in self.places()]
        return np.reshape(parts, (3, 3, self.channels, -1))


CHANNELS = [(1, 32), (32, 1), (5, 7), (16, 24)]
SAMPLES, SIDE = 50, 20  # 50 * 20 * 20 = 20,000 places of the small side


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize(("outer", "inner"), CHANNELS)
def test_conv(outer: int, inner: int, mean: float) -> None:
    window = Window((2 * SIDE, 2 * SIDE, outer))
    net = gm.Network([L.Conv2D(inner, 3, 2, "same")], (2 * SIDE, 2 * SIDE, outer), seed=1)
    net.weights["0.bias"][...] = np.linspace(-1, 1, inner)
    x, dy = draw((SAMPLES, 2 * SIDE, 2 * SIDE, outer), mean, 1), draw((SAMPLES, SIDE, SIDE, inner), mean, 2)
    kernel, bias = (np.float64(net.weights[name]) for name in ("0.kernel", "0.bias"))
    expected = {
        "y": window.gather(x, kernel) + bias,
        "x": window.scatter(dy, kernel),
        "0.kernel": window.weights(x, dy),
        "0.bias": np.float64(dy).sum((0, 1, 2)),
    }
    assert_close(passes(net, x, dy), expected)


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize(("outer", "inner"), CHANNELS)
def test_conv_transpose(outer: int, inner: int, mean: float) -> None:
    window = Window((2 * SIDE, 2 * SIDE, outer))
    net = gm.Network([L.Conv2DTranspose(outer, 3, 2, "same")], (SIDE, SIDE, inner), seed=1)
    net.weights["0.bias"][...] = np.linspace(-1, 1, outer)
    x, dy = draw((SAMPLES, SIDE, SIDE, inner), mean, 1), draw((SAMPLES, 2 * SIDE, 2 * SIDE, outer), mean, 2)
    kernel, bias = (np.float64(net.weights[name]) for name in ("0.kernel", "0.bias"))
    expected = {
        "y": window.scatter(x, kernel) + bias,
        "x": window.gather(dy, kernel),
        "0.kernel": window.weights(dy, x),
        "0.bias": np.float64(dy).sum((0, 1, 2)),
    }
    assert_close(passes(net, x, dy), expected)


@pytest.mark.parametrize("layer", [L.Conv2D(8, 3, padding=1), L.Conv2DTranspose(8, 3, padding=1)], ids=repr)
@pytest.mark.parametrize("image", [(100, 200), (28, 28), (7, 7)])
def test_a_kernel_gradient_of_equal_terms(layer: L.Layer, image: tuple[int, int]) -> None:
    """Terms that are all alike are all rounded the same way: a plain running sum of 20,000 is off by 1e-4."""
    samples = VALUES // (image[0] * image[1])
    net = gm.Network([layer], (*image, 4))
    x = np.full((samples, *image, 4), 0.1, np.float32)
    found = passes(net, x, np.full((samples, *image, 8), 0.1, np.float32))["0.kernel"]
    term = np.float64(np.float32(0.1)) ** 2
    count = np.outer(*(size - np.abs([-1, 0, 1]) for size in image)) * samples  # of places whose tap is in the image
    np.testing.assert_allclose(found, np.broadcast_to((count * term)[:, :, None, None], found.shape), rtol=BOUND)


# ---- Pointwise ----


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


POINTWISE = {
    L.ReLU(): (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    L.LeakyReLU(0.3): (lambda x: np.where(x > 0, x, SLOPE * x), lambda x: np.where(x > 0, 1.0, SLOPE)),
    L.Tanh(): (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    L.Sigmoid(): (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    L.Dropout(0.0): (lambda x: x, np.ones_like),
    L.Flatten(): (lambda x: x, np.ones_like),
    L.Reshape((VALUES,)): (lambda x: x, np.ones_like),
}
SLOPE = float(np.float32(0.3))


@pytest.mark.parametrize("layer", POINTWISE, ids=repr)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 8.0, 100.0])
def test_pointwise(layer: L.Layer, scale: float) -> None:
    function, derivative = POINTWISE[layer]
    net = gm.Network([layer], (VALUES,))
    x, dy = np.float32(scale) * draw((2, VALUES), 0.0, 1), draw((2, VALUES), 1.0, 2)
    x64, dy64 = np.float64(np.clip(x, -300, 300)), np.float64(dy)  # cosh of more overflows; the results are 0
    if isinstance(layer, (L.Tanh, L.Sigmoid)):
        x = np.float32(x64)
    expected = {"y": function(np.float64(x)), "x": dy64 * derivative(np.float64(x))}
    assert_close(passes(net, x, dy), expected)


@pytest.mark.parametrize(("layer", "function"), [(L.Tanh(), np.tanh), (L.Sigmoid(), sigmoid)], ids=["tanh", "sigmoid"])
def test_smooth_activations_everywhere(layer: L.Layer, function) -> None:
    """Relative to each value, from tiny to saturated, and at infinity: no tail is lost."""
    magnitudes = np.float32(np.logspace(-30, np.log10(80), VALUES))
    x = np.concatenate([-magnitudes[::-1], magnitudes])[None]
    y, expected = gm.Network([layer], x.shape[1:]).forward(x), function(np.float64(x))
    assert np.all(np.abs(y - expected) <= BOUND * np.abs(expected))


COMPARED = {
    *(L.BatchNorm, L.LayerNorm, L.LSTM, L.Dense, L.Conv2D, L.Conv2DTranspose),
    *(L.MaxPool2D, L.AvgPool2D, L.GlobalMaxPool2D, L.GlobalAvgPool2D, L.UpSampling2D),
}


def test_every_layer_is_here() -> None:
    """Whoever adds a layer adds its comparison."""
    checked = {type(layer) for layer in POINTWISE} | COMPARED
    assert checked == set(L.KINDS.values())


# ---- Losses ----


def vae_losses(vae: gm.VAE, x: np.ndarray, noise: np.ndarray) -> dict[str, float]:
    """Of a VAE whose encoder is Flatten and whose decoder is Dense and an activation; x in the model's range."""
    weights = {name: np.float64(value) for name, value in vae.weights.items()}
    flat = x.reshape(len(x), -1)
    head = flat @ weights["head.0.kernel"] + weights["head.0.bias"]
    mean, logvar = np.split(head, 2, 1)
    z = mean + np.exp(logvar / 2) * noise
    output = z @ weights["decoder.0.kernel"] + weights["decoder.0.bias"]
    if vae.reconstruction == "bce":
        pixels = np.logaddexp(0, output) - output * flat
    else:
        pixels = (np.tanh(output) - flat) ** 2
    reconstruction = (pixels.sum(1) if vae.reduction == "sum" else pixels.mean(1)).mean()
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).sum(1).mean()
    return {"loss": reconstruction + vae.beta * kl, "reconstruction": reconstruction, "kl": kl}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("reconstruction", "last"), [("bce", L.Sigmoid()), ("mse", L.Tanh())])
def test_losses(reconstruction: str, last: L.Layer, reduction: str) -> None:
    """20,000 pixels an image, logits of both signs up to about 30."""
    shape, latent = (100, 200, 1), 3
    vae = gm.VAE(
        encoder=[L.Flatten()],
        decoder=[L.Dense(VALUES), L.Reshape(shape), last],
        input_shape=shape,
        latent_dim=latent,
        reconstruction=reconstruction,
        reduction=reduction,
        beta=0.7,
    )
    vae.weights["decoder.0.kernel"][...] = draw((latent, VALUES), 0.0, 3) * 5
    vae.weights["head.0.bias"][...] = [1, -1, 0.5, 0.3, -0.6, 0.1]
    x = np.random.default_rng(4).uniform(0, 1, (9, *shape)).astype(np.float32)
    noise = draw((9, latent), 0.0, 5)
    own = np.float64(x) if reconstruction == "bce" else 2 * np.float64(x) - 1
    expected, actual = vae_losses(vae, own, noise), vae.train_step(x, noise=noise)
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=BOUND), name
