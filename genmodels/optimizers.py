"""How parameters follow their gradients. Immutable descriptions; the state lives in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from . import _validate as check

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop", "from_dict"]

# The bounds keep an update by finite gradients finite (csrc/network/optimizer.h).
MAX_RATE = 1e6
EPSILONS = (1e-30, 1e6)


@dataclass(frozen=True)
class Optimizer:
    """Base class of the optimizers."""

    def to_dict(self) -> dict[str, Any]:
        """`{"kind": "Adam", "learning_rate": 0.001, ...}`: JSON values, for saving."""
        return {"kind": type(self).__name__, **asdict(self)}

    def changed(self, **values: float) -> Self:
        """A copy with other values. ValueError for one that this kind of optimizer does not have, or out of bounds."""
        known = [field.name for field in fields(self)]
        for name in values:
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no {name}, only {', '.join(known)}")
        return replace(self, **values)

    def _set_numbers(self, names: str, low: float, high: float, *, open_high: bool = False) -> None:
        """The fields (names parted by blanks) become floats within the bounds, while the frozen object is made."""
        for name in names.split():
            value = getattr(self, name)
            value = check.number(value, f"{type(self).__name__}: {name}", low, high, open_high=open_high)
            object.__setattr__(self, name, value)

    def _set_decays(self, names: str) -> None:
        self._set_numbers(names, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): `p -= learning_rate * m_hat / (sqrt(v_hat) + epsilon)`.

    learning_rate in [0, 1e6]; beta1 and beta2, the decay of the mean and of the mean square of the gradient, in
    [0, 1); epsilon in [1e-30, 1e6]. ValueError outside, TypeError for no number.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        self._set_numbers("learning_rate", 0.0, MAX_RATE)
        self._set_decays("beta1 beta2")
        self._set_numbers("epsilon", *EPSILONS)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012), not centred: `v = rho v + (1 - rho) g g`, `s = g / (sqrt(v) + epsilon)`,
    `b = momentum b + s`, `p -= learning_rate * b`.

    learning_rate in [0, 1e6]; rho and momentum in [0, 1); epsilon in [1e-30, 1e6]. ValueError outside, TypeError for
    no number.
    """

    learning_rate: float = 1e-3
    rho: float = 0.99
    momentum: float = 0.0
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        self._set_numbers("learning_rate", 0.0, MAX_RATE)
        self._set_decays("rho momentum")
        self._set_numbers("epsilon", *EPSILONS)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: `b = momentum b + g`, `p -= learning_rate * b`.

    learning_rate in [0, 1e6]; momentum in [0, 1). ValueError outside, TypeError for no number.
    """

    learning_rate: float = 1e-2
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._set_numbers("learning_rate", 0.0, MAX_RATE)
        self._set_decays("momentum")


KINDS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (Adam, RMSprop, SGD)}


def from_dict(values: Mapping[str, Any]) -> Optimizer:
    """The inverse of `Optimizer.to_dict`. ValueError for unknown kinds and fields."""
    return check.from_dict(values, KINDS, "optimizer")
