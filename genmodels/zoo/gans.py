"""The adversarial pairs among the reference models: G is the generator, D the discriminator or critic."""

from __future__ import annotations

from typing import Literal

from .. import layers as L
from ..gan import GAN
from ..layers import Layer
from ..optimizers import Adam, Optimizer, RMSprop
from .parts import Part, down, each, up
from .registry import Arguments, Sizes, reference

Name = Literal[
    "cgan-keras", "dcgan-tf", "gan-16", "gan-32", "gan-5x5", "gan-64", "gan-fashion", "gan-mlm",
    "wgan-16", "wgan-32", "wgan-64", "wgan-mlm",
]  # fmt: skip
"""What is built here, for programs that check types."""


def _with(optimizer: Optimizer) -> Arguments:
    """Both networks learn alike."""
    return {"generator_optimizer": optimizer, "discriminator_optimizer": optimizer}


@reference("dcgan-tf", GAN, latent_dim=100, data="mnist", epochs=50, batch_size=256, image_size=28, checkpoint_every=15)
def dcgan_tf(sizes: Sizes) -> Arguments:
    """The TensorFlow tutorial "Deep Convolutional Generative Adversarial Network".

    G: z 100, dense 7*7*256 BN LeakyReLU 0.3, convT 128 k5 s1 BN LeakyReLU 0.3, convT 64 k5 s2 BN LeakyReLU 0.3,
    convT 1 k5 s2 Tanh, none with a bias. D: conv 64, 128 k5 s2, each LeakyReLU 0.3 and dropout 0.3, dense 1. MNIST,
    bce, Adam 1e-4, batch 256, 50 epochs, the same 16 or so draws after each of them and a checkpoint every 15.
    """
    side, leaky = sizes.halved(2), L.LeakyReLU(0.3)
    return {
        "generator": [
            *(L.Dense(side * side * 256, use_bias=False), L.BatchNorm(), leaky, L.Reshape((side, side, 256))),
            *each([up(128, 5, 1, use_bias=False), up(64, 5, use_bias=False)], L.BatchNorm(), leaky),
            *(up(sizes.channels, 5, use_bias=False), L.Tanh()),
        ],
        "discriminator": [*each([down(64, 5), down(128, 5)], leaky, L.Dropout(0.3)), L.Flatten(), L.Dense(1)],
        "objective": "bce",
        **_with(Adam(1e-4)),
    }


@reference(
    "cgan-keras",
    GAN,
    latent_dim=128,
    num_classes=10,
    data="mnist",
    epochs=20,
    batch_size=64,
    image_size=28,
    split="train+test",
)
def cgan_keras(sizes: Sizes) -> Arguments:
    """The Keras example "Conditional GAN" (S. Paul, 2021).

    G: z 128 and 10 classes, dense 7*7*138 LeakyReLU 0.2, convT 128, 128 k4 s2, each LeakyReLU 0.2, conv 1 k7 Sigmoid.
    D: the image and 10 label channels, conv 64, 128 k3 s2, each LeakyReLU 0.2, global max pool, dense 1. MNIST, the
    training and the test images together, bce, Adam 3e-4, batch 64, 20 epochs. The report prints 129 input channels
    for the generator; 128 + 10 are 138, as in the example.
    """
    side, leaky = sizes.halved(2), L.LeakyReLU(0.2)
    return {
        "generator": [
            *(L.Dense(side * side * sizes.code), leaky, L.Reshape((side, side, sizes.code))),
            *each([up(128, 4), up(128, 4)], leaky),
            *(L.Conv2D(sizes.channels, 7, padding="same"), L.Sigmoid()),
        ],
        "discriminator": [*each([down(64), down(128)], leaky), L.GlobalMaxPool2D(), L.Dense(1)],
        "objective": "bce",
        **_with(Adam(3e-4)),
    }


def _mlm_pair(sizes: Sizes, *regularisation: Layer) -> Arguments:
    """The networks of `gan-mlm` and `wgan-mlm`; `regularisation` follows the discriminator's activations."""
    side, leaky = sizes.halved(2), L.LeakyReLU(0.2)
    return {
        "generator": [
            *(L.Dense(side * side * 128), leaky, L.Reshape((side, side, 128))),
            *each([up(128, 4), up(128, 4)], leaky),
            *(L.Conv2D(sizes.channels, 7, padding="same"), L.Sigmoid()),
        ],
        "discriminator": [*each([down(64), down(64)], leaky, *regularisation), L.Flatten(), L.Dense(1)],
    }


