"""The page of a sweep: tables with the spread over seeds, loss curves, and what each model draws beside real images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import datasets, run
from ..plot.curves import label
from ..plot.evolution import chosen, sample_pictures
from ..plot.images import png, tile
from ..plot.scores import spread_text
from ..report import figure, heading, number, paragraph, row, table, write_page
from .curves import loss_panels
from .grid import Grid, Trial
from .trial import FAILED, FINISHED

PAGE = "index.html"
_SIDE = 5  # a grid of 5 x 5 images, as in a run's pictures
_MOMENTS = 3  # pictures of a trial: the first epoch that has one, the middle one, the last

Results = Mapping[Trial, Mapping[str, Any]]


def write_sweep_page(
    path: Path, grid: Grid, folders: Mapping[Trial, Path], results: Results, real: NDArray[np.uint8]
) -> None:
    """Writes the page about the trials in these folders; `real` are images (N, H, W, C), uint8, to set beside theirs.

    Raises OSError when a trial's files cannot be read or the page cannot be written.
    """
    parts = [_state(results), *_failures(results), *_warnings(folders)]
    for model in grid.models:
        done = {t: r for t, r in results.items() if t.model == model and r["status"] == FINISHED}
        parts.append(heading(2, model))
        if not done:
            parts.append("<p>No trial is finished yet.</p>")
            continue
        parts += ["<h3>Losses on the test images</h3>", *_loss_table(done), *_score_table(done)]
        parts += ["<h3>Losses in training</h3>", _curves(grid, done)]
        parts += _pictures(folders, done, real)
    parts += ["<h2>Settings</h2>", table(("setting", "value"), _settings(grid).items())]
    write_page(path, f"Sweep: {', '.join(grid.models)} on {grid.data}", parts)


def _state(results: Results) -> str:
    """How many trials there are, and how many are in what state."""
    states = [result["status"].partition(":")[0] for result in results.values()]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"<p>{len(states)} trial{'s' * (len(states) != 1)}: {counted}.</p>"


def _failures(results: Results) -> Iterator[str]:
    failed = [(t.name, r["status"].removeprefix(FAILED)) for t, r in results.items() if r["status"].startswith(FAILED)]
    if failed:
        yield "<h2>Failed trials</h2>"
        yield "".join(paragraph(f"{name}: {reason}") for name, reason in failed)


def _warnings(folders: Mapping[Trial, Path]) -> Iterator[str]:
    """What the trainings noted of models that collapse."""
    noted = {trial.name: path / run.WARNINGS for trial, path in folders.items() if (path / run.WARNINGS).exists()}
    if noted:
        yield "<h2>Warnings</h2>"
    for name, path in noted.items():
        yield "".join(paragraph(f"{name}: {line}") for line in run.lines(path))


def _loss_table(done: Results) -> Iterator[str]:
    """A row a configuration: the mean over its seeds of every term, and the spread."""
    terms = list(dict.fromkeys(term for result in done.values() for term in result["test"]))
    rows = []
    for (size, latent), trials in _configurations(done).items():
        results = [done[trial] for trial in trials]
        rows.append(
            [
                *(f"{size} x {size}", latent, f"{results[0]['parameters']:,}", len(results)),
                *(spread_text([result["test"][term] for result in results]) for term in terms),
                number(mean(second for result in results for second in result["seconds"])),
            ]
        )
    yield table(["pixels", "latent axes", "parameters", "seeds", *map(label, terms), "seconds an epoch"], rows)
    yield "<p>Mean over the seeds ± sample standard deviation.</p>"


def _score_table(done: Results) -> Iterator[str]:
    """The same of their scores, where they have some."""
    scored = {trial: result["scores"] for trial, result in done.items() if result.get("scores")}
    if not scored:
        return
    names, bounds = ("fd", "kd", "precision", "recall"), ("fd_floor", "fd_ceiling")
    rows = []
    for (size, latent), trials in _configurations(scored).items():
        found = [scored[trial] for trial in trials]
        spreads = [spread_text([one[name] for one in found]) for name in names]
        rows.append([f"{size} x {size}", latent, len(found), *spreads, *(number(found[0][name]) for name in bounds)])
    extractors = ", ".join(sorted({one["extractor"] for one in scored.values()}))
    yield "<h3>Scores</h3>"
    yield table(["pixels", "latent axes", "seeds", *names, "floor of fd", "its ceiling"], rows)
    yield paragraph(f"By the extractor {extractors}. Scores of different image sizes do not compare.")


def _curves(grid: Grid, done: Results) -> str:
    if find_spec("matplotlib") is None:
        return "<p>Curves need matplotlib: <code>pip install 'genmodels[plot]'</code>, then the same command again.</p>"
    curves = {trial: result["training"] for trial, result in done.items()}
    band = " Lines: mean over the seeds; bands: one sample standard deviation." if grid.seeds > 1 else ""
    caption = f"Losses by epoch; a column an image size, a line a number of latent axes (z).{band}"
    return figure(caption, loss_panels(grid, curves))


def _pictures(folders: Mapping[Trial, Path], done: Results, real: NDArray[np.uint8]) -> Iterator[str]:
    """A row a configuration: what its first seed drew at some epochs, and real images of that size."""
    reference: dict[int, bytes] = {}
    yield "<h3>Images drawn, beside real ones</h3>"
    for (size, latent), trials in _configurations(done).items():
        if size not in reference:
            reference[size] = png(tile(datasets.resize(real[: _SIDE * _SIDE], size), _SIDE))
        drawn = _moments(folders[trials[0]], done[trials[0]]["epochs"])
        figures = [figure(_after(epoch), file.read_bytes()) for epoch, file in drawn.items()]
        figures.append(figure("real images", reference[size]))
        yield f"<h4>{size} x {size} pixels, {_count(latent, 'latent axis', 'latent axes')}, seed {trials[0].seed}</h4>"
        yield row(figures)


def _configurations(done: Results) -> dict[tuple[int, int], list[Trial]]:
    """The trials that differ in their seeds alone, by image size and latent size."""
    found: dict[tuple[int, int], list[Trial]] = {}
    for trial in done:
        found.setdefault((trial.size, trial.latent), []).append(trial)
    return found


def _moments(folder: Path, epochs: int) -> dict[int, Path]:
    """The trial's sample pictures by the number of epochs before them: the first, the middle one and the last."""
    pictures = sample_pictures(folder / run.ON_THE_WAY)
    found = {epoch: path for epoch, path in pictures.items() if 0 < epoch <= epochs}
    found[epochs] = folder / run.SAMPLES
    return {epoch: found[epoch] for epoch in chosen(sorted(found), _MOMENTS)}


def _after(epoch: int) -> str:
    return f"after {_count(epoch, 'epoch', 'epochs')}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _settings(grid: Grid) -> dict[str, str]:
    """The grid's fields in words."""
    told = {name: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in asdict(grid).items()}
    if grid.limit is None:
        told["limit"] = "all images"
    own = "the models' own"
    told["beta1"] = own if grid.beta1 is None else f"{grid.beta1} of {', '.join(grid.adam_models())}"
    return told
