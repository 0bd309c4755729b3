"""Learning-rate schedules: callbacks that scale the optimizers' own rates, all by the same factor, epoch by epoch.

A factor is a function of the model's history alone. A killed fit that is gone on with under the same schedule has the
rates of one never killed, and so has a training cut into several fits: epochs are counted from the model's first one,
whichever fit it was in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import _validate as check
from .callbacks import Callback, epochs_of_fit
from .history import History
from .monitor import Monitor

if TYPE_CHECKING:
    from ..model import Model


class Schedule(Callback):
    """Base class: override `factor_after`. Of several schedules in one fit the last one counts. The rates are the
    optimizers' own again when the fit ends, however it does."""

    def factor_after(self, epochs: int, history: History) -> float:
        """What the rates are multiplied by in the epoch that follows `epochs` whole ones, whose losses `history`
        holds. It must be a function of these alone."""
        raise NotImplementedError

    def on_epoch_begin(self, model: Model, epoch: int) -> None:
        model._set_learning_rates(self.factor_after(epoch - 1, model.history))


class ConstantRate(Schedule):
    """The rates times `factor` >= 0, in every epoch: for a fit that is to go on more slowly than those before it."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = check.number(factor, "factor", 0.0)

    def factor_after(self, epochs: int, history: History) -> float:
        return self.factor


class StepDecay(Schedule):
    """The rates times `factor`, in [0, 1], after every `every_epochs` epochs: factor^(epochs // every_epochs), of the
    model's epochs over all its fits."""

    def __init__(self, every_epochs: int, factor: float = 0.1) -> None:
        self.every_epochs = check.integer(every_epochs, "every_epochs", 1)
        self.factor = check.number(factor, "factor", 0.0, 1.0)

    def factor_after(self, epochs: int, history: History) -> float:
        return self.factor ** (epochs // self.every_epochs)


class _Decay(Schedule):
    """A way from 1 down to a floor."""

    def __init__(self, epochs: int, start_epoch: int = 0, floor: float = 0.0) -> None:
        """
        Args:
            epochs: of falling rates, at least 1; the first of them still has the optimizers' own. They are counted
                over all fits of the model, as start_epoch is: for a fit that follows others, see there.
            start_epoch: epochs of the model before, at the optimizers' own rates; `len(model.history)` lets the fall
                begin with the fit that is next.
            floor: the factor of all epochs after, in [0, 1].

        Raises ValueError or TypeError for other arguments. A fit that begins behind the end of a fall to 0, and would
        train nothing, is a ValueError too.
        """
        self.epochs = check.integer(epochs, "epochs", 1)
        self.start_epoch = check.integer(start_epoch, "start_epoch", 0)
        self.floor = check.number(floor, "floor", 0.0, 1.0)

    def factor_after(self, epochs: int, history: History) -> float:
        way = min(max(epochs - self.start_epoch, 0) / self.epochs, 1.0)
        return self.floor + (1.0 - self.floor) * self._left(way)

    def on_train_begin(self, model: Model) -> None:
        """ValueError where every epoch of the fit, from its first one on, would have rates of 0."""
        before, end = len(model.history) - epochs_of_fit(model), self.start_epoch + self.epochs
        if self.floor == 0 and before >= end:
            raise ValueError(
                f"{self!r}: its rates are 0 from epoch {end + 1} of the model on, and this fit begins with epoch "
                f"{before + 1}: nothing would be trained; start_epoch=len(model.history) lets the fall begin here"
            )

    def _left(self, way: float) -> float:
        """1 at the beginning of the way, 0; 0 at its end, 1."""
        raise NotImplementedError


class LinearDecay(_Decay):
    """Rates that fall by the same amount every epoch."""

    def _left(self, way: float) -> float:
        return 1.0 - way


class CosineDecay(_Decay):
    """Rates that fall along half a cosine wave, slowly at both ends (Loshchilov and Hutter 2017, without restarts)."""

    def _left(self, way: float) -> float:
        return (1.0 + math.cos(math.pi * way)) / 2.0


class ReduceOnPlateau(Schedule):
    """The rates times `factor` whenever `patience` epochs in a row brought nothing better.

    Args:
        monitor: a column of the history, "val_loss" or another. An epoch without a value brings nothing better;
            epochs before the first value do not count. ValueError, with the names there are, after the first epoch
            where the history has no such column.
        factor: in [0, 1].
        patience: epochs, at least 1.
        min_delta: what is better by no more than this is not better.
        cooldown: epochs after a reduction that do not count.
        floor: the product of the factors stops here, in [0, 1].
        mode: "min" or "max": what is better.

    Raises ValueError or TypeError for other arguments.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        cooldown: int = 0,
        floor: float = 0.0,
        mode: str = "min",
    ) -> None:
        self.monitor = Monitor(monitor, mode, min_delta)
        self.factor = check.number(factor, "factor", 0.0, 1.0)
        self.patience = check.integer(patience, "patience", 1)
        self.cooldown = check.integer(cooldown, "cooldown", 0)
        self.floor = check.number(floor, "floor", 0.0, 1.0)

    def factor_after(self, epochs: int, history: History) -> float:
        if self.monitor.name not in history:
            return 1.0
        factor, waited, cooling = 1.0, -math.inf, 0  # waiting begins with the first value
        for better in self.monitor.progress(history):
            cooling = max(cooling - 1, 0)
            waited = 0 if better or cooling else waited + 1
            if waited >= self.patience:
                factor, waited, cooling = max(factor * self.factor, self.floor), 0, self.cooldown + 1
        return factor

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        """ValueError where there is nothing to watch."""
        self.monitor.progress(model.history)
