"""Checks of what users hand over: one function a kind of value, each raising with what, which value, which bound.

TypeError for the wrong kind of object or dtype, ValueError for a value or shape outside its bounds, OverflowError for
a size no memory could hold.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np

MAX_SIZE = 2**40
"""No size may exceed this: the core's bound on the elements of one array."""

MAX_SEED = 2**64 - 1


def shown(value: Any) -> str:
    """A value as messages show it: on one line, and not all of an array or a long text."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no int of more than 4,300 digits
        return "a value too long to write"
    return text if len(text) <= 80 else text[:77] + "..."


def integer(value: Any, name: str, low: int, high: int = MAX_SIZE) -> int:
    """An int in low..high. A bool is no int; NumPy's integers are."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an int, not {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {shown(value)} ({type(value).__name__})") from None
    if number < low:
        raise ValueError(f"{name} is {shown(number)}, must be at least {low}")
    if number > high:
        kind = OverflowError if high == MAX_SIZE else ValueError
        raise kind(f"{name} is {shown(number)}, must be at most {high}")
    return number


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf, *, open_high: bool = False) -> float:
    """A finite float in [low, high], or in [low, high) with open_high. A bool is no number."""
    if isinstance(value, (bool, np.bool_, str, bytes, np.ndarray)):
        raise TypeError(f"{name} must be a number, not {shown(value)}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {shown(value)} ({type(value).__name__})") from None
    except OverflowError:
        raise ValueError(f"{name} is {shown(value)}, beyond what a float holds") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} is {result}, must be finite")
    if not low <= result <= high or (open_high and result == high):
        raise ValueError(f"{name} is {result}, must be in [{low}, {high}{')' if open_high else ']'}")
    return result


def flag(value: Any, name: str) -> bool:
    """True or False and nothing that merely counts as such."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """One of the strings."""
    names = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {shown(value)}")
    if value not in names:
        raise ValueError(f"{name} is {shown(value)}, must be one of {', '.join(map(repr, names))}")
    return value


def pair(value: Any, name: str, low: int, high: int = MAX_SIZE) -> tuple[int, int]:
    """An int for both axes, or two ints: (rows, columns)."""
    if not isinstance(value, (tuple, list)):
        both = integer(value, name, low, high)
        return both, both
    if len(value) != 2:
        raise ValueError(f"{name} is {shown(value)}, must be an int or a pair (rows, columns)")
    return integer(value[0], name, low, high), integer(value[1], name, low, high)


def shape(value: Any, name: str, ranks: Iterable[int]) -> tuple[int, ...]:
    """A tuple of positive ints with an allowed number of axes, without the batch axis."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of ints, not {shown(value)}")
    allowed = tuple(ranks)
    if len(value) not in allowed:
        raise ValueError(f"{name} is {shown(tuple(value))}, must have {' or '.join(map(str, allowed))} axes")
    return tuple(integer(size, name, 1) for size in value)


def seed(value: Any, name: str = "seed") -> int:
    """An int in 0..2^64-1."""
    return integer(value, name, 0, MAX_SEED)


def as_array(value: Any, name: str) -> np.ndarray:
    """Whatever NumPy makes an array of; TypeError where it makes none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} cannot be made an array: {error}") from None


def _check_batch(array: np.ndarray, sample: tuple[int, ...], name: str) -> None:
    if array.ndim != len(sample) + 1 or array.shape[1:] != sample:
        expected = ", ".join(["N", *map(str, sample)]) + ("" if sample else ",")
        raise ValueError(f"{name} has shape {array.shape}, expected ({expected})")
    if array.shape[0] < 1:
        raise ValueError(f"{name} is empty: at least 1 sample is needed")


def laid_out(array: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """As the core reads arrays: C-contiguous, aligned, of this dtype in native byte order. A float too large for it
    becomes infinite, which the checks of values then see."""
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ["C", "A"])


def floats(value: Any, sample: tuple[int, ...], name: str) -> np.ndarray:
    """(N, *sample) float32, C-contiguous, N >= 1, from float32 or float64. Values are not looked at."""
    array = as_array(value, name)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} has dtype {array.dtype}, must be float32 or float64")
    _check_batch(array, sample, name)
    return laid_out(array, np.float32)


def finite(array: np.ndarray, name: str) -> np.ndarray:
    """`array` itself, where it has no NaN or infinity."""
    if not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}{list(place)} is {array[place]}, must be finite")
    return array


def _check_images(array: np.ndarray, sample: tuple[int, ...], name: str) -> None:
    """As `_check_batch`, with advice where images differ in height or width alone."""
    try:
        _check_batch(array, sample, name)
    except ValueError as error:
        if array.ndim != 4 or array.shape[1:3] == sample[:2] or array.shape[3:] != sample[2:]:
            raise
        raise ValueError(f"{error}: genmodels.datasets.resize(x, {sample[:2]}) makes them of this size") from None


def pixels(value: Any, sample: tuple[int, ...], name: str = "x") -> np.ndarray:
    """(N, *sample) uint8 or float32, C-contiguous, N >= 1, from uint8, float32 or float64. The core checks values."""
    array = as_array(value, name)
    if array.dtype == np.uint8:
        _check_images(array, sample, name)
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} has dtype {array.dtype}, must be uint8, float32 or float64")
    _check_images(array, sample, name)
    return laid_out(array, np.float32)


def labels(value: Any, n: int, classes: int) -> np.ndarray | None:
    """(n,) int64 in 0..classes-1 for a conditional model, None (and nothing else) where classes is 0."""
    if classes == 0:
        if value is not None:
            raise ValueError("labels were given, but the model has none (num_classes=0)")
        return None
    if value is None:
        raise ValueError(f"labels are needed, one of {classes} classes for each sample (num_classes={classes})")
    array = as_array(value, "labels")
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels have dtype {array.dtype}, must be integers")
    if array.shape != (n,):
        raise ValueError(f"labels have shape {array.shape}, expected ({n},): one for each sample")
    outside = (array < 0) | (array >= classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(f"labels[{first}] is {array[first]}, must be in 0..{classes - 1}")
    return laid_out(array, np.int64)


Described = TypeVar("Described")


def from_dict(values: Any, kinds: Mapping[str, type[Described]], name: str) -> Described:
    """The dataclass `kinds[values["kind"]]` made of the other values, which must be fields of it."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} must be a dict, not {type(values).__name__}")
    arguments = {str(key): value for key, value in values.items()}
    kind = kinds[choice(arguments.pop("kind", None), f"{name}: kind", kinds)]
    known = fields(kind)  # type: ignore[arg-type]  # all of them are dataclasses
    unknown = arguments.keys() - {field.name for field in known}
    missing = {field.name for field in known if field.default is MISSING} - arguments.keys()
    if unknown:
        raise ValueError(f"{name} {kind.__name__} has no field {', '.join(sorted(unknown))}")
    if missing:
        raise ValueError(f"{name} {kind.__name__} needs the field {', '.join(sorted(missing))}")
    return kind(**arguments)
