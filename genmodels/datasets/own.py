"""Images of the user's own: one ``.npz`` file, as ``numpy.savez`` writes it, with the names of Keras's ``mnist.npz``.

==============  =========================================================================================
``x_train``     images (N, H, W) or (N, H, W, C), uint8, as high as wide, C 1 or 3
``y_train``     labels (N,), integers 0..255; without them all images are of one class
``x_test``      images to be held out, of the same shape; without them the last tenth of ``x_train`` is
``y_test``      their labels; there where both ``x_test`` and ``y_train`` are
==============  =========================================================================================
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._files import file_name
from .content import opened
from .reading import Split

SUFFIX = ".npz"
HELD_OUT = 10  # one image in so many
MOST_LABEL = 255


def is_named(name: Any) -> bool:
    """Whether a data set's name is the path of such a file: a path object, or a string that ends in ``.npz``."""
    return isinstance(name, os.PathLike) or (isinstance(name, str) and name.endswith(SUFFIX))


def read(path: str | os.PathLike[str]) -> tuple[Split, Split]:
    """Training and test images (N, H, W, C) uint8 with labels (N,) uint8. ValueError for a file of another content,
    which names it, the array and the bound; OSError where it cannot be read."""
    file = Path(file_name(path))
    arrays = _arrays(file)
    train = _split(arrays, "train", file)
    if "x_test" in arrays:
        test = _split(arrays, "test", file)
        if test[0].shape[1:] != train[0].shape[1:]:
            raise ValueError(f"{file}: x_test has images {test[0].shape[1:]}, x_train {train[0].shape[1:]}")
        return train, test
    images, labels = train
    if len(images) < 2:
        raise ValueError(f"{file}: x_train has 1 image, must have at least 2 where there is no x_test to hold out")
    at = len(images) - max(1, len(images) // HELD_OUT)
    return (images[:at].copy(), labels[:at].copy()), (images[at:].copy(), labels[at:].copy())


def info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `genmodels.datasets.info` says of it: the classes are the numbers up to the largest label."""
    train, test = read(path)
    classes = 1 + max(int(labels.max()) for _, labels in (train, test))
    return {
        "name": str(path),
        "title": f"Images of {Path(path).name}",
        "image_shape": train[0].shape[1:],
        "train": len(train[0]),
        "test": len(test[0]),
        "classes": tuple(map(str, range(classes))),
        "homepage": "",
        "licence": "",
    }


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """What is in the file under the names we know."""
    with opened(file) as content:
        try:
            return _members(content)
        except MemoryError as error:
            raise MemoryError(f"{file}: {error}") from None
        except Exception as error:  # of damaged bytes NumPy and the unpackers raise errors of a dozen types
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # the disk's, not the content's
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{file} is no file of arrays as numpy.savez writes it: {reason}") from None


def _members(content: BinaryIO) -> dict[str, np.ndarray]:
    found = np.load(content, allow_pickle=False)
    if isinstance(found, np.ndarray):
        raise ValueError("it is one array")
    arrays = {name: found[name] for name in ("x_train", "y_train", "x_test", "y_test") if name in found}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # a member's bytes, where they do not begin as an array's
            raise ValueError(f"{name} is no array")
    return arrays


def _split(arrays: dict[str, np.ndarray], part: str, file: Path) -> Split:
    x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
    if x is None:
        raise ValueError(f"{file} has no x_train: images (N, H, W, C), uint8")
    images = _images(x, f"{file}: x_{part}")
    if ("y_train" in arrays) != (y is not None):
        with_labels, without = ("train", "test") if y is None else ("test", "train")
        raise ValueError(f"{file} has y_{with_labels} but no y_{without}: both parts have labels or neither")
    return images, np.zeros(len(images), np.uint8) if y is None else _labels(y, len(images), f"{file}: y_{part}")


def _images(x: np.ndarray, what: str) -> np.ndarray:
    if x.dtype != np.uint8:
        raise ValueError(f"{what} has dtype {x.dtype}, must be uint8; of pixels in 0..1 it is (255 * x).round()")
    images = x[..., None] if x.ndim == 3 else x
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"{what} has shape {x.shape}, must be (N, H, W) or (N, H, W, C), none of them 0")
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"{what} has shape {x.shape}: images must be as high as they are wide")
    if images.shape[3] not in (1, 3):
        raise ValueError(f"{what} has shape {x.shape}: images must have 1 channel or 3")
    return np.ascontiguousarray(images)


def _labels(y: np.ndarray, n: int, what: str) -> np.ndarray:
    if y.dtype.kind not in "iu":
        raise ValueError(f"{what} has dtype {y.dtype}, must be integers")
    if y.shape != (n,):
        raise ValueError(f"{what} has shape {y.shape}, must be ({n},): one for each image")
    outside = (y < 0) | (y > MOST_LABEL)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(f"{what}[{at}] is {y[at]}, must be in 0..{MOST_LABEL}")
    return y.astype(np.uint8)
