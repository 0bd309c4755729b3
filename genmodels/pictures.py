"""The pictures of a training run: what the model draws, its losses, and of a model with an encoder what that sees. Some
are files in the run's folder; the page about a run has all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import plot
from ._labels import classes_in_turn
from .model import Model
from .plot.curves import FEW_EPOCHS
from .plot.evolution import chosen, sample_pictures
from .plot.figure import figure_png, new_figure, save_figure
from .plot.images import enlarged, png, tile
from .training.history import History
from .training.samples import MOVIE

SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS = "samples.png", "losses.png", "latent.png", "reconstructions.png"
FILES = (SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS)

# Stages of the latent space side by side.
_STAGES = 3
_DRAWN = "25 images the model draws from noise"


@dataclass(frozen=True)
class Subject:
    """A run to be pictured: its model, the seed of the draws, the folder of its pictures on the way and its kept
    checkpoints by epoch; and, where the data set can be had, the training images (N, H, W, C) and the test images with
    what they show (N,)."""

    model: Model
    seed: int
    on_the_way: Path
    kept: dict[int, Path]
    train: np.ndarray | None = None
    test: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class _Picture:
    """A picture to be: what to write under it, how large it is, and what draws it in a figure."""

    caption: str
    inches: tuple[float, float]
    draw: Callable[[Any], Any]


def draw(
    folder: Path, model: Model, x: np.ndarray, labels: np.ndarray | None, classes: np.ndarray, seed: int
) -> tuple[dict[str, str], list[str]]:
    """Draws the run's pictures into its folder; returns name -> caption of those made, and the names of those left
    out for lack of matplotlib.

    x (N, H, W, C) and `classes` (N,) are test images and what they show, `labels` the same for a model that takes them.
    """
    plot.save_grid(model.sample(25, labels=classes_in_turn(model, 25), seed=seed), folder / SAMPLES)
    drawn = {SAMPLES: _DRAWN}
    pictures = _plots(model, x, labels, classes)
    if find_spec("matplotlib") is None:
        return drawn, list(pictures)
    for name, picture in pictures.items():
        figure = new_figure(picture.inches)
        picture.draw(figure)
        save_figure(figure, folder / name)
        drawn[name] = picture.caption
    return drawn, []


def draw_all(run: Subject) -> Iterator[tuple[str, bytes]]:
    """Caption and file, PNG or GIF, of every picture that the run's model and files allow. Needs matplotlib."""
    labels = classes_in_turn(run.model, 25)
    yield _DRAWN, png(enlarged(tile(run.model.sample(25, labels=labels, seed=run.seed))))
    if run.test is not None:
        yield "25 test images", png(enlarged(tile(run.test[0])))
    if (run.on_the_way / MOVIE).exists():
        yield "the same codes in the course of the training, as a film", (run.on_the_way / MOVIE).read_bytes()
    for picture in (*_generated(run), *_course(run), *_beside_data(run)):
        figure = new_figure(picture.inches)
        picture.draw(figure)
        yield picture.caption, figure_png(figure)


def _plots(model: Model, x: np.ndarray, labels: np.ndarray | None, classes: np.ndarray) -> dict[str, _Picture]:
    """What matplotlib draws into the folder, by file name; test images serve to show an encoder."""
    pictures = {}
    if len(model.history.steps):
        pictures[LOSSES] = _losses(model.history, "epoch" if len(model.history) >= FEW_EPOCHS else "step")
    if hasattr(model, "encode"):
        pictures |= _encoder(model, x, labels, classes)
    return pictures


def _losses(history: History, by: str) -> _Picture:
    """One panel a term, for their sizes differ too much to be read from one axis."""
    terms = history.steps.keys()

    def draw(figure: Any) -> None:
        for ax, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
            plot.history(history, ax=ax, keys=[term], by=by)

    return _Picture(f"losses by {by}", (4.0 * len(terms), 4.0), draw)


