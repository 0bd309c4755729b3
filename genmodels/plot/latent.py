"""The latent space of a VAE: where the images lie in it, and what it decodes to."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate as check
from .figure import PALETTE, axes_for, axes_row, require_vae
from .images import show_picture, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^DvPX<>p"
# Classes in a column of the legend, and in all of it: a larger one would leave the points no room.
_ROWS, _MOST = 16, 32


def latent(vae: Any, x: ArrayLike, y: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Scatters the posterior means of the images `x`, coloured by their labels.

    x: (N, H, W, C), uint8 or float in [0, 1]; y: (N,) integers, which a conditional VAE needs. More than two latent
    axes are projected on their first two principal components, with the part of the variance each explains on its
    axis. One latent axis gives one row of points a class, or a histogram without labels. Each class is one entry of
    `ax.collections`, its points in `get_offsets()`; its number stands at its median, or beside it where two would meet.
    Of more than 32 classes these numbers are all that tells them apart: there is no legend.
    """
    require_vae(vae, "encode")
    labels = None if y is None else _labels(y, len(np.asarray(x)))
    mean = _codes(vae, x, labels)
    ax = axes_for(ax, (7, 6))
    _draw(ax, mean, labels)
    if labels is not None:
        _legend(ax)
    return ax


def latent_stages(
    models: Any,
    x: ArrayLike,
    y: ArrayLike | None = None,
    axes: Sequence[Axes] | None = None,
    epochs: Sequence[int] | None = None,
    titles: Sequence[str] | None = None,
) -> list[Axes]:
    """The picture of `latent` at several stages of a training side by side, the last with the legend.

    models: VAEs or saved files of some; or the folder of a run that kept its checkpoints (`genmodels train --keep`),
    of which `epochs` chooses some (default: the first, the middle one and the last). `titles` replace "epoch 10". Each
    stage is projected on its own principal components. `axes` are one Axes a stage, in any array, which are returned.
    ValueError for epochs that were not kept, and as `latent` and `genmodels.load`.
    """
    stages = _stages(models, epochs)
    for vae in stages:
        require_vae(vae, "encode")
    names = [f"epoch {len(vae.history)}" for vae in stages] if titles is None else [str(title) for title in titles]
    if len(names) != len(stages):
        raise ValueError(f"titles are {len(names)}, must be {len(stages)}: one a stage")
    labels = None if y is None else _labels(y, len(np.asarray(x)))
    means = [_codes(vae, x, labels) for vae in stages]
    drawn = axes_row(axes, len(stages), (5.0, 4.6))
    for ax, mean, name in zip(drawn, means, names, strict=True):
        _draw(ax, mean, labels)
        ax.set_title(name)
    if labels is not None:
        _legend(drawn[-1])
    return drawn


