"""A training run that lives in a folder: begun, killed, gone on with, finished.

The folder holds `run.json` (what was asked for), `checkpoint.safetensors` (the newest state, from which a killed run
goes on to the same bits), `history.csv`, pictures on the way in `samples/`, earlier states in `checkpoints/` where they
are to be kept, and in the end `model.safetensors`, the pictures and `report.html`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _lock, checkpoint, datasets, pictures, settings, zoo
from . import _validate as check
from ._aside import Aside
from ._files import replacing
from .callbacks import Callback, Checkpoint, Samples, Scores, TimeLimit
from .metrics import extractors
from .model import Model
from .report import write_report
from .settings import Options, Settings

MODEL, CHECKPOINT, HISTORY, REPORT = "model.safetensors", "checkpoint.safetensors", "history.csv", "report.html"
WARNINGS, SCORES = "warnings.txt", "scores.json"
SAMPLES = pictures.SAMPLES
FILES = (MODEL, CHECKPOINT, settings.FILE, HISTORY, REPORT, WARNINGS, SCORES, *pictures.FILES)

# Folders of the run with what it writes into them.
ON_THE_WAY, KEPT = "samples", "checkpoints"
FOLDERS = {
    ON_THE_WAY: re.compile(r"samples-\d{3,}\.png|samples\.gif"),
    KEPT: re.compile(r"checkpoint-\d{3,}\.safetensors|best\.safetensors"),
}

# A killed run loses at most about this many seconds of work; of a model with more than so many parameters, whose file
# takes long to write, more in proportion.
CHECKPOINT_SECONDS, LARGE_MODEL = 30.0, 30e6
# Pictures on the way, about, unless their distance is given.
PICTURES = 10
# Images that a model draws to be scored, unless their number is given.
MOST_SCORED = 10000

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Split = tuple[Images, Labels]


class RunExistsError(ValueError):
    """The folder holds something, and the user asked neither to go on with it nor to overwrite it."""


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
    """The run in `folder` with these settings and options; `open` makes one, `train` carries it on."""

    def __init__(
        self,
        folder: Path,
        asked: Settings,
        data_root: str | None = None,
        afresh: bool = False,
        options: Options | None = None,
        verify: bool = True,
    ) -> None:
        self.folder, self.settings, self.options = folder, asked, options or Options()
        self.data_root, self.verify, self.afresh = data_root, verify, afresh

    @classmethod
    def open(
        cls,
        folder: Path,
        given: Mapping[str, Any],
        defaults: Mapping[str, Any],
        mode: str = "new",
        data_root: str | None = None,
        options: Mapping[str, Any] | None = None,
        verify: bool = True,
    ) -> Run:
        """Looks at the folder and changes nothing yet. `given` are the settings asked for; `defaults` serve for None.
        `options` are fields of `Options`, at their defaults where None. `data_root` and `verify` are as in
        `datasets.load`.

        mode: "new" refuses a folder that holds anything; "resume" takes what is not given from the run there, and
        begins one where there is none; "overwrite" will remove an earlier run's files, and no others.
        """
        resume = mode == "resume"
        earlier, noted = (settings.read(folder), settings.read_options(folder)) if resume else (None, Options())
        if mode == "new" and folder.is_dir() and any(path.name != _lock.FILE for path in folder.iterdir()):
            raise RunExistsError(f"{folder} is not empty: --resume goes on with the run there, --overwrite replaces it")
        merged = settings.merge(given, defaults, earlier)
        told = replace(noted, **settings.said(options or {}))
        return cls(folder, merged, data_root, mode == "overwrite", told, verify)

    def finished(self) -> bool:
        """Whether every epoch is trained and every result written."""
        if self.afresh or not all((self.folder / name).exists() for name in (MODEL, HISTORY, SAMPLES, REPORT)):
            return False
        return self._complete(checkpoint.load(self.folder / MODEL))

    def train(self, budget: float | None = None, verbose: str = "auto", callbacks: Sequence[Callback] = ()) -> Outcome:
        """Trains to the last epoch, or until Ctrl-C, a callback or the budget of seconds ends it, and writes the
        results, which a run that Ctrl-C or a callback stopped goes without.

        The newest state is saved as often as the options say, every half minute (of large models more rarely), and at
        the end, whatever it is; with those that the options keep the best epoch's stays, where the model has a loss or
        a score to tell it by. Pictures are of the same draws.
        FloatingPointError when the training met NaN or infinity; the newest state stays as it was before. ValueError
        for a state of another model than the settings ask for, TimeoutError where another process trains in the folder.
        """
        deadline = None if budget is None else time.monotonic() + budget
        with _lock.locked(self.folder, timeout=0.0), _Beginning(self) as beginning:
            train, test = self.data()
            model = self._model(train[0])
            watchers = [beginning, *self._callbacks(model), *callbacks]
            with self._naming_the_newest():
                self._fit(model, train, test, watchers, deadline, verbose)
            if self._complete(model) or (deadline is not None and time.monotonic() >= deadline):
                scores, missing = self._write_results(model, test)
                return Outcome(self._complete(model), False, len(model.history), scores, missing)
            return Outcome(False, True, len(model.history), {}, [])

    @cached_property
    def _loaded(self) -> tuple[Split, Split]:
        """The data set as it is: to train on and to be scored against."""
        return datasets.load(self.settings.data, root=self.data_root, verify=self.verify)

    def data(self) -> tuple[Split, Split]:
        """The images to train on (the first `limit`) and the test images, in the model's size and the latter black and
        white where the former will be, with their labels."""
        train, test = self._loaded
        x, y = train if self.settings.split == "train" else datasets.join(train, test)
        side, limit = self.settings.image_size, self.settings.limit
        held_out = datasets.binarize(resized(test[0], side), self.settings.binarize, self.settings.seed)
        return (resized(x[:limit], side), y[:limit]), (held_out, test[1])

    def _model(self, x: Images) -> Model:
        """The newest state on disk, if it is of the model that was asked for, or that model fresh."""
        path = self.folder / CHECKPOINT
        if self.afresh or not path.exists():
            return self._fresh(x)
        asked = _described(self._fresh(x))  # of which the weights are given back before the state is read
        model: Model = checkpoint.load(path)
        for name, found in _described(model).items():
            if found != asked[name]:
                shown = f"{check.shown(found)}, not {check.shown(asked[name])}"
                raise ValueError(f"{path} holds another model than the run is of: its {name} is {shown}")
        return model

    def _fresh(self, x: Images) -> Model:
        """The model that was asked for, which takes images of x's shape, and all classes if asked to."""
        changes: dict[str, Any] = {"image_size": x.shape[1], "channels": x.shape[3], "seed": self.settings.seed}
        changes["precision"] = self.settings.precision
        if self.settings.conditional:  # all of the data set: the first `limit` images may lack a class
            changes["num_classes"] = len(datasets.info(self.settings.data)["classes"])
            if changes["num_classes"] < 2:
                raise ValueError(f"a conditional model needs labels, and {self.settings.data} has none that differ")
        changes |= self.settings.optimizers()
        return zoo.build(self.settings.model, latent_dim=self.settings.latent_dim, **changes)

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
            "binarize": self.settings.binarize,
            "verbose": verbose,
        }
        if model.interrupted:
            history = model.fit(x, y, resume=True, callbacks=[*callbacks, *_limit(deadline)], **options)
            if history.interrupted:
                return
        missing = self.settings.epochs - len(model.history)
        if missing > 0:
            model.fit(x, y, epochs=missing, callbacks=[*callbacks, *_limit(deadline)], **options)

    @contextmanager
    def _naming_the_newest(self) -> Iterator[None]:
        """Where the training met NaN or infinity, the error says which file is from before."""
        try:
            yield
        except FloatingPointError as error:
            newest = self.folder / CHECKPOINT
            if not newest.exists():
                raise
            raise FloatingPointError(f"{error}; {newest} holds the last state saved before it") from error

    def scoring(self) -> dict[str, Any]:
        """What the run's models are scored against: see `genmodels.run.scoring`."""
        (train, _), (test, _) = self._loaded
        return scoring(self.settings.data, train, test, self.settings.image_size)

    def _callbacks(self, model: Model) -> list[Callback]:
        """The newest state is written last of what lies in the folder: a run that is killed goes on from before."""
        options, scores_every = self.options, self.options.scores_every
        between = options.samples_every or -(-self.settings.epochs // PICTURES)
        seconds = CHECKPOINT_SECONDS * max(1.0, model.parameter_count / LARGE_MODEL)
        gif = find_spec("PIL") is not None
        return [
            *([Scores(every_epochs=scores_every, **self.scoring())] if scores_every else ()),
            *([self._keeper(model)] if options.keep else ()),
            Samples(self.folder / ON_THE_WAY, every_epochs=between, seed=self.settings.seed, gif=gif),
            _WarningsFile(self.folder / WARNINGS),
            Checkpoint(self.folder / CHECKPOINT, every_epochs=options.checkpoint_every, every_seconds=seconds),
            _HistoryFile(self.folder / HISTORY),
        ]

    def _keeper(self, model: Model) -> Callback:
        """Keeps the last states by epoch, and the best one's where a column of the history tells which that is."""
        folder, options = self.folder / KEPT, self.options
        # A GAN's losses do not tell how good it is.
        monitor = "fd" if options.scores_every else "val_loss" if hasattr(model, "encode") else None
        return Checkpoint(
            folder / "checkpoint-{epoch:03d}.safetensors",
            every_epochs=options.checkpoint_every,
            keep=options.keep,
            monitor=monitor,
            best=folder / "best.safetensors" if monitor else None,
        )

    def _write_results(self, model: Model, test: Split) -> tuple[Mapping[str, float], list[str]]:
        """Model, history, pictures and, last, the report, by which `finished` tells whether all are written: one of
        fewer epochs goes first. Returns the test losses and the pictures that lack matplotlib."""
        (self.folder / REPORT).unlink(missing_ok=True)
        model.save(self.folder / MODEL)
        x, labels = inputs(model, *test)
        scores = model.evaluate(x, labels)
        model.history.to_csv(self.folder / HISTORY)
        drawn, missing = pictures.draw(self.folder, model, x, labels, test[1], self.settings.seed)
        write_report(
            self.folder / REPORT,
            title=f"{self.settings.model} on {self.settings.data}",
            pictures={caption: self.folder / name for name, caption in drawn.items()},
            test=scores,
            **self.told(model),
        )
        return scores, missing

    def told(self, model: Model) -> dict[str, Any]:
        """What the report says of the run besides pictures and test losses: arguments of `report.run_parts`."""
        return {
            "settings": {
                **asdict(self.settings),
                "epochs trained": len(model.history),
                "steps": len(model.history.steps),
            },
            "epochs": {name: model.history[name] for name in model.history},
            "summary": model.summary(),
            "warnings": lines(self.folder / WARNINGS),
        }


class _Beginning(Callback):
    """Makes room for a run when its training begins, notes what was asked for, and keeps both after the first step.

    As a context it leaves the folder as it was where an error comes before that.
    """

    def __init__(self, work: Run) -> None:
        self._work, self._begun = work, False
        aside = Aside(work.folder, FILES, FOLDERS)
        self._aside = aside if work.afresh or not aside.files() else None  # of a run that goes on all stays in place

    def __enter__(self) -> _Beginning:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._aside is not None:
            self._aside.back()

    def on_train_begin(self, model: Model) -> None:
        if self._begun:  # a run that goes on may be two fits
            return
        if self._aside is not None:
            self._aside.put()
            self._note()

    def on_step_end(self, model: Model, step: int, losses: Mapping[str, float]) -> None:
        self._settle()

    def on_train_end(self, model: Model) -> None:
        self._settle()

    def _settle(self) -> None:
        if self._begun:
            return
        self._begun, self._work.afresh = True, False
        if self._aside is not None:  # whose settings were noted when the training began
            self._aside.drop()
        else:
            self._note()

    def _note(self) -> None:
        settings.write(self._work.folder, self._work.settings, self._work.options)


class _HistoryFile(Callback):
    """Keeps `history.csv` up to date, so that a run can be watched from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        model.history.to_csv(self.path)


class _WarningsFile(Callback):
    """Notes in `warnings.txt`, a line each, what tells of a model that fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, model: Model, epoch: int, losses: Mapping[str, float]) -> None:
        noted = lines(self.path)
        found = [line for line in (f"epoch {epoch}: {text}" for text in model._symptoms(losses)) if line not in noted]
        if found:  # an epoch that is trained again after a kill is noted once
            with replacing(self.path) as file:
                file.write("".join(f"{line}\n" for line in [*noted, *found]).encode())


