"""A column of the history under watch: what getting better means."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _validate as check
from .history import SCORES, History

MODES = ("min", "max")


@dataclass(frozen=True)
class Monitor:
    """The column `name`; mode "min" or "max" tells which end of it is good, and only what is better by more than
    `min_delta` is better. ValueError or TypeError for other values."""

    name: str
    mode: str = "min"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"monitor must be the name of a column of the history, not {check.shown(self.name)}")
        check.choice(self.mode, "mode", MODES)
        check.number(self.min_delta, "min_delta", 0.0)

    def progress(self, history: History, last: int | None = None) -> list[bool]:
        """For every epoch, or the `last` so many alone, whether it was better than those before it. An epoch without
        a value is not; the first one with a value is. ValueError, with the names there are, where the history has no
        such column."""
        if self.name not in history:
            raise ValueError(f"monitor: the history has no {self.name!r}; it has {', '.join(history)}{self._made_by()}")
        values = history[self.name]
        sign = 1.0 if self.mode == "min" else -1.0
        best, better = float("inf"), []
        for value in values if last is None else values[len(values) - last :]:
            better.append(sign * value < best - self.min_delta)  # False for NaN
            best = sign * value if better[-1] else best
        return better

    def _made_by(self) -> str:
        """What a fit lacks whose history has no such column, for its message."""
        if self.name.startswith("val_"):
            return "; val_ losses need fit(validation_data=...)"
        return "; scores need callbacks.Scores, in front of this callback" if self.name in SCORES else ""
