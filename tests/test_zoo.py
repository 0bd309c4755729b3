"""The reference models: their sizes, their recipes, what may be changed."""

from typing import get_args

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L
from genmodels.optimizers import Adam, RMSprop
from genmodels.zoo.registry import ENTRIES


def conv(kernel, inputs, outputs):
    """Weights and biases of a convolution, transposed or not."""
    return kernel * kernel * inputs * outputs + outputs


def conv_norm(kernel, inputs, outputs):
    """And the scale and shift of the batch normalisation after it, whose moving statistics are not trained."""
    return conv(kernel, inputs, outputs) + 2 * outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


MLM = {
    "generator": dense(100, 6272) + conv(4, 128, 128) + conv(4, 128, 128) + conv(7, 128, 1),
    "discriminator": conv(3, 1, 64) + conv(3, 64, 64) + dense(7 * 7 * 64, 1),
}
PAIRS = {
    16: {
        "generator": conv_norm(4, 100, 256) + conv_norm(4, 256, 128) + conv(4, 128, 1),
        "discriminator": conv(4, 1, 64) + conv_norm(4, 64, 128) + dense(4 * 4 * 128, 1),
    },
    32: {
        "generator": conv_norm(4, 100, 512) + conv_norm(4, 512, 256) + conv_norm(4, 256, 128) + conv(4, 128, 1),
        "discriminator": conv(4, 1, 64) + conv_norm(4, 64, 128) + conv_norm(4, 128, 256) + dense(4 * 4 * 256, 1),
    },
    64: {
        "generator": conv_norm(4, 100, 1024)
        + (conv_norm(4, 1024, 512) + conv_norm(4, 512, 256) + conv_norm(4, 256, 128))
        + conv(4, 128, 1),
        "discriminator": conv(4, 1, 64)
        + (conv_norm(4, 64, 128) + conv_norm(4, 128, 256) + conv_norm(4, 256, 512))
        + dense(4 * 4 * 512, 1),
    },
}

# Layer by layer, written out by hand. vae-keras, dcgan-tf, cgan-keras and gan-mlm agree with the sums that the examples
# they come from print.
COUNTS = {
    "vae-keras": {
        "encoder": conv(3, 1, 32) + conv(3, 32, 64) + dense(3136, 16),
        "head": dense(16, 4),
        "decoder": dense(2, 3136) + conv(3, 64, 64) + conv(3, 64, 32) + conv(3, 32, 1),
    },
    "vae-fashion": {
        "encoder": conv(3, 1, 32) + conv(3, 32, 64) + dense(3136, 128),
        "head": dense(128, 20),
        "decoder": dense(10, 3136) + conv(3, 64, 64) + conv(3, 64, 32) + conv(3, 32, 1),
    },
    "vae-z10": {
        "encoder": conv(3, 1, 32) + conv(3, 32, 64) + dense(3136, 512) + dense(512, 256),
        "head": dense(256, 20),
        "decoder": dense(10, 256) + dense(256, 512) + dense(512, 3136) + conv(3, 64, 64) + conv(3, 64, 1),
    },
    "vae-lstm": {
        "encoder": 28 * 4 * 64 + 64 * 4 * 64 + 4 * 64,
        "head": dense(28 * 64, 128),
        "decoder": dense(64, 98)
        + (dense(98, 196) + conv(3, 1, 32) + conv(3, 32, 64) + conv(3, 64, 64))
        + dense(50_176, 784),
    },
    "vae-16": {
        "encoder": conv_norm(3, 1, 32) + conv_norm(3, 32, 64) + conv_norm(3, 64, 128) + dense(2 * 2 * 128, 128),
        "head": dense(128, 200),
        "decoder": dense(100, 2 * 2 * 256)
        + (conv_norm(3, 256, 128) + conv_norm(3, 128, 64) + conv_norm(3, 64, 32))
        + (conv_norm(3, 32, 32) + conv(3, 32, 1)),
    },
    "vae-32": {
        "encoder": conv_norm(3, 1, 32)
        + (conv_norm(3, 32, 64) + conv_norm(3, 64, 128) + conv_norm(3, 128, 256))
        + dense(2 * 2 * 256, 256),
        "head": dense(256, 200),
        "decoder": dense(100, 2 * 2 * 512)
        + (conv_norm(3, 512, 256) + conv_norm(3, 256, 128) + conv_norm(3, 128, 64) + conv_norm(3, 64, 32))
        + (conv_norm(3, 32, 32) + conv(3, 32, 1)),
    },
    "vae-64": {
        "encoder": conv_norm(3, 1, 32)
        + (conv_norm(3, 32, 64) + conv_norm(3, 64, 128) + conv_norm(3, 128, 256) + conv_norm(3, 256, 512))
        + dense(2 * 2 * 512, 512),
        "head": dense(512, 200),
        "decoder": dense(100, 2 * 2 * 1024)
        + (conv_norm(3, 1024, 512) + conv_norm(3, 512, 256) + conv_norm(3, 256, 128))
        + (conv_norm(3, 128, 64) + conv_norm(3, 64, 32))
        + (conv_norm(3, 32, 32) + conv(3, 32, 1)),
    },
    "dcgan-tf": {
        "generator": (100 * 12_544 + 2 * 12_544) + (25 * 256 * 128 + 2 * 128) + (25 * 128 * 64 + 2 * 64) + 25 * 64 * 1,
        "discriminator": conv(5, 1, 64) + conv(5, 64, 128) + dense(6272, 1),
    },
    "cgan-keras": {
        "generator": dense(138, 7 * 7 * 138) + conv(4, 138, 128) + conv(4, 128, 128) + conv(7, 128, 1),
        "discriminator": conv(3, 11, 64) + conv(3, 64, 128) + dense(128, 1),
    },
    "gan-mlm": MLM,
    "wgan-mlm": MLM,
    "gan-5x5": {
        "generator": dense(100, 6272) + dense(6272, 12_544) + conv(5, 64, 64) + conv(5, 64, 1),
        "discriminator": conv(5, 1, 64)
        + (conv(5, 64, 128) + conv(5, 128, 256) + conv(5, 256, 512))
        + dense(2 * 2 * 512, 1),
    },
    "gan-fashion": {
        "generator": (dense(100, 6272) + 2 * 6272) + conv_norm(5, 128, 64) + conv_norm(4, 64, 32) + conv(4, 32, 1),
        "discriminator": conv(4, 1, 32) + conv(4, 32, 64) + dense(7 * 7 * 64, 1),
    },
    **{f"{family}-{size}": pair for family in ("gan", "wgan") for size, pair in PAIRS.items()},
}

