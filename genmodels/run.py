"""A training run that lives in a folder: begun, killed, gone on with, finished.

The folder holds `run.json` (what was asked for), `checkpoint.safetensors` (the newest state, from which a killed run
goes on to the same bits), `history.csv`, and in the end `model.safetensors`, the pictures and `report.html`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import checkpoint, datasets, plot, zoo
from ._files import replacing
from .callbacks import Callback, Checkpoint, TimeLimit
from .model import Model
from .plot.figure import new_figure, save_figure
from .report import write_report
from .training.history import History

MODEL, CHECKPOINT, SETTINGS = "model.safetensors", "checkpoint.safetensors", "run.json"
HISTORY, REPORT, SAMPLES = "history.csv", "report.html", "samples.png"
LOSSES, LATENT, RECONSTRUCTIONS = "losses.png", "latent.png", "reconstructions.png"
FILES = (MODEL, CHECKPOINT, SETTINGS, HISTORY, REPORT, SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS)

# A killed run loses at most about this many seconds of work.
CHECKPOINT_SECONDS = 30.0

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Split = tuple[Images, Labels]


class RunExistsError(ValueError):
    """The folder holds something, and the user asked neither to go on with it nor to overwrite it."""


@dataclass(frozen=True)
class Settings:
    """What decides a run's result: the model's name, whether it is given the labels, the data set and the recipe."""

    model: str
    data: str
    epochs: int
    batch_size: int
    seed: int
    limit: int | None
    conditional: bool


@dataclass(frozen=True)
class Outcome:
    """How `Run.train` ended: whether all epochs are done, how many are, and, unless Ctrl-C ended it (`stopped`), the
    test losses and the pictures left out for lack of matplotlib."""

    finished: bool
    stopped: bool
    epochs: int
    test: Mapping[str, float]
    missing: list[str]


class Run:
    """The run in `folder` with these settings; `open` makes one, `train` carries it on."""

    def __init__(self, folder: Path, settings: Settings, data_root: str | None = None, afresh: bool = False) -> None:
        self.folder, self.settings, self.data_root, self._afresh = folder, settings, data_root, afresh

    @classmethod
    def open(
        cls,
        folder: Path,
        given: Mapping[str, Any],
        defaults: Mapping[str, Any],
        mode: str = "new",
        data_root: str | None = None,
    ) -> Run:
        """Looks at the folder and changes nothing yet. `given` are the settings asked for; `defaults` serve for None.

        mode: "new" refuses a folder that holds anything; "resume" takes what is not given from the run there, and
        begins one where there is none; "overwrite" will remove an earlier run's files, and no others.
        """
        earlier = _read_settings(folder) if mode == "resume" else None
        if mode == "new" and folder.is_dir() and any(folder.iterdir()):
            raise RunExistsError(f"{folder} is not empty: --resume goes on with the run there, --overwrite replaces it")
        return cls(folder, _merge(given, defaults, earlier), data_root, afresh=mode == "overwrite")

    def finished(self) -> bool:
        """Whether every epoch is trained and every result written."""
        if self._afresh or not all((self.folder / name).exists() for name in (MODEL, HISTORY, SAMPLES, REPORT)):
            return False
        return self._complete(checkpoint.load(self.folder / MODEL))

    def train(
        self,
        checkpoint_every: int = 1,
        budget: float | None = None,
        verbose: str = "auto",
        callbacks: Sequence[Callback] = (),
    ) -> Outcome:
        """Trains to the last epoch, or until Ctrl-C, a callback or the budget of seconds ends it, and writes the
        results, which a run that Ctrl-C or a callback stopped goes without.

        The newest state is saved every `checkpoint_every` epochs, every half minute, and at the end, whatever it is.
        """
        deadline = None if budget is None else time.monotonic() + budget
        train, test = self._data()
        model = self._model(train[0])
        self._prepare_folder()
        watchers = [*self._callbacks(checkpoint_every), *callbacks]
        self._fit(model, train, test, watchers, deadline, verbose)
        if self._complete(model) or (deadline is not None and time.monotonic() >= deadline):
            scores, missing = self._write_results(model, test)
            return Outcome(self._complete(model), False, len(model.history), scores, missing)
        return Outcome(False, True, len(model.history), {}, [])

    def _data(self) -> tuple[Split, Split]:
        """The training images (the first `limit`) and the test images, with their labels."""
        (x, y), test = datasets.load(self.settings.data, root=self.data_root)
        return (x[: self.settings.limit], y[: self.settings.limit]), test

    def _model(self, x: Images) -> Model:
        """The newest state on disk, or a fresh model that takes images of x's shape, and all classes if asked to."""
        if not self._afresh and (self.folder / CHECKPOINT).exists():
            return checkpoint.load(self.folder / CHECKPOINT)
        changes: dict[str, Any] = {"image_size": x.shape[1], "channels": x.shape[3], "seed": self.settings.seed}
        if self.settings.conditional:  # all of the data set: the first `limit` images may lack a class
            changes["num_classes"] = len(datasets.info(self.settings.data)["classes"])
        return zoo.build(self.settings.model, **changes)

    def _prepare_folder(self) -> None:
        """Clears away what is to be replaced and notes the settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in FILES if self._afresh else ():
            (self.folder / name).unlink(missing_ok=True)
        self._afresh = False
        with replacing(self.folder / SETTINGS) as file:
            file.write(json.dumps(asdict(self.settings), indent=2).encode() + b"\n")

    def _complete(self, model: Model) -> bool:
        return not model.interrupted and len(model.history) >= self.settings.epochs

    def _fit(
        self,
        model: Model,
        train: Split,
        test: Split,
        callbacks: list[Callback],
        deadline: float | None,
        verbose: str,
    ) -> None:
        """Finishes an interrupted fit, then trains the epochs still missing."""
        x, y = inputs(model, *train)
        # A short run is not made long by looking at more test images than it trains on.
        held_out = inputs(model, *(part[: len(x)] for part in test))
        options: dict[str, Any] = {
            "batch_size": self.settings.batch_size,
            "validation_data": held_out,
            "verbose": verbose,
        }
        if model.interrupted:
            history = model.fit(x, y, resume=True, callbacks=[*callbacks, *_limit(deadline)], **options)
            if history.interrupted:
                return
        missing = self.settings.epochs - len(model.history)
        if missing > 0:
            model.fit(x, y, epochs=missing, callbacks=[*callbacks, *_limit(deadline)], **options)

    def _callbacks(self, every: int) -> list[Callback]:
        keeper = Checkpoint(self.folder / CHECKPOINT, every_epochs=every, every_seconds=CHECKPOINT_SECONDS)
        return [keeper, _HistoryFile(self.folder / HISTORY)]

    def _write_results(self, model: Model, test: Split) -> tuple[Mapping[str, float], list[str]]:
        """Model, history, pictures and report; returns the test losses and the pictures that lack matplotlib."""
        scores = model.evaluate(*inputs(model, *test))
        model.save(self.folder / MODEL)
        model.history.to_csv(self.folder / HISTORY)
        drawn, missing = self._draw(model, test)
        write_report(
            self.folder / REPORT,
            title=f"{self.settings.model} on {self.settings.data}",
            pictures={caption: self.folder / name for name, caption in drawn.items()},
            settings={**asdict(self.settings), "epochs trained": len(model.history), "steps": len(model.history.steps)},
            test=scores,
            epochs={name: model.history[name] for name in model.history},
            summary=model.summary(),
        )
        return scores, missing

    def _draw(self, model: Model, test: Split) -> tuple[dict[str, str], list[str]]:
        """Draws the run's pictures; returns name -> caption of those made, and the names of those left out."""
        images = model.sample(25, labels=sample_labels(model, 25), seed=self.settings.seed)
        plot.save_grid(images, self.folder / SAMPLES)
        drawn = {SAMPLES: "25 images the model draws from noise"}
        pictures = _pictures(model, *test)
        if find_spec("matplotlib") is None:
            return drawn, list(pictures)
        for name, picture in pictures.items():
            figure = new_figure(picture.inches)
            picture.draw(figure)
            save_figure(figure, self.folder / name)
            drawn[name] = picture.caption
        return drawn, []


