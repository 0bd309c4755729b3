"""Bad input to GANs: a clear exception, and everything as it was before."""

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L

SHAPE = (8, 8, 1)
GENERATOR = [L.Dense(64), L.BatchNorm(), L.Reshape(SHAPE), L.Sigmoid()]
DISCRIMINATOR = [L.Conv2D(4, 3, strides=2), L.LeakyReLU(0.2), L.Flatten(), L.Dense(1)]
K, N = 3, 4


def build(**changes):
    options = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, "input_shape": SHAPE, "latent_dim": 2}
    return gm.GAN(**{**options, **changes})


def pixels(*lead, value=0.5):
    return np.full((*(lead or (N,)), *SHAPE), value, np.float32)


def spoiled(value, *lead):
    x = pixels(*lead)
    x[(*(-1 for _ in x.shape[:-3]), 2, 3, 0)] = value
    return x


def noise(*lead):
    return np.zeros((*lead, 2), np.float32)


@pytest.fixture(scope="module")
def plain():
    gan = build(objective="wgan-gp", critic_steps=K, ema=0.5)
    gan.fit(pixels(10), batch_size=4, verbose="silent")
    return gan


@pytest.fixture(scope="module")
def conditional():
    gan = build(num_classes=4, critic_steps=K, ema=0.5)
    gan.fit(pixels(10), np.arange(10) % 4, batch_size=4, verbose="silent")
    return gan


def refuses(gan, error, words, call, *arguments, **named):
    before = small.state(gan)
    with pytest.raises(error, match=words):
        getattr(gan, call)(*arguments, **named)
    assert small.state(gan) == before


# ---- building -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"objective": "mmd"}, ValueError, "objective is 'mmd', must be one of 'bce', 'lsgan', 'wgan', 'wgan-gp'"),
        ({"objective": "WGAN"}, ValueError, "objective is 'WGAN'"),
        ({"objective": None}, TypeError, "objective must be a str"),
        ({"clip_weights": 0.1}, ValueError, 'clip_weights goes with objective="wgan", not "bce"'),
        ({"clip_weights": 0.1, "objective": "wgan-gp"}, ValueError, 'clip_weights goes with objective="wgan"'),
        ({"clip_weights": 0.0, "objective": "wgan"}, ValueError, r"clip_weights is 0\.0, must be in \[1e-30"),
        ({"clip_weights": -0.1, "objective": "wgan"}, ValueError, r"clip_weights is -0\.1"),
        ({"clip_weights": np.inf, "objective": "wgan"}, ValueError, "clip_weights is inf, must be finite"),
        ({"clip_weights": "1", "objective": "wgan"}, TypeError, "clip_weights must be a number"),
        ({"gradient_penalty": -1.0, "objective": "wgan-gp"}, ValueError, r"gradient_penalty is -1\.0"),
        ({"gradient_penalty": np.nan, "objective": "wgan-gp"}, ValueError, "gradient_penalty is nan, must be finite"),
        ({"gradient_penalty": True, "objective": "wgan-gp"}, TypeError, "gradient_penalty must be a number"),
        ({"gradient_penalty": 10.0}, ValueError, 'gradient_penalty goes with objective="wgan-gp", not "bce"'),
        ({"gradient_penalty": 0.0, "objective": "wgan"}, ValueError, 'goes with objective="wgan-gp", not "wgan"'),
        ({"label_smoothing": 0.1, "objective": "hinge"}, ValueError, 'with objective="bce" or "lsgan", not "hinge"'),
        ({"label_smoothing": 1.1}, ValueError, r"label_smoothing is 1\.1, must be in \[0\.0, 1\.0\]"),
        ({"label_smoothing": -0.1}, ValueError, r"label_smoothing is -0\.1"),
        ({"label_smoothing": None}, TypeError, "label_smoothing must be a number"),
        ({"critic_steps": 0}, ValueError, "critic_steps is 0, must be at least 1"),
        ({"critic_steps": 1001}, ValueError, "critic_steps is 1001, must be at most 1000"),
        ({"critic_steps": 2.0}, TypeError, "critic_steps must be an int"),
        ({"ema": 1.0}, ValueError, r"ema is 1\.0, must be in \[0\.0, 1\.0\)"),
        ({"ema": 1 - 1e-12}, ValueError, "ema is 1, must be at least 0 and below 1"),
        ({"ema": -0.5}, ValueError, r"ema is -0\.5"),
        ({"ema": "0.5"}, TypeError, "ema must be a number"),
        ({"mixed_batches": 1}, TypeError, "mixed_batches must be True or False, not 1"),
        ({"precision": "float16"}, ValueError, "must be one of 'float32', 'bf16', 'high'"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"latent_dim": 0}, ValueError, "latent_dim is 0, must be at least 1"),
        ({"latent_dim": 2**39}, OverflowError, "generator: "),
        ({"num_classes": -1}, ValueError, "num_classes is -1"),
        ({"input_shape": (8, 8)}, ValueError, r"input_shape is \(8, 8\), must have 3 axes"),
        ({"generator_optimizer": "adam"}, TypeError, "generator_optimizer must be one of genmodels.optimizers"),
        ({"discriminator_optimizer": gm.optimizers.Adam}, TypeError, "discriminator_optimizer must be one of"),
        ({"generator": L.Dense(64)}, TypeError, "generator must be a list of layers"),
        ({"generator": [L.Dense]}, TypeError, r"generator\[0\] is .*call it"),
        ({"discriminator": [*DISCRIMINATOR, "Dense"]}, TypeError, r"discriminator\[4\] is 'Dense', not a layer"),
        ({"generator": [L.Conv2D(3, 3)]}, ValueError, r"generator: layer 0 \(Conv2D\)"),
        ({"discriminator": [L.Conv2D(3, 9)]}, ValueError, r"discriminator: layer 0 \(Conv2D\)"),
    ],
)
def test_unfit_arguments(changes, error, words):
    with pytest.raises(error, match=words):
        build(**changes)


