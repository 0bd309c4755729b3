"""The course of the losses over a sweep: panels of curves with their spread over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plot.curves import label
from ..plot.figure import PALETTE, figure_png, new_figure
from .grid import Grid, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Well apart in colour and in grey; beyond six latent sizes they come again with dashed lines.
_COLOURS = (PALETTE[3], PALETTE[5], PALETTE[7], PALETTE[8], PALETTE[0], PALETTE[6])

Curves = Mapping[Trial, Mapping[str, Sequence[float]]]
"""Of each trial the loss terms by name, one number an epoch."""


def loss_panels(grid: Grid, curves: Curves) -> bytes:
    """The losses of one model as a PNG file: a row a term, a column an image size, a line a latent size.

    A line is the mean over the seeds, the band round it one sample standard deviation to either side. ImportError
    without matplotlib.
    """
    terms = list(dict.fromkeys(term for losses in curves.values() for term in losses))
    figure = new_figure((3.4 * len(grid.sizes) + 1.6, 2.3 * len(terms) + 0.5))
    axes = figure.subplots(len(terms), len(grid.sizes), squeeze=False, sharex=True)
    for row, term in zip(axes, terms, strict=True):
        for ax, size in zip(row, grid.sizes, strict=True):
            _panel(ax, grid, {trial: losses[term] for trial, losses in curves.items() if trial.size == size})
        row[0].set_ylabel("\n".join(wrap(label(term), 24)))
    for ax, size in zip(axes[0], grid.sizes, strict=True):
        ax.set_title(f"{size} x {size} pixels", fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    lines = {line.get_label(): line for ax in axes.flat for line in ax.lines}
    names = [name for name in map(_label, grid.latent) if name in lines]
    figure.legend([lines[name] for name in names], names, loc="outside right upper")
    return figure_png(figure)


def _label(latent: int) -> str:
    return f"z {latent}"


def _panel(ax: Axes, grid: Grid, curves: Mapping[Trial, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, latent in enumerate(grid.latent):
        runs = np.array([losses for trial, losses in curves.items() if trial.latent == latent], float)
        if len(runs):
            style: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)]}
            _line(ax, runs, label=_label(latent), linestyle="--" if number >= len(_COLOURS) else "-", **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(True, alpha=0.3)


def _line(ax: Axes, runs: np.ndarray, **style: Any) -> None:
    """The mean of the runs (seeds, epochs) and their spread; a single epoch would be invisible without its marks."""
    mean, epochs = runs.mean(axis=0), np.arange(1, runs.shape[1] + 1)
    few = len(epochs) < 15
    ax.plot(epochs, mean, marker="o" if few else "", markersize=3, **style)
    if len(runs) < 2:
        return
    spread = runs.std(axis=0, ddof=1)
    if len(epochs) == 1:
        ax.errorbar(epochs, mean, spread, capsize=3, color=style["color"], label="_")
    else:
        ax.fill_between(epochs, mean - spread, mean + spread, color=style["color"], alpha=0.2, linewidth=0)
