"""The callback that draws what the model makes, while it learns."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _validate as check
from .._files import file_name
from .._labels import classes_in_turn
from ..plot.evolution import read_picture, require_pillow, sample_pictures, write_gif
from ..plot.images import save_grid
from .callbacks import Callback

if TYPE_CHECKING:
    from ..model import Model

MOVIE = "samples.gif"


class Samples(Callback):
    """Pictures of the same draws on the way: `samples-000.png` before the first epoch, `samples-001.png` after it, and
    so on, and `samples.gif`, all of them one after the other, when the fit ends.

    The noise is the same in every picture, drawn from `seed`; the model's own random streams and so its training stay
    as they are. Epochs are those of the model, over all its fits. A fit that was killed and gone on with has the
    pictures and the GIF of one never killed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_epochs: int = 1,
        n: int = 25,
        labels: Any = None,
        seed: int = 0,
        gif: bool = True,
        frame_seconds: float = 0.25,
    ) -> None:
        """
        Args:
            folder: for the files; made where it is missing.
            every_epochs: a picture after every so many epochs, and after the last.
            n: images in a picture, in as square a grid as they fill.
            labels: (n,) classes of a conditional model; by default all classes in turn.
            seed: of the noise, 0..2^64-1.
            gif: write the GIF. ImportError without Pillow.
            frame_seconds: how long the GIF shows a picture, 0.02..60; the last one five times as long.

        Raises ValueError or TypeError for other arguments. Files that cannot be written are an OSError of the fit.
        """
        self.folder = Path(file_name(folder))
        self.every_epochs = check.integer(every_epochs, "every_epochs", 1)
        self.n = check.integer(n, "n", 1)
        self.labels = labels
        self.seed = check.seed(seed)
        self.gif = check.flag(gif, "gif")
        self.frame_seconds = check.number(frame_seconds, "frame_seconds", 0.02, 60.0)
        if self.gif:
            require_pillow()

    def on_train_begin(self, model: Model) -> None:
        """TypeError for a model that draws no images."""
        if not model.generative:
            raise TypeError(f"callbacks: Samples shows images that a model draws, a {model.family} draws none")
        self.folder.mkdir(parents=True, exist_ok=True)
        place = model._position
        assert place is not None
        begun, closed = place.epoch + place.step > 0, place.step == 0 and len(model.history) % self.every_epochs == 0
        if not begun or closed:  # a fit that was killed at an epoch's end may have been so before its picture
            self._draw(model)

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        if epoch % self.every_epochs == 0:
            self._draw(model)

    def on_train_end(self, model: Model) -> None:
        if not model.interrupted and len(model.history) % self.every_epochs:
            self._draw(model)
        if self.gif:
            self._write_movie(len(model.history))

    def _draw(self, model: Model) -> None:
        labels = classes_in_turn(model, self.n) if self.labels is None else self.labels
        images = model.sample(self.n, labels=labels, seed=self.seed)
        columns = math.ceil(math.sqrt(self.n))
        path = self.folder / f"samples-{len(model.history):03d}.png"
        save_grid(images, path, rows=math.ceil(self.n / columns), columns=columns)

    def _write_movie(self, epochs: int) -> None:
        """All pictures in the folder up to this epoch, of the size of the last; others are of another run."""
        pictures = sample_pictures(self.folder)
        frames = [read_picture(path) for epoch, path in pictures.items() if epoch <= epochs]
        frames = [frame for frame in frames if frame.size == frames[-1].size]
        if frames:
            write_gif(frames, self.folder / MOVIE, self.frame_seconds)
