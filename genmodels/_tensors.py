"""Dicts of what a network or a model is made of, as users get them."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

V = TypeVar("V")


class Fixed(dict[str, V]):
    """A dict whose entries are live parts of something: ValueError for a name that is not there, TypeError for any
    change of the dict, which would not change that."""

    _advice: ClassVar[str] = "the dict is fixed"

    def __missing__(self, name: object) -> NoReturn:
        raise ValueError(f"there is no {name!r}; there are {', '.join(self)}")

    def __setitem__(self, name: str, value: Any) -> None:
        if value is not self.get(name):  # as Python does it after `weights[name] += 1`
            self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(self._advice)

    __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


class Tensors(Fixed[np.ndarray]):
    """Live arrays by name. A copy is a plain dict, a deep one of arrays of its own."""

    _advice = "weights and gradients are views of the model: write into the array, weights[name][...] = value"

    def __reduce__(self) -> tuple[type, tuple[dict[str, np.ndarray]]]:
        return dict, (dict(self),)
