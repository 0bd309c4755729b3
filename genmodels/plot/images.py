"""Images side by side: samples in a grid, originals above their reconstructions."""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate as check
from .._files import file_name, replacing
from .figure import axes_for, require_vae

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def image_grid(x: ArrayLike, rows: int = 5, columns: int | None = None, ax: Axes | None = None, gap: int = 0) -> Axes:
    """Draws the first `rows * columns` images of `x` as a grid of equal cells, row by row.

    x: (N, H, W, C) or (N, H, W), uint8 or float in [0, 1], C = 1 (grey) or 3 (colour). `columns` is `rows` unless
    given: 5 x 5. Cells beyond the last image stay white. `gap` is the number of white pixels round each image.
    The drawn array is `ax.images[-1].get_array()`. Raises ValueError or TypeError for what is not images.
    """
    picture = tile(x, rows, columns, gap)
    return show_picture(picture, axes_for(ax, picture_inches(picture)))


def reconstructions(
    vae: Any, x: ArrayLike, n: int = 10, ax: Axes | None = None, labels: ArrayLike | None = None
) -> Axes:
    """Draws the first `n` images of `x` above what the VAE makes of them (through the posterior's mean).

    x: (N, H, W, C), uint8 or float in [0, 1]; fewer than `n` images are all drawn. A conditional VAE takes `labels`
    (N,).
    """
    require_vae(vae, "reconstruct")
    count = check.integer(n, "n", 1)
    given = checked_images(x)[:count]
    original = as_images(given)
    made = vae.reconstruct(given) if labels is None else vae.reconstruct(given, np.atleast_1d(labels)[:count])
    picture = tile(np.concatenate([original, as_images(made)]), 2, len(original))
    ax = show_picture(picture, axes_for(ax, picture_inches(picture)))
    height = picture.shape[0]
    ax.set_yticks([height / 4, 3 * height / 4], ["original", "reconstruction"])
    ax.tick_params(axis="y", length=0)
    return ax


def save_grid(
    x: ArrayLike,
    path: str | os.PathLike[str],
    rows: int = 5,
    columns: int | None = None,
    gap: int = 0,
    side: int = 700,
) -> None:
    """Writes the grid of `image_grid` as a PNG file without margins, every pixel enlarged by the same whole number.

    The longer side comes as near to `side` pixels as that allows, never below the images' own size. The file appears
    in one piece. Needs no matplotlib. Raises ValueError for a file name of another kind than .png, OSError when the
    file cannot be written.
    """
    kind = os.path.splitext(file_name(path))[1]
    if kind.lower() not in (".png", ""):
        raise ValueError(f"{path}: pictures are written as PNG, not as {kind}")
    picture = enlarged(tile(x, rows, columns, gap), check.integer(side, "side", 1))
    with replacing(path) as file:
        file.write(png(picture))


def enlarged(picture: NDArray[np.uint8], side: int = 700) -> NDArray[np.uint8]:
    """The picture (H, W, C) with every pixel a square of pixels; its longer side comes near to `side`."""
    factor = max(1, round(side / max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def tile(x: ArrayLike, rows: int = 5, columns: int | None = None, gap: int = 0) -> NDArray[np.uint8]:
    """The grid as one array: (rows * (H + 2 gap), columns * (W + 2 gap), C), uint8, the gaps and spare cells white."""
    images = as_images(x)
    rows = check.integer(rows, "rows", 1)
    columns = rows if columns is None else check.integer(columns, "columns", 1)
    gap = check.integer(gap, "gap", 0)
    images = images[: rows * columns]
    N, H, W, C = images.shape
    cells = np.full((rows * columns, H + 2 * gap, W + 2 * gap, C), 255, np.uint8)
    cells[:N, gap : gap + H, gap : gap + W] = images
    cells = cells.reshape(rows, columns, H + 2 * gap, W + 2 * gap, C)
    picture: NDArray[np.uint8] = cells.swapaxes(1, 2).reshape(rows * (H + 2 * gap), columns * (W + 2 * gap), C)
    return picture


def checked_images(x: ArrayLike) -> NDArray[Any]:
    """The images as they are, (N, H, W, C); a missing last axis is one channel. ValueError or TypeError for others,
    and for one image alone."""
    images = np.asarray(x)
    if images.ndim == 3 and images.shape[-1] in (1, 3):
        raise ValueError(f"images have shape {images.shape}, which is one image (H, W, C): give x[None] instead of x")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"images must have shape (N, H, W, 1 or 3) or (N, H, W), not {np.shape(x)}")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f" or images.dtype.itemsize not in (4, 8):
        raise TypeError(f"images must be uint8, float32 or float64, not {images.dtype}")
    # The same bounds as a model's input; written so that NaN fails as well.
    if not (images.min() >= -1e-6 and images.max() <= 1 + 1e-6):
        raise ValueError(f"float images must lie in [0, 1], these reach from {images.min()} to {images.max()}")
    return images


def as_images(x: ArrayLike) -> NDArray[np.uint8]:
    """The images as uint8 (N, H, W, C); a missing last axis is one channel."""
    images = checked_images(x)
    if images.dtype == np.uint8:
        return images
    pixels: NDArray[np.uint8] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pixels


def show_picture(picture: NDArray[np.uint8], ax: Axes) -> Axes:
    """Draws an (H, W, C) picture pixel for pixel, without ticks; one channel as grey from black 0 to white 255."""
    grey = picture.shape[-1] == 1
    ax.imshow(picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax


def png(picture: NDArray[np.uint8]) -> bytes:
    """An (H, W, 1 or 3) picture as a PNG file (ISO/IEC 15948): header, one block of unfiltered rows, end."""
    H, W, C = picture.shape
    header = struct.pack(">IIBBBBB", W, H, 8, {1: 0, 3: 2}[C], 0, 0, 0)
    rows = np.concatenate([np.zeros((H, 1), np.uint8), picture.reshape(H, W * C)], axis=1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def picture_inches(picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Inches for a picture: its longer side 7."""
    H, W = picture.shape[:2]
    return 7 * W / max(H, W), max(7 * H / max(H, W), 1.0)
