"""Every objective agrees with PyTorch: losses, gradients, the penalty by double backward, 20 steps with the same noise.

As in test_random_networks.py the reference alone chooses, of a few seeds, the first one whose results float32's
rounding cannot upset: Adam and RMSprop take whole steps along gradients of any size, so a rounding that turns a
gradient's sign moves a weight by two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from gan_reference import WASSERSTEIN, GANReference, indifferent_biases
from model_reference import blobs
from reference import Reference, Rounding, double, relative_error, zero_gradient_biases

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

FORWARD, GRADIENT, STEPS_APART = 1e-5, 1e-4, 1e-3
BATCH, STEPS, CLASSES, LATENT = 8, 20, 10, 16
TRIES, ROUNDINGS, EPSILONS = 20, 4, 4
EVALUATION_STREAM = 3 | 1 << 32  # of the library's random numbers: the noise of evaluate()

torch.set_num_threads(1)

Arrays = dict[str, np.ndarray]
Layers = list[L.Layer]
Step = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]


# ---- Networks of the kinds in use, with few channels ----


def dense_generator(last: L.Layer) -> Layers:
    """As dcgan-tf's."""

    def up(filters: int, strides: int) -> L.Layer:
        return L.Conv2DTranspose(filters, 5, strides=strides, padding="same", use_bias=False)

    def norm() -> Layers:
        return [L.BatchNorm(), L.LeakyReLU(0.3)]

    return [
        *(L.Dense(7 * 7 * 8, use_bias=False), *norm(), L.Reshape((7, 7, 8))),
        *(up(8, 1), *norm(), up(4, 2), *norm(), up(1, 2), last),
    ]


def deep_generator(classes: int) -> Layers:
    """As gan-16's, all convolutions."""

    def up(filters: int, **stride: int) -> L.Layer:
        return L.Conv2DTranspose(filters, 4, use_bias=False, **stride)

    return [
        *(L.Reshape((1, 1, LATENT + classes)), up(16), L.BatchNorm(), L.ReLU()),
        *(up(8, strides=2, padding=1), L.BatchNorm(), L.ReLU()),
        *(L.Conv2DTranspose(1, 4, strides=2, padding=1), L.Tanh()),
    ]


def plain_critic(spectral_norm: bool = False) -> Layers:
    """As dcgan-tf's, without dropout."""
    options = {"spectral_norm": True} if spectral_norm else {}

    def down(filters: int) -> Layers:
        return [L.Conv2D(filters, 5, strides=2, padding="same", **options), L.LeakyReLU(0.3), L.Dropout(0.0)]

    return [*down(8), *down(16), L.Flatten(), L.Dense(1, **options)]


def normed_critic(last: L.Layer) -> Layers:
    """As gan-16's, with batch norm."""

    def down(filters: int, **bias: bool) -> L.Layer:
        return L.Conv2D(filters, 4, strides=2, padding=1, **bias)

    return [
        *(down(8), L.LeakyReLU(), down(16, use_bias=False), L.BatchNorm(), L.LeakyReLU()),
        *(down(32, use_bias=False), L.BatchNorm(), last, L.Flatten(), L.Dense(1)),
    ]


# ---- Cases ----

ADAM = optimizers.Adam(2e-4, beta1=0.5)
SLOW, CLIP = optimizers.RMSprop(5e-5), 0.05


@dataclass(frozen=True)
class Case:
    """A kind of model, and how it is called."""

    name: str
    objective: str
    size: int = 28
    generator: Callable[[int], Layers] = lambda classes: dense_generator(L.Tanh())
    discriminator: Callable[[], Layers] = plain_critic
    optimizer: optimizers.Optimizer = ADAM
    changes: dict[str, Any] = field(default_factory=dict)
    each_its_own: bool = False  # images, labels, noise and mix of every update apart
    batch: int = BATCH

    def build(self, seed: int) -> gm.GAN:
        """With biases other than zero: at zero a wrong bias would not show."""
        classes = self.changes.get("num_classes", 0)
        gan = gm.GAN(
            generator=self.generator(classes),
            discriminator=self.discriminator(),
            input_shape=(self.size, self.size, 1),
            latent_dim=LATENT,
            objective=self.objective,
            generator_optimizer=self.optimizer,
            discriminator_optimizer=self.optimizer,
            seed=seed,
            **self.changes,
        )
        rng = np.random.default_rng(seed)
        for name, value in gan.weights.items():
            if name.endswith(("bias", "beta")):
                value[...] = rng.uniform(-0.1, 0.1, value.shape)
        return gan

    def step(self, gan: gm.GAN, seed: int) -> Step:
        """Images, labels, noise and mix of one training step."""
        rng, n, own = np.random.default_rng(seed), self.batch, self.each_its_own
        critics, updates = ((gan.critic_steps,), (gan.critic_steps + 1,)) if own else ((), ())
        x = crop(blobs(n * (gan.critic_steps if own else 1), seed), self.size)
        labels = rng.integers(0, CLASSES, (*critics, n)) if gan.num_classes else None
        noise = rng.standard_normal((*updates, n, LATENT), np.float32)
        mix = rng.random((*critics, n), np.float32) if gan.objective == "wgan-gp" else None
        return x.reshape(*critics, n, *x.shape[1:]), labels, noise, mix


