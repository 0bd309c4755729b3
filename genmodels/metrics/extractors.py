"""What turns images into features: our own classifiers by name, one of the caller's, any function, or a network in an
ONNX file.

Scores hold between features of one extractor only. So each has a hash over all that decides its features, and every
score carries it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .. import _validate as check
from ..classifier import Classifier
from ..datasets import resize
from ..training.position import fingerprint
from . import weights

PIECE = 500
"""Images that go through an extractor at a time."""

PROBES = 8
FILES = (".onnx", ".safetensors")

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Extractor:
    """Images in, features out.

    Attributes:
        name: what it is called: a data set's name, a function's or a file's.
        hash: hexadecimal digits, at least 12; two extractors with the same ones give the same features.
        features: images (N, H, W, C), float32 in [0, 1], to features (N, D).
        probabilities: the same to class probabilities (N, K); None where the extractor knows no classes.

    Raises ValueError or TypeError for another hash, TypeError for what is no function.
    """

    name: str
    hash: str
    features: Function = field(repr=False)
    probabilities: Function | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        what = f"extractor {self.name}"
        if not isinstance(self.hash, str):
            raise TypeError(f"{what}: its hash must be a str, not {check.shown(self.hash)}")
        if not re.fullmatch(r"[0-9a-fA-F]{12,}", self.hash):
            raise ValueError(f"{what}: its hash is {self.hash!r}, must be at least 12 hexadecimal digits")
        if not callable(self.features):
            raise TypeError(f"{what}: features must be a function, not {check.shown(self.features)}")

    def __str__(self) -> str:
        """How scores carry it: "mnist:" and the hash."""
        return f"{self.name}:{self.hash}"


def features(x: Any, extractor: Any = "mnist") -> np.ndarray:
    """The features (N, D), float32 or as the extractor gives them, of images.

    Args:
        x: images (N, H, W, C), uint8 or float in [0, 1].
        extractor: "mnist", "fashion_mnist", "cifar10" or "strokes", the layer before the logits of our classifier of
            that data set; a `genmodels.Classifier`, or the path of a file named *.safetensors that
            `python -m genmodels.metrics.train_extractor` wrote; a function from images (N, H, W, C) float32 in [0, 1]
            to (N, D), which is given 500 images at a time, as they are; the path of an ONNX file; an `OnnxExtractor`;
            or an `Extractor`.

    A classifier and an ONNX network have a size of their own: other images are resized to it, each on its own,
    by an antialiased filter (`genmodels.datasets.resize`; bicubic unless said otherwise), as Parmar, Zhang and Zhu
    (2022) showed to matter. A grey image in front of a colour network is repeated in its three channels; a colour
    image in front of a grey network is a ValueError.

    Raises ValueError for images or features out of bounds, TypeError for other types, ImportError, naming the extra,
    where onnxruntime is missing, OSError where the file is.
    """
    images = as_images(x, "x")
    return extracted(find(extractor, images.shape[1:]), images)


def extracted(extractor: Extractor, images: np.ndarray) -> np.ndarray:
    """The features (N, D) of checked images."""
    return _joined(extractor.features, images, f"extractor {extractor.name}")


def classified(extractor: Extractor, images: np.ndarray) -> np.ndarray | None:
    """The class probabilities (N, K) of checked images, None from an extractor that knows no classes."""
    if extractor.probabilities is None:
        return None
    return _joined(extractor.probabilities, images, f"extractor {extractor.name}")


def find(extractor: Any, shape: tuple[int, ...]) -> Extractor:
    """The extractor that a caller named, for images of this shape (H, W, C)."""
    if isinstance(extractor, Extractor):
        return extractor
    if isinstance(extractor, Classifier):
        return _classifier("classifier", extractor, _hash_of(extractor))
    if isinstance(extractor, str) and extractor in weights.names():
        return _classifier(extractor, *weights.load(extractor))
    if isinstance(extractor, os.PathLike) or (isinstance(extractor, str) and extractor.endswith(FILES)):
        path = Path(extractor)
        if path.suffix == ".safetensors":
            return _classifier(path.stem, *weights.read(path))
        from .onnx import OnnxExtractor

        extractor = OnnxExtractor(extractor)
    if callable(extractor):
        return _function(extractor, shape)
    expected = (
        f"one of {', '.join(weights.names())}, a Classifier, a function, or a file named *.onnx or, of "
        "genmodels.metrics.train_extractor, *.safetensors"
    )
    if isinstance(extractor, str):
        raise ValueError(f"extractor is {extractor!r}, must be {expected}")
    raise TypeError(f"extractor must be {expected}, not {check.shown(extractor)}")


def default(data: str | None, shape: tuple[int, ...]) -> str:
    """The name of the classifier for images of this shape (H, W, C) from the data set `data`, where that is known: its
    own, or else the one for grey images, "mnist", or for colour, "cifar10". ValueError where the package has none."""
    channels = {name: 3 if name == "cifar10" else 1 for name in weights.names()}
    for name in (data, "mnist", "cifar10"):
        if name is not None and channels.get(name) == shape[2]:
            return name
    raise ValueError(f"images of {shape[2]} channels: there is no classifier of our own for them; give an extractor")


def of_recipe(model: Any, shape: tuple[int, ...]) -> str:
    """The `default` for a model, by its recipe's data set, or for what is no model."""
    recipe = getattr(model, "recipe", None)
    return default(recipe.get("data") if isinstance(recipe, dict) else None, shape)


