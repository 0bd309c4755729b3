"""Grey images made black and white, of which alone a Bernoulli likelihood is a probability."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from . import _validate as check

STREAM = 8  # GM_STREAM_BINARIZE of csrc/base/random.h; the epoch goes into its upper half
EVALUATION = 2**32 - 1  # the "epoch" of images that are binarized once and for all
CHOICES = ("fixed", "dynamic")
PIECE = 1024  # images at a time


def binarize(x: Any, how: str | None = "dynamic", seed: int = 0) -> np.ndarray:
    """Images of black and white pixels made of grey ones, in the same shape and dtype: 0 and 255, or 0.0 and 1.0.

    Args:
        x: images (N, H, W, C), uint8, or float32 (float64 is cast) in [0, 1].
        how: "dynamic": a pixel becomes white with the probability of its grey (Salakhutdinov and Murray 2008), which
            papers on binarized MNIST mean; "fixed": where it is above 1/2; None: x as it is.
        seed: of the draws, 0..2^64-1. They depend on it and the image's place alone: the first images on no others.

    Black and white images stay what they are. ValueError or TypeError for other arguments.
    """
    how = check_choice(how)
    seed = check.seed(seed)
    array = check.as_array(x, "x")
    if array.ndim != 4:
        raise ValueError(f"x has shape {array.shape}, expected (N, H, W, C)")
    images = check.pixels(array, array.shape[1:])
    _core.check_images(images, images.shape[1:])
    if how is None:
        return images
    result = images.copy()
    for start in range(0, len(result), PIECE):
        apply(result[start : start + PIECE], how, seed, EVALUATION, start)
    return result


def check_choice(how: Any) -> str | None:
    """ "fixed", "dynamic" or None; ValueError or TypeError for anything else."""
    return None if how is None else check.choice(how, "binarize", CHOICES)


def apply(images: np.ndarray, how: str, seed: int, epoch: int, first: int) -> None:
    """Binarize images (n, H, W, C) in place, those that have the places first..first+n-1 in an epoch."""
    grey = images / np.float32(255) if images.dtype == np.uint8 else images
    white = grey > (0.5 if how == "fixed" else _draws(images.shape, seed, epoch, first))
    np.multiply(white, 255 if images.dtype == np.uint8 else 1, out=images, casting="unsafe")


def _draws(shape: tuple[int, ...], seed: int, epoch: int, first: int) -> np.ndarray:
    """A uniform number in [0, 1) for every pixel. An image's begin with a block of four of the stream."""
    n, *sizes = shape
    pixels = int(np.prod(sizes))
    blocks = -(-pixels // 4)
    drawn = _core.uniform(seed, STREAM | epoch << 32, n * 4 * blocks, first * blocks)
    return drawn.reshape(n, 4 * blocks)[:, :pixels].reshape(shape)
