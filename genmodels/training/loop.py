"""The training loop.

A fit is a walk of `Position` through epochs and steps. The position lives in the model and is moved only between
steps, together with the history, so that a model saved at any moment a callback can see holds everything needed to go
on: `fit(resume=True)` enters the same loop at the same place. The order of the images, their augmentation and their
binarization are pure functions of the model's seed and the number of whole epochs in its history; nothing of them has
to be saved.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validate as check
from .. import binarization
from ..augmentation import Augmentation
from ..model import CollapseWarning
from .batches import Batches
from .callbacks import Callback
from .history import History
from .position import Position, fingerprint
from .progress import logger, reporter

if TYPE_CHECKING:
    from ..model import Model

Data = np.ndarray | tuple[np.ndarray, np.ndarray | None]
"""Images, or images with labels."""

DEFAULT_EPOCHS = 1
DEFAULT_BATCH_SIZE = 128


def fit(
    model: Model,
    x: np.ndarray,
    y: np.ndarray | None = None,
    epochs: int = DEFAULT_EPOCHS,
    batch_size: int = DEFAULT_BATCH_SIZE,
    validation_data: Data | None = None,
    callbacks: Iterable[Callback] | Callback = (),
    verbose: str = "auto",
    resume: bool = False,
    augmentation: Augmentation | None = None,
    binarize: str | None = None,
) -> History:
    """See `genmodels.model.Model.fit`."""
    epochs = check.integer(epochs, "epochs", 1)
    batch_size = check.integer(batch_size, "batch_size", 1)
    resume = check.flag(resume, "resume")
    report = reporter(verbose)
    watchers = [*_check_callbacks(callbacks), report]
    data, validation = _check(model, x, y), _check_validation(model, validation_data)
    _check_augmentation(augmentation, data[0])
    binarize = binarization.check_choice(binarize)
    images, digest = len(data[0]), fingerprint(*data, *(validation or ()))
    position = Position(epochs, batch_size, images, digest, model.critic_steps, augmentation, binarize=binarize)
    if validation is not None and binarize is not None:
        validation = binarization.binarize(validation[0], binarize, model.seed), validation[1]
    if not model._fitting.acquire():
        raise ValueError("this model is in a fit already, in another thread or around this callback")
    try:
        if resume:
            position = _resumed(model._position, position)
        model._position = position
        model.stop_training = model.history.interrupted = False
        model._set_learning_rates(1.0)
        _Run(model, position, data, validation, watchers).train()
    finally:
        model._set_learning_rates(1.0)
        model._fitting.release()
        report.close()
    return model.history


def _check(model: Model, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x, y = model._check_data(x, y)
    return np.ascontiguousarray(x), None if y is None else np.ascontiguousarray(y)


def _check_validation(model: Model, data: Any) -> tuple[np.ndarray, np.ndarray | None] | None:
    if data is None:
        return None
    if isinstance(data, list) and len(data) == 2 and np.ndim(data[0]) == 4:  # [images, labels], not two images
        data = tuple(data)
    if not isinstance(data, tuple):
        data = (data, None)
    if len(data) != 2:
        raise ValueError(f"validation_data: expected images or (images, labels), got a tuple of {len(data)}")
    try:
        return _check(model, *data)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"validation_data: {error}") from error


def _check_callbacks(callbacks: Any) -> list[Callback]:
    if not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    found = list(callbacks)
    for callback in found:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected genmodels.callbacks.Callback objects, got {check.shown(callback)}")
    return found


def _check_augmentation(augmentation: Any, x: np.ndarray) -> None:
    if augmentation is None:
        return
    if not isinstance(augmentation, Augmentation):
        raise TypeError(f"augmentation must be a genmodels.Augmentation or None, not {check.shown(augmentation)}")
    augmentation._check_size(*x.shape[1:3])


def _resumed(position: Position | None, asked: Position) -> Position:
    """The position to go on from; ValueError unless the fit was asked for in the same way. Arguments at their defaults
    ask for nothing."""
    if position is None:
        raise ValueError("resume=True: there is no interrupted fit to resume; call fit without resume to begin one")
    if asked.epochs not in (DEFAULT_EPOCHS, position.epochs):
        raise ValueError(f"resume=True: the interrupted fit was of {position.epochs} epochs, got epochs={asked.epochs}")
    if asked.batch_size not in (DEFAULT_BATCH_SIZE, position.batch_size):
        raise ValueError(
            f"resume=True: the interrupted fit had batch_size={position.batch_size}, got batch_size={asked.batch_size}"
        )
    if asked.critic_steps != position.critic_steps:
        raise ValueError(
            f"resume=True: the interrupted fit was of a model with critic_steps={position.critic_steps}, "
            f"this one has critic_steps={asked.critic_steps}"
        )
    if asked.augmentation != position.augmentation:
        raise ValueError(
            f"resume=True: the interrupted fit had augmentation={position.augmentation}, "
            f"got augmentation={asked.augmentation}"
        )
    if asked.binarize != position.binarize:
        raise ValueError(
            f"resume=True: the interrupted fit had binarize={position.binarize!r}, got binarize={asked.binarize!r}"
        )
    if (asked.images, asked.fingerprint) != (position.images, position.fingerprint):
        raise ValueError(
            "resume=True: x, y or validation_data differ from those of the interrupted fit: "
            f"it had {position.images} images, SHA-256 {position.fingerprint[:16]}..., "
            f"these are {asked.images} images, SHA-256 {asked.fingerprint[:16]}..."
        )
    return position


class _Run:
    """One call of fit after its arguments were checked."""

    def __init__(
        self,
        model: Model,
        position: Position,
        data: tuple[np.ndarray, np.ndarray | None],
        validation: tuple[np.ndarray, np.ndarray | None] | None,
        callbacks: list[Callback],
    ) -> None:
        self.model = model
        self.position = position
        self.x, self.y = data
        self.validation = validation
        self.callbacks = callbacks
        self.before_step: dict[str, int] | None = None  # the model's counters, while a step is not yet recorded
        self.closing = False  # an epoch that is not yet recorded

    def train(self) -> None:
        """All epochs that are left."""
        with _InterruptGuard() as guard:
            try:
                self.call("on_train_begin")
                while not self.position.finished and self.epoch(guard):
                    pass
            except KeyboardInterrupt:
                self.note_interruption(logging.WARNING)
                if guard.requested:  # the second one
                    raise
            else:
                if not self.position.finished:
                    self.note_interruption(logging.WARNING if guard.requested else logging.INFO)
            self.call("on_train_end")

    def epoch(self, guard: _InterruptGuard) -> bool:
        """The steps of the epoch that are left, and its closing. False when the fit was stopped within it."""
        model, position = self.model, self.position
        number = len(model.history) + 1
        self.call("on_epoch_begin", number)
        batches = Batches(self.x, self.y, position, model.seed, number - 1)
        while position.step < position.steps_per_epoch:
            if guard.requested or model.stop_training or position.finished:
                return False
            self.step(batches)
        held_out = self.validate()  # may raise, so before anything is recorded
        self.closing = True
        row = position.close_epoch(held_out)
        model.history.append(row)
        self.closing = False
        for symptom in model._symptoms(row):
            warnings.warn(CollapseWarning(f"epoch {number}: {symptom}"), stacklevel=5)  # where fit was called
        self.call("on_epoch_end", number, row)
        return not (guard.requested or model.stop_training)

    def step(self, batches: Batches) -> None:
        """The training step that is next."""
        began = time.perf_counter()
        images, labels = batches.take(self.position.step)
        self.before_step = self.model._counters()
        try:
            losses = self.model.train_step(images, labels)
        except FloatingPointError as error:
            place = f"epoch {len(self.model.history) + 1}, step {self.position.step + 1}"
            raise FloatingPointError(f"{place} of {self.position.steps_per_epoch}: {error}") from error
        self.position.add(losses, time.perf_counter() - began)
        self.model.history.steps.append(losses)
        self.before_step = None
        self.call("on_step_end", len(self.model.history.steps), losses)

    def validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        losses = {f"val_{name}": value for name, value in self.model.evaluate(*self.validation).items()}
        for name, value in losses.items():
            if not math.isfinite(value):
                place = f"epoch {len(self.model.history) + 1}"
                advice = "try a lower learning rate, from the start or from the last checkpoint"
                raise FloatingPointError(f"{place}: {name} of the validation data is {value}; {advice}")
        return losses

    def call(self, event: str, *arguments: int | Mapping[str, float]) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.model, *arguments)

    def note_interruption(self, level: int) -> None:
        """Mark the history. A KeyboardInterrupt may have fallen between a step, or an epoch, and its record; such a fit
        cannot go on with the bits of an undisturbed one and is given up."""
        self.model.history.interrupted = True
        stepped = self.before_step is not None and self.model._counters() != self.before_step
        if stepped or self.closing:
            self.model._position = None
        place = self.position
        logger.log(
            level,
            "fit stopped after %d of %d epochs and %d of %d steps; fit(resume=True) %s",
            *(place.epoch, place.epochs, place.step, place.steps_per_epoch),
            "goes on" if self.model.interrupted else "cannot go on, for the last step or epoch was not recorded",
        )


class _InterruptGuard:
    """Turns the first Ctrl-C into a request to stop between two steps; the second raises KeyboardInterrupt.

    Only in the main thread, where signals arrive, and only in place of Python's own handler: a program that has
    installed another one keeps it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> _InterruptGuard:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True
