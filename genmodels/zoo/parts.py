"""Pieces that several reference models are made of."""

from __future__ import annotations

from collections.abc import Iterable

from .. import layers as L
from ..layers import Layer

Part = list[Layer]


def down(filters: int, kernel: int = 3) -> Layer:
    """A convolution to half the image."""
    return L.Conv2D(filters, kernel, strides=2, padding="same")


def up(filters: int, kernel: int = 3, strides: int = 2, use_bias: bool = True) -> Layer:
    """A transposed convolution to an image `strides` times as large."""
    return L.Conv2DTranspose(filters, kernel, strides=strides, padding="same", use_bias=use_bias)


def each(layers: Iterable[Layer], *after: Layer) -> Part:
    """The layers, every one of them followed by the others."""
    return [part for layer in layers for part in (layer, *after)]
