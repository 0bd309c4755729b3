"""GAN: losses by their definitions, what a step does to weights and statistics, images, seeds."""

import copy
import json

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

SHAPE = (8, 8, 1)
LATENT, N = 3, 12
OBJECTIVES = ("bce", "lsgan", "wgan", "wgan-gp", "hinge")
STILL = gm.optimizers.SGD(0.0)

GENERATOR = [L.Dense(16), L.ReLU(), L.Dense(64), L.Reshape(SHAPE), L.Tanh()]
DISCRIMINATOR = [L.Conv2D(4, 3, strides=2, padding="same"), L.LeakyReLU(0.2), L.Flatten(), L.Dense(1)]
NORMALISED = {
    "generator": [L.Dense(16), L.BatchNorm(0.3), L.ReLU(), L.Dropout(0.2), L.Dense(64), L.Reshape(SHAPE), L.Sigmoid()],
    "discriminator": [L.Flatten(), L.Dense(9), L.BatchNorm(0.3), L.LeakyReLU(0.1), L.Dropout(0.4), L.Dense(1)],
}


def build(objective="bce", classes=0, **changes):
    """Rates of 0 unless others are given: the weights stay and losses can be compared."""
    options = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, "input_shape": SHAPE, "latent_dim": LATENT}
    still = {"generator_optimizer": STILL, "discriminator_optimizer": STILL}
    return gm.GAN(**{**options, **still, "objective": objective, "num_classes": classes, **changes})


def data(*lead, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*(lead or (N,)), *SHAPE), dtype=np.uint8)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- the step again, from the networks' own passes ------------------------------------------------


def twin(gan, name):
    """The network as it is now, with the dropout of the steps to come."""
    network = gan.networks[name]
    other = gm.Network(network.layers, network.input_shape, gan.seed, stream=list(gan.networks).index(name))
    for key, view in network.weights.items():
        other.weights[key][...] = view
    other._core.clock = network._core.clock
    return other


def with_planes(gan, images, labels):
    if labels is None:
        return images
    planes = np.broadcast_to(np.eye(gan.num_classes, dtype=np.float32)[labels][:, None, None], (*images.shape[:3], 3))
    return np.concatenate([images, planes], axis=3)


def as_seen(gan, x, labels=None):
    """Real images in the generator's range, with label planes."""
    pixels = (x.astype(np.float64) / 255).astype(np.float32)
    signed = isinstance(gan.networks["generator"].layers[-1], L.Tanh)
    return with_planes(gan, 2 * pixels - 1 if signed else pixels, labels)


def drawn(gan, generator, noise, labels=None, training=True):
    """Generated images as the discriminator sees them."""
    z = noise if labels is None else np.concatenate([noise, np.eye(gan.num_classes, dtype=np.float32)[labels]], axis=1)
    return with_planes(gan, generator.forward(z, training), labels)


def cross_entropy(x, target):
    return np.mean(np.logaddexp(0, x) - target * x)


def discriminator_loss(objective, r, f, smoothing=0.0):
    if objective == "bce":
        return cross_entropy(r, 1 - smoothing) + cross_entropy(f, 0)
    if objective == "lsgan":
        return (np.mean((r - (1 - smoothing)) ** 2) + np.mean(f**2)) / 2
    if objective == "hinge":
        return np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f))
    return np.mean(f) - np.mean(r)


def generator_loss(objective, f):
    if objective == "bce":
        return cross_entropy(f, 1)
    return np.mean((f - 1) ** 2) if objective == "lsgan" else -np.mean(f)


def penalty(gan, critic, real, fake, mix):
    """mean (|gradient for the image channels| - 1)^2"""
    e = mix[:, None, None, None]
    critic.forward(e * real + (1 - e) * fake, training=True)
    gradient = critic.backward(np.ones((len(real), 1), np.float32))[..., : gan.input_shape[2]]
    norms = np.sqrt((gradient.astype(np.float64) ** 2).reshape(len(real), -1).sum(1))
    return np.mean((norms - 1) ** 2)