def test_images_that_the_generator_does_not_make():
    with pytest.raises(ValueError, match=r"generator's output has shape \(8, 8, 1\), must have \(9, 8, 1\)"):
        build(input_shape=(9, 8, 1))
    with pytest.raises(ValueError, match=r"generator's output has shape \(64,?\), must have \(8, 8, 1\)"):
        build(generator=[L.Dense(64), L.Sigmoid()])


@pytest.mark.parametrize(
    ("layers", "shape"),
    [([], r"\(8, 8, 1\)"), ([L.Flatten(), L.Dense(2)], r"\(2,?\)"), ([L.Conv2D(1, 3)], r"\(6, 6, 1\)")],
)
def test_a_discriminator_that_does_not_end_in_one_value(layers, shape):
    with pytest.raises(ValueError, match=f"discriminator's output has shape {shape}, must be one value"):
        build(discriminator=layers)
    assert build(discriminator=[L.Conv2D(1, 8)]).discriminate(pixels(3)).shape == (3,)


@pytest.mark.parametrize("objective", ["bce", "hinge"])
def test_a_discriminator_that_ends_in_sigmoid(objective):
    with pytest.raises(ValueError, match=rf'discriminator ends in Sigmoid\(\), but objective="{objective}"'):
        build(objective=objective, discriminator=[*DISCRIMINATOR, L.Sigmoid()])
    for other in ("lsgan", "wgan"):
        build(objective=other, discriminator=[*DISCRIMINATOR, L.Sigmoid()])


@pytest.mark.parametrize("layer", [L.BatchNorm(), L.LayerNorm(), L.Tanh(), L.Sigmoid()], ids=repr)
def test_a_penalised_critic_that_is_not_piecewise_linear(layer):
    layers = [*DISCRIMINATOR[:1], layer, *DISCRIMINATOR[2:]]
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"layer 1 \({name}\): cannot be part of a critic with a gradient penalty"):
        build(objective="wgan-gp", discriminator=layers)
    for other in ("bce", "wgan"):
        build(objective=other, discriminator=layers)


def test_a_penalised_critic_with_an_lstm():
    layers = [L.Reshape((8, 8)), L.LSTM(3, return_sequences=False), L.Dense(1)]
    with pytest.raises(ValueError, match=r"layer 1 \(LSTM\): cannot be part of a critic with a gradient penalty"):
        build(objective="wgan-gp", discriminator=layers)
    build(objective="wgan", discriminator=layers)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda config: config.pop("ema"), ValueError, "config of a GAN: missing or unknown: ema"),
        (lambda config: config.update(beta=1.0), ValueError, "config of a GAN: missing or unknown: beta"),
        (lambda config: config.update(generator=None), TypeError, "generator must be a list of layers, not NoneType"),
        (lambda config: config.update(discriminator_optimizer={"kind": "LBFGS"}), ValueError, "LBFGS"),
    ],
)
def test_unfit_configs(spoil, error, words):
    config = build().config
    spoil(config)
    with pytest.raises(error, match=words):
        gm.GAN.from_config(config)


# ---- images and labels ----------------------------------------------------------------------------

