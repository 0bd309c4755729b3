"""What the classes of a conditional model look like, and what lies between two codes, two images or two classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate as check
from .figure import axes_for
from .images import picture_inches, show_picture, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODES = ("lerp", "slerp")
# What the ends of an interpolation can be.
_CLASS, _CODE, _IMAGE = "class", "code", "image"
# Directions closer than this (radians) to each other, or to being opposite, have no arc that floats can tell.
_ANGLE = 1e-4


def class_grid(
    model: Any,
    n: int = 5,
    by: str = "row",
    labels: Sequence[int] | None = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws `n` images of every class of a conditional model: a row a class, or a column with by="column".

    The n codes are the same for all classes, drawn from `seed`: what differs along a column (or row) is the class
    alone. `labels` chooses and orders the classes (default: all). The drawn array is `ax.images[-1].get_array()`.
    ValueError for a model without classes and labels that are none of its own, TypeError for what is no model and
    labels that are no integers.
    """
    _require_model(model)
    if not model.num_classes:
        raise ValueError(f"the {model.family} is not conditional (num_classes=0): image_grid draws its samples")
    n = check.integer(n, "n", 1)
    by = check.choice(by, "by", ("row", "column"))
    chosen = np.arange(model.num_classes) if labels is None else np.ravel(check.as_array(labels, "labels"))
    if not len(chosen):
        raise ValueError("labels is empty: at least one class is needed")
    classes = check.labels(chosen, len(chosen), model.num_classes)
    assert classes is not None
    rows = [model.sample(n, labels=np.full(n, k), seed=seed) for k in classes]
    images = np.stack(rows, axis=0 if by == "row" else 1)
    picture = tile(images.reshape(-1, *images.shape[2:]), *images.shape[:2])
    ax = show_picture(picture, axes_for(ax, picture_inches(picture)))
    names, count = [str(k) for k in classes], len(rows)
    place = (np.arange(count) + 0.5) * picture.shape[0 if by == "row" else 1] / count - 0.5
    if by == "row":
        ax.set_yticks(place, names)
        ax.set_ylabel("class")
    else:
        ax.set_xticks(place, names)
        ax.set_xlabel("class")
    ax.tick_params(length=0)
    return ax


def interpolation(
    model: Any,
    start: ArrayLike,
    end: ArrayLike,
    steps: int = 10,
    mode: str = "lerp",
    ax: Axes | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
) -> Axes:
    """Draws what a model makes of `steps` points from `start` to `end`, both included, side by side.

    start, end: two codes (latent_dim,); or two images (H, W, C), uint8 or float in [0, 1], whose codes a VAE finds; or
    two classes (integers) of a conditional model, whose one-hot labels are then mixed at one code, drawn from `seed`.
    A conditional model needs `labels` for codes and images: one class, or a pair, which is mixed on the way as well.

    mode "lerp" is the straight line (1 - t) start + t end. "slerp" follows the arc between the two directions
    (Shoemake 1985), sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) end with w the angle between them: in many axes
    it stays where Gaussian codes lie, which the middle of a line does not. It has no meaning for a code of zeros or
    opposite ones: ValueError. The drawn array is `ax.images[-1].get_array()`. ValueError or TypeError for ends that
    are of different kinds or fit the model in none of these ways.
    """
    _require_model(model)
    steps = check.integer(steps, "steps", 2)
    mode = check.choice(mode, "mode", MODES)
    kinds = [_kind(model, value, name) for value, name in ((start, "start"), (end, "end"))]
    if kinds[0] != kinds[1]:
        raise ValueError(f"start is {kinds[0]} and end is {kinds[1]}: both must be of one kind")
    kind = kinds[0]
    if kind == _CLASS:
        if labels is not None:
            raise ValueError("labels were given, but start and end are classes already")
        classes = _class_pair(model, (start, end))
        codes = np.repeat(model._core.prior(1, check.seed(seed)), steps, axis=0)
    else:
        classes = _class_pair(model, labels)
        first, last = _codes(model, kind, (start, end), classes)
        codes = between(first, last, steps, mode)
    picture = tile(_render(model, codes, classes, steps, mode), 1, steps)
    ax = show_picture(picture, axes_for(ax, picture_inches(picture)))
    shares = np.arange(steps) / (steps - 1)
    chosen = sorted({round(i) for i in np.linspace(0, steps - 1, min(steps, 11))})
    ax.set_xticks([(i + 0.5) * picture.shape[1] / steps - 0.5 for i in chosen], [f"{shares[i]:.2g}" for i in chosen])
    ends = [f"class {int(np.asarray(value))}" for value in (start, end)] if kind == _CLASS else [kind, kind]
    ax.set_xlabel(f"{mode} from {ends[0]} (0) to {ends[1]} (1)")
    ax.tick_params(length=0)
    return ax