def replay(gan, x, noise, labels=None, mix=None):
    """The losses of a step with rates of 0, and the networks it leaves: x (K, N, ...), noise (K + 1, N, latent)."""
    generator, critic = twin(gan, "generator"), twin(gan, "discriminator")
    steps, each = len(x), []
    labels = [None] * steps if labels is None else labels
    for k in range(steps):
        real, fake = as_seen(gan, x[k], labels[k]), drawn(gan, generator, noise[k], labels[k])
        if gan.mixed_batches:
            r, f = np.split(critic.forward(np.concatenate([real, fake]), True).astype(np.float64), 2)
        else:
            r, f = (critic.forward(images, True).astype(np.float64) for images in (real, fake))
        loss = discriminator_loss(gan.objective, r, f, gan.label_smoothing)
        pen = penalty(gan, critic, real, fake, mix[k]) if gan.objective == "wgan-gp" else 0.0
        each.append([loss + (gan.gradient_penalty or 0) * pen, pen, np.mean(r) - np.mean(f)])
    f = critic.forward(drawn(gan, generator, noise[steps], labels[-1]), True).astype(np.float64)
    means = np.mean(each, axis=0)
    values = {"discriminator_loss": means[0], "generator_loss": generator_loss(gan.objective, f)}
    values |= {"gradient_penalty": means[1]} if gan.objective == "wgan-gp" else {}
    values |= {"wasserstein": means[2]} if gan.objective in ("wgan", "wgan-gp") else {}
    return values, {"generator": generator, "discriminator": critic}


def assert_losses(got, expected):
    assert list(got) == list(expected)
    assert all(type(value) is float for value in got.values())
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


# ---- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [L.Sigmoid(), L.Tanh()], ids=repr)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_are_those_of_the_definition(objective, classes, last):
    gan = build(objective, classes, generator=[*GENERATOR[:-1], last])
    x, noise, mix = data(), normal(2, N, LATENT), np.random.default_rng(3).random(N, np.float32)
    labels = np.arange(N) % classes if classes else None
    expected, _ = replay(gan, x[None], noise, None if labels is None else labels[None], mix[None])
    assert_losses(gan.train_step(x, labels, noise, mix), expected)


@pytest.mark.parametrize("objective", ["bce", "lsgan"])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_label_smoothing_is_of_the_real_side_alone(objective, smoothing):
    gan, x, noise = build(objective, label_smoothing=smoothing), data(), normal(2, N, LATENT)
    expected, _ = replay(gan, x[None], noise)
    assert_losses(gan.train_step(x, noise=noise), expected)
    plain = build(objective).train_step(x, noise=noise)
    assert plain["generator_loss"] == pytest.approx(expected["generator_loss"], rel=1e-5)
    assert plain["discriminator_loss"] != pytest.approx(expected["discriminator_loss"], rel=1e-3)


def test_the_hinge_has_a_flat_side():
    """Outputs beyond the margins cost nothing and give no gradient."""
    gan = build("hinge", discriminator=[L.Flatten(), L.Dense(1)], discriminator_optimizer=gm.optimizers.SGD(1.0))
    weights, generator = gan.weights, gan.networks["generator"]
    weights["discriminator.1.kernel"][...] = 1
    generator.parameters[...] = 0  # grey images, 0 inside
    weights["discriminator.1.bias"][...] = -2
    before = gan.networks["discriminator"].parameters.copy()
    losses = gan.train_step(np.full((N, *SHAPE), 255, np.uint8))
    assert losses == {"discriminator_loss": 0.0, "generator_loss": 2.0}
    assert np.array_equal(gan.networks["discriminator"].parameters, before)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_the_penalty_is_reported_without_its_weight(weight):
    gan, x, noise, mix = build("wgan-gp", gradient_penalty=weight), data(), normal(2, N, LATENT), np.full(N, 0.25)
    got = gan.train_step(x, noise=noise, mix=mix)
    assert_losses(got, replay(gan, x[None], noise, mix=mix[None].astype(np.float32))[0])
    assert got["discriminator_loss"] == pytest.approx(weight * got["gradient_penalty"] - got["wasserstein"], rel=1e-5)
    assert build("wgan-gp").gradient_penalty == 10
    assert build("wgan").gradient_penalty is None


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("classes", [0, 3])
def test_critic_losses_are_averaged_over_its_updates(objective, classes):
    gan = build(objective, classes, critic_steps=3)
    x, noise, mix = data(3, N), normal(4, N, LATENT), np.random.default_rng(3).random((3, N), np.float32)
    labels = np.random.default_rng(4).integers(0, 3, (3, N)) if classes else None
    assert_losses(gan.train_step(x, labels, noise, mix), replay(gan, x, noise, labels, mix)[0])