def _encoder(model: Model, x: np.ndarray, labels: np.ndarray | None, classes: np.ndarray) -> dict[str, _Picture]:
    some = None if labels is None else labels[:10]
    text, draw = "test images above their reconstructions", partial(plot.reconstructions, model, x[:10], labels=some)
    pictures = {RECONSTRUCTIONS: _panel(text, (10, 2.2), draw)}
    if _seen_in_a_plane(model, x):
        draw = partial(plot.latent, model, x[:5000], classes[:5000])
        pictures[LATENT] = _panel("test images in the latent space", (8, 6.5), draw)
    return pictures


def _seen_in_a_plane(model: Any, x: np.ndarray) -> bool:
    """Whether the images' codes can be drawn: on more than two axes one image has no principal components."""
    return len(x) > 1 or model.latent_dim <= 2


def _generated(run: Subject) -> Iterator[_Picture]:
    """What the model makes of codes, and of classes where it knows some."""
    model: Any = run.model
    if model.num_classes:
        text, size = "a row a class, with the same codes in every row", (8, min(model.num_classes, 20) * 0.8)
        yield _panel(text, size, partial(plot.class_grid, model, 10, seed=run.seed))
        text = "from one class to another, at one code"
        yield _panel(text, (10, 1.7), partial(plot.interpolation, model, 0, model.num_classes - 1, seed=run.seed))
    ends = np.random.default_rng(run.seed).standard_normal((2, model.latent_dim))
    # On one axis there is no arc: two directions are one, or opposite.
    mode, way = ("slerp", "arc between their directions") if model.latent_dim > 1 else ("lerp", "line between them")
    label, of = (0, ", of class 0") if model.num_classes else (None, "")
    text = f"from one random code to another on the {way}{of}"
    yield _panel(text, (10, 1.7), partial(plot.interpolation, model, ends[0], ends[1], mode=mode, labels=label))
    if hasattr(model, "encode") and model.latent_dim == 2:
        text = f"what the latent plane decodes to, evenly spaced in the prior's probability{of}"
        yield _panel(text, (8, 8), partial(plot.manifold, model, labels=label))


def _course(run: Subject) -> Iterator[_Picture]:
    """The training: pictures on the way and losses."""
    if len(sample_pictures(run.on_the_way)) > 1:
        yield _panel("the same codes in the course of the training", (10, 5.6), partial(plot.evolution, run.on_the_way))
    history = run.model.history
    for by, count in (("epoch", len(history)), ("step", len(history.steps))):
        if count > 1:
            yield _losses(history, by)


def _beside_data(run: Subject) -> Iterator[_Picture]:
    """The model beside the data: the nearest training images, and what an encoder sees."""
    model: Any = run.model
    if run.train is not None:
        drawn = model.sample(10, labels=classes_in_turn(model, 10), seed=run.seed)
        text = "generated images above the training images nearest to them"
        yield _panel(text, (10, 2.6), partial(plot.neighbours, drawn, run.train))
    if run.test is None or not hasattr(model, "encode"):
        return
    x, classes = run.test
    labels = classes if model.num_classes else None
    yield from _encoder(model, x, labels, classes).values()
    if len(run.kept) > 1 and _seen_in_a_plane(model, x):
        yield _stages(run.kept, x[:5000], classes[:5000])
    ends = [0, int(np.argmax(classes != classes[0]))]
    some = None if labels is None else labels[ends]
    text = "from one test image to another on the line between their codes"
    yield _panel(text, (10, 1.7), partial(plot.interpolation, model, x[ends[0]], x[ends[1]], labels=some))


def _stages(kept: dict[int, Path], x: np.ndarray, classes: np.ndarray) -> _Picture:
    files = [kept[epoch] for epoch in chosen(list(kept), _STAGES)]

    def draw(figure: Any) -> None:
        plot.latent_stages(files, x, classes, axes=figure.subplots(1, len(files), squeeze=False))

    return _Picture("test images in the latent space in the course of the training", (5.0 * len(files), 4.6), draw)


def _panel(caption: str, inches: tuple[float, float], draw: Callable[..., Any]) -> _Picture:
    """A picture of one Axes."""
    return _Picture(caption, inches, lambda figure: draw(ax=figure.add_subplot()))