def between(start: ArrayLike, end: ArrayLike, steps: int = 10, mode: str = "lerp") -> NDArray[np.float64]:
    """The points (steps, D) that `interpolation` goes through from start (D,) to end (D,), float64."""
    steps = check.integer(steps, "steps", 2)
    mode = check.choice(mode, "mode", MODES)
    a, b = _floats(start, "start"), _floats(end, "end")
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"start has shape {a.shape} and end {b.shape}, must be (D,) both")
    t = (np.arange(steps) / (steps - 1))[:, None]
    first, second = (1 - t, t) if mode == "lerp" else _arc(a, b, t)
    points: NDArray[np.float64] = first * a + second * b
    return points


def _floats(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """Finite numbers as float64."""
    array = check.as_array(value, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, must be numbers")
    return check.finite(array.astype(np.float64), name)


def _arc(a: NDArray[Any], b: NDArray[Any], t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weights of both ends at the shares t of the arc between them."""
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        raise ValueError("slerp: a code of zeros has no direction: use lerp")
    u, v = a / lengths[0], b / lengths[1]
    angle = 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))  # exact for small and large angles alike
    if angle > math.pi - _ANGLE:
        raise ValueError("slerp: start and end are opposite, so that no one arc leads from one to the other: use lerp")
    if angle < _ANGLE:  # the arc is a line to within rounding
        return 1 - t, t
    return np.sin((1 - t) * angle) / math.sin(angle), np.sin(t * angle) / math.sin(angle)


def _kind(model: Any, value: ArrayLike, name: str) -> str:
    """What an end is, by its shape; a code of a model and an image never have the same."""
    array = check.as_array(value, name)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return _CLASS
    if array.shape == (model.latent_dim,):
        return _CODE
    if array.shape in (model.input_shape, _grey(model.input_shape)):
        return _IMAGE
    raise ValueError(
        f"{name} has shape {array.shape}, must be a code ({model.latent_dim},), an image {model.input_shape} or a class"
    )


def _grey(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The image's shape without its one channel; of colour images there is no other shape."""
    return shape[:2] if shape[2] == 1 else shape


def _class_pair(model: Any, labels: Any) -> NDArray[np.int64] | None:
    """The classes at both ends (2,) of a conditional model."""
    if labels is not None and np.ndim(labels) == 0:
        labels = (labels, labels)
    return check.labels(labels, 2, model.num_classes)


def _codes(model: Any, kind: str, ends: tuple[Any, Any], classes: NDArray[Any] | None) -> NDArray[np.float32]:
    """The codes (2, latent_dim) of both ends."""
    if kind == _CODE:
        return check.finite(
            check.floats(np.stack([np.asarray(e) for e in ends]), (model.latent_dim,), "codes"), "codes"
        )
    if not hasattr(model, "encode"):
        raise ValueError(f"a {model.family} finds no codes of images: give two codes ({model.latent_dim},)")
    pairs = zip(ends, (None, None) if classes is None else classes[:, None], strict=True)
    return np.concatenate([model.encode(np.reshape(x, (1, *model.input_shape)), label)[0] for x, label in pairs])


def _render(
    model: Any, codes: NDArray[Any], classes: NDArray[Any] | None, steps: int, mode: str
) -> NDArray[np.float32]:
    codes = codes.astype(np.float32)
    if classes is None or classes[0] == classes[1]:
        images: NDArray[np.float32] = model._render(codes, None if classes is None else np.repeat(classes[:1], steps))
        return images
    first, last = np.eye(model.num_classes)[classes]
    mixed: NDArray[np.float32] = model._render_mixture(codes, between(first, last, steps, mode))
    return mixed


def _require_model(model: Any) -> None:
    if not (hasattr(model, "sample") and hasattr(model, "latent_dim")):
        raise TypeError(f"model must be a VAE or a GAN, not {type(model).__name__}")