@reference("gan-mlm", GAN, latent_dim=100, data="mnist", epochs=100, batch_size=256, image_size=28)
def gan_mlm(sizes: Sizes) -> Arguments:
    """The tutorial "How to Develop a GAN for Generating MNIST Handwritten Digits" (J. Brownlee, Machine Learning
    Mastery, 2019), as the report trains it.

    G: z 100, dense 7*7*128 LeakyReLU 0.2, convT 128, 128 k4 s2, each LeakyReLU 0.2, conv 1 k7 Sigmoid. D: conv 64, 64
    k3 s2, each LeakyReLU 0.2 and dropout 0.4, dense 1 (its sigmoid is in the loss). MNIST, bce, Adam 1e-4, 100 epochs.

    The published code shows the discriminator 128 real and 128 generated images at once and updates the generator on
    256, 234 times an epoch. Ours shows it 256 and 256, so that the 235 steps of an epoch see every image once.
    """
    return {**_mlm_pair(sizes, L.Dropout(0.4)), "objective": "bce", "mixed_batches": True, **_with(Adam(1e-4))}


@reference("wgan-mlm", GAN, latent_dim=100, data="mnist", epochs=100, batch_size=64, image_size=28)
def wgan_mlm(sizes: Sizes) -> Arguments:
    """The networks of `gan-mlm` as a Wasserstein pair.

    The report trains it with Adam or RMSprop for 100 epochs and gets no digits. Ours is Wasserstein with gradient
    penalty (Gulrajani et al. 2017): no dropout, which is noise in the distance that the critic is to measure, penalty
    10, 5 critic steps, Adam 1e-4 with beta1 0 and beta2 0.9, batch 64.
    """
    return {**_mlm_pair(sizes), "objective": "wgan-gp", "critic_steps": 5, **_with(Adam(1e-4, beta1=0.0, beta2=0.9))}


@reference("gan-5x5", GAN, latent_dim=100, data="mnist", epochs=100, batch_size=128, image_size=28, checkpoint_every=10)
def gan_5x5(sizes: Sizes) -> Arguments:
    """The report's pair of 5x5 kernels, compared with `vae-z10`.

    G: z 100, dense 7*7*128, dense 14*14*64, convT 64 k5 s1, each LeakyReLU 0.2, convT 1 k5 s2 Tanh. D: conv 64, 128,
    256, 512 k5 s2, each LeakyReLU 0.2, dense 1. MNIST, bce, Adam 2e-4 with beta1 0.5, 100 epochs, a checkpoint every
    10; batch 128 is ours. The second dense layer alone has 78,688,512 parameters.
    With `num_classes=10` it draws all ten digits after two epochs, without for long but ones and sevens.
    """
    quarter, half, leaky = sizes.halved(2), sizes.halved(1), L.LeakyReLU(0.2)
    return {
        "generator": [
            *each([L.Dense(quarter * quarter * 128), L.Dense(half * half * 64)], leaky),
            *(L.Reshape((half, half, 64)), up(64, 5, 1), leaky, up(sizes.channels, 5), L.Tanh()),
        ],
        "discriminator": [*each([down(64 * 2**level, 5) for level in range(4)], leaky), L.Flatten(), L.Dense(1)],
        "objective": "bce",
        **_with(Adam(2e-4, beta1=0.5)),
    }