def crop(x: np.ndarray, size: int) -> np.ndarray:
    """The middle of images (N, 28, 28, 1)."""
    start = (28 - size) // 2
    return x[:, start : start + size, start : start + size]


def objective_case(objective: str, classes: int) -> Case:
    name = f"{objective}-conditional" if classes else objective
    given: dict[str, Any] = {"changes": {"num_classes": classes}}
    match objective:
        case "lsgan":
            given |= {"size": 16, "generator": deep_generator, "discriminator": lambda: normed_critic(L.Sigmoid())}
        case "wgan":
            given["optimizer"] = SLOW
            given["changes"]["clip_weights"] = CLIP
    return Case(name, objective, **given)


OBJECTIVES = [
    objective_case(objective, classes)
    for objective in ("bce", "lsgan", "wgan", "wgan-gp", "hinge")
    for classes in (0, CLASSES)
]
OTHERS = [
    Case(
        *("wgan-norm", "wgan", 16, deep_generator, lambda: normed_critic(L.LeakyReLU()), SLOW),
        changes={"clip_weights": 0.01, "num_classes": CLASSES},
    ),
    Case("unit-range", "bce", generator=lambda classes: dense_generator(L.Sigmoid())),
    Case("smoothed-bce", "bce", changes={"label_smoothing": 0.1}),
    Case("smoothed-lsgan", "lsgan", changes={"label_smoothing": 0.2}),
    Case("critic-steps", "bce", changes={"critic_steps": 2}),
    Case("own-arrays", "bce", changes={"critic_steps": 3, "num_classes": CLASSES}, each_its_own=True),
    Case("own-arrays-gp", "wgan-gp", changes={"critic_steps": 3, "num_classes": CLASSES}, each_its_own=True),
    Case("penalty-1000", "wgan-gp", changes={"gradient_penalty": 1000.0}),
    Case("mixed", "bce", changes={"mixed_batches": True}),
    Case("mixed-gp", "wgan-gp", changes={"mixed_batches": True, "num_classes": CLASSES}),
    Case(
        *("mixed-norm", "lsgan", 16, deep_generator, lambda: normed_critic(L.LeakyReLU())),
        changes={"mixed_batches": True, "num_classes": CLASSES},
    ),
    Case("average", "bce", changes={"ema": 0.9}),
    Case("spectral", "hinge", discriminator=lambda: plain_critic(spectral_norm=True)),
    Case("spectral-gp", "wgan-gp", discriminator=lambda: plain_critic(spectral_norm=True)),
    Case("sgd", "bce", optimizer=optimizers.SGD(1e-2, momentum=0.9), changes={"critic_steps": 2}),
    Case("sgd-gp", "wgan-gp", optimizer=optimizers.SGD(1e-4)),
    Case("one-image", "wgan-gp", generator=lambda classes: [L.Dense(784), L.Reshape((28, 28, 1)), L.Tanh()], batch=1),
]
CASES = [*OBJECTIVES, *OTHERS]


def case_name(case: Case) -> str:
    return case.name


# ---- What is compared ----


def without_gradient(gan: gm.GAN) -> set[str]:
    """Weights that rounding alone moves: biases whose true gradient is 0.

    They come before a batch norm, which takes the mean out again, and at the end of a critic whose loss is the same
    when all its outputs move alike; a hinge critic's is, inside its margins.
    """
    biases = {network: zero_gradient_biases(net.layers) for network, net in gan.networks.items()}
    if gan.objective in (*WASSERSTEIN, "hinge"):
        biases["discriminator"] |= indifferent_biases(gan.networks["discriminator"].layers)
    return {f"{network}.{name}" for network, names in biases.items() for name in names}


def weights_of(reference: GANReference) -> Arrays:
    """A copy of all of them, named as the model's."""
    return {
        f"{network}.{name}": value.detach().numpy().copy()
        for network, net in reference.networks.items()
        for name, value in net.weights.items()
    }


def gradients_of(networks: dict[str, Any]) -> Arrays:
    return {
        f"{network}.{name}": np.array(value)
        for network, net in networks.items()
        for name, value in (net.gradients() if isinstance(net, Reference) else net.gradients).items()
    }


