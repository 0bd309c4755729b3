"""The losses of a model's fits, by epoch and by step."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .._files import replacing
from .._html import line, number, sparkline, table

if TYPE_CHECKING:
    import pandas

TIMES = ("seconds", "images_per_second")
"""The columns that differ from run to run; they come last."""

SCORES = (
    *("fd", "kd", "kd_stderr", "is", "precision", "recall", "density", "coverage", "label_accuracy"),
    *("fd_floor", "fd_ceiling", "n_generated", "n_reference", "fd_epoch", "fd_extractor"),
)
"""The columns of the callback `Scores`: no losses, and NaN in the epochs without them."""

# Of a table in a notebook.
_ROWS_SHOWN = 10


class Table:
    """Named columns of floats of one length; a value that a row lacks is NaN."""

    def __init__(self, index: str, columns: Mapping[str, list[float]] | None = None) -> None:
        """A table whose rows are counted 1, 2, ... under the name `index`; columns must be of one length."""
        self._index = index
        self._columns = {name: [float(value) for value in values] for name, values in (columns or {}).items()}
        lengths = {len(values) for values in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"history: columns of one length expected, got lengths {sorted(lengths)}")
        self._length = lengths.pop() if lengths else 0

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row. A new column is NaN in the rows before."""
        values = {name: float(value) for name, value in row.items()}
        for name in values:
            self._columns.setdefault(name, [math.nan] * self._length)
        for name, column in self._columns.items():
            column.append(values.get(name, math.nan))
        self._length += 1

    def amend(self, values: Mapping[str, float]) -> None:
        """Set values of the last row. A new column is NaN in the rows before. ValueError without a row."""
        if not self._length:
            raise ValueError(f"history: there is no {self._index} yet to amend")
        for name, value in values.items():
            self._columns.setdefault(name, [math.nan] * self._length)[-1] = float(value)

    def __getitem__(self, name: str) -> list[float]:
        """A copy of a column. ValueError for a name that is not there."""
        if name not in self._columns:
            known = ", ".join(self.keys()) or "none yet"
            raise ValueError(f"history: no column {name!r} by {self._index}; there are: {known}")
        return list(self._columns[name])

    def keys(self) -> list[str]:
        """The columns' names, losses before times."""
        return sorted(self._columns, key=lambda name: name in TIMES)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._about()}: {', '.join(self.keys()) or 'empty'})"

    def _about(self) -> str:
        return f"{len(self)} {self._index}s"

    def _repr_html_(self) -> str:
        """For notebooks: the course of every column, and the last rows."""
        names, last = self.keys(), range(max(0, self._length - _ROWS_SHOWN), self._length)
        course = ["course", *(sparkline(self._columns[name]) for name in names)]
        rows = [[row + 1, *(number(self._columns[name][row]) for name in names)] for row in last]
        title = line(type(self).__name__, self._about())
        return title + (table([self._index, *names], [course, *rows]) if rows else "")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV: the count, the losses, the times. What a row lacks is an empty field; numbers read
        back exactly. The file is replaced in one piece. OSError where it cannot be written."""
        names = self.keys()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self._index, *names])
        for row in range(self._length):
            values = (self._columns[name][row] for name in names)
            writer.writerow([row + 1, *("" if math.isnan(value) else value for value in values)])
        with replacing(path) as file:
            file.write(text.getvalue().encode())

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame indexed by the count. ImportError without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install 'genmodels[all]'") from error
        index = pandas.RangeIndex(1, self._length + 1, name=self._index)
        return pandas.DataFrame({name: self[name] for name in self.keys()}, index=index)


class History(Table):
    """The losses by epoch, `history["loss"]`, and by step, `history.steps["loss"]`, over all fits of a model.

    An epoch's loss is the mean over its images, of the losses met on the way; "val_" before a name means the
    validation data after the epoch. "seconds" is the time of the epoch's training steps, without validation and
    callbacks, "images_per_second" the speed in them. The callback `Scores` adds the columns SCORES.
    A column is a list of floats, NaN where an epoch lacks the value.
    The length is the number of whole epochs; the steps of a fit broken off in an epoch stay among the steps.

    Attributes:
        steps: the same by step, a table like this one.
        interrupted: whether the last fit was ended before its last epoch, by Ctrl-C or by a callback.
    """

    def __init__(
        self,
        epochs: Mapping[str, list[float]] | None = None,
        steps: Mapping[str, list[float]] | None = None,
        interrupted: bool = False,
    ) -> None:
        super().__init__("epoch", epochs)
        self.steps = Table("step", steps)
        self.interrupted = interrupted

    @property
    def epochs(self) -> list[int]:
        """The numbers of the whole epochs, from 1: the horizontal axis of a plot."""
        return list(range(1, len(self) + 1))

    def _about(self) -> str:
        return f"{len(self)} epochs, {len(self.steps)} steps{', interrupted' if self.interrupted else ''}"