@reference("gan-fashion", GAN, latent_dim=100, data="fashion_mnist", epochs=50, batch_size=245, image_size=28)
def gan_fashion(sizes: Sizes) -> Arguments:
    """The report's convolutional GAN for Fashion-MNIST. It gives no sizes: these are ours.

    G: z 100, dense 7*7*128, convT 64 k5 s1, convT 32 k4 s2, each BN LeakyReLU 0.2, convT 1 k4 s2 Tanh. D: conv 32, 64
    k4 s2, each LeakyReLU 0.2 and dropout 0.5, dense 1. Fashion-MNIST, bce with real labels 0.9, Adam 1e-3, batch 245,
    50 epochs. At this rate a larger discriminator leaves its generator behind from the first epoch on; with beta1 0.5
    instead of 0.9 both get on faster, and with `num_classes=10` no kind of clothes is missing.
    """
    side, leaky = sizes.halved(2), L.LeakyReLU(0.2)
    return {
        "generator": [
            *(L.Dense(side * side * 128), L.BatchNorm(), leaky, L.Reshape((side, side, 128))),
            *each([up(64, 5, 1), up(32, 4)], L.BatchNorm(), leaky),
            *(up(sizes.channels, 4), L.Tanh()),
        ],
        "discriminator": [*each([down(32, 4), down(64, 4)], leaky, L.Dropout(0.5)), L.Flatten(), L.Dense(1)],
        "objective": "bce",
        "label_smoothing": 0.1,
        **_with(Adam(1e-3)),
    }


def _half(filters: int) -> Layer:
    return L.Conv2D(filters, 4, strides=2, padding=1)


def _double(filters: int) -> Layer:
    return L.Conv2DTranspose(filters, 4, strides=2, padding=1)


def _pair_by_size(sizes: Sizes, last: Layer) -> Arguments:
    """The networks of `gan-*` and `wgan-*`, which differ in the critic's `last` activation."""
    depth = sizes.side.bit_length() - 3
    widths = [64 * 2**level for level in range(depth)]
    start, leaky = 2 * widths[-1], L.LeakyReLU(0.2)
    growing: Part = [L.Conv2DTranspose(start, 4), *(_double(width) for width in reversed(widths[1:]))]
    shrinking = [part for width in widths[1:] for part in (leaky, _half(width), L.BatchNorm())]
    return {
        "generator": [
            *(L.Reshape((1, 1, sizes.code)), *each(growing, L.BatchNorm(), L.ReLU())),
            *(_double(sizes.channels), L.Tanh()),
        ],
        "discriminator": [_half(widths[0]), *shrinking, last, L.Flatten(), L.Dense(1)],
    }


@reference("gan-16", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=16)
@reference("gan-32", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=32)
@reference("gan-64", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=64)
def gan_by_size(sizes: Sizes) -> Arguments:
    """`gan-16`, `gan-32`, `gan-64`: the least-squares GAN of the report's study of image and latent sizes.

    G: z 2, 20 or 100 (ours unless asked: 100), convT 256 / 512 / 1024 k4 s1 p0, convT k4 s2 p1 halving the channels
    down to 128, each BN ReLU, convT 1 k4 s2 p1 Tanh. D: conv 64, 128(, 256(, 512)) k4 s2 p1, BN in all but the first,
    LeakyReLU 0.2, after the last one Sigmoid, dense 1. MNIST or CIFAR-10 resized, lsgan (the output against 1 and 0,
    half of the discriminator's), 1 critic step, 3 for `gan-64`, 50 epochs; Adam 2e-4 and batch 64 are ours.
    With `beta1=0.5` (Radford et al. 2016) the 16 and 32 pixel pairs draw digits within minutes, without they may fail.
    """
    steps = 3 if sizes.side == 64 else 1
    return {**_pair_by_size(sizes, L.Sigmoid()), "objective": "lsgan", "critic_steps": steps, **_with(Adam(2e-4))}


@reference("wgan-16", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=16)
@reference("wgan-32", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=32)
@reference("wgan-64", GAN, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=64, image_size=64)
def wgan_by_size(sizes: Sizes) -> Arguments:
    """`wgan-16`, `wgan-32`, `wgan-64`: the Wasserstein GAN (Arjovsky, Chintala and Bottou 2017) of the same study.

    G and critic as in `gan-*`, but LeakyReLU 0.2 in the critic's last place too. Weights clipped to 0.01, 5 critic
    steps, RMSprop 5e-5, 50 and 100 epochs (ours: 50); batch 64 is ours.
    At four times that rate and with `num_classes=10` no digit stays rare, and the images are better sooner.
    """
    learning = {"objective": "wgan", "clip_weights": 0.01, "critic_steps": 5, **_with(RMSprop(5e-5))}
    return {**_pair_by_size(sizes, L.LeakyReLU(0.2)), **learning}
