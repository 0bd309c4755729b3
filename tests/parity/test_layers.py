"""LSTM, pools, layer normalisation, up-sampling, and layers computed as one agree with PyTorch's own: outputs and every
gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import Reference, double, relative_error

import genmodels as gm
from genmodels import layers as L
from genmodels.network import described

BOUND = 1e-5
KINK, TRIES = 1e-6, 20

torch.set_num_threads(1)


def drawn(
    layers: list[L.Layer], shape: tuple[int, ...], n: int, seed: int
) -> tuple[gm.Network, np.ndarray, np.ndarray]:
    """A network with no weight at its initial 0 or 1, a batch, and a gradient of its output."""
    rng = np.random.default_rng(seed)
    net = gm.Network(layers, shape, seed=seed)
    for value in net.weights.values():
        value[...] += 0.2 * rng.standard_normal(value.shape)
    return net, rng.standard_normal((n, *shape), np.float32), rng.standard_normal((n, *net.output_shape), np.float32)


def check(
    net: gm.Network, x: np.ndarray, dy: np.ndarray, expected: dict[str, torch.Tensor], inference: torch.Tensor
) -> None:
    ours = {"y": net.forward(x, training=True), "x": net.backward(dy), **net.gradients}
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert relative_error(ours[name], value.detach().numpy()) <= BOUND, name
    assert relative_error(net.forward(x), inference.detach().numpy()) <= BOUND


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize(
    ("n", "steps", "inputs", "units"), [(256, 28, 28, 64), (1, 1, 1, 1), (7, 50, 3, 17), (5, 1, 40, 33), (33, 9, 8, 16)]
)
def test_lstm(n: int, steps: int, inputs: int, units: int, sequences: bool) -> None:
    """torch.nn.LSTM has the same order of gates, its kernels turned round, and a second bias, here zero."""
    net, x, dy = drawn([L.LSTM(units, sequences)], (steps, inputs), n, seed=units)
    theirs = torch.nn.LSTM(inputs, units, batch_first=True, dtype=torch.float64)
    weights = dict(theirs.named_parameters())
    with torch.no_grad():
        weights["weight_ih_l0"].copy_(double(net.weights["0.kernel"]).T)
        weights["weight_hh_l0"].copy_(double(net.weights["0.recurrent_kernel"]).T)
        weights["bias_ih_l0"].copy_(double(net.weights["0.bias"]))
        weights["bias_hh_l0"].zero_()
    inputs64 = double(x).requires_grad_()
    y = theirs(inputs64)[0] if sequences else theirs(inputs64)[0][:, -1]
    y.backward(double(dy))
    gradients = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}
    found = {ours: weights[name].grad for ours, name in gradients.items()}
    gradients64 = {f"0.{ours}": found[ours].T if found[ours].ndim == 2 else found[ours] for ours in found}
    check(net, x, dy, {"y": y, "x": inputs64.grad, **gradients64}, y)


OTHERS = [
    L.LayerNorm(),
    L.LayerNorm(1e-3),
    L.MaxPool2D(),
    L.MaxPool2D(3, 2, "same"),
    L.MaxPool2D((5, 2), (1, 3), (2, 1)),
    L.AvgPool2D(),
    L.AvgPool2D(3, 2, "same"),
    L.AvgPool2D((5, 2), (1, 3), (2, 1)),
    L.GlobalMaxPool2D(),
    L.GlobalAvgPool2D(),
    L.UpSampling2D(),
    L.UpSampling2D((1, 3)),
]


@pytest.mark.parametrize("shape", [(28, 28, 16), (7, 9, 33), (5, 5, 2)])
@pytest.mark.parametrize("layer", OTHERS, ids=repr)
def test_others(layer: L.Layer, shape: tuple[int, int, int]) -> None:
    compare([layer], shape, 9, seed=4)


CONVOLUTIONS = [L.Conv2D(1, 3, 2, 1), L.Conv2D(2, 3), L.Conv2D(3, (2, 5), (1, 2), "same")]
BEFORE = [[], [L.LeakyReLU(0.3)], [L.Conv2D(16, 3, 1, 1, False), L.ReLU()]]


# Of images so large neither what the normalisation makes nor its gradient is written.
@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=described)
@pytest.mark.parametrize("activation", [None, L.ReLU(), L.LeakyReLU(0.2)], ids=str)
@pytest.mark.parametrize("before", BEFORE, ids=len)
def test_batch_norm_and_convolution(before: list[L.Layer], activation: L.Layer | None, convolution: L.Layer) -> None:
    layers = [*before, L.BatchNorm(), *([activation] if activation else []), convolution]
    assert any(compare(layers, (47, 44, 16), 2, seed) for seed in range(TRIES))


def compare(layers: list[L.Layer], shape: tuple[int, int, int], n: int, seed: int) -> bool:
    """False, and nothing compared, of values so near a kink that float32 may take them for the other side's."""
    net, x, dy = drawn(layers, shape, n, seed)
    reference, inputs64 = Reference(layers, net.weights), double(x).requires_grad_()
    y = reference.forward(inputs64, training=True)
    if reference.kink_distance < KINK:
        return False
    y.backward(double(dy))
    expected = {"y": y, "x": inputs64.grad, **{k: v.grad for k, v in reference.trainable.items()}}
    check(net, x, dy, expected, reference.forward(double(x)))
    return True
