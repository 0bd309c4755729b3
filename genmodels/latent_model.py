"""What the model families share: codes that become images, labels, the core's state, the constructor as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from . import _core, layers, optimizers
from . import _validate as check
from .layers import Layer
from .model import Model
from .network import Network
from .optimizers import Optimizer

PRECISIONS = ("float32",)


class LatentModel(Model):
    """A model that draws images of codes z (latent_dim,), trained by a type of the core.

    A family is a constructor whose arguments are attributes of the same names (but its lists of layers, which are
    those of its networks), and the class variables below.

    Attributes:
        input_shape: (H, W, C), without label channels.
        latent_dim: axes of the code.
        num_classes: labels are 0..num_classes-1; 0 for an unconditional model.
    """

    _layer_lists: ClassVar[tuple[str, ...]] = ()  # the arguments that are lists of layers
    _optimizers: ClassVar[Mapping[str, str]] = {}  # network -> the argument with its optimizer, in the core's order
    _streams: ClassVar[tuple[str, ...]] = ()  # the core's random streams

    input_shape: tuple[int, ...]
    latent_dim: int
    num_classes: int
    _core: Any

    # ---- images -------------------------------------------------------------------------------------

    def _render(self, codes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """The images (N, H, W, C), float32 in [0, 1], of codes (N, latent_dim) float32."""
        raise NotImplementedError

    def _drawing_network(self) -> Network:
        """The network that makes images of codes followed by one-hot labels."""
        raise NotImplementedError

    def _render_mixture(self, codes: np.ndarray, mixture: np.ndarray) -> np.ndarray:
        """The images of codes (N, latent_dim) under a mixture of classes (N, num_classes) in place of one label each,
        which is what lies between two classes."""
        network = self._drawing_network()
        drawn = network.forward(np.concatenate([codes, mixture], axis=1).astype(np.float32))
        if isinstance(network.layers[-1], layers.Tanh):
            drawn = (drawn + 1) / 2
        images: np.ndarray = np.clip(drawn, 0, 1)
        return images

    def sample(self, n: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """n new images (n, H, W, C), float32 in [0, 1], of codes drawn from the standard normal distribution.

        labels (n,) for a conditional model. With a seed the model's own random streams stay untouched, and the first
        images do not depend on n: sample(5, seed=k) equals sample(9, seed=k)[:5].
        """
        n = check.integer(n, "n", 1)
        classes = check.labels(labels, n, self.num_classes)
        seed = None if seed is None else check.seed(seed)
        return self._draw_around(0.0, 1.0, n, classes, seed)

    def _draw_around(self, mean: Any, deviation: Any, n: int, classes: Any, seed: int | None) -> np.ndarray:
        """The images of codes mean + deviation * noise (n, latent_dim). Where that fails the random streams stay."""
        before = self._core.streams
        try:
            codes = mean + deviation * self._core.prior(n, seed)
            return self._render(check.finite(codes, "z"), classes)
        except (MemoryError, OverflowError, ValueError):
            self._core.streams = before
            raise

    def _render_given(self, z: Any, labels: Any) -> np.ndarray:
        """The images of a caller's codes."""
        codes = check.finite(check.floats(z, (self.latent_dim,), "z"), "z")
        return self._render(codes, check.labels(labels, len(codes), self.num_classes))

    def _batch(self, x: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and labels as the core takes them; it checks the pixels' values."""
        images = check.pixels(x, self.input_shape)
        return images, check.labels(labels, len(images), self.num_classes)

    def _check_data(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
        images, classes = self._batch(x, y)
        _core.check_images(images, self.input_shape)
        return images, classes

    # ---- the constructor's arguments ------------------------------------------------------------------

    def _set_common(self, input_shape: Any, latent_dim: Any, num_classes: Any, precision: Any) -> None:
        self.input_shape = check.shape(input_shape, "input_shape", [3])
        self.latent_dim = check.integer(latent_dim, "latent_dim", 1)
        self.num_classes = check.integer(num_classes, "num_classes", 0)
        self.precision = check.choice(precision, "precision", PRECISIONS)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values."""
        return {name: self._argument(name) for name in inspect.signature(type(self)).parameters}

    def _argument(self, name: str) -> Any:
        if name in self._layer_lists:
            return [layer.to_dict() for layer in self.networks[name].layers]
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
        known = inspect.signature(cls).parameters.keys()
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

    def __repr__(self) -> str:
        left_out = {*self._layer_lists, "precision"}
        names = [name for name in inspect.signature(type(self)).parameters if name not in left_out]
        described = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.family}({described}, {self.parameter_count:,} parameters)"


def named_network(name: str, members: tuple[Layer, ...], shape: tuple[int, ...], seed: int, stream: int) -> Network:
    """A network whose errors start with its name."""
    try:
        return Network(members, shape, seed, stream=stream)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        kinds = (ValueError, TypeError, OverflowError, MemoryError)
        kind = next(kind for kind in kinds if isinstance(error, kind))
        raise kind(f"{name}: {error}") from None


def as_optimizer(value: Any, name: str, default: Optimizer) -> Optimizer:
    """`value`, or the default where it is None; TypeError for what is no optimizer."""
    if value is None:
        return default
    if not isinstance(value, Optimizer):
        raise TypeError(f"{name} must be one of genmodels.optimizers, not {check.shown(value)}")
    return value
