"""The variational autoencoders among the reference models. A head, Dense(2 * latent_dim), follows every encoder."""

from __future__ import annotations

from typing import Literal

from .. import layers as L
from ..optimizers import Adam
from ..vae import VAE
from .parts import down, each, up
from .registry import Arguments, Sizes, reference

Name = Literal["vae-16", "vae-32", "vae-64", "vae-fashion", "vae-keras", "vae-lstm", "vae-z10"]
"""What is built here, for programs that check types."""


def _relu_vae(sizes: Sizes, width: int) -> Arguments:
    """The network of the Keras example around an encoder's last layer of `width` units."""
    side = sizes.halved(2)
    return {
        "encoder": [*each([down(32), down(64)], L.ReLU()), L.Flatten(), L.Dense(width), L.ReLU()],
        "decoder": [
            *(L.Dense(side * side * 64), L.ReLU(), L.Reshape((side, side, 64))),
            *each([up(64), up(32)], L.ReLU()),
            *(up(sizes.channels, strides=1), L.Sigmoid()),
        ],
        "reconstruction": "bce",
        "optimizer": Adam(1e-3),
    }


@reference("vae-keras", VAE, latent_dim=2, data="mnist", epochs=30, batch_size=128, image_size=28)
def vae_keras(sizes: Sizes) -> Arguments:
    """The Keras example "Variational AutoEncoder" (F. Chollet, 2020).

    Encoder: conv 32, 64 k3 s2 ReLU, dense 16 ReLU; z 2. Decoder: dense 7*7*64 ReLU, convT 64, 32 k3 s2 ReLU,
    convT 1 k3 s1 Sigmoid. MNIST, bce sum + KL, Adam 1e-3, batch 128, 30 epochs.
    """
    return _relu_vae(sizes, width=16)


@reference("vae-fashion", VAE, latent_dim=10, data="fashion_mnist", epochs=30, batch_size=128, image_size=28)
def vae_fashion(sizes: Sizes) -> Arguments:
    """A convolutional VAE for Fashion-MNIST. Its report gives no sizes: these are ours, and so are batch and epochs.

    Encoder: conv 32, 64 k3 s2 ReLU, dense 128 ReLU; z 10. Decoder: dense 7*7*64 ReLU, convT 64, 32 k3 s2 ReLU,
    convT 1 k3 s1 Sigmoid. bce sum + KL, Adam 1e-3, batch 128, 30 epochs.
    """
    return _relu_vae(sizes, width=128)


@reference("vae-z10", VAE, latent_dim=10, data="mnist", epochs=100, batch_size=128, image_size=28)
def vae_z10(sizes: Sizes) -> Arguments:
    """The report's VAE of ten latent axes, compared with `gan-5x5`.

    Encoder: conv 32, 64 k3 s2, dense 512, dense 256, each LeakyReLU 0.2; z 10. Decoder: dense 256, dense 512,
    dense 7*7*64, convT 64 k3 s2, each LeakyReLU 0.2, convT 1 k3 s2 Sigmoid. MNIST, bce sum + KL, Adam 2e-4,
    100 epochs; batch 128 is ours.
    """
    side, leaky = sizes.halved(2), L.LeakyReLU(0.2)
    return {
        "encoder": [*each([down(32), down(64)], leaky), L.Flatten(), *each([L.Dense(512), L.Dense(256)], leaky)],
        "decoder": [
            *each([L.Dense(256), L.Dense(512), L.Dense(side * side * 64)], leaky),
            *(L.Reshape((side, side, 64)), up(64), leaky, up(sizes.channels), L.Sigmoid()),
        ],
        "reconstruction": "bce",
        "optimizer": Adam(2e-4),
    }


@reference("vae-lstm", VAE, latent_dim=64, data="mnist", epochs=100, batch_size=256, image_size=28)
def vae_lstm(sizes: Sizes) -> Arguments:
    """The report's VAE that reads an image row by row.

    Encoder: LSTM 64 over the 28 rows, all its outputs (1792 values); z 64. Decoder: dense 98, dense 196, reshape
    14x14x1, convT 32 k3 s1, dropout 0.3, convT 64 k3 s1, dropout 0.3, convT 64 k3 s2, ReLU after each of these,
    flatten (50,176 values), dense 784 Sigmoid. MNIST, bce sum + KL, batch 256, 100 epochs; Adam 1e-3 is ours.
    """
    side, relu = sizes.halved(1), L.ReLU()
    return {
        "encoder": [
            L.Reshape((sizes.side, sizes.side * (sizes.channels + sizes.num_classes))),
            *(L.LSTM(64), L.Flatten()),
        ],
        "decoder": [
            *(L.Dense(side * side // 2), relu, L.Dense(side * side), relu, L.Reshape((side, side, 1))),
            *each([up(32, strides=1), up(64, strides=1)], relu, L.Dropout(0.3)),
            *(up(64), relu, L.Flatten(), L.Dense(sizes.side * sizes.side * sizes.channels)),
            *(L.Reshape((sizes.side, sizes.side, sizes.channels)), L.Sigmoid()),
        ],
        "reconstruction": "bce",
        "optimizer": Adam(1e-3),
    }


@reference("vae-16", VAE, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=128, image_size=16)
@reference("vae-32", VAE, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=128, image_size=32)
@reference("vae-64", VAE, latent_dim=100, one_size=True, data="mnist", epochs=50, batch_size=128, image_size=64)
def vae_by_size(sizes: Sizes) -> Arguments:
    """`vae-16`, `vae-32`, `vae-64`: the VAE of the report's study of image and latent sizes, 3, 4 and 5 halvings deep.

    Encoder: conv 32, 64, 128(, 256(, 512)) k3 s2 p1, each BN LeakyReLU 0.2, dense 128 / 256 / 512 LeakyReLU 0.2; z 2,
    20 or 100 (ours unless asked: 100). Decoder: dense to 2x2x(256 / 512 / 1024), nothing after it; convT k3 s2 p1
    output_padding 1, halving the channels down to 32, one more of 32, each BN ReLU; conv 1 k3 s2 p1 Tanh. MNIST or
    CIFAR-10 resized, mse sum + KL, 50 epochs; Adam 2e-4 and batch 128 are ours (with 1e-3 the KL term of the largest
    leaps beyond 1e13 in the first steps).
    """
    depth = sizes.side.bit_length() - 2
    widths = [32 * 2**level for level in range(depth)]
    halving = [L.Conv2D(width, 3, strides=2, padding=1) for width in widths]
    doubling = [_double(width) for width in (*reversed(widths), 32)]
    start = 2 * widths[-1]
    return {
        "encoder": [
            *each(halving, L.BatchNorm(), L.LeakyReLU(0.2)),
            *(L.Flatten(), L.Dense(widths[-1]), L.LeakyReLU(0.2)),
        ],
        "decoder": [
            *(L.Dense(2 * 2 * start), L.Reshape((2, 2, start)), *each(doubling, L.BatchNorm(), L.ReLU())),
            *(L.Conv2D(sizes.channels, 3, strides=2, padding=1), L.Tanh()),
        ],
        "reconstruction": "mse",
        "reduction": "sum",
        "optimizer": Adam(2e-4),
    }


def _double(filters: int) -> L.Conv2DTranspose:
    return L.Conv2DTranspose(filters, 3, strides=2, padding=1, output_padding=1)
