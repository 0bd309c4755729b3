"""The gradient penalty of wgan-gp and its weight gradients agree with PyTorch's double backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gan_reference import GANReference, indifferent_biases
from reference import Rounding, relative_error

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

TOLERANCE = 1e-4
BATCH, CLASSES, LATENT, SIZE = 8, 10, 4, 12
ALMOST_ALONE = 1e6  # a weight of the penalty that leaves nothing else to see in the gradients
TRIES, ROUNDINGS, EPSILONS = 20, 4, 8

torch.set_num_threads(1)

Layers = list[L.Layer]
Step = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]
Result = tuple[float, dict[str, np.ndarray]]


def down(filters: int, kernel: int = 3, strides: int = 2, padding: str | int = "same", **changes: bool) -> L.Layer:
    return L.Conv2D(filters, kernel, strides, padding, **changes)


CRITICS: dict[str, Layers] = {
    "linear": [L.Flatten(), L.Dense(1)],
    "dense": [L.Flatten(), L.Dense(40), L.LeakyReLU(), L.Dense(20), L.ReLU(), L.Dense(1)],
    "conv": [down(8, 5), L.LeakyReLU(0.3), down(16), L.LeakyReLU(), L.Flatten(), L.Dense(1)],
    "conv-explicit": [down(8, 4, 2, 1), L.ReLU(), down(40, 4, 2, 1), L.ReLU(), down(1, 3, 1, "valid"), L.Flatten()],
    "no-bias": [down(8, use_bias=False), L.LeakyReLU(), L.Flatten(), L.Dense(1, use_bias=False)],
    "dropout-0": [down(8), L.LeakyReLU(), L.Dropout(0.0), L.Flatten(), L.Dense(1)],
    "activation-last": [down(8), L.LeakyReLU(), L.Flatten(), L.Dense(1), L.LeakyReLU(0.5)],
    "activation-first": [L.LeakyReLU(0.5), down(8), L.Flatten(), L.Dense(1)],
    "activations-in-turn": [down(8), L.LeakyReLU(0.5), L.ReLU(), L.LeakyReLU(0.1), L.Flatten(), L.Dense(1)],
    "behind-flatten": [down(8), L.Flatten(), L.LeakyReLU(), L.Dense(1)],
    "reshape": [
        *(down(8), L.Reshape((9, 32)), L.LeakyReLU(), L.Reshape((6, 12, 4)), down(8), L.LeakyReLU()),
        *(L.Flatten(), L.Dense(1)),
    ],
    "conv-transpose": [
        *(down(8), L.LeakyReLU(), L.Conv2DTranspose(4, 3, 2, "same"), L.LeakyReLU()),
        *(L.Conv2DTranspose(3, 4, 2, 1, 1), L.ReLU(), L.Flatten(), L.Dense(1)),
    ],
    "max-pool": [down(8, strides=1), L.LeakyReLU(), L.MaxPool2D(), down(8), L.ReLU(), L.GlobalMaxPool2D(), L.Dense(1)],
    "max-pool-same": [down(8, strides=1), L.MaxPool2D(3, 2, "same"), L.LeakyReLU(), L.Flatten(), L.Dense(1)],
    "average-pool": [
        *(down(8, strides=1), L.LeakyReLU(), L.AvgPool2D(3, 2, "same"), down(8), L.ReLU()),
        *(L.GlobalAvgPool2D(), L.Dense(1)),
    ],
    "upsampling": [L.UpSampling2D(2), down(8), L.LeakyReLU(), L.UpSampling2D((1, 3)), L.Flatten(), L.Dense(1)],
    "spectral": [
        *(down(8, spectral_norm=True), L.LeakyReLU(), L.Conv2DTranspose(4, 3, 2, "same", spectral_norm=True)),
        *(L.LeakyReLU(), L.Flatten(), L.Dense(16, spectral_norm=True), L.ReLU(), L.Dense(1, spectral_norm=True)),
    ],
}


def build(critic: Layers, seed: int = 0, num_classes: int = 0, weight: float = ALMOST_ALONE) -> gm.GAN:
    """A model whose weights stay where they are, so that what a step saw can be asked for after it."""
    generator = [L.Dense(SIZE * SIZE), L.Reshape((SIZE, SIZE, 1)), L.Tanh()]
    gan = gm.GAN(
        generator=generator,
        discriminator=critic,
        input_shape=(SIZE, SIZE, 1),
        latent_dim=LATENT,
        objective="wgan-gp",
        num_classes=num_classes,
        gradient_penalty=weight,
        generator_optimizer=optimizers.SGD(0.0),
        discriminator_optimizer=optimizers.SGD(0.0),
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    for name, value in gan.weights.items():
        if name.endswith("bias"):
            value[...] = rng.uniform(-0.3, 0.3, value.shape)
    return gan


def batch(gan: gm.GAN, seed: int, n: int = BATCH) -> Step:
    """Images, labels, noise and mix of a step. No two pixels are alike, so that no window of a pool has two largest."""
    rng = np.random.default_rng(seed)
    images = rng.random((n, SIZE, SIZE, 1), np.float32)
    labels = rng.integers(0, CLASSES, n) if gan.num_classes else None
    return images, labels, rng.standard_normal((n, LATENT), np.float32), rng.random(n, np.float32)


def expected_of(gan: gm.GAN, step: Step, rounding: Rounding | None = None) -> Result:
    """The penalty, and the gradients of the critic's whole loss."""
    reference = GANReference(gan, rounding)
    losses = reference.train_step(*step)
    return losses["gradient_penalty"], reference.discriminator.gradients()