def active(**changes):
    rates = {"generator_optimizer": gm.optimizers.Adam(1e-2), "discriminator_optimizer": gm.optimizers.Adam(1e-2)}
    return build("wgan-gp", 3, critic_steps=3, **rates, **changes)


def test_what_is_given_once_serves_every_update():
    x, noise, mix, labels = data(), normal(N, LATENT), np.linspace(0, 1, N), np.arange(N) % 3
    once, each = active(), active()
    losses = once.train_step(x, labels, noise, mix)
    assert losses == each.train_step(*(np.stack([a] * 3) for a in (x, labels)), np.stack([noise] * 4), [mix] * 3)
    assert np.array_equal(once.networks["generator"].parameters, each.networks["generator"].parameters)
    assert np.array_equal(once.networks["discriminator"].parameters, each.networks["discriminator"].parameters)


def test_noise_and_places_are_drawn_anew_for_every_update():
    gan = build("wgan-gp", critic_steps=3)
    before = gan._counters()
    gan.train_step(data())
    after = gan._counters()
    assert after["noise"] > before["noise"]
    assert after["mix"] > before["mix"]
    assert after["sample"] == before["sample"]
    given = build("wgan-gp", critic_steps=3)
    given.train_step(data(), noise=normal(N, LATENT), mix=np.ones(N))
    assert {name: given._counters()[name] for name in ("noise", "mix", "sample")} == {"noise": 0, "mix": 0, "sample": 0}


def test_uint8_and_float_pixels_are_the_same():
    x, noise = data(), normal(N, LATENT)
    losses = [build().train_step(pixels, noise=noise) for pixels in (x, (x / 255).astype(np.float32), x / 255)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[1] == losses[2]


# ---- what a step does -----------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_a_step_follows_the_gradient_of_the_loss(objective, name):
    """SGD with a small rate: the loss falls by rate * |gradient|^2, with the gradient that the step applied."""
    rate = 1e-4
    gan = build(objective, **{f"{name}_optimizer": gm.optimizers.SGD(rate)})
    x, noise, mix = data(), normal(N, LATENT), np.linspace(0, 1, N)
    before = {key: network.parameters.astype(np.float64) for key, network in gan.networks.items()}
    first = gan.train_step(x, noise=noise, mix=mix)[f"{name}_loss"]
    moved = {key: np.sum((network.parameters - before[key]) ** 2) for key, network in gan.networks.items()}
    second = gan.train_step(x, noise=noise, mix=mix)[f"{name}_loss"]
    assert first - second == pytest.approx(moved.pop(name) / rate, rel=0.05)
    assert list(moved.values()) == [0]


def test_the_generator_learns_from_the_updated_discriminator():
    x, noise = data(), normal(2, N, LATENT)
    gan = build("bce", discriminator_optimizer=gm.optimizers.SGD(0.1))
    got = gan.train_step(x, noise=noise)["generator_loss"]
    assert_losses({"generator_loss": got}, {"generator_loss": replay(gan, x[None], noise)[0]["generator_loss"]})
    assert got != pytest.approx(build("bce").train_step(x, noise=noise)["generator_loss"], rel=1e-3)


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o != "wgan-gp"])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_pass_is_in_training_mode_and_moves_the_statistics(objective, mixed):
    """Batch statistics, dropout and moving statistics of all passes, in their order."""
    gan = build(objective, critic_steps=2, mixed_batches=mixed, **NORMALISED)
    x, noise = data(2, N), normal(3, N, LATENT)
    expected, networks = replay(gan, x, noise)
    assert_losses(gan.train_step(x, noise=noise), expected)
    for name, network in networks.items():
        assert gan.networks[name]._core.clock == network._core.clock
        for key, view in network.weights.items():
            np.testing.assert_allclose(gan.networks[name].weights[key], view, rtol=1e-5, atol=1e-6, err_msg=key)
    assert gan.networks["discriminator"]._core.clock == (3 if mixed else 5)
    assert gan.networks["generator"]._core.clock == 3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_mixed_batches_are_the_same_where_rows_do_not_meet(objective):
    rate = gm.optimizers.SGD(0.01)
    gans = [build(objective, mixed_batches=mixed, discriminator_optimizer=rate) for mixed in (False, True)]
    x, noise, mix = data(), normal(N, LATENT), np.linspace(0, 1, N)
    apart, mixed = (gan.train_step(x, noise=noise, mix=mix) for gan in gans)
    assert apart == pytest.approx(mixed, rel=1e-5)
    weights = [gan.networks["discriminator"].parameters for gan in gans]
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_clipping_holds_every_parameter_of_the_critic_and_no_other():
    bound = 0.05
    rates = {"generator_optimizer": gm.optimizers.Adam(0.1), "discriminator_optimizer": gm.optimizers.RMSprop(0.1)}
    gan = build("wgan", critic_steps=2, clip_weights=bound, **rates, **NORMALISED)
    for step in range(4):
        gan.train_step(data(seed=step))
        assert np.abs(gan.networks["discriminator"].parameters).max() == np.float32(bound)
    assert np.abs(gan.networks["generator"].parameters).max() > bound
    assert np.abs(gan.weights["discriminator.2.moving_mean"]).max() > bound


