"""Arrays by name, as users get them."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np


class Tensors(dict[str, np.ndarray]):
    """Live arrays by name. ValueError for a name that is not there, TypeError for an assignment, which would change
    the dict and not the model. A copy is a plain dict, a deep one of arrays of its own."""

    def __missing__(self, name: object) -> NoReturn:
        raise ValueError(f"there is no {name!r}; there are {', '.join(self)}")

    def __setitem__(self, name: str, value: Any) -> NoReturn:
        raise TypeError(f"to change {name!r}, write into the array: [{name!r}][...] = value")

    def __reduce__(self) -> tuple[type, tuple[dict[str, np.ndarray]]]:
        return dict, (dict(self),)
