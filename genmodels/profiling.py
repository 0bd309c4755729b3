"""Where the time of a training step goes: layer by layer, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _validate as check
from .layers import Layer
from .model import FAMILIES, Model
from .network import Network, described

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Profile", "ProfileRow", "profile"]

PASSES = ("forward", "backward", "tangent")
HEAD = ("network", "layer", "pass", "calls", "ms", "share", "GFLOP/s", "MB")

Meters = dict[str, list[tuple[tuple[int, int, float, float], ...]]]


@dataclass(frozen=True)
class ProfileRow:
    """One layer in one kind of pass, by training step.

    Attributes:
        network: the network's name ("encoder"), or "" for a network on its own.
        layer: index and layer, as `summary` writes them.
        passed: "forward", "backward" or "tangent" (the pass of the gradient penalty).
        calls: passes in a step.
        seconds: of wall time in a step.
        flop: floating-point operations in a step, two for each multiplication of a product (Dense, the convolutions,
            LSTM), those with padding left out; 0 for other layers.
        bytes: the least that the passes of a step move: input, output and weights once, their gradients too backward.
    """

    network: str
    layer: str
    passed: str
    calls: float
    seconds: float
    flop: float
    bytes: float


@dataclass(frozen=True, repr=False)
class Profile:
    """What `profile` measured, as a table: the prompt, `print` and a notebook show it.

    Attributes:
        rows: a `ProfileRow` for every layer and pass that took time of its own. An activation that the product before
            it applies takes none, nor does a BatchNorm that a Conv2D of few filters behind it computes, nor Flatten
            and Reshape.
        seconds: of a whole training step, as those of the rows a mean over the steps.
        steps: training steps measured.
    """

    rows: tuple[ProfileRow, ...]
    seconds: float
    steps: int

    @property
    def rest(self) -> float:
        """Seconds of a step outside the layers: losses, noise, optimizers, checks, copies."""
        return self.seconds - sum(row.seconds for row in self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame. ImportError, naming the extra, where pandas is missing."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install 'genmodels[all]'") from error
        return pd.DataFrame([astuple(row) for row in self.rows], columns=[field.name for field in fields(ProfileRow)])

    def __repr__(self) -> str:
        cells = [HEAD, *self._cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
        left = 3  # the first columns are words
        aligned = ["<" if column < left else ">" for column in range(len(HEAD))]
        lines = ["  ".join(map("{:{}{}}".format, row, aligned, widths)) for row in cells]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def _repr_html_(self) -> str:
        def line(tag: str, row: tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"

        return "<table>" + "".join([line("th", HEAD), *(line("td", row) for row in self._cells())]) + "</table>"

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in self.rows:
            rate = f"{row.flop / row.seconds / 1e9:.1f}" if row.flop and row.seconds else ""
            yield (
                *(row.network, row.layer, row.passed, f"{row.calls:g}", *self._time(row.seconds)),
                *(rate, f"{row.bytes / 1e6:.2f}"),
            )
        yield ("", "losses, noise, optimizers", "", "", *self._time(self.rest), "", "")
        flop = sum(row.flop for row in self.rows)
        yield ("", "whole step", "", "", *self._time(self.seconds), f"{flop / self.seconds / 1e9:.1f}", "")

    def _time(self, seconds: float) -> tuple[str, str]:
        return f"{seconds * 1e3:.3f}", f"{100 * seconds / self.seconds:.1f} %"


def profile(model: Model | Network, x: Any, labels: Any = None, steps: int = 5) -> Profile:
    """Times training steps on the batch x, layer by layer, and returns the table.

    The steps run on a copy of the model, after one that is not counted: the model itself, its optimizers and random
    streams stay as they are. Times are wall time on `get_num_threads()` threads, means over the steps; on a busy
    machine repeat and compare.

    Args:
        model: a VAE, GAN or another model, or a `Network`, of which forward and backward in training mode are timed.
        x: a batch, as `train_step` (or `Network.forward`) takes it.
        labels: (N,) integers for a conditional model.
        steps: training steps to average over, at least 1.

    Raises ValueError or TypeError for unfit input.
    """
    steps = check.integer(steps, "steps", 1)
    if isinstance(model, Network):
        if labels is not None:
            raise ValueError("labels: a network takes none")
        return _profile_network(model, x, steps)
    if not isinstance(model, Model):
        raise TypeError(f"model must be a model or a Network, not {check.shown(model)}")
    copy = FAMILIES[model.family].from_config(model.config)  # a subclass may have a constructor of its own
    for name, value in model.weights.items():
        copy.weights[name][...] = value
    return _measure(copy.networks, lambda: copy.train_step(x, labels), steps)


def _profile_network(network: Network, x: Any, steps: int) -> Profile:
    copy = Network(network.layers, network.input_shape, precision=network.precision)
    for name, value in network.weights.items():
        copy.weights[name][...] = value

    def step() -> None:
        copy.backward(np.ones_like(copy.forward(x, training=True)))

    return _measure({"": copy}, step, steps)


def _measure(networks: dict[str, Network], step: Callable[[], object], steps: int) -> Profile:
    step()
    before = _meters(networks)
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return Profile(tuple(_rows(networks, before, _meters(networks), steps)), float(np.mean(seconds)), steps)


def _meters(networks: dict[str, Network]) -> Meters:
    return {name: network._core.meters() for name, network in networks.items()}


def _rows(networks: dict[str, Network], before: Meters, after: Meters, steps: int) -> Iterator[ProfileRow]:
    for name, network in networks.items():
        size = 4 * int(np.prod(network.input_shape))
        sizes = [width * int(np.prod(shape)) for _, shape, _, width in network._core.layers()]
        for index, layer in enumerate(network.layers):
            weights = sum(w.size for key, w in network.weights.items() if key.startswith(f"{index}."))
            for kind, passed in enumerate(PASSES):
                spans = zip(after[name][index][kind], before[name][index][kind], strict=True)
                calls, samples, products, seconds = (end - start for end, start in spans)
                if not calls:
                    continue
                moved = _moved(passed, samples, calls, size, sizes[index], 4 * weights)
                yield ProfileRow(
                    *(name, _title(index, layer), passed, calls / steps, seconds / steps),
                    *(2 * products / steps, moved / steps),
                )
            size = sizes[index]


def _moved(passed: str, samples: float, calls: float, size: int, out: int, weights: int) -> float:
    """Of bytes: forward input, output and weights; the other passes also a second input and the weights' gradients."""
    forward = samples * (size + out) + calls * weights
    return float(forward if passed == "forward" else forward + samples * size + calls * weights)


def _title(index: int, layer: Layer) -> str:
    return f"{index} {described(layer)}"
