"""What a training run was asked for, as its folder remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from . import _validate as check
from . import binarization, datasets, zoo
from ._files import replacing
from .network import PRECISIONS
from .optimizers import Optimizer

FILE = "run.json"
SPLITS = ("train", "train+test")

Kind = TypeVar("Kind")


def _check_optional_integers(values: Any, names: Sequence[str]) -> None:
    """Fields that are None or at least 1."""
    for name in names:
        if getattr(values, name) is not None:
            check.integer(getattr(values, name), name, 1)


@dataclass(frozen=True)
class Settings:
    """What decides a run's result: the model's name and sizes (latent_dim None: its own), whether it is given the
    labels, the data set with the part of it to train on (the first `limit` images), how its images are binarized (None:
    not at all), and the recipe, with the optimizers' learning rate and Adam's beta1 (None: the model's own), and the
    precision of the products. ValueError or TypeError for a value that is none or out of its bounds."""

    model: str
    data: str
    epochs: int
    batch_size: int
    image_size: int
    latent_dim: int | None = None
    seed: int = 0
    split: str = SPLITS[0]
    limit: int | None = None
    conditional: bool = False
    binarize: str | None = None
    learning_rate: float | None = None
    beta1: float | None = None
    precision: str = PRECISIONS[0]

    def __post_init__(self) -> None:
        check.choice(self.model, "model", zoo.names())
        datasets.check_name(self.data)
        for name in ("epochs", "batch_size", "image_size"):
            check.integer(getattr(self, name), name, 1)
        _check_optional_integers(self, ("latent_dim", "limit"))
        check.seed(self.seed)
        check.choice(self.split, "split", SPLITS)
        check.flag(self.conditional, "conditional")
        binarization.check_choice(self.binarize)
        self.optimizers()
        check.choice(self.precision, "precision", PRECISIONS)

    def optimizers(self) -> dict[str, Optimizer]:
        """The constructor's arguments for the model's optimizers, where learning rate or beta1 change them."""
        asked = said({"learning_rate": self.learning_rate, "beta1": self.beta1})
        own = zoo.optimizers(self.model) if asked else {}
        return {argument: optimizer.changed(**asked) for argument, optimizer in own.items()}


@dataclass(frozen=True)
class Options:
    """What a run leaves on its way, which decides nothing of its result: the epochs from a state to the next, how many
    of these states stay, and the epochs between pictures (None: about ten in all) and between scores (None: none)."""

    checkpoint_every: int = 1
    keep: int = 0
    samples_every: int | None = None
    scores_every: int | None = None

    def __post_init__(self) -> None:
        check.integer(self.checkpoint_every, "checkpoint_every", 1)
        check.integer(self.keep, "keep", 0)
        _check_optional_integers(self, ("samples_every", "scores_every"))


def read(folder: Path) -> Settings | None:
    """The settings of the run in the folder, None when there is none."""
    return read_file(folder / FILE, Settings, "run")


def read_options(folder: Path) -> Options:
    """The options of the run in the folder; the defaults when there is none, or one from before there were any."""
    return read_file(folder / FILE, Options, "run") or Options()


def write(folder: Path, settings: Settings, options: Options = Options()) -> None:
    """Notes settings and options in the folder."""
    write_file(folder / FILE, settings, options)


def read_file(path: Path, kind: type[Kind], owner: str) -> Kind | None:
    """The dataclass that `write_file` wrote, None where there is no file. ValueError for a damaged one, which is to
    hold the settings of an `owner`; what it does not say is at its default."""
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        names = [field.name for field in fields(kind) if field.name in found or field.default is MISSING]  # type: ignore[arg-type]
        return kind(**{name: found[name] for name in names})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} does not hold the settings of a {owner}: {error}") from None


def write_file(path: Path, *settings: Any) -> None:
    """Dataclasses as one JSON object, in one piece."""
    values = {name: value for part in settings for name, value in asdict(part).items()}
    with replacing(path) as file:
        file.write(json.dumps(values, indent=2).encode() + b"\n")


def said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None, which stands for what was not asked for."""
    return {name: value for name, value in values.items() if value is not None}


def merge(given: Mapping[str, Any], defaults: Mapping[str, Any], earlier: Settings | None) -> Settings:
    """The settings given, completed; of an earlier run's only the number of epochs may change, and only grow.

    Images have the size that the model is tied to, or else the data set's, unless one is given.
    """
    asked = said(given)
    if earlier is None:
        complete = {**defaults, **asked}
        if complete.get("image_size") is None:
            own = zoo.image_size(complete["model"])
            complete["image_size"] = own or datasets.info(complete["data"])["image_shape"][0]
        return Settings(**complete)
    for name, before in asdict(earlier).items():
        now = asked.get(name, before)
        if name == "epochs" and now < before:
            raise ValueError(f"the run was begun for {before} epochs, which --resume cannot shorten to {now}")
        if name != "epochs" and now != before:
            raise ValueError(f"the run was begun with {name} {before}, which --resume cannot change to {now}")
    return Settings(**{**asdict(earlier), **asked})