def ours_of(gan: gm.GAN, step: Step) -> Result:
    losses = gan.train_step(*step)
    return losses["gradient_penalty"], dict(gan.networks["discriminator"].gradients)


def errors(actual: Result, expected: Result, apart: set[str]) -> dict[str, float]:
    (penalty, gradients), (expected_penalty, expected_gradients) = actual, expected
    assert gradients.keys() == expected_gradients.keys()
    found = {name: relative_error(gradients[name], expected_gradients[name]) for name in gradients.keys() - apart}
    return found | {"penalty": abs(penalty / expected_penalty - 1)}


def fair_start(critic: Layers, **settings: float) -> tuple[gm.GAN, Step, Result]:
    """A model, its step and what is expected of it, none of which float32's rounding upsets; see test_gan.py."""
    for seed in range(TRIES):
        gan = build(critic, seed, **settings)
        step, apart = batch(gan, seed), indifferent_biases(critic)
        expected = expected_of(gan, step)
        roundings = (expected_of(gan, step, Rounding(number, EPSILONS)) for number in range(ROUNDINGS))
        if all(max(errors(moved, expected, apart).values()) <= TOLERANCE / 10 for moved in roundings):
            return gan, step, expected
    raise AssertionError("no fair start")


@pytest.mark.parametrize("num_classes", [0, CLASSES], ids=["plain", "conditional"])
@pytest.mark.parametrize("weight", [10.0, ALMOST_ALONE])
@pytest.mark.parametrize("name", CRITICS)
def test_against_double_backward(name: str, weight: float, num_classes: int) -> None:
    critic = CRITICS[name]
    gan, step, expected = fair_start(critic, weight=weight, num_classes=num_classes)
    for what, error in errors(ours_of(gan, step), expected, indifferent_biases(critic)).items():
        assert error <= TOLERANCE, what


@pytest.mark.parametrize("n", [1, 3, 17, 64])
def test_batches(n: int) -> None:
    gan = build(CRITICS["dense"], 3)
    step = batch(gan, 3, n)
    expected = expected_of(gan, step)
    for what, error in errors(ours_of(gan, step), expected, indifferent_biases(CRITICS["dense"])).items():
        assert error <= TOLERANCE, what


@pytest.mark.parametrize("zero", ["every kernel", "last kernel", "first kernel"])
@pytest.mark.parametrize("name", ["linear", "dense", "conv"])
def test_no_gradient_at_all(name: str, zero: str) -> None:
    """Where the norm is 0 its own gradient is taken as 0: the penalty is 1 and adds nothing."""
    gan = build(CRITICS[name])
    critic = gan.networks["discriminator"]
    kernels = [value for name, value in critic.weights.items() if name.endswith("kernel")]
    for kernel in {"every kernel": kernels, "last kernel": kernels[-1:], "first kernel": kernels[:1]}[zero]:
        kernel[...] = 0
    step = batch(gan, 1)
    (_, expected), (penalty, gradients) = expected_of(gan, step), ours_of(gan, step)
    assert penalty == 1
    for name, gradient in gradients.items():
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient - expected[name]).max() <= TOLERANCE * max(1.0, np.abs(expected[name]).max()), name


def test_one_sample_without_gradient() -> None:
    """A sample on the dead side of every kink counts 1 in the mean, and the others keep their gradients."""
    critic = [L.Flatten(), L.Dense(8), L.ReLU(), L.Dense(1)]
    gan = build(critic)
    weights = gan.networks["discriminator"].weights
    weights["1.kernel"][...] = np.abs(weights["1.kernel"])
    weights["1.bias"][...] = -1.0
    images, labels, noise, mix = batch(gan, 5)
    images[0], mix[0] = 0.0, 1.0  # black, -1 inside: far below every kink
    step = images, labels, noise, mix
    expected, actual = expected_of(gan, step), ours_of(gan, step)
    assert relative_error(actual[1]["1.kernel"], expected[1]["1.kernel"]) <= TOLERANCE
    assert actual[0] == pytest.approx(expected[0], rel=TOLERANCE)


def test_the_reference_itself() -> None:
    """Double backward against finite differences of the penalty, whose steps stay clear of kinks."""
    gan = build(CRITICS["conv-transpose"], seed=2)
    images, labels, noise, mix = batch(gan, 2)
    reference = GANReference(gan)
    real, fake = reference.images(images), reference.generate(torch.from_numpy(noise).double(), labels, True).detach()
    weights = reference.discriminator.trainable
    kernels = {name: weight for name, weight in weights.items() if name.endswith("kernel")}
    gradients = torch.autograd.grad(reference.penalty(real, fake, labels, mix), list(kernels.values()))
    for (name, weight), gradient in zip(kernels.items(), gradients, strict=True):
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=weight.dtype)
        start, values = weight.detach().clone(), []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight.copy_(start + step * direction)
            values.append(float(reference.penalty(real, fake, labels, mix).detach()))
        with torch.no_grad():
            weight.copy_(start)
        slope = (values[0] - values[1]) / 2e-6
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5), name
