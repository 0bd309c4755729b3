"""vae-keras and its variants agree with PyTorch: outputs, every gradient, 50 steps with the same noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from model_reference import blobs
from reference import Reference, Rounding, double, relative_error
from vae_reference import VAEReference

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

FORWARD, GRADIENT, LOSS = 1e-5, 1e-4, 1e-3
BATCH, SMALL_BATCH, STEPS, CLASSES = 16, 4, 50, 10
TRIES, ROUNDINGS, EPSILONS = 20, 4, 16

torch.set_num_threads(1)


def keras_layers(channels: int = 1, last: L.Layer | None = None) -> dict[str, list[L.Layer]]:
    """The architecture, written out once more, apart from the zoo."""

    def down(filters: int) -> L.Layer:
        return L.Conv2D(filters, 3, strides=2, padding="same")

    def up(filters: int, strides: int) -> L.Layer:
        return L.Conv2DTranspose(filters, 3, strides=strides, padding="same")

    return {
        "encoder": [down(32), L.ReLU(), down(64), L.ReLU(), L.Flatten(), L.Dense(16), L.ReLU()],
        "decoder": [
            *(L.Dense(7 * 7 * 64), L.ReLU(), L.Reshape((7, 7, 64))),
            *(up(64, 2), L.ReLU(), up(32, 2), L.ReLU(), up(channels, 1), last or L.Sigmoid()),
        ],
    }


def build(**changes: Any) -> gm.VAE:
    """vae-keras with biases other than zero: at zero a wrong bias would not show."""
    last = changes.pop("last", None)
    arguments = {"input_shape": (28, 28, 1), "latent_dim": 2, "optimizer": optimizers.Adam(1e-3), "seed": 7}
    vae = gm.VAE(**keras_layers(last=last), **{**arguments, **changes})
    rng = np.random.default_rng(3)
    for name, value in vae.weights.items():
        if name.endswith("bias"):
            value[...] = rng.uniform(-0.1, 0.1, value.shape)
    return vae


def labels_of(vae: gm.VAE, n: int, seed: int) -> np.ndarray | None:
    return np.random.default_rng(seed).integers(0, CLASSES, n) if vae.num_classes else None


def noise_of(vae: gm.VAE, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, vae.latent_dim), np.float32)


VARIANTS = [
    {"reconstruction": reconstruction, "reduction": reduction, "num_classes": classes}
    for reconstruction in ("bce", "mse")
    for reduction in ("sum", "mean")
    for classes in (0, CLASSES)
]
TANH = {"reconstruction": "mse", "last": L.Tanh(), "beta": 0.5, "latent_dim": 5}
OPTIMIZERS = [
    optimizers.RMSprop(1e-3, rho=0.9, momentum=0.9),
    optimizers.RMSprop(1e-4),  # whose first step is ten times as long as its learning rate
    optimizers.SGD(1e-5, momentum=0.9),
    optimizers.SGD(1e-4),
    optimizers.Adam(1e-3, beta1=0.5, epsilon=1e-5),
]


def variant_name(variant: dict[str, Any]) -> str:
    return "-".join(f"{value}" for value in variant.values())


def test_the_zoo_builds_this_architecture() -> None:
    vae = gm.zoo.build("vae-keras")
    assert {name: list(vae.networks[name].layers) for name in ("encoder", "decoder")} == keras_layers()
    assert vae.latent_dim == 2
    assert vae.optimizer == optimizers.Adam(1e-3)


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_networks(name: str) -> None:
    """As plain networks: output, weight gradients and input gradient."""
    net = build().networks[name]
    rng = np.random.default_rng(11)
    x = rng.standard_normal((BATCH, *net.input_shape), np.float32)
    dy = rng.standard_normal((BATCH, *net.output_shape), np.float32)
    reference, reference_x = Reference(net.layers, net.weights), double(x).requires_grad_()
    expected = reference.forward(reference_x, training=True)
    expected.backward(double(dy))
    assert relative_error(net.forward(x), expected.detach().numpy()) <= FORWARD
    net.forward(x, training=True)
    assert relative_error(net.backward(dy), reference_x.grad.numpy()) <= GRADIENT
    for weight, gradient in reference.gradients().items():
        assert relative_error(net.gradients[weight], gradient) <= GRADIENT, weight


@pytest.mark.parametrize("variant", [*VARIANTS, TANH], ids=variant_name)
def test_codes_and_images(variant: dict[str, Any]) -> None:
    vae = build(**variant)
    reference, x, labels = VAEReference(vae), blobs(BATCH, 1), labels_of(vae, BATCH, 2)
    with torch.no_grad():
        mean, logvar = reference.encode(x, labels, training=False)
        images = reference.decode(mean, labels).numpy()
    images = (images + 1) / 2 if reference.tanh else images
    assert relative_error(vae.encode(x, labels)[0], mean.numpy()) <= FORWARD
    assert relative_error(vae.encode(x, labels)[1], logvar.numpy()) <= FORWARD
    assert relative_error(vae.decode(mean.numpy(), labels), images) <= FORWARD
    assert relative_error(vae.reconstruct(x, labels), images) <= FORWARD


@pytest.mark.parametrize("variant", [*VARIANTS, TANH], ids=variant_name)
def test_losses_and_gradients(variant: dict[str, Any]) -> None:
    """One training step: its three losses, and the gradients it leaves behind."""
    vae = build(**variant)
    reference, x, labels, noise = VAEReference(vae), blobs(BATCH, 4), labels_of(vae, BATCH, 5), noise_of(vae, BATCH, 6)
    expected, losses = reference.train_step(x, labels, noise), vae.train_step(x, labels, noise)
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=FORWARD), name
    for network, net in reference.networks.items():
        for name, gradient in net.gradients().items():
            error = relative_error(vae.networks[network].gradients[name], gradient)
            assert error <= GRADIENT, f"{network}.{name}"


EVALUATION_STREAM = 3 | 1 << 32  # of the library's random numbers: the noise of evaluate()


@pytest.mark.parametrize("variant", [VARIANTS[0], VARIANTS[-1], TANH], ids=variant_name)
def test_evaluation(variant: dict[str, Any]) -> None:
    """Held-out images, more than go through the networks at a time."""
    vae, n = build(**variant), 300
    x, labels = blobs(n, 7), labels_of(vae, n, 8)
    noise = gm._core.normal(vae.seed, EVALUATION_STREAM, n * vae.latent_dim).reshape(n, -1)
    with torch.no_grad():
        expected = VAEReference(vae).losses(x, labels, noise, training=False)
    for name, value in vae.evaluate(x, labels).items():
        assert value == pytest.approx(float(expected[name]), rel=FORWARD), name


Losses = list[dict[str, float]]


def train(model: gm.VAE | VAEReference, vae: gm.VAE) -> Losses:
    """Of 50 steps, the last batch of each ten a short one."""
    losses = []
    for step in range(STEPS):
        n = SMALL_BATCH if step % 10 != 9 else 3
        batch = blobs(n, 100 + step), labels_of(vae, n, 200 + step), noise_of(vae, n, 300 + step)
        losses.append(model.train_step(*batch))
    return losses


def differences(actual: Losses, expected: Losses) -> Iterable[tuple[str, float]]:
    """Names and relative errors.

    The KL term begins near 0, where nothing is relative to it: a millionth of the loss is as good as none.
    """
    for step, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        for name, value in theirs.items():
            least = 1e-6 * theirs["loss"] if name == "kl" else 0.0
            yield f"{name} of step {step}", max(abs(ours[name] - value) - least, 0.0) / abs(value)


def check_training(**changes: Any) -> None:
    """Every loss of 50 steps, from the first start that float32's rounding cannot upset, as the reference alone has it
    (see test_gan.py)."""
    for seed in range(7, 7 + TRIES):
        vae = build(seed=seed, **changes)
        expected = train(VAEReference(vae), vae)
        roundings = (train(VAEReference(vae, Rounding(number, EPSILONS)), vae) for number in range(ROUNDINGS))
        if all(error <= LOSS / 4 for moved in roundings for _, error in differences(moved, expected)):
            break
    else:
        raise AssertionError(f"no fair start of {changes}")
    assert expected[-1]["loss"] < 0.95 * expected[0]["loss"], "it learned something"
    for what, error in differences(train(vae, vae), expected):
        assert error <= LOSS, what


@pytest.mark.parametrize("variant", [*VARIANTS, TANH], ids=variant_name)
def test_fifty_steps(variant: dict[str, Any]) -> None:
    check_training(**variant)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_fifty_steps_with_other_optimizers(optimizer: optimizers.Optimizer) -> None:
    check_training(optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [optimizers.Adam(1e-3), *OPTIMIZERS], ids=repr)
def test_weights_after_steps(optimizer: optimizers.Optimizer) -> None:
    """Ten steps along gradients that are far from zero: the weights themselves, not only the losses."""
    layers = {"encoder": [L.Flatten()], "decoder": [L.Dense(784), L.Reshape((28, 28, 1)), L.Sigmoid()]}
    vae = gm.VAE(**layers, input_shape=(28, 28, 1), latent_dim=2, optimizer=optimizer, seed=1)
    reference, before = VAEReference(vae), {name: value.copy() for name, value in vae.weights.items()}
    for step in range(10):
        x, noise = blobs(BATCH, step), noise_of(vae, BATCH, step)
        reference.train_step(x, None, noise)
        vae.train_step(x, None, noise)
    moved = vae.weights["decoder.0.bias"] - before["decoder.0.bias"]
    expected = reference.networks["decoder"].weights["0.bias"].detach().numpy() - before["decoder.0.bias"]
    assert relative_error(moved, expected) <= GRADIENT
