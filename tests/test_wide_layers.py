"""Wide dense layers: a training step need not write their gradients, inference goes through them in larger pieces, and
nobody who looks may notice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

BATCH = 6
SIDE = 8
WIDE = 1300  # the square of it has more than 2^20 values
PRECISIONS = ("float32", "bf16", "high")
IMAGES = np.random.default_rng(3).random((BATCH, SIDE, SIDE, 1), dtype=np.float32)


def wide(last: L.Layer) -> list[L.Layer]:
    return [L.Dense(WIDE), L.LeakyReLU(0.2), L.Dense(WIDE), L.ReLU(), L.Dense(SIDE * SIDE), last]


def build_vae(**options: object) -> gm.VAE:
    return gm.VAE(
        encoder=[L.Flatten(), *wide(L.Tanh())],
        decoder=[*wide(L.Sigmoid()), L.Reshape((SIDE, SIDE, 1))],
        input_shape=(SIDE, SIDE, 1),
        latent_dim=3,
        seed=1,
        **options,
    )


def build_gan(**options: object) -> gm.GAN:
    return gm.GAN(
        generator=[*wide(L.Tanh()), L.Reshape((SIDE, SIDE, 1))],
        discriminator=[L.Flatten(), *wide(L.LeakyReLU(0.2)), L.Dense(1)],
        input_shape=(SIDE, SIDE, 1),
        latent_dim=3,
        seed=1,
        **options,
    )


def after_steps(model: gm.VAE | gm.GAN, looks: bool) -> dict[object, object]:
    """The state after three steps, the last one short; who `looks` sees the gradients before."""
    if looks:
        assert all(network.gradients for network in model.networks.values())
    for count in (BATCH, BATCH, BATCH - 2):
        model.train_step(IMAGES[:count])
    return small.state(model)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "optimizer", [optimizers.Adam(1e-3), optimizers.RMSprop(1e-3, momentum=0.5), optimizers.SGD(1e-2)]
)
def test_looking_at_gradients_changes_no_bit_of_a_vae(precision: str, optimizer: optimizers.Optimizer) -> None:
    build = lambda: build_vae(precision=precision, optimizer=optimizer)  # noqa: E731
    assert after_steps(build(), looks=False) == after_steps(build(), looks=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mixed_batches": True},
        {"ema": 0.9},
        {"objective": "wgan", "clip_weights": 0.01, "critic_steps": 2},
        {"objective": "wgan-gp"},
    ],
    ids=str,
)
def test_looking_at_gradients_changes_no_bit_of_a_gan(options: dict[str, object]) -> None:
    assert after_steps(build_gan(**options), looks=False) == after_steps(build_gan(**options), looks=True)


@pytest.mark.parametrize("build", [build_vae, build_gan])
def test_gradients_of_the_last_step_are_there_whenever_asked_for(build: Callable[[], gm.VAE | gm.GAN]) -> None:
    asks, watches = build(), build()
    views = {(part, name): value for part, net in watches.networks.items() for name, value in net.gradients.items()}
    for model in (asks, watches):
        model.train_step(IMAGES)
        model.sample(3)  # what comes between
    wanted = {key: value.copy() for key, value in views.items()}
    assert all(np.abs(value).max() > 0 for (_, name), value in wanted.items() if name.endswith("kernel"))
    for (part, name), value in wanted.items():
        np.testing.assert_array_equal(asks.networks[part].gradients[name], value, strict=True)
    for part, net in asks.networks.items():
        np.testing.assert_array_equal(net.parameter_gradients, watches.networks[part].parameter_gradients, strict=True)


def learned(model: gm.VAE | gm.GAN) -> dict[str, bytes]:
    """What only a step that succeeds moves: a refused one has drawn its noise."""
    return {name: value.tobytes() for name, value in {**model.weights, **model._optimizer_tensors()}.items()}


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e20])
def test_divergence_in_a_wide_layer_changes_nothing(value: float) -> None:
    model = build_vae()
    model.train_step(IMAGES)
    model.networks["decoder"].weights["2.kernel"][0, 0] = value
    before = learned(model)
    with pytest.raises(FloatingPointError, match="training diverged: at step 2"):
        model.train_step(IMAGES)
    assert before == learned(model)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_draws_do_not_depend_on_how_many_there_are(precision: str) -> None:
    z = np.random.default_rng(4).standard_normal((700, 3), dtype=np.float32)
    for model in (build_vae(precision=precision), build_gan(precision=precision)):
        draw = model.decode if isinstance(model, gm.VAE) else model.generate
        np.testing.assert_array_equal(draw(z), np.concatenate([draw(z[k : k + 100]) for k in range(0, 700, 100)]))
