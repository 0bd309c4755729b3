"""What the models share that the core trains: images and labels, the core's state, the constructor as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from . import _core, layers, optimizers
from . import _validate as check
from .layers import Layer
from .model import FAMILIES, Model
from .network import PRECISIONS, Network
from .optimizers import Optimizer

Array = TypeVar("Array", np.ndarray, "np.ndarray | None")


class CoreModel(Model):
    """A model of images, trained by a type of the core.

    A family is a constructor whose arguments are attributes of the same names (but its lists of layers, which are
    those of its networks), and the class variables below.

    Attributes:
        input_shape: (H, W, C), without label channels.
        num_classes: labels are 0..num_classes-1; 0 for a model without labels.
        precision: of the operands of products, "float32", "bf16" or "high": see `Network`.
    """

    _layer_lists: ClassVar[Mapping[str, str]] = {}  # argument that is a list of layers -> the network made of it
    _optimizers: ClassVar[Mapping[str, str]] = {}  # network -> the argument with its optimizer, in the core's order
    _streams: ClassVar[tuple[str, ...]] = ()  # the core's random streams

    input_shape: tuple[int, ...]
    num_classes: int
    precision: str
    _core: Any

    # ---- images and labels --------------------------------------------------------------------------

    def _batch(self, x: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and labels as the core takes them; it checks the pixels' values."""
        images = check.pixels(x, self.input_shape)
        return images, check.labels(labels, len(images), self.num_classes)

    def _check_data(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
        images, classes = self._batch(x, y)
        _core.check_images(images, self.input_shape)
        return self._apart(images), self._apart(classes)

    def _apart(self, array: Array) -> Array:
        """`array`, or a copy of one that lies in the networks' own memory: training reads its arguments after weights
        and gradients have changed, and is to find what it was given."""
        if array is None or array.flags.owndata:  # the networks' memory belongs to no array
            return array
        return array.copy() if any(network._holds(array) for network in self.networks.values()) else array

    # ---- the constructor's arguments ------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values."""
        return {name: self._argument(name) for name in self._arguments()}

    @classmethod
    def _arguments(cls) -> list[str]:
        """Their names; a subclass of a family may have a constructor of its own, and is saved as one of the family."""
        return list(inspect.signature(FAMILIES[cls.family]).parameters)

    def _argument(self, name: str) -> Any:
        if name in self._layer_lists:
            return [layer.to_dict() for layer in self.networks[self._layer_lists[name]].layers]
        value = getattr(self, name)
        if isinstance(value, Optimizer):
            return value.to_dict()
        return list(value) if isinstance(value, tuple) else value

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new model with fresh weights from what `config` gave. ValueError or TypeError for anything else."""
        if not isinstance(config, Mapping):
            raise TypeError(f"config must be a dict, not {type(config).__name__}")
        values = dict(config)
        known = set(cls._arguments())
        if values.keys() != known:
            wrong = ", ".join(sorted(map(str, values.keys() ^ known)))
            raise ValueError(f"config of a {cls.family}: missing or unknown: {wrong}")
        for name in cls._layer_lists:
            if not isinstance(values[name], (list, tuple)):
                kind = type(values[name]).__name__
                raise TypeError(f"config of a {cls.family}: {name} must be a list of layers, not {kind}")
            values[name] = [layers.from_dict(layer) for layer in values[name]]
        for name in set(cls._optimizers.values()):
            values[name] = optimizers.from_dict(values[name])
        return cls(**values)

    # ---- the core's state -------------------------------------------------------------------------------

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizer of each network that is trained."""
        return {network: getattr(self, argument) for network, argument in self._optimizers.items()}

    def _set_learning_rates(self, factor: float) -> None:
        for index, optimizer in enumerate(self.optimizers.values()):
            self._core.set_learning_rate(index, optimizer.to_dict()["learning_rate"] * factor)

    def _optimizer_tensors(self) -> dict[str, np.ndarray]:
        return {
            f"optimizer.{network}.{slot}": view
            for index, network in enumerate(self._optimizers)
            for slot, view in self._core.optimizer_slots(index)
        }

    def _counters(self) -> dict[str, int]:
        counters = dict(zip(self._streams, self._core.streams, strict=True))
        for index, name in enumerate(self._optimizers):
            counters[f"{name}.clock"] = self.networks[name]._core.clock
            counters[f"{name}.steps"] = self._core.optimizer_steps(index)
        return counters

    def _set_counters(self, counters: Mapping[str, int]) -> None:
        expected = self._counters().keys()
        if counters.keys() != expected:
            wrong = ", ".join(sorted(map(str, counters.keys() ^ expected)))
            raise ValueError(f"counters: missing or unknown: {wrong}")
        values = {name: check.integer(value, f"counter {name}", 0, 2**64 - 1) for name, value in counters.items()}
        self._core.streams = tuple(values[name] for name in self._streams)
        for index, name in enumerate(self._optimizers):
            self.networks[name]._core.clock = values[f"{name}.clock"]
            self._core.set_optimizer_steps(index, values[f"{name}.steps"])

    def _named_network(
        self, name: str, members: tuple[Layer, ...], shape: tuple[int, ...], seed: int, stream: int
    ) -> Network:
        """A network of the model's precision, whose errors start with its name."""
        try:
            return Network(members, shape, seed, precision=self.precision, stream=stream)
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            kinds = (ValueError, TypeError, OverflowError, MemoryError)
            kind = next(kind for kind in kinds if isinstance(error, kind))
            raise kind(f"{name}: {error}") from None

    def __repr__(self) -> str:
        left_out = {*self._layer_lists} | ({"precision"} if self.precision == PRECISIONS[0] else set())
        names = [name for name in self._arguments() if name not in left_out]
        described = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.family}({described}, {self.parameter_count:,} parameters)"


def as_optimizer(value: Any, name: str, default: Optimizer) -> Optimizer:
    """`value`, or the default where it is None; TypeError for what is no optimizer."""
    if value is None:
        return default
    if not isinstance(value, Optimizer):
        raise TypeError(f"{name} must be one of genmodels.optimizers, not {check.shown(value)}")
    return value
