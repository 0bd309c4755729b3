"""The reference models: their sizes, their recipes, what may be changed."""

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L

# Summed by hand, weights + biases of each layer. vae-keras agrees with the Keras example's summary.
COUNTS = {
    "vae-keras": {
        "encoder": (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (3136 * 16 + 16),
        "head": 16 * 4 + 4,
        "decoder": (2 * 3136 + 3136) + (9 * 64 * 64 + 64) + (9 * 64 * 32 + 32) + (9 * 32 + 1),
    },
    "vae-fashion": {
        "encoder": (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (3136 * 128 + 128),
        "head": 128 * 20 + 20,
        "decoder": (10 * 3136 + 3136) + (9 * 64 * 64 + 64) + (9 * 64 * 32 + 32) + (9 * 32 + 1),
    },
    "vae-z10": {
        "encoder": (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (3136 * 512 + 512) + (512 * 256 + 256),
        "head": 256 * 20 + 20,
        "decoder": (10 * 256 + 256) + (256 * 512 + 512) + (512 * 3136 + 3136) + (9 * 64 * 64 + 64) + (9 * 64 + 1),
    },
}


def test_every_name_has_its_count_tested():
    assert gm.zoo.names() == sorted(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_parameter_counts(name):
    model = gm.zoo.build(name)
    assert {part: network.parameter_count for part, network in model.networks.items()} == COUNTS[name]


def test_vae_keras_has_the_published_counts():
    vae = gm.zoo.build("vae-keras")
    assert vae.networks["encoder"].parameter_count + vae.networks["head"].parameter_count == 69_076
    assert vae.networks["decoder"].parameter_count == 65_089


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_trains_and_samples(name):
    model = gm.zoo.build(name, seed=3)
    x = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype=np.uint8)
    losses = [model.train_step(x)["loss"] for _ in range(5)]
    assert losses[-1] < losses[0]
    assert model.sample(3, seed=0).shape == (3, 28, 28, 1)


def test_recipe_of_vae_keras():
    recipe = {"data": "mnist", "epochs": 30, "batch_size": 128, "image_size": 28}
    assert gm.zoo.build("vae-keras").recipe == recipe
    gm.zoo.recipe("vae-keras")["epochs"] = 1
    assert gm.zoo.recipe("vae-keras") == recipe


def test_sizes_can_be_chosen():
    vae = gm.zoo.build("vae-keras", image_size=32, channels=3, latent_dim=5)
    assert vae.recipe["image_size"] == 32
    assert vae.sample(2, seed=0).shape == (2, 32, 32, 3)
    assert vae.decode(np.zeros((1, 5), np.float32)).shape == (1, 32, 32, 3)


def test_any_constructor_argument_is_a_change():
    vae = gm.zoo.build("vae-keras", num_classes=10, beta=4.0, encoder=[L.Flatten(), L.Dense(7), L.Tanh()])
    assert vae.num_classes == 10
    assert vae.beta == 4.0
    assert vae.networks["encoder"].parameter_count == 28 * 28 * 11 * 7 + 7


def test_seed_decides_the_weights():
    first, same, other = (gm.zoo.build("vae-keras", seed=seed).weights["encoder.0.kernel"] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "vae-kears"}, ValueError, "'vae-kears', must be one of .*'vae-keras'"),
        ({"name": 3}, TypeError, "name must be a str, .*not 3"),
        ({"image_size": 30}, ValueError, "multiple of 4 for this model, not 30"),
        ({"image_size": 0}, ValueError, "image_size is 0, must be at least 1"),
        ({"channels": 0}, ValueError, "channels is 0, must be at least 1"),
        ({"latent_dim": 0}, ValueError, "latent_dim is 0, must be at least 1"),
        ({"latent_dim": 2.0}, TypeError, r"latent_dim must be an int, not 2\.0"),
        ({"latent_dim": True}, TypeError, "latent_dim must be an int, not True"),
        ({"colour": "red"}, TypeError, "colour"),
        ({"precision": "float8"}, ValueError, "float8"),
        ({"seed": -1}, ValueError, "-1"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        gm.zoo.build(**{"name": "vae-keras", **arguments})