@dataclass(frozen=True)
class _Picture:
    """A picture to be: what to write under it, how large it is, and what draws it in a figure."""

    caption: str
    inches: tuple[float, float]
    draw: Callable[[Any], Any]


def _pictures(model: Model, x: Images, y: Labels) -> dict[str, _Picture]:
    """What matplotlib draws of a model, by file name; test images serve to show an encoder."""
    pictures = {}
    if len(model.history):
        pictures[LOSSES] = _Picture("losses by epoch", (12, 4), lambda figure: _draw_losses(model.history, figure))
    if hasattr(model, "encode"):
        some, labels = inputs(model, x[:10], y[:10])
        pictures[RECONSTRUCTIONS] = _Picture(
            "test images above their reconstructions",
            (10, 2.2),
            lambda figure: plot.reconstructions(model, some, ax=figure.add_subplot(), labels=labels),
        )
        pictures[LATENT] = _Picture(
            "test images in the latent space",
            (8, 6.5),
            lambda figure: plot.latent(model, x[:5000], y[:5000], ax=figure.add_subplot()),
        )
    return pictures


def _draw_losses(history: History, figure: Any) -> None:
    """One panel a term, for their sizes differ too much to be read from one axis."""
    terms = [name for name in history.steps if name in history]
    for ax, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        plot.history(history, ax=ax, keys=[term])


