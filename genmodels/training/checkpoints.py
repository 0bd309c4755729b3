"""The callback that saves the model on the way."""

from __future__ import annotations

import os
import re
import string
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import _validate as check
from .._files import file_name
from .callbacks import Callback
from .monitor import Monitor

if TYPE_CHECKING:
    from ..model import Model


class Checkpoint(Callback):
    """Saves the model on the way, so that a killed run goes on with `gm.load(path).fit(..., resume=True)`.

    Each file is complete or absent. An interrupted fit is saved where it stands, but not under the name of an epoch
    when it stands in the midst of another. With `monitor` the model of the best epoch so far, of all in its history, is
    saved to `best` as well.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        keep: int | None = None,
        every_seconds: float | None = None,
        monitor: str | None = None,
        mode: str = "min",
        best: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            path: file to write, in a folder that is made where it is missing. With `{epoch}` or `{step}` in the file's
                name (formats such as `{epoch:03d}` too) one file for each: epochs that are whole and steps taken, over
                all fits of the model. With `{epoch}` alone a file holds the model as it was after that epoch.
            every_epochs: save after every so many epochs, and after the last; None for never.
            every_steps: save after every so many steps, too; not with `{epoch}` alone.
            keep: with `{epoch}` or `{step}` in the name, the number of newest files to keep; older ones that match the
                name are removed. None keeps all.
            every_seconds: save after the step at which so many seconds have passed since the last file, too; not with
                `{epoch}` alone.
            monitor: a column of the history, "val_loss" or another. An epoch without a value is not the best.
                ValueError, with the names there are, after the first epoch where the history has no such column.
            mode: "min" or "max": which value of it is best. Of equal ones it is the first.
            best: file for the best epoch's model.

        Raises:
            ValueError: a number below its bound, a name with other fields than epoch and step, files in the midst of
                epochs with `{epoch}` alone, or one of monitor and best without the other.
            TypeError: an argument of a wrong type.
        """
        self.path = file_name(path)
        self._pattern = _name_pattern(self.path)
        self.every_epochs = None if every_epochs is None else check.integer(every_epochs, "every_epochs", 1)
        self.every_steps = None if every_steps is None else check.integer(every_steps, "every_steps", 1)
        self.every_seconds = None if every_seconds is None else check.number(every_seconds, "every_seconds", 0.0)
        self.keep = None if keep is None else check.integer(keep, "keep", 1)
        if self.keep is not None and self.keep > 1 and not self._pattern.groupindex:
            raise ValueError(f"Checkpoint: keep={keep} needs {{epoch}} or {{step}} in the path, got {self.path!r}")
        self._whole_epochs = [*self._pattern.groupindex] == ["epoch"]
        if self._whole_epochs and (every_steps, every_seconds) != (None, None):
            raise ValueError(f"Checkpoint: every_steps and every_seconds need {{step}} in the path, got {self.path!r}")
        if (monitor is None) != (best is None):
            raise ValueError("Checkpoint: monitor, what to look at, and best, a path, go together")
        self.monitor = None if monitor is None else Monitor(monitor, mode)
        self.best = None if best is None else file_name(best)
        if self.best == self.path:
            raise ValueError(f"Checkpoint: path and best are both {self.path!r}")
        self._saved_at = time.monotonic()

    def on_train_begin(self, model: Model) -> None:
        """OSError now rather than after the first epoch where a folder cannot be made."""
        for path in filter(None, (self.path, self.best)):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._saved_at = time.monotonic()
        place = model._position
        if place is not None and place.epoch > 0 and place.step == 0:
            self._save_best(model)  # the fit may have been killed between the end of the epoch and this

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        late = self.every_seconds is not None and time.monotonic() - self._saved_at >= self.every_seconds
        if late or (self.every_steps is not None and step % self.every_steps == 0):
            self._save(model)

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        self._save_best(model)  # before the file that a killed fit goes on from
        if self.every_epochs is not None and (epoch % self.every_epochs == 0 or not model.interrupted):
            self._save(model)

    def on_train_end(self, model: Model) -> None:
        place = model._position
        if place is None or (self._whole_epochs and place.step > 0):
            return
        if model.interrupted or (place.ended and self.every_epochs is not None):
            self._save(model)

    def _save_best(self, model: Model) -> None:
        if self.monitor is not None and self.best is not None and self.monitor.progress(model.history)[-1]:
            model.save(self.best)

    def _save(self, model: Model) -> None:
        counts = {"epoch": len(model.history), "step": len(model.history.steps)}
        folder, name = os.path.split(self.path)
        path = os.path.join(folder, name.format(**counts))
        model.save(path)
        self._saved_at = time.monotonic()
        if self.keep is not None and self._pattern.groupindex:
            self._remove_old(path, self.keep)

    def _remove_old(self, newest: str, keep: int) -> None:
        """Of the files of this name pattern that are not newer than the newest, leave `keep`. Files with higher counts
        belong to another run and stay."""
        folder, newest_name = os.path.split(newest)
        matches = filter(None, map(self._pattern.fullmatch, os.listdir(folder or ".")))
        found = sorted((tuple(map(int, match.groups())), match.string) for match in matches)
        names = [name for _, name in found]
        for name in names[: max(0, names.index(newest_name) + 1 - keep)]:
            os.unlink(os.path.join(folder, name))


def _name_pattern(path: str) -> re.Pattern[str]:
    """What the names of a path with {epoch} and {step} in its last part look like, a group for each field."""
    folder, name = os.path.split(path)
    if misplaced := re.search(r"{(epoch|step)\b.*?}", folder):  # other braces are a folder's own
        raise ValueError(f"Checkpoint: path {path!r}: {misplaced[0]} must be in the file's name, not in a folder's")
    try:
        pieces = [*string.Formatter().parse(name)]
    except ValueError as error:
        raise ValueError(f"Checkpoint: path {path!r}: {error}") from None
    fields = [field for _, field, _, _ in pieces if field is not None]
    wrong = [field for field in fields if field not in ("epoch", "step") or fields.count(field) > 1]
    if wrong:
        raise ValueError(f"Checkpoint: path {path!r}: {{{wrong[0]}}} is not one {{epoch}} or {{step}}")
    pattern = ""
    for literal, field, form, conversion in pieces:
        if conversion or not re.fullmatch(r"(0\d{1,2})?d?", form or ""):
            raise ValueError(f"Checkpoint: path {path!r}: format of {{{field}}} must be like 03d")
        pattern += re.escape(literal) + (f"(?P<{field}>\\d+)" if field is not None else "")
    return re.compile(pattern)
