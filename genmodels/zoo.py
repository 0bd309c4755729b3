"""Reference models by name.

>>> vae = gm.zoo.build("vae-keras")
>>> vae.recipe
{'data': 'mnist', 'epochs': 30, 'batch_size': 128, 'image_size': 28}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _validate as check
from . import layers as L
from .model import Model
from .optimizers import Adam
from .vae import VAE

Arguments = dict[str, Any]
Builder = Callable[[int, int, int], Arguments]  # of image_size, channels and latent_dim


@dataclass(frozen=True)
class _Entry:
    """One reference model: its family, the function that lists its arguments, and how it is trained."""

    family: Callable[..., Model]
    arguments: Builder
    latent_dim: int
    recipe: dict[str, Any]


_ENTRIES: dict[str, _Entry] = {}


def _reference(name: str, family: Callable[..., Model], latent_dim: int, **recipe: Any) -> Callable[[Builder], Builder]:
    """Enters the decorated function, which lists the constructor's arguments, under `name`."""

    def enter(arguments: Builder) -> Builder:
        _ENTRIES[name] = _Entry(family, arguments, latent_dim, recipe)
        return arguments

    return enter


def names() -> list[str]:
    """The names `build` knows."""
    return sorted(_ENTRIES)


def recipe(name: str) -> dict[str, Any]:
    """How the model `name` is trained: a dict with `data`, `epochs`, `batch_size`, `image_size`."""
    return dict(_entry(name).recipe)


def build(
    name: str,
    image_size: int | None = None,
    channels: int | None = None,
    latent_dim: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **changes: Any,
) -> Model:
    """Builds the reference model `name`, freshly initialised from `seed`.

    image_size: pixels a side (default: the recipe's); channels: 1 grey (default) or 3 colour; latent_dim: the model's
    own unless given; changes: any other argument of the model's constructor, which then replaces the reference's.
    The result's `recipe` is a dict with `data`, `epochs`, `batch_size`, `image_size`.

    - `vae-keras`: the Keras example "Variational AutoEncoder" (F. Chollet, 2020). Encoder: Conv2D 32 and 64 (kernel 3,
      stride 2, ReLU), Dense 16 (ReLU); z 2. Decoder: Dense 7*7*64 (ReLU), Conv2DTranspose 64 and 32 (kernel 3,
      stride 2, ReLU), Conv2DTranspose 1 (kernel 3, Sigmoid); all "same". 69,076 + 65,089 parameters. MNIST,
      bce sum + KL, Adam 1e-3, batch 128, 30 epochs.
    - `vae-z10`: a wider VAE with z 10. Encoder: Conv2D 32 and 64 (kernel 3, stride 2), Dense 512, Dense 256. Decoder:
      Dense 256, Dense 512, Dense 7*7*64, Conv2DTranspose 64 and 1 (kernel 3, stride 2); "same", LeakyReLU 0.2 after
      each but the last, which ends in Sigmoid. MNIST, bce sum + KL, Adam 2e-4, batch 128, 100 epochs.
    - `vae-fashion`: a convolutional VAE for Fashion-MNIST with z 10; the sizes are ours. Encoder: Conv2D 32 and 64
      (kernel 3, stride 2, ReLU), Dense 128 (ReLU). Decoder: Dense 7*7*64 (ReLU), Conv2DTranspose 64 and 32 (kernel 3,
      stride 2, ReLU), Conv2DTranspose 1 (kernel 3, Sigmoid); "same". bce sum + KL, Adam 1e-3, batch 128, 30 epochs.

    Raises ValueError for an unknown name or sizes that do not fit, TypeError for an unknown argument.
    """
    entry = _entry(name)
    size = check.integer(entry.recipe["image_size"] if image_size is None else image_size, "image_size", 1)
    depth = check.integer(1 if channels is None else channels, "channels", 1)
    latent = check.integer(entry.latent_dim if latent_dim is None else latent_dim, "latent_dim", 1)
    arguments = {**entry.arguments(size, depth, latent), "seed": seed, "precision": precision, **changes}
    model = entry.family(**arguments)
    model.recipe = {**entry.recipe, "image_size": size}
    return model


def _entry(name: str) -> _Entry:
    return _ENTRIES[check.choice(name, "name", names())]


def _quarter(size: int) -> int:
    """The side of the smallest feature map after two strides of 2, which the decoder must be able to double back."""
    if size % 4:
        raise ValueError(f"image_size must be a multiple of 4 for this model, not {size}")
    return size // 4


def _down(filters: int) -> L.Conv2D:
    return L.Conv2D(filters, 3, strides=2, padding="same")


def _up(filters: int, strides: int = 2) -> L.Conv2DTranspose:
    return L.Conv2DTranspose(filters, 3, strides=strides, padding="same")


def _relu_vae(size: int, channels: int, latent_dim: int, width: int) -> Arguments:
    """The network of the Keras example around an encoder's last layer of `width` units."""
    side = _quarter(size)
    return {
        "encoder": [_down(32), L.ReLU(), _down(64), L.ReLU(), L.Flatten(), L.Dense(width), L.ReLU()],
        "decoder": [
            *(L.Dense(side * side * 64), L.ReLU(), L.Reshape((side, side, 64))),
            *(_up(64), L.ReLU(), _up(32), L.ReLU(), _up(channels, strides=1), L.Sigmoid()),
        ],
        "input_shape": (size, size, channels),
        "latent_dim": latent_dim,
        "reconstruction": "bce",
        "optimizer": Adam(1e-3),
    }


@_reference("vae-keras", VAE, latent_dim=2, data="mnist", epochs=30, batch_size=128, image_size=28)
def _vae_keras(size: int, channels: int, latent_dim: int) -> Arguments:
    return _relu_vae(size, channels, latent_dim, width=16)


@_reference("vae-fashion", VAE, latent_dim=10, data="fashion_mnist", epochs=30, batch_size=128, image_size=28)
def _vae_fashion(size: int, channels: int, latent_dim: int) -> Arguments:
    return _relu_vae(size, channels, latent_dim, width=128)


@_reference("vae-z10", VAE, latent_dim=10, data="mnist", epochs=100, batch_size=128, image_size=28)
def _vae_z10(size: int, channels: int, latent_dim: int) -> Arguments:
    side = _quarter(size)

    def leaky(*layers: Any) -> list[Any]:
        return [part for layer in layers for part in (layer, L.LeakyReLU(0.2))]

    return {
        "encoder": [*leaky(_down(32), _down(64)), L.Flatten(), *leaky(L.Dense(512), L.Dense(256))],
        "decoder": [
            *leaky(L.Dense(256), L.Dense(512), L.Dense(side * side * 64)),
            *(L.Reshape((side, side, 64)), *leaky(_up(64)), _up(channels), L.Sigmoid()),
        ],
        "input_shape": (size, size, channels),
        "latent_dim": latent_dim,
        "reconstruction": "bce",
        "optimizer": Adam(2e-4),
    }
