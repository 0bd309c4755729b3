"""The tables of a sweep: what came out, the same on every machine and after every kill, and how long it took."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._files import replacing
from .grid import Grid, Trial

RESULTS, TIMES = "results.csv", "times.csv"

Row = dict[str, Any]


def result_rows(grid: Grid, results: Mapping[Trial, Mapping[str, Any]]) -> list[Row]:
    """A row a trial, in the grid's order: the trial, its size, the last losses in training and on the test images, its
    scores, its status. Nothing in it depends on time."""
    return [
        {
            **_key(grid, trial),
            "epochs": grid.epochs,
            "parameters": result.get("parameters"),
            **{f"train_{name}": values[-1] for name, values in result.get("training", {}).items()},
            **{f"test_{name}": value for name, value in result.get("test", {}).items()},
            **{f"score_{name}": value for name, value in result.get("scores", {}).items()},
            "status": result["status"],
        }
        for trial, result in results.items()
    ]


def time_rows(grid: Grid, results: Mapping[Trial, Mapping[str, Any]]) -> list[Row]:
    """The same trials with the time of their training steps, in seconds, and their speed in images a second."""
    rows = []
    for trial, result in results.items():
        seconds = result.get("seconds")
        times = (sum(seconds), sum(seconds) / len(seconds), result["images_per_second"]) if seconds else (None,) * 3
        names = ("seconds", "seconds_per_epoch", "images_per_second")
        rows.append({**_key(grid, trial), **dict(zip(names, times, strict=True))})
    return rows


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows as CSV under all their columns; what a row lacks is an empty field, numbers read back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _key(grid: Grid, trial: Trial) -> Row:
    return {
        "model": trial.model,
        "image_size": trial.size,
        "latent_dim": trial.latent,
        "data": grid.data,
        "seed": trial.seed,
    }


def _columns(rows: Sequence[Row]) -> list[str]:
    """Every column once: what all rows have, the losses in training, those on the test images, scores, the status."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    order = ("train_", "test_", "score_", "status")
    return sorted(names, key=lambda name: [name.startswith(prefix) for prefix in reversed(order)])
