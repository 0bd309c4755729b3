"""GAN: the average of the weights, spectral normalisation, learning rates, fit, symptoms, files."""

import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L
from genmodels.callbacks import Callback, Checkpoint, ConstantRate, CosineDecay
from genmodels.model import CollapseWarning

SHAPE = (8, 8, 1)
OBJECTIVES = ("bce", "lsgan", "wgan", "wgan-gp", "hinge")
FAST = {"generator_optimizer": gm.optimizers.Adam(0.02), "discriminator_optimizer": gm.optimizers.Adam(0.02)}


def build(**changes):
    options = {
        "generator": [L.Dense(16), L.BatchNorm(), L.ReLU(), L.Dense(64), L.Reshape(SHAPE), L.Tanh()],
        "discriminator": [L.Conv2D(4, 3, strides=2, padding="same"), L.LeakyReLU(0.2), L.Flatten(), L.Dense(1)],
        "input_shape": SHAPE,
        "latent_dim": 3,
    }
    return gm.GAN(**{**options, **FAST, **changes})


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parameters(model):
    return {name: network.parameters.copy() for name, network in model.networks.items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


# ---- the average of the weights -------------------------------------------------------------------


def averages(gan):
    return {k.removeprefix("average."): v for k, v in gan._optimizer_tensors().items() if k.startswith("average.")}


def test_the_average_begins_at_the_initial_weights_and_follows():
    decay, gan, x = 0.8, build(ema=0.8), small.images(30)
    generator = gan.networks["generator"]
    expected = {name: view.astype(np.float64) for name, view in generator.weights.items()}
    assert averages(gan).keys() == expected.keys()
    assert same(expected, averages(gan))
    for _ in range(6):
        gan.train_step(x)
        for name, view in generator.weights.items():
            moving = "moving" in name
            expected[name] = view.astype(np.float64) if moving else decay * expected[name] + (1 - decay) * view
    for name, view in averages(gan).items():
        np.testing.assert_allclose(view, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.array_equal(averages(gan)["1.moving_var"], generator.weights["1.moving_var"])
    assert not np.allclose(averages(gan)["0.kernel"], generator.weights["0.kernel"], atol=1e-3)


def test_weights_set_by_hand_are_where_the_average_begins():
    decay, gan, z = 0.5, build(ema=0.5), normal(5, 3)
    generator = gan.networks["generator"]
    for view in generator.weights.values():
        view += 0.25
    np.testing.assert_allclose(gan.generate(z), (generator.forward(z) + 1) / 2, atol=1e-6)
    start = generator.weights["0.kernel"].copy()
    gan.train_step(small.images(30))
    expected = decay * start + (1 - decay) * generator.weights["0.kernel"]
    np.testing.assert_allclose(averages(gan)["0.kernel"], expected, rtol=1e-5, atol=1e-6)


def test_sample_and_generate_use_the_average_and_the_network_is_raw():
    gan, z = build(ema=0.9), normal(5, 3)
    for _ in range(5):
        gan.train_step(small.images(30))
    raw = gan.networks["generator"]
    average = gm.Network(raw.layers, raw.input_shape)
    for name, view in averages(gan).items():
        average.weights[name][...] = view
    np.testing.assert_allclose(gan.generate(z), (average.forward(z) + 1) / 2, atol=1e-6)
    assert np.abs(gan.generate(z) - (raw.forward(z) + 1) / 2).max() > 0.01
    assert np.array_equal(gan.sample(5, seed=1), gan.generate(gan._core.prior(5, 1)))


def test_without_ema_there_is_no_average_and_with_it_training_is_the_same():
    gans = [build(), build(ema=0.9)]
    assert not averages(gans[0])
    for gan in gans:
        gan.train_step(small.images(30))
    assert same(parameters(gans[0]), parameters(gans[1]))
    assert gans[0].parameter_count == gans[1].parameter_count


# ---- spectral normalisation -----------------------------------------------------------------------

NORMED = [
    *(L.Conv2D(6, 3, strides=2, padding="same", spectral_norm=True), L.LeakyReLU(0.2)),
    *(L.Conv2DTranspose(5, 3, strides=2, spectral_norm=True), L.ReLU()),
    *(L.Flatten(), L.Dense(7, spectral_norm=True), L.ReLU(), L.Dense(1, spectral_norm=True)),
]
PLAIN = [replace(layer, spectral_norm=False) if hasattr(layer, "spectral_norm") else layer for layer in NORMED]


def as_matrix(layer, kernel):
    """A row an output channel."""
    kernel = np.swapaxes(kernel, 2, 3) if isinstance(layer, L.Conv2DTranspose) else kernel
    return kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)


def power_step(matrix, u):
    """The next u and its sigma."""
    v = matrix.T @ u
    v /= np.linalg.norm(v)
    u = matrix @ v
    return u / np.linalg.norm(u), np.linalg.norm(u)


def normed(gan):
    """index: (layer, kernel, u) of the discriminator."""
    weights = gan.networks["discriminator"].weights
    layers = enumerate(gan.networks["discriminator"].layers)
    return {i: (layer, weights[f"{i}.kernel"], weights[f"{i}.u"]) for i, layer in layers if f"{i}.u" in weights}


def test_spectral_norm_adds_a_vector_and_no_parameter():
    gan = build(discriminator=NORMED)
    assert list(normed(gan)) == [0, 2, 5, 7]
    assert [u.shape for _, _, u in normed(gan).values()] == [(6,), (5,), (7,), (1,)]
    assert all(np.linalg.norm(u) == pytest.approx(1) for _, _, u in normed(gan).values())
    assert gan.parameter_count == build(discriminator=PLAIN).parameter_count
    assert not [name for name in gan.networks["discriminator"].gradients if name.endswith(".u")]


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 3),
        ({"mixed_batches": True}, 2),
        ({"objective": "wgan-gp"}, 4),
        ({"objective": "hinge", "critic_steps": 4}, 9),
    ],
)
def test_every_training_pass_is_a_power_step(changes, passes):
    """And passes of inference are none."""
    still = gm.optimizers.SGD(0.0)
    gan = build(discriminator=NORMED, discriminator_optimizer=still, **changes)
    expected = {i: u.astype(np.float64) for i, (_, _, u) in normed(gan).items()}
    gan.train_step(small.images(30))
    for i, (layer, kernel, u) in normed(gan).items():
        for _ in range(passes):
            expected[i], _ = power_step(as_matrix(layer, kernel), expected[i])
        np.testing.assert_allclose(u, expected[i], atol=1e-6, err_msg=str(i))
    before = small.state(gan)
    gan.discriminate(small.images(30))
    gan.evaluate(small.images(30))
    assert small.state(gan) == before


