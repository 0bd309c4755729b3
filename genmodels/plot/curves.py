"""The losses of a training run, epoch by epoch or step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validate as check
from ..training.history import SCORES
from .figure import PALETTE, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Losses of fewer epochs are best drawn step by step: so few points would show little of their course.
FEW_EPOCHS = 5

# Columns of a history that are no losses, by the beginnings of their names.
_OTHER = ("epoch", "seconds", "images_per_second", "learning_rate", "fd_")
# Well apart in colour and in grey, and each with a marker of its own.
_COLOURS = (PALETTE[0], PALETTE[5], PALETTE[8], PALETTE[3], PALETTE[7], PALETTE[6])
_MARKERS = "os^DvP"

# What the terms are called, and what the axis of such terms is.
_TERMS = {
    "loss": ("loss", "loss"),
    "reconstruction": ("reconstruction (nats)", "nats an image"),
    "kl": ("KL divergence (nats)", "nats an image"),
    "discriminator_loss": ("discriminator loss", "loss"),
    "generator_loss": ("generator loss", "loss"),
    "gradient_penalty": ("gradient penalty, unweighted", "penalty"),
    "wasserstein": ("critic's estimate of the Wasserstein distance", "distance"),
}
# Steps up to which every one is drawn as it is; of more, a mean over this fraction of them is drawn on top.
_FEW_STEPS = 200
_SMOOTHING = 50


def history(h: Any, ax: Axes | None = None, keys: Sequence[str] | None = None, by: str = "epoch") -> Axes:
    """Draws every loss term of a history; validation terms are dashed, in their term's colour.

    h: a `History`, or a mapping of names to one number an epoch (or step). `keys` chooses and orders the terms
    (default: all, and the `val_` of each). `by` is "epoch" or "step": of many steps the values themselves are a pale
    line, with a running mean over a fiftieth of them on top. The labels say what the terms mean; "wasserstein" is
    drawn as the paper has it, mean critic on real minus mean critic on generated images, which falls as the two come
    together (Arjovsky, Chintala and Bottou 2017). When all values are positive and their sizes differ by more than ten,
    the axis is logarithmic.

    The numbers of a term are those of the line whose `get_gid()` is its key; a running mean's is "<key>:mean".
    Raises ValueError when there is nothing to draw, a key is unknown or a term is not one number an epoch (or step).
    """
    by = check.choice(by, "by", ("epoch", "step"))
    if not hasattr(h, "keys"):
        raise TypeError(f"h must be a History or a dict of losses, not {type(h).__name__}")
    table = getattr(h, "steps", h) if by == "step" else h
    names = list(table.keys())
    foreign = [name for name in names if not isinstance(name, str)]
    if foreign:
        raise TypeError(f"names in a history must be strings, not {check.shown(foreign[0])}")
    if keys is None:
        keys = [name for name in names if name not in SCORES and not name.startswith((*_OTHER, "val_"))]
    unknown = [key for key in keys if key not in names]
    if unknown:
        raise ValueError(f"the history has no {unknown[0]!r}; it has {', '.join(names)}")
    terms = (name for key in keys for name in (key, f"val_{key}"))
    columns = {name: _numbers(table[name], name, by) for name in terms if name in names}
    if not any(columns[key].size for key in keys):
        raise ValueError(f"the history holds no {by} yet: nothing to draw")
    ax = axes_for(ax, (7, 4.5))
    for number, key in enumerate(keys):
        number %= len(_COLOURS)
        for name, style in ((key, "-"), (f"val_{key}", "--")):
            if name in columns:
                _curve(ax, name, columns[name], number, style, by)
    _finish(ax, keys, by)
    return ax


def _numbers(column: Any, name: str, by: str) -> np.ndarray:
    """A term, (epochs,) or (steps,) float64."""
    values = np.asarray(column, float)
    if values.ndim != 1:
        article = "an" if by == "epoch" else "a"
        raise ValueError(f"{name} has shape {values.shape}, must be one number {article} {by}")
    return values


def label(name: str) -> str:
    """What a term of a history is called in pictures: "KL divergence (nats)" for "kl"."""
    return _term(name)[0] + (", validation" if name.startswith("val_") else "")


def _term(name: str) -> tuple[str, str]:
    """What a term is called, and the axis of such terms; an unknown one is called by its name."""
    term = name.removeprefix("val_")
    text = term.replace("_", " ")
    return _TERMS.get(term, (text, text))


def _curve(ax: Axes, name: str, y: np.ndarray, number: int, style: str, by: str) -> None:
    """One line with about ten markers, or for many steps two."""
    x = np.arange(1, len(y) + 1)
    colour = _COLOURS[number]
    marks: dict[str, Any] = {"marker": _MARKERS[number], "markersize": 3.5, "markevery": max(1, len(y) // 10)}
    if by == "epoch" or len(y) <= _FEW_STEPS:
        ax.plot(x, y, style, color=colour, label=label(name), gid=name, **marks)
        return
    ax.plot(x, y, style, color=colour, linewidth=0.5, alpha=0.35, gid=name)
    ax.plot(
        x, _running_mean(y, len(y) // _SMOOTHING), style, color=colour, label=label(name), gid=f"{name}:mean", **marks
    )


def _running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """For every step the mean of the finite values within width / 2 of it; NaN where there are none."""
    known = np.isfinite(y)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, y, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    place = np.arange(len(y))
    low, high = np.maximum(place - width // 2, 0), np.minimum(place + width // 2 + 1, len(y))
    number = counts[high] - counts[low]
    return np.where(number > 0, (sums[high] - sums[low]) / np.maximum(number, 1), np.nan)


def _finish(ax: Axes, keys: Sequence[str], by: str) -> None:
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
    axes = {_term(key)[1] for key in keys}
    ax.set_xlabel(by)
    ax.set_ylabel(axes.pop() if len(axes) == 1 else "loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(True, alpha=0.3)
    ax.legend()
