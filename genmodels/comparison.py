"""The page about one or several runs: their scores side by side, then each one's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint, pictures, plot, run, settings
from ._json import parse_json
from .metrics import one_extractor, reconstruction_error
from .model import Model
from .plot.figure import figure_png, new_figure, require_matplotlib
from .report import figure, heading, number, paragraph, run_parts, table, write_page

# Scores of the second table, beside those that the first one has.
_MORE = ("kd", "precision", "recall", "density", "coverage", "label_accuracy")
_NONE = "–"  # noqa: RUF001  an en dash, for what a model has not


@dataclass(frozen=True)
class _Run:
    """What is known of a run; `told` is its part of the page, `missing` says why there is no `data`."""

    folder: Path
    settings: settings.Settings
    model: Model
    scores: Mapping[str, Any]
    told: Mapping[str, Any]
    data: tuple[run.Split, run.Split] | None
    missing: str

    @property
    def name(self) -> str:
        """The folder as pictures and pages can show it, also where its name is not text."""
        return str(self.folder).encode(errors="backslashreplace").decode()

    @property
    def scored_data(self) -> str:
        """The data set that the scores were measured against."""
        return str(self.scores.get("data", self.settings.data))

    @property
    def remark(self) -> str:
        """What the scores are of, where it is not the model as it is or not the run's data set."""
        trained = len(self.model.history)
        epochs = self.scores.get("epochs", trained)
        said = [f"after epoch {epochs}"] if epochs != trained else []
        if self.scored_data != self.settings.data:
            said.append(f"against {self.scored_data}")
        return " ".join(["scored", *said]) if said else ""

    @property
    def test(self) -> tuple[Any, ...]:
        """The test images and labels as the model takes them."""
        assert self.data is not None
        return run.inputs(self.model, *self.data[1])


def write_comparison(folders: Sequence[Path], out: Path | None, data_root: str | None, verify: bool) -> Path:
    """Writes the page about the runs in these folders; `plot.report` says what of, where to and what it raises."""
    require_matplotlib()
    if not folders:
        raise ValueError("report: at least one run's folder is needed")
    twice = [folder for place, folder in enumerate(folders) if folder.resolve() in _resolved(folders[:place])]
    if twice:
        raise ValueError(f"report: {twice[0]} is named twice")
    known = {str(folder): _settings(folder) for folder in folders}
    scores = {str(folder): _scores(folder) for folder in folders}
    # Before the models are loaded: of runs that cannot be compared nothing is to be computed.
    extractor = one_extractor(scores)
    runs = [_open(folder, known[str(folder)], scores[str(folder)], data_root, verify) for folder in folders]
    path = out or (folders[0] / run.REPORT if len(folders) == 1 else Path(run.REPORT))
    write_page(path, _title(runs), _parts(runs, extractor))
    return path


def _resolved(folders: Sequence[Path]) -> set[Path]:
    return {folder.resolve() for folder in folders}


def _settings(folder: Path) -> settings.Settings:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder of a run")
    found = settings.read(folder)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {settings.FILE}: it is no run of genmodels train")
    return found


def _scores(folder: Path) -> dict[str, Any]:
    """The scores in the folder, none where it was not scored."""
    path = folder / run.SCORES
    if not path.exists():
        return {}
    try:
        found = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} holds no scores: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no scores: a {type(found).__name__} in place of a dict")
    return found


def _open(
    folder: Path, asked: settings.Settings, scores: Mapping[str, Any], data_root: str | None, verify: bool
) -> _Run:
    model = checkpoint.load(run.find_model(folder))
    work = run.Run(folder, asked, data_root, verify=verify)
    try:
        data, missing = work.data(), ""
    except OSError as error:
        data, missing = None, f"Without test images, for the data set cannot be had: {error}"
    return _Run(folder, asked, model, scores, work.told(model), data, missing)


def _title(runs: Sequence[_Run]) -> str:
    names = dict.fromkeys(one.settings.model for one in runs)
    data = dict.fromkeys(one.settings.data for one in runs)
    return f"{', '.join(names)} on {', '.join(data)}"


def _parts(runs: Sequence[_Run], extractor: str | None) -> Iterator[str]:
    yield heading(2, "Scores")
    yield table(
        ("run", "model", "data", "parameters", "epochs", "training time", "fd", "is", "reconstruction error"),
        map(_row, runs),
    )
    yield paragraph(_key(runs, extractor))
    scored = [one for one in runs if one.scores]
    if scored:
        names = [name for name in _MORE if any(one.scores.get(name) is not None for one in scored)]
        yield table(
            ["run", *(name.replace("_", " ") for name in names)],
            ([_named(one), *(_score(one.scores, name) for name in names)] for one in scored),
        )
    yield from _courses(runs)
    yield from _bars([one for one in scored if not one.remark])
    for one in runs:
        yield from _run_parts(one, 2 if len(runs) == 1 else 3)