def test_the_largest_singular_value_becomes_1():
    gan = build(discriminator=NORMED, objective="hinge")
    for _ in range(5):
        gan.train_step(small.images(30))
    critic = gan.networks["discriminator"]
    x = normal(40, *SHAPE)
    for _ in range(300):
        critic.forward(x, training=True)
    divided = gm.Network(PLAIN, SHAPE)
    for name, view in divided.weights.items():
        view[...] = critic.weights[name]
    for i, (layer, kernel, u) in normed(gan).items():
        largest = np.linalg.svd(as_matrix(layer, kernel), compute_uv=False)[0]
        sigma = np.linalg.norm(as_matrix(layer, kernel).T @ u)
        assert largest / sigma == pytest.approx(1, abs=1e-4), i
        divided.weights[f"{i}.kernel"][...] /= largest
    np.testing.assert_allclose(critic.forward(x), divided.forward(x), rtol=1e-3, atol=1e-5)


# ---- learning rates -------------------------------------------------------------------------------

MODELS = {
    "vae": lambda: small.vae(),
    "gan": lambda: small.gan(),
    "two optimizers": lambda: build(ema=0.5, generator_optimizer=gm.optimizers.SGD(0.1, momentum=0.5)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_at_a_rate_of_0_no_parameter_moves(kind):
    model = MODELS[kind]()
    before = parameters(model)
    model.fit(small.images(50), epochs=2, batch_size=8, callbacks=ConstantRate(0.0), verbose="silent")
    assert same(parameters(model), before)
    model.fit(small.images(50), batch_size=8, verbose="silent")
    after = parameters(model)
    assert not any(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", MODELS)
def test_a_schedule_reaches_every_network(kind):
    """A cosine of two epochs: the rates of the first, half of them, none."""

    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_begin(self, model, epoch):
            self.seen.append(parameters(model))

    model, watch = MODELS[kind](), Watch()
    model.fit(small.images(50), epochs=4, batch_size=8, callbacks=[watch, CosineDecay(2)], verbose="silent")
    first, second, third, fourth = watch.seen
    assert not any(np.array_equal(first[name], second[name]) for name in first)
    assert not any(np.array_equal(second[name], third[name]) for name in first)
    assert same(third, fourth)
    assert same(third, parameters(model))


def test_the_factor_is_of_each_networks_own_rate():
    """Of SGD without momentum: a step of half the rate is half a step."""
    rates = {"generator_optimizer": gm.optimizers.SGD(0.1), "discriminator_optimizer": gm.optimizers.SGD(1e-9)}
    moves = []
    for factor in (1.0, 0.5):
        gan = build(**rates)
        before = parameters(gan)["generator"]
        gan._set_learning_rates(factor)
        gan.train_step(small.images(30))
        moves.append(parameters(gan)["generator"] - before)
    assert np.abs(moves[0]).max() > 1e-4
    np.testing.assert_allclose(moves[1], moves[0] / 2, atol=1e-6)


# ---- fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("classes", [0, 3])
def test_fit_records_the_losses(objective, classes):
    gan, x = build(objective=objective, num_classes=classes, critic_steps=2), small.images(50)
    y = np.arange(50) % 3 if classes else None
    history = gan.fit(x, y, epochs=2, batch_size=10, validation_data=(x[:20], None if y is None else y[:20]))
    assert len(history.steps) == 2 * 3
    names = {"discriminator_loss", "generator_loss"}
    wasserstein = {"wasserstein"} if objective in ("wgan", "wgan-gp") else set()
    penalty = {"gradient_penalty"} if objective == "wgan-gp" else set()
    assert set(history.steps) == names | wasserstein | penalty
    assert set(history) >= names | wasserstein | penalty | {f"val_{name}" for name in names | wasserstein}
    assert np.isfinite([history[name] for name in history]).all()
    assert gan._counters()["discriminator.steps"] == 12
    assert gan._counters()["generator.steps"] == 6


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_moves_the_images_towards_the_data(objective):
    """All bright: the discriminator tells brightness, and the generator follows."""
    gan = build(objective=objective, clip_weights=0.1 if objective == "wgan" else None)
    before = np.abs(gan.sample(16, seed=0).mean() - 230 / 255)
    for _ in range(100):
        gan.train_step(np.full((32, *SHAPE), 230, np.uint8))
    assert np.abs(gan.sample(16, seed=0).mean() - 230 / 255) < before / 2


# ---- symptoms -------------------------------------------------------------------------------------

STILL = {"generator_optimizer": gm.optimizers.SGD(0.0), "discriminator_optimizer": gm.optimizers.SGD(0.0)}
FLAT = [L.Flatten(), L.Dense(1)]


def symptoms(gan, x):
    labels = np.zeros(len(x), int) if gan.num_classes else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gan.fit(x, labels, verbose="silent")
    found = [warning for warning in caught if issubclass(warning.category, CollapseWarning)]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message) for warning in found]


def certain(objective, classes=0):
    """A model whose discriminator knows bright images from dark ones, which its generator draws."""
    gan = build(objective=objective, num_classes=classes, discriminator=FLAT, **STILL)
    gan.weights["generator.3.bias"][...] = -1
    gan.weights["discriminator.1.kernel"][...] = 0
    gan.weights["discriminator.1.kernel"][:: 1 + classes] = 20 / 64
    return gan


@pytest.mark.parametrize("objective", ["bce", "hinge"])
@pytest.mark.parametrize("classes", [0, 3])
def test_a_discriminator_without_loss_is_told(objective, classes):
    found = symptoms(certain(objective, classes), np.full((32, *SHAPE), 255, np.uint8))
    assert len(found) == 1
    assert "epoch 1: the discriminator's loss was" in found[0]
    assert "lower learning rate for the discriminator" in found[0]


@pytest.mark.parametrize("objective", ["wgan", "wgan-gp"])
def test_a_wasserstein_loss_below_0_is_none(objective):
    gan = certain(objective)
    assert symptoms(gan, np.full((32, *SHAPE), 255, np.uint8)) == []
    assert gan.history["wasserstein"][0] > 10


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("classes", [0, 3])
def test_a_generator_that_draws_one_image_is_told(objective, classes):
    gan = build(objective=objective, num_classes=classes, **STILL)
    gan.weights["generator.0.kernel"][:3] = 0
    found = symptoms(gan, small.images(32))
    assert len(found) == 1
    assert "epoch 1: the generator draws the same image for every code" in found[0]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_healthy_fit_is_silent(objective):
    assert symptoms(build(objective=objective), small.images(64)) == []


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_divergence_leaves_finite_weights_and_the_last_checkpoint(objective, tmp_path):
    class Explode(Callback):
        def on_step_end(self, model, step, losses):
            model._set_learning_rates(1e9 if step >= 3 else 1.0)

    path, rate = tmp_path / "model.safetensors", gm.optimizers.SGD(1e-3)
    gan = build(
        generator=[L.Dense(16), L.BatchNorm(), L.Dense(16), L.Dense(64), L.Reshape(SHAPE)],
        discriminator=[L.Flatten(), L.Dense(8, spectral_norm=True), L.LeakyReLU(0.2), L.Dense(8), L.Dense(1)],
        **{"objective": objective, "ema": 0.5, "critic_steps": 2},
        **{"generator_optimizer": rate, "discriminator_optimizer": rate},
    )
    with pytest.raises(FloatingPointError, match=r"epoch \d+, step \d+ of 5: GAN: training diverged"):
        gan.fit(small.images(100), epochs=100, batch_size=10, callbacks=[Checkpoint(path, every_steps=1), Explode()])
    for tensors in (gan.weights, gan._optimizer_tensors()):
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert os.listdir(tmp_path) == ["model.safetensors"]
    loaded = gm.load(path)
    assert loaded.interrupted
    assert len(loaded.history.steps) == len(gan.history.steps) >= 3
    assert np.isfinite(loaded.sample(3)).all()


def test_an_update_that_diverges_leaves_no_trace():
    """Of the discriminator, whose passes have moved statistics and streams of both networks by then."""
    gan, x = small.gan(), small.images(40)
    gan.train_step(x)
    gan.weights["discriminator.5.kernel"][...] = 3e38
    before = small.state(gan)
    with pytest.raises(FloatingPointError, match="discriminator's step 6"):
        gan.train_step(x)
    assert small.state(gan) == before


def test_a_generators_update_that_diverges_leaves_what_the_discriminator_learned(tmp_path):
    gan, x, noise = small.gan(), small.images(40), normal(6, 40, 2)
    gan.weights["generator.0.kernel"][...] = 2
    noise[5] = 3e38  # its own is the last, and overflows
    before, parameters = gan._counters(), gan.networks["generator"].parameters.copy()
    with pytest.raises(FloatingPointError, match="generator's step 1"):
        gan.train_step(x, noise=noise)
    moved = {name: after - before[name] for name, after in gan._counters().items() if after != before[name]}
    assert moved == {"generator.clock": 5, "discriminator.clock": 10, "discriminator.steps": 5}
    np.testing.assert_array_equal(gan.networks["generator"].parameters, parameters)
    gan.save(tmp_path / "model.safetensors")  # all statistics are finite
    gan.train_step(x)


@pytest.mark.parametrize("train", [gm.GAN.train_step, lambda gan, x, y: gan.fit(x, y, epochs=2, verbose="silent")])
def test_labels_that_lie_in_the_models_own_memory_are_read_as_they_were(train):
    one, other = (build(num_classes=3, critic_steps=2) for _ in range(2))
    labels = one.networks["discriminator"].weights["0.bias"].view(np.int64)
    assert labels.flags.aligned  # else it would be copied anyway
    train(one, small.images(2), labels)
    train(other, small.images(2), np.zeros(2, int))
    assert small.state(one) == small.state(other)
    assert labels.any()


@pytest.mark.parametrize(("name", "shape"), [("x", (1, *SHAPE)), ("noise", (9, 3)), ("mix", (32,))])
def test_floats_that_lie_in_the_models_own_memory_are_read_as_they_were(name, shape):
    one, other = (build(objective="wgan-gp", critic_steps=2) for _ in range(2))
    for gan in (one, other):
        gan.networks["discriminator"].parameters[:] = np.random.default_rng(0).random(105)
    own = one.networks["discriminator"].parameters[: np.prod(shape)].reshape(shape)
    given = own.copy()
    one.train_step(**({"x": small.images(shape[0])} | {name: own}))
    other.train_step(**({"x": small.images(shape[0])} | {name: given}))
    assert small.state(one) == small.state(other)
    assert not np.array_equal(own, given)


# ---- files ----------------------------------------------------------------------------------------


def test_a_file_holds_all_of_it(tmp_path):
    """Average, singular vectors, optimizers, streams, history; and training goes on to the same bits."""
    x, y = small.images(), np.arange(small.TRAINING) % 3
    options = {"objective": "hinge", "num_classes": 3, "critic_steps": 2, "ema": 0.9, "seed": 2**64 - 1}
    gan = build(discriminator=NORMED, mixed_batches=True, **options)
    gan.fit(x, y, epochs=2, batch_size=20, verbose="silent")
    gan.sample(3, [0, 1, 2])
    gan.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    assert type(loaded) is gm.GAN
    assert loaded.config == gan.config
    assert small.state(loaded) == small.state(gan)
    assert np.array_equal(loaded.sample(9, y[:9], seed=1), gan.sample(9, y[:9], seed=1))
    for model in (gan, loaded):
        model.fit(x, y, batch_size=30, verbose="silent")
        model.sample(2, [0, 1])
    assert small.state(loaded) == small.state(gan)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_files_of_every_objective(objective, tmp_path):
    changes = {"wgan": {"clip_weights": 0.1}, "wgan-gp": {"gradient_penalty": 5.0}, "bce": {"label_smoothing": 0.1}}
    gan = build(objective=objective, **changes.get(objective, {}))
    gan.train_step(small.images(20))
    gan.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    assert loaded.config == gan.config
    assert loaded.train_step(small.images(20)) == gan.train_step(small.images(20))
    assert small.state(loaded) == small.state(gan)


def test_the_saved_tensors_are_named_like_the_weights(tmp_path):
    gan = build(ema=0.5, discriminator=NORMED)
    slots = {f"optimizer.{network}.{slot}" for network in gan.networks for slot in "mv"}
    assert set(gan._optimizer_tensors()) == slots | {f"average.{n}" for n in gan.networks["generator"].weights}
    assert set(gan._counters()) == {
        *("noise", "sample", "mix"),
        *(f"{network}.{counter}" for network in gan.networks for counter in ("clock", "steps")),
    }