def as_images(x: Any, name: str) -> np.ndarray:
    """(N, H, W, C) uint8 or float32, every value checked."""
    array = check.as_array(x, name)
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected images (N, H, W, C), none of them 0")
    images = check.pixels(array, array.shape[1:], name)
    try:
        _core.check_images(images, images.shape[1:])
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('images: ')}") from None
    return images


def as_floats(images: np.ndarray) -> np.ndarray:
    """Checked images as float32 in [0, 1]."""
    floats: np.ndarray = images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images
    clipped: np.ndarray = np.clip(floats, 0, 1)
    return clipped


def fitted(images: np.ndarray, size: tuple[int, int], channels: int, method: str, name: str) -> np.ndarray:
    """Float images in a network's own size and channels."""
    if images.shape[3] != channels and images.shape[3] != 1:
        raise ValueError(f"extractor {name} takes {channels} channels, the images have {images.shape[3]}")
    if images.shape[1:3] != size:
        images = resize(images, size, method)
    return np.repeat(images, channels // images.shape[3], axis=3) if images.shape[3] != channels else images


def _joined(function: Function, images: np.ndarray, what: str) -> np.ndarray:
    """The function's rows for all images, a piece of them at a time."""
    pieces = []
    for start in range(0, len(images), PIECE):
        piece = as_floats(images[start : start + PIECE])
        rows = check.as_array(function(piece), what)
        if rows.ndim != 2 or len(rows) != len(piece) or rows.shape[1] < 1:
            raise ValueError(f"{what} made shape {rows.shape} of {len(piece)} images, expected (N, D)")
        if rows.dtype.kind != "f":
            raise TypeError(f"{what} made dtype {rows.dtype}, expected float32 or float64")
        pieces.append(check.finite(rows, what))
    return np.concatenate(pieces)


def _hash_of(classifier: Classifier) -> str:
    """SHA-256 over its layers and its weights as they stand: over all that decides features and probabilities."""
    config = classifier.config
    told = {name: config[name] for name in ("layers", "input_shape", "precision")}
    return hashlib.sha256((json.dumps(told) + fingerprint(*classifier.weights.values())).encode()).hexdigest()


def _classifier(name: str, network: Classifier, digest: str) -> Extractor:
    """A classifier of this hash, for images of any size."""
    height, width, channels = network.input_shape

    def fit(images: np.ndarray) -> np.ndarray:
        return fitted(images, (height, width), channels, "bicubic", name)

    return Extractor(
        name,
        digest,
        lambda images: network.features(fit(images)),
        lambda images: network.predict_proba(fit(images)),
    )


def _function(function: Any, shape: tuple[int, ...]) -> Extractor:
    """A caller's function. Its hash is its own attribute `hash`, else that of what it makes of a few images of noise:
    another function has another one, and so has one that is different each time, whose scores nobody can compare."""
    name = str(getattr(function, "name", getattr(function, "__name__", type(function).__name__)))
    digest = getattr(function, "hash", None)
    if not isinstance(digest, str):
        noise = np.random.default_rng(0).random((PROBES, *shape), np.float32)
        digest = hashlib.sha256(_joined(function, noise, f"extractor {name}").astype("<f4").tobytes()).hexdigest()
    return Extractor(name, digest, function, getattr(function, "predict_proba", None))