IMAGES = [
    (pixels()[0], ValueError, r"x has shape \(8, 8, 1\), expected \(N, 8, 8, 1\)"),
    (np.zeros((N, 8, 7, 1), np.uint8), ValueError, r"x has shape \(4, 8, 7, 1\)"),
    (np.zeros((N, 8, 8, 3), np.uint8), ValueError, r"x has shape \(4, 8, 8, 3\)"),
    (pixels(0), ValueError, "x is empty"),
    (np.zeros((N, *SHAPE), np.int64), TypeError, "x has dtype int64"),
    (pixels().astype(np.float16), TypeError, "float16"),
    (None, TypeError, "dtype object"),
    (spoiled(np.nan), ValueError, r"pixel \(2, 3, 0\) of image 3 is nan"),
    (spoiled(np.inf), ValueError, "is inf"),
    (spoiled(1.1), ValueError, r"is 1\.1, must be in \[0, 1\]"),
    (spoiled(-0.01), ValueError, r"is -0\.01"),
]


@pytest.mark.parametrize(("x", "error", "words"), IMAGES)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "discriminate", "fit"])
def test_unfit_images(plain, call, x, error, words):
    refuses(plain, error, words, call, x)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (pixels(2, N), ValueError, r"x has shape \(2, 4, 8, 8, 1\), expected \(N, 8, 8, 1\) or \(3, N, 8, 8, 1\)"),
        (pixels(1, N), ValueError, r"x has shape \(1, 4, 8, 8, 1\)"),
        (pixels(0, N), ValueError, r"x has shape \(0, 4, 8, 8, 1\)"),
        (pixels(K, 0), ValueError, "x is empty"),
        (np.zeros((K, N, 8, 7, 1), np.uint8), ValueError, r"x has shape \(3, 4, 8, 7, 1\)"),
        (np.zeros((K, 0, 0, 8, 1), np.uint8), ValueError, r"x has shape \(3, 0, 0, 8, 1\)"),
        (np.zeros((K, N, *SHAPE), int), TypeError, "x has dtype int64"),
        (spoiled(2.0, K, N), ValueError, r"pixel \(2, 3, 0\) of image 11 is 2"),
        (spoiled(np.nan, K, N), ValueError, "of image 11 is nan"),
    ],
)
def test_unfit_images_of_several_updates(plain, x, error, words):
    refuses(plain, error, words, "train_step", x)


@pytest.mark.parametrize("call", ["evaluate", "discriminate", "fit"])
def test_several_sets_of_images_are_for_a_step_alone(plain, call):
    refuses(plain, ValueError, r"x has shape \(3, 4, 8, 8, 1\), expected \(N, 8, 8, 1\)", call, pixels(K, N))


LABELS = [
    (None, ValueError, "labels are needed"),
    ([0, 1], ValueError, r"labels have shape \(2,\), expected \(4,\)"),
    ([[0, 1, 2, 3]] * K, ValueError, r"labels have shape \(3, 4\), expected \(4,\)"),
    ([0, 1, 2, 4], ValueError, r"labels\[3\] is 4, must be in 0..3"),
    ([0, -1, 2, 3], ValueError, r"labels\[1\] is -1"),
    ([0.0, 1.0, 2.0, 3.0], TypeError, "labels have dtype float64"),
    (["a", "b", "c", "d"], TypeError, "dtype"),
]


@pytest.mark.parametrize(("labels", "error", "words"), LABELS)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "discriminate", "generate", "sample", "fit"])
def test_unfit_labels(conditional, call, labels, error, words):
    first = {"generate": noise(N), "sample": N}.get(call, pixels())
    refuses(conditional, error, words, call, first, labels)


@pytest.mark.parametrize("call", ["train_step", "evaluate", "discriminate", "fit"])
def test_one_label_is_for_images_to_be_drawn_alone(conditional, call):
    refuses(conditional, ValueError, r"labels have shape \(\)", call, pixels(), 1)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (np.zeros(N, int), ValueError, r"labels have shape \(4,\), expected \(3, 4\)"),
        (np.zeros(K * N, int), ValueError, r"labels have shape \(12,\), expected \(3, 4\)"),
        (np.zeros((N, K), int), ValueError, r"labels have shape \(4, 3\)"),
        (np.full((K, N), 4), ValueError, r"labels\[0\] is 4"),
        (None, ValueError, "labels are needed"),
    ],
)
def test_unfit_labels_of_several_updates(conditional, labels, error, words):
    refuses(conditional, error, words, "train_step", pixels(K, N), labels)


@pytest.mark.parametrize("call", ["train_step", "evaluate", "discriminate", "generate", "sample", "fit"])
def test_labels_for_an_unconditional_model(plain, call):
    first = {"generate": noise(N), "sample": N}.get(call, pixels())
    refuses(plain, ValueError, "labels were given, but the model has none", call, first, [0] * N)


