"""How the images of the same codes change while a model learns: a strip of stages, and a GIF."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate as check
from .._files import file_name, replacing
from .figure import axes_for
from .images import as_images, enlarged, picture_inches, show_picture, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURE = re.compile(r"samples-(\d{3,})\.png")
# The folder of a run with its pictures on the way.
_FOLDER = "samples"
# Stages of a folder in one strip, and images in one of its pictures.
_STAGES, _PER_PICTURE = 10, 25

Stages = str | os.PathLike[str] | Mapping[Any, ArrayLike] | Sequence[ArrayLike]


def evolution(
    stages: Stages,
    n: int = 5,
    ax: Axes | None = None,
    titles: Sequence[str] | None = None,
) -> Axes:
    """Draws `n` images at every stage of a training: a column a stage, a row an image.

    stages: arrays (N, H, W, C) of one shape, uint8 or float in [0, 1], in each of which the same place is the same
    code (`sample` with one seed makes them), as a sequence or under their names in a dict; or the folder of a run, or
    of `callbacks.Samples` with 25 images a picture, of whose stages at most ten are drawn, the first and the last
    among them. `titles` replace the names, one a stage. The drawn array is `ax.images[-1].get_array()`.
    ValueError for stages that do not fit together and damaged pictures, OSError for a folder without pictures.
    """
    count = check.integer(n, "n", 1)
    named = _named(stages)
    names, arrays = list(named), [as_images(images)[:count] for images in named.values()]
    if len({images.shape for images in arrays}) != 1:
        shapes = ", ".join(dict.fromkeys(str(images.shape) for images in arrays)) or "none"
        raise ValueError(f"stages: arrays of one shape (N, H, W, C) expected, at least one; there are {shapes}")
    if titles is not None:
        names = [str(title) for title in titles]
        if len(names) != len(arrays):
            raise ValueError(f"titles are {len(names)}, must be {len(arrays)}: one a stage")
    images = np.stack(arrays, axis=1)
    picture = tile(images.reshape(-1, *images.shape[2:]), *images.shape[:2])
    ax = show_picture(picture, axes_for(ax, picture_inches(picture)))
    places = (np.arange(len(names)) + 0.5) * picture.shape[1] / len(names) - 0.5
    ax.set_xticks(places, names)
    ax.set_xlabel("epoch" if isinstance(stages, str | os.PathLike) and titles is None else "")
    ax.tick_params(length=0)
    return ax


def save_evolution(stages: Stages, path: str | os.PathLike[str], frame_seconds: float = 0.25) -> None:
    """Writes the stages one after the other as a GIF that begins again at its end; the last is shown five times longer.

    stages as in `evolution`; of a folder all pictures are frames, as they are. `frame_seconds` is 0.02..60. The file
    appears in one piece. ImportError without Pillow, OSError where it cannot be written.
    """
    seconds = check.number(frame_seconds, "frame_seconds", 0.02, 60.0)
    require_pillow()
    if isinstance(stages, str | os.PathLike):
        frames = [read_picture(file) for file in _files(stages).values()]
    else:
        frames = [_frame(as_images(images)) for images in _named(stages).values()]
    if len({frame.size for frame in frames}) != 1:
        raise ValueError("stages: pictures of one size expected, at least one")
    write_gif(frames, path, seconds)


def write_gif(frames: Sequence[Any], path: str | os.PathLike[str], frame_seconds: float) -> None:
    """Writes Pillow's images, at least one, as a GIF in one piece."""
    milliseconds = [round(1000 * frame_seconds)] * (len(frames) - 1) + [round(5000 * frame_seconds)]
    with replacing(path) as file:
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)


def sample_pictures(folder: Path) -> dict[int, Path]:
    """The pictures that `callbacks.Samples` wrote into the folder, by epoch, in their order; none where it is none."""
    if not folder.is_dir():
        return {}
    found = {int(match[1]): match.string for match in map(_PICTURE.fullmatch, os.listdir(folder)) if match}
    return {epoch: folder / found[epoch] for epoch in sorted(found)}


def chosen(order: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, as evenly as can be, the first and the last among them."""
    return [order[i] for i in sorted({round(i) for i in np.linspace(0, len(order) - 1, min(len(order), most))})]


def require_pillow() -> Any:
    """Pillow's module of images; an ImportError names the extra."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("a GIF needs Pillow: pip install 'genmodels[plot]'") from error
    return Image


def read_picture(path: Path) -> Any:
    """A picture, wholly in memory, its file closed. OSError where the file cannot be read, ValueError where it holds
    no whole picture."""
    Image = require_pillow()
    try:
        with Image.open(path) as picture:
            return picture.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not Pillow's
            raise
        raise ValueError(f"{path} holds no whole picture: {error}") from None


def _named(stages: Stages) -> dict[str, ArrayLike]:
    """The images of every stage under its name."""
    if isinstance(stages, str | os.PathLike):
        files = _files(stages)
        return {str(epoch): _cells(files[epoch]) for epoch in chosen(list(files), _STAGES)}
    if isinstance(stages, Mapping):
        return {str(name): images for name, images in stages.items()}
    if not isinstance(stages, Sequence | np.ndarray):
        raise TypeError(f"stages must be arrays of images or a folder, not {type(stages).__name__}")
    return {str(number): images for number, images in enumerate(stages, 1)}


def _files(folder: str | os.PathLike[str]) -> dict[int, Path]:
    path = Path(file_name(folder))
    found = sample_pictures(path / _FOLDER) or sample_pictures(path)
    if not found:
        raise FileNotFoundError(f"{path} holds no pictures samples-000.png of a run or of callbacks.Samples")
    return found


def _cells(file: Path) -> NDArray[np.uint8]:
    """The 25 images of a picture (25, H, W, C), enlarged as they are in it."""
    picture = np.asarray(read_picture(file))
    side = math.isqrt(_PER_PICTURE)
    H, W = picture.shape[:2]
    if picture.dtype != np.uint8 or H % side or W % side:
        raise ValueError(f"{file} is no grid of {side} x {side} images of one size")
    cells = picture.reshape(side, H // side, side, W // side, -1).swapaxes(1, 2)
    return cells.reshape(_PER_PICTURE, H // side, W // side, cells.shape[-1])


def _frame(images: NDArray[np.uint8]) -> Any:
    """The images as Pillow's picture of a grid, as near to square as they fill, about 700 pixels wide."""
    columns = math.ceil(math.sqrt(len(images)))
    grid = enlarged(tile(images, math.ceil(len(images) / columns), columns))
    return require_pillow().fromarray(grid[..., 0] if grid.shape[-1] == 1 else grid)