class _HistoryFile(Callback):
    """Keeps `history.csv` up to date, so that a run can be watched from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        model.history.to_csv(self.path)


def _limit(deadline: float | None) -> list[Callback]:
    """What ends a fit at the deadline."""
    return [] if deadline is None else [TimeLimit(max(deadline - time.monotonic(), 1e-3))]


def find_model(path: Path) -> Path:
    """The model file `path` names: itself, or in a run's folder the finished model, else the newest checkpoint."""
    if not path.is_dir():
        return path
    for name in (MODEL, CHECKPOINT):
        if (path / name).exists():
            return path / name
    raise FileNotFoundError(f"{path} holds neither {MODEL} nor {CHECKPOINT}")


def trained_on(path: Path) -> str | None:
    """The data set of the run whose folder, or a file in it, `path` is; None when there is no run."""
    settings = _read_settings(path if path.is_dir() else path.parent)
    return settings.data if settings else None


def inputs(model: Model, x: Images, y: Labels) -> tuple[Images, Labels | None]:
    """The images, and the labels only for a model that takes them."""
    return x, y if getattr(model, "num_classes", 0) else None


def sample_labels(model: Model, n: int) -> NDArray[np.int64] | None:
    """The classes in turn for a conditional model, None for another."""
    classes = getattr(model, "num_classes", 0)
    return np.arange(n) % classes if classes else None


def _read_settings(folder: Path) -> Settings | None:
    """The settings of the run in the folder, None when there is none."""
    path = folder / SETTINGS
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        return Settings(**{field.name: found[field.name] for field in fields(Settings)})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} does not hold the settings of a run: {error}") from None


def _merge(given: Mapping[str, Any], defaults: Mapping[str, Any], earlier: Settings | None) -> Settings:
    """The settings given, completed; of an earlier run's only the number of epochs may change, and only grow."""
    asked = {name: value for name, value in given.items() if value is not None}
    if earlier is None:
        return Settings(**{**defaults, **asked})
    for name, before in asdict(earlier).items():
        now = asked.get(name, before)
        if name == "epochs" and now < before:
            raise ValueError(f"the run was begun for {before} epochs, which --resume cannot shorten to {now}")
        if name != "epochs" and now != before:
            raise ValueError(f"the run was begun with {name} {before}, which --resume cannot change to {now}")
    return Settings(**{**asdict(earlier), **asked})