# ---- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [L.Sigmoid(), L.Tanh(), L.LeakyReLU()], ids=repr)
@pytest.mark.parametrize("classes", [0, 3])
def test_generate_is_the_generator_in_inference(last, classes):
    layers = [*NORMALISED["generator"][:-1], last]
    gan = build("bce", classes, generator=layers)
    labels = np.arange(N) % 3 if classes else None
    gan.train_step(data(), labels)
    z = 3 * normal(N, LATENT)
    raw = drawn(gan, gan.networks["generator"], z, labels, training=False)[..., :1]
    expected = np.clip((raw + 1) / 2 if isinstance(last, L.Tanh) else raw, 0, 1)
    images = gan.generate(z.astype(np.float64), labels)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, expected, atol=1e-6)
    for n in (1, 5):
        assert np.array_equal(gan.generate(z[:n], None if labels is None else labels[:n]), images[:n])


@pytest.mark.parametrize("classes", [0, 3])
def test_discriminate_is_the_discriminator_in_inference(classes):
    gan = build("bce", classes, discriminator=NORMALISED["discriminator"])
    x, labels = data(300), np.arange(300) % 3 if classes else None
    gan.train_step(x, labels)
    before = gan._counters()
    outputs = gan.discriminate(x, labels)
    assert outputs.shape == (300,)
    assert outputs.dtype == np.float32
    expected = gan.networks["discriminator"].forward(as_seen(gan, x, labels)).ravel()
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    assert gan._counters() == before


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("classes", [0, 3])
def test_evaluate_gives_the_losses_in_inference(objective, classes):
    """Of a generator that takes no notice of its noise: one image a label."""
    plain = DISCRIMINATOR if objective == "wgan-gp" else NORMALISED["discriminator"]
    gan = build(objective, classes, discriminator=plain, label_smoothing=0.2 * (objective in ("bce", "lsgan")))
    gan.weights["generator.0.kernel"][:LATENT] = 0
    x, labels = data(300), np.arange(300) % 3 if classes else None
    gan.train_step(x, labels)
    before = {name: view.copy() for name, view in gan.weights.items()}, gan._counters()
    got = gan.evaluate(x, labels)
    fake = drawn(gan, gan.networks["generator"], np.zeros((300, LATENT), np.float32), labels, training=False)
    r, f = (gan.networks["discriminator"].forward(a).astype(np.float64) for a in (as_seen(gan, x, labels), fake))
    expected = {
        "discriminator_loss": discriminator_loss(objective, r, f, gan.label_smoothing),
        "generator_loss": generator_loss(objective, f),
    }
    expected |= {"wasserstein": np.mean(r) - np.mean(f)} if objective in ("wgan", "wgan-gp") else {}
    assert_losses(got, expected)
    assert gan.evaluate(x, labels) == got
    assert gan._counters() == before[1]
    assert all(np.array_equal(view, before[0][name]) for name, view in gan.weights.items())


