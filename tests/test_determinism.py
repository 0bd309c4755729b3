"""The same seed gives the same bits, whatever the number of threads and whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

THREADS = (1, 2, 3, 7)
CLASSES = 4


def digest(model: gm.VAE | gm.GAN | gm.Classifier) -> dict[str, bytes]:
    """All a training run leaves behind, as bytes: weights, moving statistics, optimizer state."""
    tensors = {**model.weights, **model._optimizer_tensors()}
    return {name: value.tobytes() for name, value in tensors.items()}


def build(seed: int = 5) -> gm.VAE:
    """Every kind of layer with weights, normalisation and dropout, wide enough that the work is cut into pieces."""
    return gm.VAE(
        encoder=[
            *(L.Conv2D(24, 3, strides=2, padding="same"), L.BatchNorm(), L.LeakyReLU(0.2), L.Dropout(0.2)),
            *(L.Conv2D(16, 3, padding=1), L.ReLU(), L.MaxPool2D(3, 1, "same"), L.LayerNorm(), L.AvgPool2D(2, 1)),
            *(L.Flatten(), L.Dense(40), L.BatchNorm(), L.ReLU()),
        ],
        decoder=[
            *(L.Dense(5 * 5 * 16), L.Tanh(), L.Dropout(0.1), L.Reshape((5, 5, 16))),
            *(L.Conv2DTranspose(20, 4, strides=2, padding=1), L.BatchNorm(), L.ReLU()),
            *(L.UpSampling2D(), L.Conv2DTranspose(1, 3, padding="same"), L.Sigmoid()),
        ],
        input_shape=(20, 20, 1),
        latent_dim=6,
        num_classes=CLASSES,
        seed=seed,
    )


PIECEWISE = [
    *(L.Conv2D(24, 3, strides=2, padding="same", spectral_norm=True), L.LeakyReLU(0.2), L.Dropout(0.2)),
    *(L.Conv2D(16, 3, padding=1), L.ReLU(), L.MaxPool2D(3, 1, "same"), L.AvgPool2D(2, 1), L.UpSampling2D()),
    *(L.Conv2DTranspose(6, 3, spectral_norm=True), L.LeakyReLU(0.1), L.Flatten(), L.Dense(40), L.ReLU(), L.Dense(1)),
]
NORMALISED = [
    *(L.Conv2D(24, 3, strides=2, padding="same", spectral_norm=True), L.BatchNorm(), L.LeakyReLU(0.2)),
    *(L.Dropout(0.2), L.Conv2D(16, 3, padding=1), L.LayerNorm(), L.Tanh(), L.Flatten(), L.Dense(1)),
]


def build_gan(objective: str, seed: int = 5) -> gm.GAN:
    """Conditional, five updates of the critic a step, with an average and every kind of layer it may have."""
    return gm.GAN(
        generator=[
            *(L.Dense(5 * 5 * 16), L.BatchNorm(), L.ReLU(), L.Dropout(0.1), L.Reshape((5, 5, 16))),
            *(L.Conv2DTranspose(20, 4, strides=2, padding=1), L.BatchNorm(), L.ReLU()),
            *(L.UpSampling2D(), L.Conv2DTranspose(1, 3, padding="same"), L.Tanh()),
        ],
        discriminator=PIECEWISE if objective == "wgan-gp" else NORMALISED,
        input_shape=(20, 20, 1),
        latent_dim=6,
        objective=objective,
        num_classes=CLASSES,
        critic_steps=5,
        clip_weights=0.1 if objective == "wgan" else None,
        mixed_batches=objective == "hinge",
        ema=0.9,
        seed=seed,
    )


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 20, 20, 1), np.uint8), rng.integers(0, CLASSES, n)


def after_hundred_steps(seed: int = 5) -> dict[str, bytes]:
    """25 epochs of 4 steps: batches of 32, 32, 32 and 13."""
    vae = build(seed)
    vae.fit(*data(109), epochs=25, batch_size=32, verbose="silent")
    assert vae._counters()["encoder.steps"] == 100
    return digest(vae)


def test_threads_do_not_change_a_bit(threads: Callable[[int], None]) -> None:
    results = {}
    for count in THREADS:
        threads(count)
        assert gm.get_num_threads() == count
        results[count] = after_hundred_steps()
    for count in THREADS[1:]:
        changed = [name for name, value in results[1].items() if results[count][name] != value]
        assert not changed, f"{count} threads: {changed}"


@pytest.mark.parametrize("objective", ["bce", "lsgan", "wgan", "wgan-gp", "hinge"])
def test_threads_do_not_change_a_gan(threads: Callable[[int], None], objective: str) -> None:
    """Four epochs of 160 and then 9 images a step."""
    results = []
    for count in THREADS:
        threads(count)
        gan, (x, labels) = build_gan(objective), data(169)
        history = gan.fit(x, labels, epochs=4, batch_size=32, verbose="silent")
        assert len(history.steps) == 8
        losses = [history.steps[name] for name in history.steps]
        outputs = gan.discriminate(x, labels).tobytes(), gan.sample(9, labels[:9], seed=1).tobytes()
        results.append((losses, digest(gan), gan._counters(), gan.evaluate(x, labels), outputs))
    assert all(result == results[0] for result in results[1:])


LABELLING = [
    *(L.Conv2D(24, 3, padding="same", use_bias=False), L.MaxPool2D(), L.BatchNorm(), L.ReLU(), L.Dropout(0.2)),
    *(L.Conv2D(33, 3, padding="same"), L.LeakyReLU(0.1), L.GlobalAvgPool2D(), L.Dense(CLASSES)),
]


def test_threads_do_not_change_a_classifier(threads: Callable[[int], None]) -> None:
    """Training with augmentation, and all that it tells of 300 images, which go through the network in pieces."""
    results, (x, labels) = [], data(300)
    for count in THREADS:
        threads(count)
        model = gm.Classifier(layers=LABELLING, input_shape=(20, 20, 1), num_classes=CLASSES, seed=5)
        history = model.fit(x, labels, 4, 64, verbose="silent", augmentation=gm.Augmentation(2, flip=True))
        losses = [history.steps[name] for name in history.steps]
        outputs = [part.tobytes() for part in (model.features(x), model.logits(x), model.predict_proba(x))]
        results.append((losses, digest(model), model._counters(), model.evaluate(x, labels), outputs))
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("count", THREADS)
def test_rows_of_a_classifier_do_not_depend_on_their_batch(threads: Callable[[int], None], count: int) -> None:
    threads(count)
    model, (x, labels) = gm.Classifier(layers=LABELLING, input_shape=(20, 20, 1), num_classes=CLASSES), data(300)
    model.train_step(x[:32], labels[:32])
    for name in ("features", "logits", "predict_proba", "predict"):
        everything = getattr(model, name)(x)
        for n in (1, 5, 129):
            assert getattr(model, name)(x[:n]).tobytes() == everything[:n].tobytes(), f"{name} of {n} and of 300"


def test_another_seed_changes_every_kernel(threads: Callable[[int], None]) -> None:
    threads(2)
    one, other = after_hundred_steps(5), after_hundred_steps(6)
    assert not [name for name in one if name.endswith("kernel") and one[name] == other[name]]


@pytest.mark.parametrize("name", ["vae-keras", "vae-z10"])
def test_threads_do_not_change_reference_models(threads: Callable[[int], None], name: str) -> None:
    """Wider layers and larger batches, whose work is cut more finely."""
    x = np.random.default_rng(1).integers(0, 256, (160, 28, 28, 1), np.uint8)
    results = []
    for count in THREADS:
        threads(count)
        model = gm.zoo.build(name, seed=2)
        losses = [model.train_step(x[:128]), model.train_step(x[128:])]
        results.append((losses, digest(model), model.evaluate(x), model.sample(7, seed=1).tobytes()))
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("count", THREADS)
def test_rows_do_not_depend_on_their_batch(threads: Callable[[int], None], count: int) -> None:
    threads(count)
    vae = build()
    vae.fit(*data(64), epochs=1, batch_size=32, verbose="silent")
    x, labels = data(64)
    z = np.random.default_rng(2).standard_normal((64, vae.latent_dim), np.float32)
    functions = {
        "mean": lambda n: vae.encode(x[:n], labels[:n])[0],
        "logvar": lambda n: vae.encode(x[:n], labels[:n])[1],
        "decode": lambda n: vae.decode(z[:n], labels[:n]),
        "reconstruct": lambda n: vae.reconstruct(x[:n], labels[:n]),
        "sample": lambda n: vae.sample(n, labels[:n], seed=3),
    }
    for name, function in functions.items():
        everything = function(64)
        for n in (1, 5):
            assert function(n).tobytes() == everything[:n].tobytes(), f"{name} of {n} and of 64"


RECURRENT = [L.LSTM(24), L.LayerNorm(), L.LSTM(17, return_sequences=False), L.Dense(10)]


def test_threads_do_not_change_recurrent_networks(threads: Callable[[int], None]) -> None:
    rng, results = np.random.default_rng(4), []
    x, dy = rng.standard_normal((150, 28, 20), np.float32), rng.standard_normal((150, 10), np.float32)
    for count in THREADS:
        threads(count)
        net = gm.Network(RECURRENT, (28, 20), seed=1)
        y = net.forward(x, training=True)
        results.append((y.tobytes(), net.backward(dy).tobytes(), net.parameter_gradients.tobytes()))
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("place", [0, 3, 63])
def test_sequences_do_not_depend_on_their_place(place: int) -> None:
    net = gm.Network(RECURRENT, (7, 5), seed=1)
    x = np.random.default_rng(3).standard_normal((64, 7, 5), np.float32)
    alone = net.forward(x[place : place + 1])
    assert alone.tobytes() == net.forward(x)[place : place + 1].tobytes()
    assert alone.tobytes() == net.forward(x, training=True)[place : place + 1].tobytes()


@pytest.mark.parametrize("count", THREADS)
def test_rows_of_a_gan_do_not_depend_on_their_batch(threads: Callable[[int], None], count: int) -> None:
    threads(count)
    gan, (x, labels) = build_gan("hinge"), data(300)
    gan.train_step(x[:32], labels[:32])
    z = np.random.default_rng(2).standard_normal((300, gan.latent_dim), np.float32)
    functions = {
        "generate": lambda n: gan.generate(z[:n], labels[:n]),
        "discriminate": lambda n: gan.discriminate(x[:n], labels[:n]),
        "sample": lambda n: gan.sample(n, labels[:n], seed=3),
    }
    for name, function in functions.items():
        everything = function(300)
        for n in (1, 5, 129):
            assert function(n).tobytes() == everything[:n].tobytes(), f"{name} of {n} and of 300"


@pytest.mark.parametrize("place", [0, 3, 63])
def test_rows_do_not_depend_on_their_place(place: int) -> None:
    """A network's output for one sample, alone and anywhere in a batch of 64, larger than any before."""
    layers = [
        *(L.Conv2D(33, 3, padding="same"), L.ReLU(), L.MaxPool2D(3, 2, "same"), L.LayerNorm(), L.UpSampling2D()),
        *(L.Conv2DTranspose(7, 3, 2), L.Tanh(), L.AvgPool2D(2, 1), L.Flatten(), L.Dense(10)),
    ]
    net = gm.Network(layers, (9, 7, 3), seed=1)
    x = np.random.default_rng(3).standard_normal((64, 9, 7, 3), np.float32)
    alone = net.forward(x[place : place + 1])
    assert alone.tobytes() == net.forward(x)[place : place + 1].tobytes()


def test_predicting_does_not_change_training() -> None:
    """Samples with a seed, codes and scores in between leave the run's bits alone."""
    x, labels = data(96)
    quiet, busy = build(), build()
    for start in (0, 32, 64):
        quiet.train_step(x[start : start + 32], labels[start : start + 32])
        busy.train_step(x[start : start + 32], labels[start : start + 32])
        busy.sample(50, np.zeros(50, int), seed=9)
        busy.reconstruct(x, labels)
        busy.evaluate(x, labels)
    assert digest(quiet) == digest(busy)