# ---- noise, codes, places -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (noise(N - 1), ValueError, r"noise has shape \(3, 2\), expected \(4, 2\) or \(4, 4, 2\)"),
        (np.zeros((N, 3), np.float32), ValueError, r"noise has shape \(4, 3\)"),
        (noise(K, N), ValueError, r"noise has shape \(3, 4, 2\)"),
        (noise((K + 1) * N), ValueError, r"noise has shape \(16, 2\)"),
        (np.zeros((N, 2), int), TypeError, "noise has dtype int64"),
        (np.full((N, 2), np.nan, np.float32), ValueError, r"noise\[0, 0\] is nan"),
        (np.full((K + 1, N, 2), 1e300), ValueError, "noise.* is inf"),
        ("noise", ValueError, r"noise has shape \(\)"),
    ],
)
def test_unfit_noise(plain, value, error, words):
    refuses(plain, error, words, "train_step", pixels(), noise=value)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.zeros(N - 1), ValueError, r"mix has shape \(3,\), expected \(4,\) or \(3, 4\)"),
        (np.zeros((N, 1)), ValueError, r"mix has shape \(4, 1\)"),
        (np.zeros((K + 1, N)), ValueError, r"mix has shape \(4, 4\)"),
        (np.zeros(N, int), TypeError, "mix has dtype int64"),
        (np.full(N, np.nan), ValueError, r"mix\[0\] is nan"),
        (np.full(N, 1.5), ValueError, r"mix reaches from 1\.5 to 1\.5, must be in \[0, 1\]"),
        (np.full((K, N), -0.1), ValueError, r"mix reaches from -0\.1"),
        (0.5, ValueError, r"mix has shape \(\)"),
    ],
)
def test_unfit_places_of_the_penalty(plain, value, error, words):
    refuses(plain, error, words, "train_step", pixels(), mix=value)


@pytest.mark.parametrize(
    ("z", "error", "words"),
    [
        (np.zeros((3, 3), np.float32), ValueError, r"z has shape \(3, 3\), expected \(N, 2\)"),
        (noise(0), ValueError, "z is empty"),
        (np.zeros((3, 2), int), TypeError, "z has dtype int64"),
        (np.array([[0, np.nan]]), ValueError, r"z\[0, 1\] is nan"),
    ],
)
def test_unfit_codes(plain, z, error, words):
    refuses(plain, error, words, "generate", z)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0,), ValueError, "n is 0, must be at least 1"),
        ((2.0,), TypeError, "n must be an int"),
        ((2**40,), OverflowError, "exceed the limit"),
        ((3, None, -1), ValueError, "seed is -1"),
        ((3, None, 1.5), TypeError, "seed must be an int"),
    ],
)
def test_unfit_sample_arguments(plain, arguments, error, words):
    refuses(plain, error, words, "sample", *arguments)


def test_a_batch_too_large_for_memory_leaves_the_model():
    """Activations of 2^22 samples: 40 times 4 TiB, more than there are addresses; the weights are a few megabytes."""
    wide = [L.Flatten(), L.Dense(2**18), *[L.Dropout(0.5)] * 40, L.Dense(1)]
    gan = build(generator=[L.Dense(1), L.Reshape((1, 1, 1))], discriminator=wide, input_shape=(1, 1, 1))
    gan.train_step(np.zeros((2, 1, 1, 1), np.uint8))
    before = small.state(gan)
    for n, error in ((2**22, MemoryError), (2**22 + 1, OverflowError)):
        with pytest.raises(error):
            gan.train_step(np.zeros((n, 1, 1, 1), np.uint8))
    assert small.state(gan) == before
    gan.train_step(np.zeros((3, 1, 1, 1), np.uint8))


# ---- numbers at their ends ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_adam_at_the_ends_of_its_bounds_writes_finite_weights_alone(seed):
    """Gradients that vanish after large ones: their mean square is 0 before their mean is."""
    adam = gm.optimizers.Adam(1e6, beta1=0.9, beta2=0.0, epsilon=1e-30)
    gan = build(seed=seed, generator_optimizer=adam, discriminator_optimizer=adam)
    x = np.random.default_rng(seed).random((N, *SHAPE), dtype=np.float32)

    def train():
        for _ in range(300):
            gan.train_step(x)

    with pytest.raises(FloatingPointError):
        train()
    assert all(np.isfinite(array).all() for array in gan.weights.values())


def test_the_penalty_of_a_critic_whose_gradient_nearly_vanishes_is_finite():
    gan = build(objective="wgan-gp", discriminator=[L.Flatten(), L.Dense(1)])
    gan.weights["discriminator.1.kernel"][...] = 1e-41
    losses = gan.train_step(pixels())
    assert losses["gradient_penalty"] == pytest.approx(1)
    assert all(np.isfinite(array).all() for array in gan.weights.values())