@dataclass
class Run:
    """What training steps gave: losses of every step, then weights, gradients of the last step."""

    losses: list[dict[str, float]]
    weights: Arrays
    gradients: Arrays


def run_reference(gan: gm.GAN, steps: Iterable[Step], rounding: Rounding | None = None) -> Run:
    reference = GANReference(gan, rounding)
    losses = [reference.train_step(*step) for step in steps]
    return Run(losses, weights_of(reference), gradients_of(reference.networks))


def run_ours(gan: gm.GAN, steps: Iterable[Step]) -> Run:
    losses = [gan.train_step(*step) for step in steps]
    return Run(losses, {name: value.copy() for name, value in gan.weights.items()}, gradients_of(gan.networks))


def differences(actual: Run, expected: Run, apart: set[str], arrays: str) -> Iterable[tuple[str, float]]:
    """What is compared, losses and "weights" or "gradients", and its relative error; `apart` names what is not."""
    for step, (ours, theirs) in enumerate(zip(actual.losses, expected.losses, strict=True)):
        assert ours.keys() == theirs.keys(), step
        yield from ((f"{name} of step {step}", abs(ours[name] - theirs[name]) / abs(theirs[name])) for name in theirs)
    ours, theirs = getattr(actual, arrays), getattr(expected, arrays)
    assert ours.keys() == theirs.keys()
    yield from ((name, relative_error(ours[name], theirs[name])) for name in sorted(theirs.keys() - apart))


def fair_start(case: Case, count: int, arrays: str, tolerance: float) -> tuple[gm.GAN, list[Step], Run]:
    """A model, its steps and what is expected of them, none of which float32's rounding upsets; see the top."""
    for seed in range(TRIES):
        gan = case.build(seed)
        steps = [case.step(gan, 1000 * seed + k) for k in range(count)]
        expected, apart = run_reference(gan, steps), without_gradient(gan)
        roundings = (run_reference(gan, steps, Rounding(number, EPSILONS)) for number in range(ROUNDINGS))
        if all(
            error <= tolerance / 4 for moved in roundings for _, error in differences(moved, expected, apart, arrays)
        ):
            return gan, steps, expected
    raise AssertionError(f"no fair start of {case.name}")


def check(case: Case, count: int, arrays: str, tolerance: float) -> gm.GAN:
    """That many steps of both; the model after them."""
    gan, steps, expected = fair_start(case, count, arrays, tolerance)
    for what, error in differences(run_ours(gan, steps), expected, without_gradient(gan), arrays):
        assert error <= tolerance, what
    return gan


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_losses_and_gradients(case: Case) -> None:
    """One training step: the gradients of both networks that it leaves behind."""
    check(case, 1, "gradients", GRADIENT)


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_twenty_steps(case: Case) -> None:
    """The losses of each, all weights and moving statistics after the last."""
    check(case, STEPS, "weights", STEPS_APART)


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("sgd")], ids=case_name)
def test_way_of_the_weights(case: Case) -> None:
    """How far they have moved, along gradients of true size."""
    gan, steps, expected = fair_start(case, STEPS, "weights", STEPS_APART)
    before = {name: value.copy() for name, value in gan.weights.items()}
    after = run_ours(gan, steps).weights
    for name in after.keys() - without_gradient(gan):
        assert relative_error(after[name] - before[name], expected.weights[name] - before[name]) <= STEPS_APART, name


@pytest.mark.parametrize("case", [case for case in CASES if not case.each_its_own], ids=case_name)
def test_inference(case: Case) -> None:
    """Images, by the average where there is one; the critic's outputs; losses of held-out images.

    After some steps, so that moving statistics, singular vectors and the average are not where they began. The
    reference takes the weights that ours came to, and averages those.
    """
    gan = case.build(1)
    reference, n = GANReference(gan), 150  # more than go through the networks at a time
    for k in range(3):
        gan.train_step(*case.step(gan, k))
        reference.take_over()
    rng = np.random.default_rng(2)
    x, z = crop(blobs(n, 3), case.size), rng.standard_normal((n, LATENT), np.float32)
    labels = rng.integers(0, CLASSES, n) if gan.num_classes else None
    noise = gm._core.normal(gan.seed, EVALUATION_STREAM, n * LATENT).reshape(n, -1)
    with torch.no_grad():
        images, outputs = reference.sample(double(z), labels), reference.judge(reference.images(x), labels, False)
        expected = reference.evaluate(x, labels, noise)
    assert relative_error(gan.generate(z, labels), images.numpy()) <= FORWARD
    assert relative_error(gan.discriminate(x, labels), outputs.numpy()) <= FORWARD
    losses = gan.evaluate(x, labels)
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=GRADIENT), name
