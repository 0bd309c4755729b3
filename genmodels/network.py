"""An ordered list of layers with weights: forward, backward, and live views of what they use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields
from typing import Any, NoReturn

import numpy as np

from . import _core
from . import _validate as check
from ._html import line, shortened, table
from ._tensors import Tensors
from .layers import MAX_RANK, Layer

__all__ = ["Network"]

PRECISIONS = ("float32", "bf16", "high")

_HEAD = ("layer", "output shape", "parameters")

_weights_limit: ContextVar[int | None] = ContextVar("weights_limit", default=None)


@contextmanager
def weights_at_most(limit: int) -> Iterator[None]:
    """Within the block a network of more weights is refused, by a ValueError, before it allocates any. For files, which
    may ask for networks that they hold no weights for."""
    token = _weights_limit.set(limit)
    try:
        yield
    finally:
        _weights_limit.reset(token)


class Network:
    """Layers applied one after the other, with their weights, gradients and moving statistics.

    Args:
        layers: objects of `genmodels.layers`, in the order of the data's way; none at all is the identity.
        input_shape: shape of one sample, without the batch axis: (H, W, C) of an image.
        seed: of the initial weights and dropout masks, 0..2^64-1. The same seed gives the same bits.
        precision: of the operands of dense layers, convolutions and LSTMs: "float32"; "bf16", which rounds them to
            bfloat16 (8 bits of mantissa; Kalamkar et al. 2019) on their way into each product, forward and backward,
            and stores what one convolution or BatchNorm hands to the next, and the gradient that comes back, in them;
            or "high", which makes each of two values of bfloat16 and each product of three of theirs (Henry, Tang and
            Heinecke 2019), where the processor multiplies blocks of them (AMX: `cpu_info`), to within about 3e-6 of
            the sum of the terms' sizes, and is "float32" elsewhere, as in convolutions whose channels or map are too
            small for three products to take less time than one. Sums, weights, their gradients and all other layers
            are float32 in all three.
        stream: tells networks apart that share a seed, 0..2^24-1.

    Arrays handed in are (N, *input_shape) float32 (float64 is cast); nothing is scaled. Arrays handed out are fresh,
    except the views of weights, gradients and parameters: those are live and writable, and keep the network alive.
    Methods may be called from several threads; one computes at a time.

    Raises ValueError for a layer that does not fit the one before it, TypeError for what is no layer, OverflowError
    or MemoryError for sizes beyond the machine.

    >>> from genmodels import layers as L
    >>> net = Network([L.Conv2D(64, 5, strides=2, padding="same"), L.Flatten(), L.Dense(1)], input_shape=(28, 28, 1))
    >>> net.forward(np.zeros((3, 28, 28, 1), np.float32)).shape
    (3, 1)
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        input_shape: tuple[int, ...],
        seed: int = 0,
        *,
        precision: str = "float32",
        stream: int = 0,
    ) -> None:
        self._layers = as_layers(layers, "layers")
        shape = check.shape(input_shape, "input_shape", range(1, MAX_RANK + 1))
        self._precision = check.choice(precision, "precision", PRECISIONS)
        configs = tuple({**layer._core_config(), "precision": self._precision} for layer in self._layers)
        stream = check.integer(stream, "stream", 0, 2**24 - 1)
        limit = _weights_limit.get()
        if limit is not None and (count := _core.Network.count(configs, shape)) > limit:
            raise ValueError(f"the layers need {count:,} weights, at most {limit:,} are there")
        self._core = _core.Network(configs, shape, check.seed(seed), stream)

    # ---- what it is -------------------------------------------------------------------------------

    @property
    def precision(self) -> str:
        """Of the operands of products: "float32", "bf16" or "high"."""
        return self._precision

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, as given."""
        return self._layers

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample going in, without the batch axis."""
        return self._core.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one sample coming out, without the batch axis."""
        return self._core.output_shape

    @property
    def parameter_count(self) -> int:
        """Trainable parameters."""
        return int(self._core.parameters.size)

    # ---- weights ----------------------------------------------------------------------------------

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """All weights and moving statistics by name, "<layer index>.<name>": live views; write with `[...] =`."""
        return Tensors((name, value) for name, value, _ in self._core.tensors())

    @property
    def gradients(self) -> Mapping[str, np.ndarray]:
        """The gradients of the trainable weights by the same names: live views."""
        self.parameter_gradients  # noqa: B018 - before somebody asks for them a training step need not write them all
        return Tensors((name, gradient) for name, _, gradient in self._core.tensors() if gradient is not None)

    @property
    def parameters(self) -> np.ndarray:
        """The trainable weights in layer order, one live 1-D view (parameter_count,)."""
        return self._core.parameters

    @property
    def parameter_gradients(self) -> np.ndarray:
        """Their gradients, one live 1-D view (parameter_count,)."""
        return self._core.gradients

    def _holds(self, array: np.ndarray) -> bool:
        """Whether weights or gradients lie in the array's memory."""
        owned = [own for _, *both in self._core.tensors() for own in both if own is not None]
        return any(np.may_share_memory(array, own) for own in owned)

    # ---- computing --------------------------------------------------------------------------------

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """The output (N, *output_shape), float32, for x (N, *input_shape).

        With training=True batch normalisation uses the batch and moves its moving statistics, dropout drops, and one
        `backward` may follow. TypeError for another dtype than float32 and float64, ValueError for another shape.
        """
        training = check.flag(training, "training")
        return self._core.forward(check.floats(x, self.input_shape, "x"), training)

    def backward(self, dy: Any) -> np.ndarray:
        """The gradient for x (N, *input_shape) of the last forward(x, training=True), for that of its output,
        dy (N, *output_shape). Overwrites `gradients`, summed over the batch.

        ValueError where no training forward went before, or anything else came between, or for another shape.
        """
        own = np.array(check.floats(dy, self.output_shape, "dy"))  # the core works in it
        return self._core.backward(own)

    # ---- looking ----------------------------------------------------------------------------------

    def summary(self) -> str:
        """A table of the layers: index and layer, output shape, trainable parameters. It is returned, not printed."""
        return format_table([_HEAD, *self._rows(), ("total", "", f"{self.parameter_count:,}")])

    def _repr_html_(self) -> str:
        """The same for notebooks; of many layers the first and the last."""
        title = line("Network", f"{self.input_shape} to {self.output_shape}, {self.parameter_count:,} parameters")
        return title + table(_HEAD, shortened(self._rows(), "layers", "see summary()"))

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("input", str(self.input_shape), "")]
        for index, (layer, (_, shape, count, _)) in enumerate(zip(self._layers, self._core.layers(), strict=True)):
            rows.append((f"{index} {described(layer)}", str(shape), f"{count:,}"))
        return rows

    def __repr__(self) -> str:
        precision = "" if self._precision == PRECISIONS[0] else f", precision={self._precision!r}"
        return f"Network({list(self._layers)!r}, input_shape={self.input_shape}{precision})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Network cannot be copied or pickled: build one of the same layers and write its weights")


def as_layers(layers: Any, name: str) -> tuple[Layer, ...]:
    """A tuple of the layers; TypeError for what is none."""
    if not isinstance(layers, Iterable) or isinstance(layers, (str, bytes, Mapping)):
        raise TypeError(f"{name} must be a list of layers, not {check.shown(layers)}")
    result = tuple(layers)
    for index, layer in enumerate(result):
        if not isinstance(layer, Layer) or type(layer) is Layer:
            hint = " (the class, not an object: call it)" if isinstance(layer, type) else ""
            raise TypeError(f"{name}[{index}] is {check.shown(layer)}, not a layer{hint}")
    return result


def described(layer: Layer) -> str:
    """The layer as one would write it: what is left at its default stays away, equal pairs are one number."""
    arguments = []
    for field in fields(layer):
        value = getattr(layer, field.name)
        short = value[0] if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1] else value
        if field.default is MISSING:
            arguments.append(repr(value if field.name == "shape" else short))
        elif field.default not in (value, short):
            arguments.append(f"{field.name}={short!r}")
    return f"{type(layer).__name__}({', '.join(arguments)})"


def format_table(rows: list[tuple[str, str, str]]) -> str:
    """Columns side by side, the last one to the right; a rule under the first row and above the last."""
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    lines = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
