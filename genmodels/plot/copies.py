"""Whether a model draws something new: its images beside the training images nearest to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate as check
from .figure import axes_for
from .images import as_images, checked_images, picture_inches, show_picture, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Numbers in the largest array of the search: 32 MB, whatever the data set's size.
_BLOCK = 2**22
# Images searched for at a time.
_ROWS = 1024


def neighbours(x: ArrayLike, reference: ArrayLike, n: int = 10, ax: Axes | None = None) -> Axes:
    """Draws the first `n` images of `x`, generated ones, above the nearest of the `reference`, the training images.

    x: (N, H, W, C), reference: (M, H, W, C), uint8 or float in [0, 1]. The number below a pair is the distance that
    `nearest` measures: 0 is a copy. A picture of few pairs cannot show that nothing is copied, but that something is.
    The drawn array is `ax.images[-1].get_array()`, the distances are the x axis' tick labels.
    """
    count = check.integer(n, "n", 1)
    drawn = np.atleast_1d(x)[:count]
    index, distance = nearest(drawn, reference)
    images = as_images(drawn)
    picture = tile(np.concatenate([images, as_images(np.asarray(reference)[index])]), 2, len(images))
    ax = show_picture(picture, axes_for(ax, picture_inches(picture)))
    H, W = picture.shape[:2]
    ax.set_yticks([H / 4, 3 * H / 4], ["generated", "nearest in training"])
    places = (np.arange(len(images)) + 0.5) * W / len(images) - 0.5
    ax.set_xticks(places, [f"{value:.2f}" for value in distance])
    ax.set_xlabel("pixel distance")
    ax.tick_params(length=0)
    return ax


def nearest(x: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of every image of `x` the nearest reference image: its index (N,) and its distance (N,).

    x: (N, H, W, C), reference: (M, H, W, C), uint8 or float in [0, 1]. The distance is Euclidean over the pixels, in
    units of the full range 0..1; of equally near images it is the first. All pairs are compared, in float64 (bytes
    with bytes without any rounding), in blocks of at most 32 MB. ValueError or TypeError for what is not images or
    not of one shape.
    """
    a, b = checked_images(x), checked_images(reference)
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"x has images of {a.shape[1:]}, the reference of {b.shape[1:]}")
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    index = np.concatenate([_search(a[i : i + _ROWS], b) for i in range(0, len(a), _ROWS)])
    # Directly from the pixels, so that a copy is at exactly 0.
    distance = [np.linalg.norm(_bytes(row) - _bytes(b[j])) / 255 for row, j in zip(a, index, strict=True)]
    return index, np.array(distance)


def _search(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.intp]:
    """The nearest row of b for every row of a; |b|^2 - 2 ab orders as |a - b|^2 does."""
    a = _bytes(a)
    best, found = np.full(len(a), np.inf), np.zeros(len(a), np.intp)
    size = max(1, _BLOCK // max(a.shape))
    for start in range(0, len(b), size):
        block = _bytes(b[start : start + size])
        distances = np.einsum("ij,ij->i", block, block) - 2 * (a @ block.T)
        place = distances.argmin(axis=1)
        value = distances[np.arange(len(a)), place]
        nearer = value < best
        best, found = np.where(nearer, value, best), np.where(nearer, start + place, found)
    return found


def _bytes(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels in 0..255 as float64, in which sums of products of whole ones are exact."""
    scaled: NDArray[np.float64] = rows.astype(np.float64)
    return scaled if rows.dtype == np.uint8 else scaled * 255