def lines(path: Path) -> list[str]:
    """The lines of a text file, none where it is not there."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


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


def _described(model: Model) -> dict[str, Any]:
    """What a model was built as."""
    return {"family": model.family, **model.config}


def kept(folder: Path) -> dict[int, Path]:
    """The checkpoints that the run in the folder kept on its way, by the number of epochs before them, sorted."""
    matches = [(re.fullmatch(r"checkpoint-(\d+)\.safetensors", path.name), path) for path in (folder / KEPT).glob("*")]
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def trained_on(path: Path) -> str | None:
    """The data set of the run that `path` is of; None when there is no run."""
    found = asked_of(path)
    return found.data if found else None


def asked_of(path: Path) -> Settings | None:
    """The settings of the run whose folder, a file in it or a state it kept, `path` is; None when there is no run."""
    folder = (path if path.is_dir() else path.parent).resolve()
    return settings.read(folder.parent if folder.name == KEPT else folder)


def scoring(data: str, train: Images, test: Images, side: int, n: int | None = None) -> dict[str, Any]:
    """What models of `side` x `side` pixels are scored against, as arguments of `metrics.evaluate` and `Scores`.

    Both parts are of the data set `data`, as it is: grey whatever the models were trained on, for grey is what they
    draw, and of the training images as many as of the others. `n` are drawn, by default as many as there are test
    images and 10,000 at most; the extractor is the data set's own classifier."""
    n = n or min(len(test), MOST_SCORED)
    images = {"x_test": resized(test, side), "reference_train": resized(train[:n], side)}
    return {**images, "n": n, "extractor": extractors.default(data, test.shape[1:])}


def resized(x: Images, side: int) -> Images:
    """The images in `side` x `side` pixels; x itself where they are."""
    return x if x.shape[1:3] == (side, side) else datasets.resize(x, side)


def inputs(model: Model, x: Images, y: Labels) -> tuple[Images, Labels | None]:
    """The images, and the labels only for a model that takes them."""
    return x, y if getattr(model, "num_classes", 0) else None
