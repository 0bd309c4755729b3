"""The callback that scores what the model makes, while it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import _validate as check
from .callbacks import Callback
from .history import SCORES

if TYPE_CHECKING:
    from ..model import Model


class Scores(Callback):
    """Scores of the model's samples against real images that it does not learn from, in columns of the history.

    They are those of `genmodels.metrics.evaluate` that are numbers (`fd`, `kd`, `is`, ... with floor, ceiling and
    sample counts), `fd_epoch` (the epoch) and `fd_extractor` (`metrics.extractor_number` of the extractor). They are
    NaN in the epochs between. `genmodels.plot.fid` draws them; files and CSV carry them.

    Other callbacks behind it in the list can act on it: `Checkpoint(path, monitor="fd", best=...)` keeps the model of
    the best score, `EarlyStopping("fd", patience=...)`, in epochs, ends the fit. The noise is the same each time, drawn
    from `seed`; the model's own random streams and so its training stay as they are. A fit that was killed and gone on
    with has the scores of one never killed.
    """

    def __init__(
        self,
        x_test: Any,
        every_epochs: int = 1,
        n: int = 10000,
        extractor: Any = None,
        labels: Any = None,
        reference_train: Any = None,
        seed: int = 0,
        k: int = 5,
    ) -> None:
        """
        Args:
            x_test: real images, of which the first n count; see `genmodels.metrics.evaluate`.
            every_epochs: scores after every so many epochs, and after the last.
            n: images to draw, at least 4 and more than k. Only scores of equal n compare.
            extractor: see `genmodels.metrics.features`; None takes the classifier of the model's recipe, or the one for
                its channels.
            labels: (n,) classes of a conditional model that the extractor knows, too; by default all classes in turn.
            reference_train: real training images for the floor.
            seed, k: see `genmodels.metrics.evaluate`.

        Raises ValueError or TypeError for other arguments; those of extractor and labels when the fit begins.
        """
        self.every_epochs = check.integer(every_epochs, "every_epochs", 1)
        self.labels = labels
        from ..metrics.evaluation import Reference

        self._reference = Reference(x_test, n, extractor, reference_train, seed, k)
        self._of_recipe = extractor is None

    def on_train_begin(self, model: Model) -> None:
        from ..metrics import extractors

        if self._of_recipe:
            self._reference = self._reference.by(extractors.of_recipe(model, model.input_shape))  # type: ignore[attr-defined]
        self._check_earlier(model)
        if self.labels is not None:
            check.labels(self.labels, self._reference.n, model.num_classes)  # type: ignore[attr-defined]
            self._reference.checked_labels(self.labels)
        place = model._position
        # A fit that was killed at an epoch's end may have been so before its scores.
        if place is not None and place.epoch > 0 and place.step == 0 and self._due(model):
            self._score(model)

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        if self._due(model):
            self._score(model)
        elif "fd" not in model.history:  # so that others find the column from the start
            model.history.amend(dict.fromkeys(("fd", "fd_epoch", "fd_extractor"), math.nan))

    def on_train_end(self, model: Model) -> None:
        ended_early = model._position is not None and model._position.ended
        if ended_early and not self._scored(model):
            self._score(model)

    def _due(self, model: Model) -> bool:
        epoch = len(model.history)
        return (epoch % self.every_epochs == 0 or not model.interrupted) and not self._scored(model)

    def _scored(self, model: Model) -> bool:
        return "fd" in model.history and not math.isnan(model.history["fd"][-1])

    def _score(self, model: Model) -> None:
        from ..metrics.comparable import extractor_number

        scores = self._reference.score(model, self.labels)
        row = {name: float(scores[name]) for name in SCORES if isinstance(scores.get(name), int | float)}
        number = extractor_number(scores["extractor"])
        model.history.amend({**row, "fd_epoch": len(model.history), "fd_extractor": number})

    def _check_earlier(self, model: Model) -> None:
        """ValueError where the history has scores of another extractor."""
        from ..metrics.comparable import one_extractor

        one_extractor({"the history": model.history, "the callback": {"extractor": str(self._reference.extractor)}})
