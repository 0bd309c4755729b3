"""Scores: their course while a model learns, and how models compare over several seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validate as check
from ..metrics.comparable import one_extractor
from .figure import PALETTE, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What the scores of `metrics.evaluate` are called in pictures and tables, with the direction that is better.
NAMES = {
    "fd": "Fréchet distance (lower is better)",
    "kd": "kernel distance (lower is better)",
    "is": "Inception Score's form (higher is better)",
    "precision": "precision (higher is better)",
    "recall": "recall (higher is better)",
    "density": "density (higher is better)",
    "coverage": "coverage (higher is better)",
    "label_accuracy": "label accuracy (higher is better)",
}
# The end of the name of a curve's best point.
_BEST = ":best"

# Well apart in colour and in grey, and each with a line and a marker of its own.
_STYLES = (
    (PALETTE[3], "-", "o"),
    (PALETTE[5], "--", "s"),
    (PALETTE[7], "-.", "^"),
    (PALETTE[0], ":", "D"),
    (PALETTE[8], "-", "v"),
    (PALETTE[6], "--", "P"),
)


def fid(history: Any, ax: Axes | None = None) -> Axes:
    """Draws the Fréchet distance over the epochs, with a star at the best: lowest, of equal ones the first.

    history: a `History` or a mapping with the column "fd" and, beside it, "fd_epoch", the epoch of each value (without
    it they are counted from 1); NaN is an epoch that was not scored. Or a dict of such under the runs' names: a line
    each. Scores of different extractors are not comparable: where the histories name theirs in "fd_extractor", or the
    axes already show another's, a ValueError names both.

    A line's numbers are its data, its `get_gid()` the run's name ("fd" for a lone history), its best point's
    "<name>:best". ValueError where there is no score to draw.
    """
    several = isinstance(history, Mapping) and all(hasattr(value, "keys") for value in history.values())
    histories = {str(name): one for name, one in history.items()} if several else {"fd": history}
    if not histories:
        raise ValueError("history is empty: there is nothing to draw")
    curves = {name: _curve(one, name) for name, one in histories.items()}
    extractor = one_extractor(histories)
    ax = axes_for(ax, (7, 4.5))
    _claim(ax, "fd", extractor)
    for name, (epochs, values) in curves.items():
        _draw_curve(ax, name, epochs, values, several)
    _finish_curves(ax)
    return ax


def comparison(values: Mapping[str, Any], score: str = "fd", ax: Axes | None = None) -> Axes:
    """Draws a bar a model, its mean over the seeds, with one sample standard deviation to either side and every seed
    as a dot.

    values: by the model's name one number a seed, or one number, or what `metrics.evaluate` returned (a dict, or one
    a seed), of which `score` is taken. `score` also names the axis. The bars are `ax.patches`, the dots of a bar
    `ax.collections` by the `get_gid()` of its name. Scores of different extractors: ValueError.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"values must be a dict of names to scores, not {type(values).__name__}")
    if not values:
        raise ValueError("values is empty: there is nothing to compare")
    if not isinstance(score, str):
        raise TypeError(f"score must be the name of a score, not {type(score).__name__}")
    results = {str(name): _seeds(given, str(name)) for name, given in values.items()}
    scored = {
        f"{name}, {number}": result
        for name, seeds in results.items()
        for number, result in enumerate(seeds, 1)
        if isinstance(result, Mapping)
    }
    extractor = one_extractor(scored)
    numbers = {name: [_number(result, score, name) for result in seeds] for name, seeds in results.items()}
    ax = axes_for(ax, (max(4.0, 1.2 * len(numbers) + 1.5), 4.5))
    _claim(ax, score, extractor)
    for place, (name, seeds) in enumerate(numbers.items()):
        _bar(ax, place, name, seeds)
    ax.set_xticks(range(len(numbers)), list(numbers))
    if sum(map(len, numbers)) > 12 * len(numbers):  # names that would run into one another
        ax.tick_params(axis="x", rotation=30)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    ax.grid(True, axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    ax.margins(y=0.12)  # room for the numbers above the bars
    return ax


def spread_text(values: Sequence[float]) -> str:
    """The mean over the seeds, and from two values on the sample standard deviation."""
    middle, spread = mean(values), stdev(values) if len(values) > 1 else 0.0
    if spread == 0:
        return f"{middle:.4g}"
    places = min(max(1 - math.floor(math.log10(spread)), 0), 8)  # two digits of the spread, and the mean as exact
    return f"{middle:.{places}f} ± {spread:.{places}f}"


def _curve(history: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and scores of a history, where there are any."""
    if not hasattr(history, "keys"):
        raise TypeError(f"history must be a History, or a dict of them by name, not {type(history).__name__}")
    if "fd" not in history:
        raise ValueError(f"{name}: the history has no 'fd'; it has {', '.join(map(str, history.keys())) or 'nothing'}")
    values = np.asarray(history["fd"], float)
    epochs = np.asarray(history["fd_epoch"], float) if "fd_epoch" in history else np.arange(1.0, values.size + 1)
    if values.ndim != 1 or epochs.shape != values.shape:
        raise ValueError(
            f"{name}: fd has shape {values.shape} and fd_epoch {epochs.shape}, must be one number an epoch"
        )
    scored = np.isfinite(values) & np.isfinite(epochs)
    if not scored.any():
        raise ValueError(f"{name}: the history holds no score yet: nothing to draw")
    return epochs[scored], values[scored]


def _claim(ax: Axes, score: str, extractor: str | None) -> None:
    """Names the score and its extractor on the axis; ValueError where the axis is that of another extractor's."""
    name = NAMES.get(score, score.replace("_", " "))
    text = name if extractor is None else f"{name}\nextractor {extractor}"
    shown = ax.get_ylabel()
    if "\nextractor " not in shown or not shown.startswith(name):
        ax.set_ylabel(text)
    elif extractor is not None and shown != text:
        other = shown.partition("\nextractor ")[2]
        raise ValueError(f"scores of different extractors are not comparable: the axes show {other}, not {extractor}")


def _draw_curve(ax: Axes, name: str, epochs: np.ndarray, values: np.ndarray, several: bool) -> None:
    drawn = sum(1 for line in ax.lines if not str(line.get_gid()).endswith(_BEST))
    colour, style, marker = _STYLES[drawn % len(_STYLES)]
    best = int(np.argmin(values))
    text = f"best {values[best]:.3g}, epoch {epochs[best]:g}"
    text = f"{name}\n{text}" if several else text
    ax.plot(epochs, values, style, color=colour, marker=marker, markersize=4, gid=name, label=text)
    star: dict[str, Any] = {"markersize": 15, "markeredgecolor": "white", "gid": name + _BEST, "zorder": 5}
    ax.plot(epochs[best : best + 1], values[best : best + 1], "*", color=colour, **star)


def _finish_curves(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    if values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(True, alpha=0.3)
    if len(ax.lines) > 2:  # beside the axes, where it covers no curve
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    else:
        ax.legend()


def _seeds(given: Any, name: str) -> list[Any]:
    """One result a seed."""
    if isinstance(given, Mapping) or np.ndim(given) == 0:
        return [given]
    if isinstance(given, str) or not isinstance(given, Iterable) or not len(list(given)):
        raise ValueError(f"{name}: a number, or one a seed expected, not {check.shown(given)}")
    return list(given)


def _number(result: Any, score: str, name: str) -> float:
    if isinstance(result, Mapping):
        if score not in result:
            raise ValueError(f"{name} has no score {score!r}; it has {', '.join(map(str, result))}")
        result = result[score]
    return check.number(result, f"{name}: {score}")


def _bar(ax: Axes, place: int, name: str, seeds: Sequence[float]) -> None:
    middle, colour = mean(seeds), PALETTE[8]
    spread = stdev(seeds) if len(seeds) > 1 else 0.0
    ax.bar(place, middle, 0.6, color=colour, edgecolor=PALETTE[0], yerr=spread or None, capsize=6)
    around = place + (np.arange(len(seeds)) - (len(seeds) - 1) / 2) * min(0.1, 0.4 / len(seeds))
    if len(seeds) > 1:
        ax.scatter(around, seeds, s=16, color=PALETTE[0], zorder=3, gid=name)
    top = (place, max(middle + spread, *seeds, 0.0))
    ax.annotate(spread_text(seeds), top, (0, 4), textcoords="offset points", ha="center", va="bottom")
