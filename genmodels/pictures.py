"""The pictures of a training run: what the model draws, its losses, and of a model with an encoder what that sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import plot
from .model import Model
from .plot.curves import FEW_EPOCHS
from .plot.figure import new_figure, save_figure
from .training.history import History
from .training.samples import classes_in_turn

SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS = "samples.png", "losses.png", "latent.png", "reconstructions.png"
FILES = (SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS)


@dataclass(frozen=True)
class _Picture:
    """A picture to be: what to write under it, how large it is, and what draws it in a figure."""

    caption: str
    inches: tuple[float, float]
    draw: Callable[[Any], Any]


def draw(
    folder: Path, model: Model, x: np.ndarray, labels: np.ndarray | None, classes: np.ndarray, seed: int
) -> tuple[dict[str, str], list[str]]:
    """Draws all pictures of the run into its folder; returns name -> caption of those made, and the names of those left
    out for lack of matplotlib.

    x (N, H, W, C) and `classes` (N,) are test images and what they show, `labels` the same for a model that takes them.
    """
    plot.save_grid(model.sample(25, labels=classes_in_turn(model, 25), seed=seed), folder / SAMPLES)
    drawn = {SAMPLES: "25 images the model draws from noise"}
    pictures = _plots(model, x, labels, classes)
    if find_spec("matplotlib") is None:
        return drawn, list(pictures)
    for name, picture in pictures.items():
        figure = new_figure(picture.inches)
        picture.draw(figure)
        save_figure(figure, folder / name)
        drawn[name] = picture.caption
    return drawn, []


def _plots(model: Model, x: np.ndarray, labels: np.ndarray | None, classes: np.ndarray) -> dict[str, _Picture]:
    """What matplotlib draws of a model, by file name; test images serve to show an encoder."""
    pictures = {}
    if len(model.history.steps):
        by = "epoch" if len(model.history) >= FEW_EPOCHS else "step"
        size = (4.0 * len(model.history.steps.keys()), 4.0)
        pictures[LOSSES] = _Picture(f"losses by {by}", size, lambda figure: _draw_losses(model.history, by, figure))
    if hasattr(model, "encode"):
        some = None if labels is None else labels[:10]
        pictures[RECONSTRUCTIONS] = _Picture(
            "test images above their reconstructions",
            (10, 2.2),
            lambda figure: plot.reconstructions(model, x[:10], ax=figure.add_subplot(), labels=some),
        )
        pictures[LATENT] = _Picture(
            "test images in the latent space",
            (8, 6.5),
            lambda figure: plot.latent(model, x[:5000], classes[:5000], ax=figure.add_subplot()),
        )
    return pictures


def _draw_losses(history: History, by: str, figure: Any) -> None:
    """One panel a term, for their sizes differ too much to be read from one axis."""
    terms = history.steps.keys()
    for ax, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        plot.history(history, ax=ax, keys=[term], by=by)