def _named(one: _Run) -> str:
    """The run's name in a table of scores, with what they are of where that is not plain."""
    return f"{one.name} ({one.remark})" if one.remark else one.name


def _row(one: _Run) -> list[str]:
    """The run's line of the first table; what was not scored names the command that does it."""
    command = f"not scored: genmodels evaluate {one.name}"
    seconds = sum(one.model.history["seconds"]) if "seconds" in one.model.history else 0.0
    return [
        *(_named(one), one.settings.model, one.settings.data),
        *(f"{one.model.parameter_count:,}", f"{len(one.model.history)}", _time(seconds)),
        *(_score(one.scores, name) if one.scores else command for name in ("fd", "is")),
        _reconstruction_error(one),
    ]


def _key(runs: Sequence[_Run], extractor: str | None) -> str:
    """What the numbers of the tables are."""
    text = (
        "Training time is that of the steps, without validation. The reconstruction error is the mean squared error a "
        "pixel, in units of the range 0..1, of test images through the mean of their codes."
    )
    if extractor is None:
        return text
    scores = [(*map(one.scores.get, ("n_generated", "n_reference")), one.scored_data) for one in runs if one.scores]
    counts = sorted(set(scores), key=str)
    shown = "; ".join(f"{made} generated against {real} real images of {data}" for made, real, data in counts)
    return (
        f"{text} fd: Fréchet distance, in brackets its floor (real training against real test images) and its ceiling "
        f"(noise); is: Inception Score's form. Both on features of the extractor {extractor}; {shown}."
    )


def _score(scores: Mapping[str, Any], name: str) -> str:
    """A score as people read it, with its error or its bounds where it has some."""
    value = scores.get(name)
    if value is None:
        return _NONE
    if name == "fd" and scores.get("fd_floor") is not None and scores.get("fd_ceiling") is not None:
        return f"{number(value)} ({number(scores['fd_floor'])} to {number(scores['fd_ceiling'])})"
    if name == "kd" and scores.get("kd_stderr") is not None:
        return f"{value:.3g} ± {scores['kd_stderr']:.2g}"
    return number(value)


def _reconstruction_error(one: _Run) -> str:
    model: Any = one.model
    if one.data is None or not hasattr(model, "reconstruct"):
        return _NONE
    return f"{reconstruction_error(model, *one.test):.4f}"


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _courses(runs: Sequence[_Run]) -> Iterator[str]:
    """The Fréchet distances measured on the way."""
    histories = {one.name: one.model.history for one in runs if _measured(one.model.history)}
    if histories:
        drawing = new_figure((8, 4.8))
        plot.fid(histories if len(runs) > 1 else next(iter(histories.values())), ax=drawing.add_subplot())
        yield figure("Fréchet distance in the course of the training, with the best epoch marked", figure_png(drawing))


def _measured(history: Any) -> bool:
    return "fd" in history and bool(np.isfinite(history["fd"]).any())


def _bars(scored: Sequence[_Run]) -> Iterator[str]:
    """A picture a data set, for scores against different ones do not compare."""
    for data in dict.fromkeys(one.settings.data for one in scored):
        yield from _bars_on(data, [one for one in scored if one.settings.data == data])


def _bars_on(data: str, scored: Sequence[_Run]) -> Iterator[str]:
    """Runs beside one another, those that differ in their seeds alone as one bar."""
    if len(scored) < 2:
        return
    groups: dict[settings.Settings, list[_Run]] = {}
    for one in scored:
        groups.setdefault(replace(one.settings, seed=0), []).append(one)
    names = [key.model for key in groups]
    values = {
        key.model if names.count(key.model) == 1 else Path(group[0].name).name: [one.scores for one in group]
        for key, group in groups.items()
    }
    terms = [name for name in ("fd", "is") if all(one.scores.get(name) is not None for one in scored)]
    if not terms or len(values) < len(groups):
        return
    drawing = new_figure((len(terms) * max(4.0, 1.2 * len(values) + 1.5), 4.5))
    for ax, name in zip(drawing.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        plot.comparison(values, name, ax=ax)
    text = f"scores against {data}: mean over the seeds, one sample standard deviation to either side"
    yield figure(text, figure_png(drawing))


def _run_parts(one: _Run, level: int) -> Iterator[str]:
    if level > 2:
        yield heading(level - 1, one.name)
    if one.missing:
        yield paragraph(one.missing)
    subject = pictures.Subject(
        one.model, one.settings.seed, one.folder / run.ON_THE_WAY, run.kept(one.folder), *_images(one.data)
    )
    test = one.model.evaluate(*one.test) if one.data else {}
    yield from run_parts(dict(pictures.draw_all(subject)), test=test, level=level, **one.told)


def _images(data: tuple[run.Split, run.Split] | None) -> tuple[Any, Any]:
    return (None, None) if data is None else (data[0][0], data[1])