ADAM, SLOW = Adam(1e-3), RMSprop(5e-5)
PENALTY_ADAM = Adam(1e-4, beta1=0.0, beta2=0.9)
# What decides how each learns: optimizer of all networks, then what differs from the constructor's defaults.
LEARNING = {
    "vae-keras": (ADAM, {"reconstruction": "bce"}),
    "vae-fashion": (ADAM, {"reconstruction": "bce"}),
    "vae-z10": (Adam(2e-4), {"reconstruction": "bce"}),
    "vae-lstm": (ADAM, {"reconstruction": "bce"}),
    **{f"vae-{size}": (Adam(2e-4), {"reconstruction": "mse"}) for size in PAIRS},
    "dcgan-tf": (Adam(1e-4), {"objective": "bce"}),
    "cgan-keras": (Adam(3e-4), {"objective": "bce", "num_classes": 10}),
    "gan-mlm": (Adam(1e-4), {"objective": "bce", "mixed_batches": True}),
    "wgan-mlm": (PENALTY_ADAM, {"objective": "wgan-gp", "critic_steps": 5, "gradient_penalty": 10.0}),
    "gan-5x5": (Adam(2e-4, beta1=0.5), {"objective": "bce"}),
    "gan-fashion": (ADAM, {"objective": "bce", "label_smoothing": 0.1}),
    "gan-16": (Adam(2e-4), {"objective": "lsgan"}),
    "gan-32": (Adam(2e-4), {"objective": "lsgan"}),
    "gan-64": (Adam(2e-4), {"objective": "lsgan", "critic_steps": 3}),
    **{f"wgan-{size}": (SLOW, {"objective": "wgan", "critic_steps": 5, "clip_weights": 0.01}) for size in PAIRS},
}
VAE_DEFAULTS = {"reduction": "sum", "beta": 1.0, "num_classes": 0}
GAN_DEFAULTS = {
    **{"num_classes": 0, "critic_steps": 1, "label_smoothing": 0.0, "clip_weights": None, "gradient_penalty": None},
    **{"mixed_batches": False, "ema": 0.0},
}

# (data, epochs, batch size, image size), and what else some have.
RECIPES = {
    "vae-keras": ("mnist", 30, 128, 28),
    "vae-fashion": ("fashion_mnist", 30, 128, 28),
    "vae-z10": ("mnist", 100, 128, 28),
    "vae-lstm": ("mnist", 100, 256, 28),
    **{f"vae-{size}": ("mnist", 50, 128, size) for size in PAIRS},
    "dcgan-tf": ("mnist", 50, 256, 28, {"checkpoint_every": 15}),
    "cgan-keras": ("mnist", 20, 64, 28, {"split": "train+test"}),
    "gan-mlm": ("mnist", 100, 256, 28),
    "wgan-mlm": ("mnist", 100, 64, 28),
    "gan-5x5": ("mnist", 100, 128, 28, {"checkpoint_every": 10}),
    "gan-fashion": ("fashion_mnist", 50, 245, 28),
    **{f"{family}-{size}": ("mnist", 50, 64, size) for family in ("gan", "wgan") for size in PAIRS},
}
LATENT = {"vae-keras": 2, "vae-fashion": 10, "vae-z10": 10, "vae-lstm": 64, "cgan-keras": 128}  # the others: 100