def test_the_noise_of_evaluate_is_the_models_own():
    x = data(200)
    scores = [build(seed=5).evaluate(x) for _ in range(2)]
    assert scores[0] == scores[1]
    other = build(seed=6)
    for name, view in build(seed=5).weights.items():
        other.weights[name][...] = view
    assert other.evaluate(x) != scores[0]


@pytest.mark.parametrize("classes", [0, 3])
def test_sample_with_a_seed_is_a_prefix_and_leaves_the_streams(classes):
    gan = build("bce", classes, **NORMALISED)
    labels = np.arange(300) % 3 if classes else [None] * 300
    gan.train_step(data(5), labels[:5] if classes else None)
    counters = gan._counters()

    def sample(n, **seed):
        return gan.sample(n, labels[:n] if classes else None, **seed)

    many = sample(300, seed=4)
    assert many.min() >= 0
    assert many.max() <= 1
    for n in (1, 5, 9):
        assert np.array_equal(sample(n, seed=4), many[:n])
    assert not np.array_equal(sample(9, seed=5), many[:9])
    assert gan._counters() == counters
    assert not np.array_equal(sample(9), sample(9))
    moved = {name for name, value in gan._counters().items() if value != counters[name]}
    assert moved == {"sample"}


def test_labels_matter_and_any_integer_dtype_will_do():
    gan, z = build(classes=3), np.zeros((2, LATENT), np.float32)
    images = gan.generate(z, [0, 2])
    assert not np.array_equal(images[0], images[1])
    for dtype in (np.uint8, np.int16, np.int64, np.uint64):
        assert np.array_equal(gan.generate(z, np.array([0, 2], dtype)), images)
    x = np.zeros((2, *SHAPE), np.uint8)
    assert len(set(gan.discriminate(x, [0, 2]))) == 2


# ---- what it says of itself -----------------------------------------------------------------------


def test_names_counts_summary_repr(capsys):
    gan = build(classes=3)
    assert list(gan.networks) == ["generator", "discriminator"]
    assert gan.networks["generator"].input_shape == (LATENT + 3,)
    assert gan.networks["discriminator"].input_shape == (8, 8, 4)
    assert gan.weights["discriminator.0.kernel"].shape == (3, 3, 4, 4)
    assert gan.parameter_count == sum(view.size for view in gan.weights.values())
    assert list(gan.optimizers) == ["generator", "discriminator"]
    text = gan.summary()
    assert all(name in text for name in ("generator", "discriminator", f"{gan.parameter_count:,}"))
    assert repr(gan).startswith("GAN(input_shape=(8, 8, 1), latent_dim=3, objective='bce', num_classes=3")
    assert capsys.readouterr().out == ""


def test_unless_given_the_optimizers_are_those_of_dcgan():
    gan = gm.GAN(generator=GENERATOR, discriminator=DISCRIMINATOR, input_shape=SHAPE, latent_dim=LATENT)
    assert set(gan.optimizers.values()) == {gm.optimizers.Adam(2e-4, beta1=0.5)}


@pytest.mark.parametrize(
    ("name", "value"),
    [("objective", "hinge"), ("critic_steps", 5), ("ema", 0.5), ("clip_weights", 1.0), ("seed", 1), ("networks", {})],
)
def test_what_it_was_built_with_is_fixed(name, value):
    gan = build()
    before = gan.config
    with pytest.raises(TypeError, match=f"{name} is fixed when a GAN is built"):
        setattr(gan, name, value)
    assert gan.config == before
    with pytest.raises(TypeError, match="cannot be copied or pickled: save"):
        copy.copy(gan)


def test_config_is_json_and_builds_the_same_model():
    options = {"critic_steps": 2, "clip_weights": 0.1, "mixed_batches": True, "ema": 0.5, "seed": 7}
    gan = build("wgan", 3, **options, **NORMALISED)
    other = gm.GAN.from_config(json.loads(json.dumps(gan.config)))
    assert other.config == gan.config
    for name, view in gan.weights.items():
        assert np.array_equal(view, other.weights[name])
