"""The callback that shows a notebook how a fit is getting on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _validate as check
from .._labels import classes_in_turn
from ..plot.curves import FEW_EPOCHS
from ..plot.curves import history as draw_history
from ..plot.figure import figure_png, new_figure
from ..plot.images import show_picture, tile
from .callbacks import Callback

if TYPE_CHECKING:
    from ..model import Model

# A picture that took a second is left alone for so many: drawing never takes more than a tenth of the time.
REST = 9


class LivePlot(Callback):
    """One picture in a notebook, drawn anew while the fit goes on: the losses so far, and beside them what a generative
    model makes of the same noise now.

    The noise is drawn from `seed`; the model's own random streams and so its training stay as they are. Every fit has
    its own picture, which is the last one drawn when the fit ends: by itself, by Ctrl-C (in Jupyter: interrupt the
    kernel) or by an exception. It is part of the notebook and saved with it.
    """

    def __init__(
        self,
        every_seconds: float = 5.0,
        n: int = 25,
        labels: Any = None,
        seed: int = 0,
        keys: Sequence[str] | None = None,
        dpi: int = 72,
    ) -> None:
        """
        Args:
            every_seconds: at least so long between two pictures, >= 1; where one takes long to draw, nine times as
                long as that. One more is drawn when the fit ends in good order.
            n: images in the picture, in as square a grid as they fill.
            labels: (n,) classes of a conditional model; by default all classes in turn.
            seed: of the noise, 0..2^64-1.
            keys: the losses to draw, by their names in the history; by default all of them.
            dpi: pixels an inch of the picture, which is 9 inches wide; 20..300.

        Raises ValueError or TypeError for other arguments, ImportError where IPython or matplotlib is missing. Where
        no notebook runs, and for unknown keys or unfit labels, the fit raises ValueError.
        """
        self.every_seconds = check.number(every_seconds, "every_seconds", 1.0)
        self.n = check.integer(n, "n", 1)
        self.labels = labels
        self.seed = check.seed(seed)
        if isinstance(keys, str):
            raise TypeError(f"keys must be a list of names, not {keys!r}")
        self.keys = None if keys is None else list(keys)
        self.dpi = check.integer(dpi, "dpi", 20, 300)
        _ipython()
        self._display: Any = None
        self._due = 0.0

    def on_train_begin(self, model: Model) -> None:
        if _ipython().get_ipython() is None:
            raise ValueError("LivePlot: no notebook is running here; callbacks.Samples writes pictures into a folder")
        self._display, self._due = None, 0.0

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        if time.monotonic() >= self._due:
            self._show(model)

    def on_train_end(self, model: Model) -> None:
        if len(model.history.steps):
            self._show(model)

    def _show(self, model: Model) -> None:
        began = time.monotonic()
        place = f"epochs: {len(model.history)}, steps: {len(model.history.steps)}"
        picture = {"image/png": self._picture(model, place), "text/plain": place}
        if self._display is None:
            self._display = _ipython().display.display(picture, raw=True, display_id=True)
        else:
            self._display.update(picture, raw=True)
        now = time.monotonic()
        self._due = now + max(self.every_seconds, REST * (now - began))

    def _picture(self, model: Model, title: str) -> bytes:
        figure = new_figure((9.0, 4.0))  # not pyplot's: none is left open, and none is shown once more
        panels = figure.subplots(1, 1 + model.generative, squeeze=False, width_ratios=(5, 4)[: 1 + model.generative])[0]
        by = "epoch" if len(model.history) >= FEW_EPOCHS else "step"
        draw_history(model.history, panels[0], keys=self.keys or list(model.history.steps.keys()), by=by)
        if model.generative:
            labels = classes_in_turn(model, self.n) if self.labels is None else self.labels
            columns = math.ceil(math.sqrt(self.n))
            show_picture(tile(model.sample(self.n, labels, self.seed), -(-self.n // columns), columns), panels[1])
        panels[-1].set_title(title)
        return figure_png(figure, self.dpi)


def _ipython() -> Any:
    """The module IPython, its displays with it; an ImportError names the extra."""
    try:
        import IPython
        import IPython.display
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("LivePlot needs IPython and matplotlib: pip install 'genmodels[notebook]'") from error
    return IPython