def _stages(models: Any, epochs: Sequence[int] | None) -> list[Any]:
    """The models, loaded where they are files."""
    from ..checkpoint import load
    from ..run import kept

    if isinstance(models, str | os.PathLike):
        found = kept(Path(models))
        if not found:
            raise FileNotFoundError(f"{models} holds no kept checkpoints of a run: train with --keep K")
        order = list(found)
        wanted = sorted({order[0], order[len(order) // 2], order[-1]}) if epochs is None else list(epochs)
        unknown = [epoch for epoch in wanted if epoch not in found]
        if unknown:
            raise ValueError(f"epoch {unknown[0]} was not kept in {models}; there are {', '.join(map(str, order))}")
        models = [found[epoch] for epoch in wanted]
    elif epochs is not None:
        raise ValueError("epochs choose among a run's checkpoints: models must be its folder")
    elif not isinstance(models, Sequence):
        raise TypeError(f"models must be a list of VAEs or files, or a run's folder, not {type(models).__name__}")
    if not len(models):
        raise ValueError("models is empty: at least one stage is needed")
    return [load(model) if isinstance(model, str | os.PathLike) else model for model in models]


def manifold(vae: Any, n: int = 20, ax: Axes | None = None, labels: ArrayLike | None = None) -> Axes:
    """Draws what an n x n grid of latent points decodes to, evenly spaced in the prior's probability.

    The points are the Gaussian quantiles at (i + 1/2) / n on each of the two axes; z1 grows to the right, z2 upwards
    (Kingma and Welling 2014, figure 4). `labels`, one integer or n * n of them row by row, for a conditional VAE.
    Raises ValueError unless the VAE has two latent axes.
    """
    require_vae(vae, "decode")
    n = check.integer(n, "n", 1)
    if vae.latent_dim != 2:
        raise ValueError(f"a manifold needs latent_dim 2, this VAE has {vae.latent_dim}: try plot.latent")
    quantiles = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    z1, z2 = np.meshgrid(quantiles, quantiles[::-1])
    z = np.stack([z1.ravel(), z2.ravel()], axis=1).astype(np.float32)
    images = vae.decode(z) if labels is None else vae.decode(z, np.broadcast_to(np.asarray(labels), n * n).copy())
    picture = tile(images, n)
    ax = show_picture(picture, axes_for(ax, (7, 7)))
    _quantile_ticks(ax, picture.shape[:2], quantiles)
    return ax


def _codes(vae: Any, x: ArrayLike, labels: NDArray[Any] | None) -> NDArray[Any]:
    """The means (N, latent_dim) of the images' codes."""
    mean, _ = vae.encode(x, labels) if getattr(vae, "num_classes", 0) else vae.encode(x)
    return np.asarray(mean)


def _draw(ax: Axes, mean: NDArray[Any], labels: NDArray[Any] | None) -> None:
    """A cluster a class, or one cloud."""
    if labels is None:
        _cloud(ax, mean)
        return
    points, names = _rows(mean, labels) if mean.shape[1] == 1 else _plane(mean)
    classes = np.unique(labels)
    for label in classes:
        _cluster(ax, points[labels == label], int(label))
    middles = np.stack([np.median(points[labels == label], axis=0) for label in classes])
    for label, place in zip(classes, _tag_places(ax, middles), strict=True):
        _tag(ax, place, int(label))
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.locator_params(axis="x", nbins=6)  # long numbers of small codes would touch each other


def _legend(ax: Axes) -> None:
    """Beside the axes, but for classes too many to be listed there."""
    if (classes := len(ax.collections)) <= _MOST:
        columns = -(-classes // _ROWS)
        ax.legend(title="label", markerscale=2, loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=columns)


def _labels(y: ArrayLike, count: int) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"y has dtype {labels.dtype}, must be integers")
    if labels.shape != (count,):
        raise ValueError(f"y has shape {labels.shape}, expected ({count},): one label for each image")
    return labels


def _rows(mean: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, str]]:
    """One latent axis: a band a class, over which the points are spread evenly so that they do not hide one another."""
    spread = (np.arange(len(mean)) * 0.6180339887) % 1 - 0.5
    return np.stack([mean[:, 0], labels + 0.6 * spread], axis=1), ("z1", "label")


def _plane(mean: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, str]]:
    """Two coordinates for every image, and what they are: the latent axes themselves, or principal components."""
    if mean.shape[1] == 2:
        return mean, ("z1", "z2")
    if len(mean) < 2:
        raise ValueError("a projection on two axes needs at least 2 images, not 1")
    centred = mean.astype(np.float64) - mean.mean(axis=0, dtype=np.float64)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    share = 100 * singular**2 / max(float((singular**2).sum()), np.finfo(float).tiny)
    # The sign of a component is arbitrary; fixing it keeps the picture the same on every machine.
    axes = axes[:2] * np.where(axes[:2].sum(axis=1, keepdims=True) < 0, -1, 1)
    return centred @ axes.T, (f"PC 1 ({share[0]:.1f} % of variance)", f"PC 2 ({share[1]:.1f} % of variance)")


def _cloud(ax: Axes, mean: NDArray[Any]) -> None:
    """All images alike: a histogram of one latent axis, a scatter of more."""
    if mean.shape[1] == 1:
        ax.hist(mean[:, 0], bins=50, color=PALETTE[3])
        ax.set(xlabel="z1", ylabel="images")
        return
    points, names = _plane(mean)
    ax.scatter(points[:, 0], points[:, 1], s=_point_size(len(points)), c=PALETTE[3], alpha=0.7, linewidths=0)
    ax.set(xlabel=names[0], ylabel=names[1])


def _cluster(ax: Axes, points: NDArray[Any], label: int) -> None:
    """The images of one class. Beyond ten classes the colours come again with other markers."""
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=_point_size(len(points)),
        c=PALETTE[label % len(PALETTE)],
        marker=_MARKERS[(label + label // len(PALETTE)) % len(_MARKERS)],
        alpha=0.7,
        linewidths=0,
        label=str(label),
    )


def _tag(ax: Axes, place: NDArray[Any], label: int) -> None:
    colour = PALETTE[label % len(PALETTE)]
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
    ax.annotate(str(label), (place[0], place[1]), ha="center", va="center", fontweight="bold", bbox=box, zorder=5)


def _tag_places(ax: Axes, middles: NDArray[Any]) -> NDArray[np.float64]:
    """Where the tags stand, 0.23 inches wide and high: at the middles (n, 2), or near them where two would cover each
    other or one would not be wholly inside the axes."""
    low, high = np.sort([ax.get_xlim(), ax.get_ylim()]).T
    inches = np.array([ax.bbox.width, ax.bbox.height]) / ax.figure.dpi
    unit = (high - low) * 0.23 / np.maximum(inches, 0.23)
    places: NDArray[np.float64] = low + unit * _apart((middles - low) / unit, (high - low) / unit)
    return places


def _apart(places: NDArray[Any], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places (n, 2), in units of a tag, brought inside axes of this size (2,) and moved up and down until no two
    tags cover each other. Where a column has no room for its tags, they are inside all the same."""
    low, high = np.full(2, 0.5), size - 0.5
    x, y = np.clip(places, low, high).T
    order = np.argsort(y, kind="stable")
    y = (_raised(x, y, order) - _raised(x, -y, order[::-1])) / 2  # the order is the same in both, so the mean is apart
    y = np.minimum(_raised(x, np.maximum(y, low[1]), order), high[1])
    y = -_raised(x, -y, order[::-1])
    return np.stack([x, np.maximum(y, low[1])], axis=1)


def _raised(x: NDArray[Any], y: NDArray[Any], order: NDArray[np.intp]) -> NDArray[Any]:
    """The heights y (n,), from the first of the order to the last each raised above those before it that are less than
    1 beside it."""
    raised = y.copy()
    for i, j in itertools.combinations(order, 2):
        if abs(x[j] - x[i]) < 1:
            raised[j] = max(raised[j], raised[i] + 1)
    return raised


def _point_size(count: int) -> float:
    """Smaller the more there are."""
    return float(np.clip(4000 / count, 9, 30))


def _quantile_ticks(ax: Axes, size: tuple[int, int], quantiles: list[float]) -> None:
    """Labels some rows and columns with their latent coordinate."""
    n = len(quantiles)
    chosen = sorted({round(i) for i in np.linspace(0, n - 1, min(n, 7))})
    names = [f"{quantiles[i]:.2f}" for i in chosen]
    ax.set_xticks([(i + 0.5) * size[1] / n - 0.5 for i in chosen], names)
    ax.set_yticks([(n - i - 0.5) * size[0] / n - 0.5 for i in chosen], names)
    ax.set(xlabel="z1", ylabel="z2")
