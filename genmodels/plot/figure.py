"""Where the pictures are drawn: matplotlib, fetched only when a picture is asked for."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Ten colours found by search: any two differ by at least 32 CIELAB units, and by 28 for protan, deutan and tritan eyes
# (Machado, Oliveira, Fernandes 2009); their lightness climbs from 12 to 84 in equal steps, so a grey print shows them.
PALETTE = (
    "#3d0d25",
    "#450780",
    "#8a0000",
    "#3f30e4",
    "#7d5f5c",
    "#e63810",
    "#ff39b6",
    "#92ad69",
    "#51c7ff",
    "#f4ce57",
)

# matplotlib lays out and writes text with caches that threads must not share.
_DRAWING = threading.Lock()


def require_matplotlib() -> None:
    """Raises an ImportError that names the extra when matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'genmodels[plot]'") from error


def axes_for(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax` itself, or the Axes of a new pyplot figure of `size` inches (which a notebook then shows)."""
    require_matplotlib()
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not hasattr(ax, "imshow"):
        raise TypeError(f"ax must be a matplotlib Axes, not {type(ax).__name__}")
    return ax


def axes_row(axes: Sequence[Axes] | None, count: int, panel: tuple[float, float]) -> list[Axes]:
    """`axes` themselves, `count` of them in any array, or those of a new pyplot figure: panels of `panel` inches side
    by side. ValueError for another number of them."""
    require_matplotlib()
    if axes is None:
        from matplotlib import pyplot

        size = (panel[0] * count, panel[1])
        return list(pyplot.subplots(1, count, figsize=size, layout="constrained", squeeze=False)[1][0])
    given: list[Any] = [axes] if hasattr(axes, "imshow") else list(np.ravel(np.asarray(axes, dtype=object)))
    wrong = [ax for ax in given if not hasattr(ax, "imshow")]
    if wrong:
        raise TypeError(f"axes must be matplotlib Axes, not {type(wrong[0]).__name__}")
    if len(given) != count:
        raise ValueError(f"axes are {len(given)}, must be {count}: one a panel")
    return given


def require_vae(vae: Any, method: str) -> None:
    """TypeError for what has no such method and no latent space, as a VAE does."""
    if not (hasattr(vae, method) and hasattr(vae, "latent_dim")):
        raise TypeError(f"vae must be a VAE, not {type(vae).__name__}")


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of `size` inches outside pyplot, for files: it needs no display and nobody has to close it."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_png(figure: Any, dpi: int = 120) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    with _DRAWING:
        figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def save_figure(figure: Any, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Writes the figure as PNG in one piece: no reader ever sees half a picture."""
    picture = figure_png(figure, dpi)
    with replacing(path) as file:
        file.write(picture)
