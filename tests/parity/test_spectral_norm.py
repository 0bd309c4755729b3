"""Spectral normalisation agrees with torch.nn.utils.spectral_norm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from reference import double, relative_error
from torch import nn

import genmodels as gm
from genmodels import layers as L

TOLERANCE = 1e-5
STEPS, BATCH = 5, 6

torch.set_num_threads(1)

Axes = tuple[int, ...]
Case = tuple[L.Layer, tuple[int, ...], nn.Module, int, Axes]

# Ours, its input's shape, PyTorch's, the axis of the outputs there, and the axes of its weight in ours' order.
CASES: dict[str, Callable[[], Case]] = {
    "Dense": lambda: (L.Dense(5, spectral_norm=True), (7,), nn.Linear(7, 5), 0, (1, 0)),
    "Dense to one": lambda: (L.Dense(1, spectral_norm=True), (40,), nn.Linear(40, 1), 0, (1, 0)),
    "Conv2D": lambda: (
        *(L.Conv2D(5, (3, 4), 2, padding=1, spectral_norm=True), (8, 9, 3)),
        *(nn.Conv2d(3, 5, (3, 4), 2, 1), 0, (2, 3, 1, 0)),
    ),
    "Conv2DTranspose": lambda: (
        *(L.Conv2DTranspose(5, (3, 4), 2, padding=1, spectral_norm=True), (4, 5, 3)),
        *(nn.ConvTranspose2d(3, 5, (3, 4), 2, 1), 1, (2, 3, 1, 0)),
    ),
    "no bias": lambda: (
        *(L.Conv2D(5, 3, use_bias=False, spectral_norm=True), (8, 9, 3)),
        *(nn.Conv2d(3, 5, 3, bias=False), 0, (2, 3, 1, 0)),
    ),
}


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def channels_last(y: torch.Tensor) -> np.ndarray:
    return (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).detach().numpy()


def twin_of(net: gm.Network, module: nn.Module, axis: int, order: Axes) -> nn.Module:
    """The module with the network's kernel, bias and u, normalised, in float64."""
    module = nn.utils.spectral_norm(module.double(), dim=axis)
    with torch.no_grad():
        module.weight_orig.copy_(double(net.weights["0.kernel"]).permute(*np.argsort(order)))
        module.weight_u.copy_(double(net.weights["0.u"]))
        if module.bias is not None:
            module.bias.copy_(double(net.weights["0.bias"]))
    return module


@pytest.mark.parametrize("name", CASES)
def test_against_torch(name: str) -> None:
    """Outputs, gradients and u of each of several training steps, between which the kernel moves."""
    layer, shape, module, axis, order = CASES[name]()
    net = gm.Network([layer], shape, seed=3)
    rng = np.random.default_rng(4)
    if layer.use_bias:
        net.weights["0.bias"][...] = rng.standard_normal(net.weights["0.bias"].shape)
    twin = twin_of(net, module, axis, order)
    for step in range(STEPS):
        x, dy = (rng.standard_normal((BATCH, *s), np.float32) for s in (shape, net.output_shape))
        reference_x = double(x).requires_grad_()
        expected = twin(channels_first(reference_x))
        twin.zero_grad()
        expected.backward(channels_first(double(dy)))
        assert relative_error(net.forward(x, training=True), channels_last(expected)) <= TOLERANCE, step
        assert relative_error(net.backward(dy), reference_x.grad.numpy()) <= TOLERANCE, step
        kernel_gradient = twin.weight_orig.grad.permute(*order).numpy()
        assert relative_error(net.gradients["0.kernel"], kernel_gradient) <= TOLERANCE, step
        assert relative_error(net.weights["0.u"], twin.weight_u.numpy()) <= TOLERANCE, step
        move = 0.1 * rng.standard_normal(kernel_gradient.shape, np.float32)
        net.weights["0.kernel"][...] += move
        with torch.no_grad():
            twin.weight_orig.copy_(double(net.weights["0.kernel"]).permute(*np.argsort(order)))


@pytest.mark.parametrize("name", CASES)
def test_inference(name: str) -> None:
    """Once the power steps have found the largest singular value, inference divides by it, and moves nothing."""
    layer, shape, module, axis, order = CASES[name]()
    net = gm.Network([layer], shape, seed=5)
    twin = twin_of(net, module, axis, order)
    x = np.random.default_rng(6).standard_normal((BATCH, *shape), np.float32)
    for _ in range(300):
        net.forward(x, training=True)
        twin(channels_first(double(x)))
    before = {name: value.copy() for name, value in net.weights.items()}
    assert relative_error(net.forward(x), channels_last(twin.eval()(channels_first(double(x))))) <= TOLERANCE
    for weight, value in net.weights.items():
        assert np.array_equal(value, before[weight]), weight
