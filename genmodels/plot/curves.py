"""The losses of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import PALETTE, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns of a history that are no losses.
_OTHER = {"epoch", "seconds", "images_per_second"}
# Well apart in colour and in grey.
_COLOURS = (PALETTE[0], PALETTE[5], PALETTE[8], PALETTE[3], PALETTE[7], PALETTE[6])


def history(h: Any, ax: Axes | None = None, keys: Sequence[str] | None = None) -> Axes:
    """Draws every loss term of a history over the epochs; validation terms are dashed, in their term's colour.

    h: a `History`, or a mapping of names to one number an epoch. `keys` chooses and orders the terms (default: all, and
    the `val_` of each). When all values are positive and their sizes differ by more than ten, the axis is logarithmic.
    Raises ValueError when there is nothing to draw or a key is unknown.
    """
    if not hasattr(h, "keys"):
        raise TypeError(f"h must be a History or a dict of losses, not {type(h).__name__}")
    names = list(h.keys())
    if keys is None:
        keys = [name for name in names if name not in _OTHER and not name.startswith("val_")]
    unknown = [key for key in keys if key not in names]
    if unknown:
        raise ValueError(f"the history has no {unknown[0]!r}; it has {', '.join(names)}")
    if not keys or not any(len(h[key]) for key in keys):
        raise ValueError("the history holds no epoch yet: nothing to draw")
    ax = axes_for(ax, (7, 4.5))
    for number, key in enumerate(keys):
        colour = _COLOURS[number % len(_COLOURS)]
        for name, style in ((key, "-"), (f"val_{key}", "--")):
            if name in names:
                _curve(ax, name, h[name], colour, style)
    _finish(ax)
    return ax


def _curve(ax: Axes, name: str, values: Any, colour: str, style: str) -> None:
    """One line; a single epoch would be invisible without its marker."""
    y = np.asarray(values, float)
    ax.plot(
        np.arange(1, len(y) + 1), y, style, color=colour, marker="o" if len(y) < 15 else "", markersize=3, label=name
    )


def _finish(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True, alpha=0.3)
    ax.legend()
