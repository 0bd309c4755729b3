"""How a fit tells where it is: a bar, a logging line an epoch, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._watched import watched
from .callbacks import Callback

if TYPE_CHECKING:
    from ..model import Model

VERBOSE = ("auto", "progress", "log", "silent")

logger = logging.getLogger("genmodels")


class Report(Callback):
    """A callback that tells nothing; the others build on it."""

    def close(self) -> None:
        """Called last, also after an exception."""


def reporter(verbose: str) -> Report:
    """The callback behind fit's `verbose`. ValueError for an unknown one, ImportError for a bar without tqdm."""
    if verbose not in VERBOSE:
        raise ValueError(f"verbose: {verbose!r} is none of {', '.join(map(repr, VERBOSE))}")
    if verbose == "silent":
        return Report()
    if verbose == "progress" or (verbose == "auto" and watched()):
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            if verbose == "progress":
                raise ImportError("verbose='progress' needs tqdm: pip install 'genmodels[progress]'") from error
        else:
            return ProgressBar(tqdm)
    return EpochLog()


def _text(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in losses.items())


class EpochLog(Report):
    """A line an epoch to the logger "genmodels", level INFO."""

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        place = model._position
        assert place is not None
        logger.info("epoch %d (%d/%d): %s", epoch, place.epoch, place.epochs, _text(losses))


class ProgressBar(Report):
    """One tqdm bar over the steps of the fit, with the losses of the last step beside it."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None

    def on_train_begin(self, model: Model) -> None:
        place = model._position
        assert place is not None
        done = place.epoch * place.steps_per_epoch + place.step
        self._bar = self._tqdm(total=place.epochs * place.steps_per_epoch, initial=done, unit="step")

    def on_epoch_begin(self, model: Model, epoch: int) -> None:
        place = model._position
        assert place is not None
        self._bar.set_description(f"epoch {place.epoch + 1}/{place.epochs}", refresh=False)

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        self._bar.set_postfix(losses, refresh=False)
        self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
