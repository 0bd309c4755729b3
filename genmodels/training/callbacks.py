"""Callbacks: what `fit` calls on its way, and those that end it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import _validate as check
from .monitor import Monitor

if TYPE_CHECKING:
    from ..model import Model


class Callback:
    """Base class: override what you need. Epochs and steps are counted from 1 over all fits of the model.

    The model is between two steps whenever a callback runs: it may be evaluated, sampled from and saved. An exception
    raised here ends the fit and reaches its caller; the fit can be resumed. `model.stop_training = True` interrupts
    the fit in good order, `model.finish_training()` makes the epoch in hand its last.
    """

    def __repr__(self) -> str:
        """As the call that makes it, as far as the object keeps the arguments; those at their defaults stay away."""
        held = vars(self)
        if isinstance(watch := held.get("monitor"), Monitor):
            held = {**held, **vars(watch), "monitor": watch.name}
        kept = [p for p in inspect.signature(type(self)).parameters.values() if p.name in held]
        given = [p.name for p in kept if repr(held[p.name]) != repr(p.default)]
        return f"{type(self).__name__}({', '.join(f'{name}={check.shown(held[name])}' for name in given)})"

    def on_train_begin(self, model: Model) -> None:
        """Before the first step."""

    def on_epoch_begin(self, model: Model, epoch: int) -> None:
        """Before an epoch's first step (or the first one after a resume)."""

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        """After a step with these losses."""

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        """After an epoch, its validation and its entry in the history, whose row `losses` is."""

    def on_train_end(self, model: Model) -> None:
        """After the last step, also of an interrupted fit, but not after an exception."""


class TimeLimit(Callback):
    """Ends the fit in good order after the step at which the time is up; `fit(resume=True)` goes on."""

    def __init__(self, seconds: float) -> None:
        """`seconds` >= 0, counted from the beginning of the fit."""
        self.seconds = check.number(seconds, "seconds", 0.0)
        self._end = float("inf")

    def on_train_begin(self, model: Model) -> None:
        self._end = time.monotonic() + self.seconds

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        if time.monotonic() >= self._end:
            model.stop_training = True


class EarlyStopping(Callback):
    """Finishes the fit after `patience` epochs in a row that brought nothing better.

    `fit(resume=True)` has nothing left to do then, and another `fit` waits anew. The model stays that of the last
    epoch; `Checkpoint(monitor=..., best=...)` keeps that of the best.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0, mode: str = "min"
    ) -> None:
        """
        Args:
            monitor: a column of the history, "val_loss" or another. An epoch without a value brings nothing better.
                ValueError, with the names there are, after the first epoch where the history has no such column.
            patience: epochs of this fit, at least 1.
            min_delta: what is better by no more than this is not better.
            mode: "min" or "max": what is better.

        Raises ValueError or TypeError for other arguments.
        """
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = check.integer(patience, "patience", 1)

    def on_train_begin(self, model: Model) -> None:
        """A fit that was killed between its last epoch and this callback has nothing left to do."""
        if epochs_of_fit(model):
            self._decide(model)

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        self._decide(model)

    def _decide(self, model: Model) -> None:
        progress = self.monitor.progress(model.history, last=epochs_of_fit(model))
        if len(progress) >= self.patience and not any(progress[-self.patience :]):
            model.finish_training()


def epochs_of_fit(model: Model) -> int:
    """Whole epochs of the fit in hand, those before an interruption included."""
    assert model._position is not None
    return model._position.epoch