NAMES = sorted(COUNTS)
# Free to choose, and small where the model has many parameters for its own size.
SMALL = {name: RECIPES[name][3] if name[-2:] in ("16", "32", "64") else 12 for name in NAMES}


def batch(model, n=2, seed=0):
    """Random images, of every critic step its own, and labels where they are wanted."""
    random = np.random.default_rng(seed)
    parts = (model.critic_steps, n) if model.critic_steps > 1 else (n,)
    x = random.integers(0, 256, (*parts, *model.input_shape), np.uint8)
    return x, random.integers(0, model.num_classes, parts) if model.num_classes else None


def classes(model, n):
    return np.arange(n) % model.num_classes if model.num_classes else None


@pytest.mark.parametrize(("names", "family"), [(gm.zoo.vaes.Name, gm.VAE), (gm.zoo.gans.Name, gm.GAN)])
def test_type_checkers_know_what_is_built(names, family):
    assert list(get_args(names)) == [name for name in NAMES if ENTRIES[name].family is family]


def test_these_are_the_names():
    assert gm.zoo.names() == NAMES
    assert LEARNING.keys() == RECIPES.keys() == COUNTS.keys()
    assert len(NAMES) == 19


@pytest.mark.parametrize("name", NAMES)
def test_row(name):
    """Parameters, sizes, how it learns; a step of two images; a draw."""
    model = gm.zoo.build(name, seed=3)
    assert {part: network.parameter_count for part, network in model.networks.items()} == COUNTS[name]
    assert model.latent_dim == LATENT.get(name, 100)
    size = RECIPES[name][3]
    assert model.input_shape == (size, size, 1)
    optimizer, options = LEARNING[name]
    assert set(model.optimizers.values()) == {optimizer}
    defaults = VAE_DEFAULTS if model.family == "VAE" else GAN_DEFAULTS
    assert {key: getattr(model, key) for key in {**defaults, **options}} == {**defaults, **options}
    before = {part: network.parameters[:50].copy() for part, network in model.networks.items()}
    losses = model.train_step(*batch(model))
    assert all(np.isfinite(value) for value in losses.values())
    assert all(not np.array_equal(model.networks[part].parameters[:50], values) for part, values in before.items())
    images = model.sample(3, labels=classes(model, 3), seed=0)
    assert images.shape == (3, size, size, 1)
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_other_sizes_colour_and_labels(name, tmp_path):
    """All of them at once; the model is saved and loaded, and goes on to the same bits."""
    size = SMALL[name]
    model = gm.zoo.build(name, image_size=size, channels=3, latent_dim=5, num_classes=4, seed=1)
    assert model.recipe["image_size"] == size
    model.train_step(*batch(model))
    model.save(tmp_path / "m.safetensors")
    loaded = gm.load(tmp_path / "m.safetensors")
    assert loaded.recipe == model.recipe
    assert loaded.train_step(*batch(model, seed=1)) == model.train_step(*batch(model, seed=1))
    first, second = (m.sample(4, labels=classes(m, 4), seed=2) for m in (model, loaded))
    assert first.shape == (4, size, size, 3)
    assert np.array_equal(first, second)


def test_published_counts():
    """What the examples' own summaries print."""

    def counts(name):
        return [network.parameter_count for network in gm.zoo.build(name).networks.values()]

    encoder, head, decoder = counts("vae-keras")
    assert (encoder + head, decoder) == (69_076, 65_089)
    assert counts("gan-mlm") == counts("wgan-mlm") == [1_164_289, 40_705]


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name):
    data, epochs, batch_size, size, *more = RECIPES[name]
    expected = {"data": data, "epochs": epochs, "batch_size": batch_size, "image_size": size}
    for extra in more:
        expected |= extra
    assert gm.zoo.recipe(name) == expected
    gm.zoo.recipe(name)["epochs"] = 1
    assert gm.zoo.recipe(name) == expected


@pytest.mark.parametrize("name", gm.zoo.names())
def test_optimizers_are_those_the_model_is_built_with(name):
    model, named = gm.zoo.build(name), gm.zoo.optimizers(name)
    assert named == {argument: getattr(model, argument) for argument in set(model._optimizers.values())}


