"""Models as files.

A model's file holds its weights under the names of `model.weights`, the optimizer's state under "optimizer.", the
history under "history.epochs." and "history.steps.", and in the metadata, as JSON: family, config, counters (optimizer
steps, random streams, clocks), the place in the last fit and the recipe. That is all that training depends on. The
file's form and its checksum are those of `genmodels._safetensors`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from . import _safetensors
from .model import FAMILIES, Model
from .network import weights_at_most
from .training.history import History
from .training.position import Position

FORMAT_VERSION = "1"
Family = TypeVar("Family", bound=Model)
_EPOCHS, _STEPS = "history.epochs.", "history.steps."


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """See `Model.save`."""
    history = model.history
    tensors = {**model.weights, **model._optimizer_tensors()}
    check_values(tensors)
    tensors |= {_EPOCHS + name: np.array(history[name], np.float64) for name in history}
    tensors |= {_STEPS + name: np.array(history.steps[name], np.float64) for name in history.steps}
    values = {
        "config": model.config,
        "counters": model._counters(),
        "position": None if model._position is None else model._position.to_dict(),
        "interrupted": history.interrupted,
        "recipe": model.recipe,
    }
    metadata = {"format": "genmodels", "format_version": FORMAT_VERSION, "family": model.family}
    metadata |= {name: _text(name, value) for name, value in values.items()}
    _safetensors.write(path, tensors, metadata)


def _text(name: str, value: Any) -> str:
    """The value as JSON; ValueError or TypeError, which name it, where it is none."""
    try:
        return json.dumps(value, allow_nan=False)
    except RecursionError:
        raise ValueError(f"{name}: nested too deeply for a file") from None
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from None


def load(path: str | os.PathLike[str]) -> Any:
    """The model that `model.save(path)` wrote: its bits, and therefore its future, are those of the saved one.

    A VAE, GAN or Classifier, as the file says, which no type checker knows: `vae: gm.VAE = gm.load(path)` tells it.
    A file is taken only when its SHA-256 is right and everything in it fits together. It holds no code.

    Raises:
        ValueError: the file is damaged, cut off or not one of ours; the message names the file and what is wrong.
        OSError: the file is missing or cannot be read.
    """
    tensors, metadata = _safetensors.read(path)
    try:
        return _rebuild(tensors, metadata)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def _rebuild(tensors: dict[str, np.ndarray], metadata: Mapping[str, str]) -> Model:
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"format version {metadata.get('format_version')!r}, expected {FORMAT_VERSION!r}")
    family = FAMILIES.get(metadata.get("family", ""))
    if family is None:
        raise ValueError(f"model family {metadata.get('family')!r}, expected one of {', '.join(sorted(FAMILIES))}")
    values = {name: _json(metadata, name) for name in ("config", "counters", "position", "interrupted", "recipe")}
    history = History(_take(tensors, _EPOCHS), _take(tensors, _STEPS), values["interrupted"] is True)
    position = None if values["position"] is None else Position.from_dict(values["position"])
    check_values(tensors)
    model = build(family, values["config"], tensors)
    check_like(tensors, {**model.weights, **model._optimizer_tensors()})
    model._set_counters(_counters(values["counters"]))
    for name, view in {**model.weights, **model._optimizer_tensors()}.items():
        view[...] = tensors[name]
    model.history, model._position, model.recipe = history, position, _recipe(values["recipe"])
    return model


def _json(metadata: Mapping[str, str], name: str) -> Any:
    if name not in metadata:
        raise ValueError(f"the metadata lack {name!r}")
    try:
        return json.loads(metadata[name])
    except ValueError as error:
        raise ValueError(f"metadata {name!r}: {error}") from None


def _take(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, list[float]]:
    """Columns of the history, removed from the tensors."""
    columns = {}
    for name in [name for name in tensors if name.startswith(prefix)]:
        column = tensors.pop(name)
        if column.dtype != np.float64 or column.ndim != 1:
            raise ValueError(f"tensor {name!r}: expected float64 of one axis, got {column.dtype} {column.shape}")
        columns[name.removeprefix(prefix)] = column.tolist()
    return columns


def _counters(values: Any) -> dict[str, int]:
    if not isinstance(values, dict):
        raise ValueError(f"counters: expected an object, got {str(values)[:80]!r}")
    for name, value in values.items():
        if type(value) is not int or not 0 <= value < 2**64:
            raise ValueError(f"counter {name!r} is {value!r}, expected an integer from 0 to 2^64 - 1")
    return values


def _recipe(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"recipe: expected an object or null, got {str(value)[:80]!r}")
    return value


def check_values(tensors: Mapping[str, np.ndarray]) -> None:
    """ValueError for a tensor with a NaN or an infinity, and for one of variances or mean squares, whose roots are
    taken, with a negative value."""
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name!r} holds values that are not finite")
        squares = name.endswith(".moving_var") or (name.startswith("optimizer.") and name.endswith(".v"))
        if squares and tensor.size and tensor.min() < 0:
            raise ValueError(f"tensor {name!r} holds {tensor.min()}, must be at least 0")


def check_like(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """ValueError unless names, types and shapes agree."""
    for name in sorted(found.keys() ^ expected.keys()):
        raise ValueError(f"tensor {name!r} is {'not part of the model' if name in found else 'missing'}")
    for name, tensor in expected.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"tensor {name!r}: expected {tensor.dtype} {tensor.shape}, got {found[name].dtype} {found[name].shape}"
            )


def build(family: type[Family], config: Any, tensors: Mapping[str, np.ndarray]) -> Family:
    """The model of a config, fresh. It takes no more memory than the file's own weights let expect."""
    with weights_at_most(sum(tensor.size for tensor in tensors.values())):
        return family.from_config(config)
