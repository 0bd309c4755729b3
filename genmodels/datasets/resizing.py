"""Images of another size, as Pillow makes them.

An axis at a time, every new pixel is a weighted mean of old ones: first along the rows, then along the columns, with
whole numbers for pixels between the two. Pixels and weights are fixed-point numbers whose products and sums float64
holds exactly, so that a matrix product gives the same bits on every machine, whatever the order of its sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .. import _validate as check

# Filters and the half widths they reach, in pixels of the coarser grid.
REACH = {"area": 0.5, "bilinear": 1.0, "bicubic": 2.0}
MAX_SIDE = 2**15
FLOAT_ONE = 2**24  # levels of a float pixel: as fine as float32 below 1
# What a weight of 1 is in fixed point, by kind of pixel: Pillow's, and the finest whose sums float64 holds.
WEIGHT_ONE = {"u": 2**22, "f": 2**28}
PIECE = 2**20  # pixels in work at a time, at least one image


def resize(x: Any, size: int | tuple[int, int], method: str = "area") -> np.ndarray:
    """The images in another size, smaller or larger, each stretched to fill it.

    Args:
        x: (N, H, W, C) or (N, H, W), uint8 or float in [0, 1].
        size: rows and columns of the new images, or one number for both; 1..32768.
        method: "area", the mean over the area that a new pixel covers (Pillow's BOX); "bilinear", weights that fall
            linearly with the distance, over two new pixels when shrinking and between the two nearest old ones when
            enlarging (Pillow's BILINEAR); or "bicubic", the cubic convolution of Keys (1981) with a = -1/2, twice as
            wide (Pillow's BICUBIC), whose overshoot beyond black and white is cut off. All of them widen with the
            new pixels when shrinking: none leaves old pixels out (aliasing).

    Returns:
        (N, rows, columns, C) or (N, rows, columns), a fresh array: float32, exact to 2^-22, or uint8, equal to
        Pillow's. (From its version 13 on Pillow chooses by the sizes which axis comes first, though not for squares
        made squares: where it is the columns, pixels are up to a level apart, bicubic ones up to some twenty levels.)

    Raises ValueError for shapes, sizes, methods and float values out of bounds, TypeError for other dtypes.
    """
    method = check.choice(method, "method", REACH)
    rows, columns = check.pair(size, "size", 1, MAX_SIDE)
    images = _checked(x)
    if (rows, columns) == images.shape[1:3]:
        return images.copy()
    N, H, W = images.shape[:3]
    one = WEIGHT_ONE[images.dtype.kind]
    top = 255 if images.dtype == np.uint8 else None  # Pillow cuts bytes off after each axis, floats never
    across, down = _weights(W, columns, method, one), _weights(H, rows, method, one)
    resized = np.empty((N, rows, columns, *images.shape[3:]), images.dtype)
    largest = max(H, rows) * max(W, columns) * (images[0].size // (H * W))
    piece = max(1, PIECE // largest)
    for start in range(0, N, piece):
        part = _levels(images[start : start + piece])
        part = _resampled(_resampled(part, 2, across, one, top), 1, down, one, top)
        resized[start : start + piece] = part if images.dtype == np.uint8 else np.clip(part / FLOAT_ONE, 0, 1)
    return resized


def _checked(x: Any) -> np.ndarray:
    """The images as uint8 or float32 in [0, 1]."""
    shape = np.shape(x)
    if len(shape) not in (3, 4) or 0 in shape:
        raise ValueError(f"x has shape {shape}, expected (N, H, W, C) or (N, H, W), none of them 0")
    images = check.pixels(x, shape[1:])
    with_channels = images.reshape(*shape[:3], -1)
    _core.check_images(with_channels, with_channels.shape[1:])
    return images


def _levels(images: np.ndarray) -> np.ndarray:
    """Whole numbers in float64: 0..255, or 0..FLOAT_ONE for float pixels."""
    if images.dtype == np.uint8:
        return images.astype(np.float64)
    return np.rint(np.clip(images.astype(np.float64), 0, 1) * FLOAT_ONE)


def _weights(old: int, new: int, method: str, one: int) -> np.ndarray:
    """(new, old): the share of every old pixel in a new one, in units of 1 / one."""
    ratio = old / new
    stretch = max(ratio, 1.0)
    reach = REACH[method] * stretch
    centres = (np.arange(new) + 0.5) * ratio
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), old)
    pixels = np.arange(old)
    distance = (pixels - centres[:, None] + 0.5) * (1.0 / stretch)
    if method == "area":
        shares = np.where((distance > -0.5) & (distance <= 0.5), 1.0, 0.0)
    elif method == "bilinear":
        shares = np.maximum(1.0 - np.abs(distance), 0.0)
    else:
        shares = _cubic(np.abs(distance))
    shares[(pixels < first[:, None]) | (pixels >= last[:, None])] = 0.0
    shares /= np.cumsum(shares, axis=1)[:, -1:]  # summed from left to right, as Pillow does
    rounded: np.ndarray = np.trunc(shares * one + np.copysign(0.5, shares))
    return rounded


def _cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution with a = -1/2 at distances x >= 0."""
    near, far = (1.5 * x - 2.5) * x * x + 1.0, (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _resampled(part: np.ndarray, axis: int, weights: np.ndarray, one: int, top: int | None) -> np.ndarray:
    """One axis in its new size, rounded to whole numbers, which are held to 0..top where there is one."""
    lines = np.ascontiguousarray(np.moveaxis(part, axis, -1))
    sums = lines.reshape(-1, lines.shape[-1]) @ weights.T
    rounded = np.floor((sums + one / 2) / one)
    if top is not None:
        rounded = np.clip(rounded, 0, top)
    return np.moveaxis(rounded.reshape(*lines.shape[:-1], len(weights)), -1, axis)