def test_an_optimizer_with_other_values():
    assert gm.optimizers.Adam(1e-4).changed(beta1=0.5) == gm.optimizers.Adam(1e-4, beta1=0.5)
    with pytest.raises(ValueError, match="SGD has no rho, only learning_rate, momentum"):
        gm.optimizers.SGD().changed(rho=0.5)
    with pytest.raises(ValueError, match="Adam: beta1"):
        gm.optimizers.Adam().changed(beta1=1.0)


def test_all_optimizers_of_a_model_changed_as_its_error_says():
    changed = {key: value.changed(learning_rate=0.5) for key, value in gm.zoo.optimizers("wgan-16").items()}
    rates = [optimizer.learning_rate for optimizer in gm.zoo.build("wgan-16", **changed).optimizers.values()]
    assert rates == [0.5, 0.5]


def nested(depth):
    recipe = {}
    for _ in range(depth):
        recipe = {"next": recipe}
    return recipe


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        ({"data": np.zeros(3)}, TypeError, "recipe: .*ndarray"),
        ({"epochs": float("nan")}, ValueError, "recipe: "),
        (nested(100_000), ValueError, "recipe: nested too deeply for a file"),
    ],
)
def test_a_recipe_that_no_file_holds_is_named(recipe, error, words, tmp_path):
    model = gm.zoo.build("vae-keras")
    model.recipe = recipe
    with pytest.raises(error, match=words):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_model_carries_its_recipe():
    recipe = {"data": "mnist", "epochs": 30, "batch_size": 128, "image_size": 28}
    assert gm.zoo.build("vae-keras").recipe == recipe
    assert gm.zoo.build("vae-keras", image_size=32).recipe == {**recipe, "image_size": 32}


def test_image_size_names_what_a_model_is_tied_to():
    assert gm.zoo.image_size("wgan-16") == 16
    assert gm.zoo.image_size("dcgan-tf") is None


def test_any_constructor_argument_is_a_change():
    vae = gm.zoo.build("vae-keras", num_classes=10, beta=4.0, encoder=[L.Flatten(), L.Dense(7), L.Tanh()])
    assert vae.num_classes == 10
    assert vae.beta == 4.0
    assert vae.networks["encoder"].parameter_count == 28 * 28 * 11 * 7 + 7
    gan = gm.zoo.build("gan-16", objective="hinge", ema=0.9, num_classes=0)
    assert (gan.objective, gan.ema) == ("hinge", 0.9)


def test_seed_decides_the_weights():
    first, same, other = (gm.zoo.build("vae-keras", seed=seed).weights["encoder.0.kernel"] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_wgan_mlm_has_no_layer_its_penalty_refuses():
    """And `gan-mlm` has the dropout that its tutorial puts behind each activation."""
    kinds = {name: gm.zoo.build(name).networks["discriminator"].layers for name in ("gan-mlm", "wgan-mlm")}
    assert [layer for layer in kinds["gan-mlm"] if layer != L.Dropout(0.4)] == list(kinds["wgan-mlm"])
    assert list(kinds["gan-mlm"]).count(L.Dropout(0.4)) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "vae-kears"}, ValueError, "'vae-kears', must be one of .*'vae-keras'"),
        ({"name": 3}, TypeError, "name must be a str, .*not 3"),
        ({"image_size": 30}, ValueError, "multiple of 4 for this model, not 30"),
        ({"name": "vae-lstm", "image_size": 27}, ValueError, "multiple of 2 for this model, not 27"),
        ({"name": "vae-32", "image_size": 64}, ValueError, "image_size is 64, vae-32 makes 32: build 'vae-64'"),
        (
            {"name": "gan-16", "image_size": 28},
            ValueError,
            "image_size is 28, gan-16 makes 16: build one of 'gan-16', 'gan-32', 'gan-64'",
        ),
        ({"image_size": 0}, ValueError, "image_size is 0, must be at least 1"),
        ({"channels": 0}, ValueError, "channels is 0, must be at least 1"),
        ({"latent_dim": 0}, ValueError, "latent_dim is 0, must be at least 1"),
        ({"latent_dim": 2.0}, TypeError, r"latent_dim must be an int, not 2\.0"),
        ({"latent_dim": True}, TypeError, "latent_dim must be an int, not True"),
        ({"num_classes": -1}, ValueError, "num_classes is -1, must be at least 0"),
        ({"colour": "red"}, TypeError, "colour"),
        ({"name": "dcgan-tf", "beta": 2.0}, TypeError, r"dcgan-tf takes no beta, only generator, .*seed$"),
        (
            {"name": "wgan-16", "learning_rate": 1e-4},
            TypeError,
            r"takes no learning_rate, .*changed\(learning_rate=\.\.\.\) for .* in zoo.optimizers\('wgan-16'\)",
        ),
        ({"precision": "float8"}, ValueError, "float8"),
        ({"seed": -1}, ValueError, "-1"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        gm.zoo.build(**{"name": "vae-keras", **arguments})
