"""What a sweep trains: every model at every image size and latent size, from every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import _validate as check
from .. import datasets, zoo
from ..network import PRECISIONS
from ..optimizers import Adam
from ..run import RunExistsError
from ..settings import read_file, write_file

SETTINGS = "sweep.json"
_GROWING = ("models", "sizes", "latent")  # lists to which a later command may add; seeds and epochs may only rise


@dataclass(frozen=True)
class Trial:
    """One training run of a sweep: the model `<model>-<size>` of the zoo with `latent` latent axes, from `seed`."""

    model: str
    size: int
    latent: int
    seed: int

    @property
    def name(self) -> str:
        """The trial's folder below `trials/`."""
        return f"{self.model}-{self.size}-z{self.latent}-seed{self.seed}"


@dataclass(frozen=True)
class Grid:
    """The grid of a sweep and what all its trials share.

    models: families of the zoo that come in sizes ("vae" for `vae-16`, `vae-32`, ...); sizes: pixels a side; latent:
    numbers of latent axes; seeds: how many, counted from 0; data: a data set, or the path of one's own, as in
    `genmodels.datasets.load`; limit: the first so many training images only; beta1: of the models' Adam optimizers, in
    [0, 1) (None: their own), of which models of other optimizers take no notice; precision: of the products; scores:
    whether each trial is scored at its end, as `genmodels evaluate` does.

    Raises ValueError or TypeError for an empty list, a value given twice, a model or a size that the zoo does not have,
    a number out of its bounds, or a beta1 for models none of which has Adam.
    """

    models: tuple[str, ...]
    sizes: tuple[int, ...]
    latent: tuple[int, ...]
    seeds: int = 1
    data: str = "strokes"
    epochs: int = 10
    batch_size: int = 128
    limit: int | None = None
    beta1: float | None = None
    precision: str = PRECISIONS[0]
    scores: bool = False

    def __post_init__(self) -> None:
        known = _sizes_by_model()
        checked = {
            "models": _list(self.models, "models", lambda value, name: check.choice(value, name, known)),
            "sizes": _list(self.sizes, "sizes", lambda value, name: check.integer(value, name, 1)),
            "latent": _list(self.latent, "latent", lambda value, name: check.integer(value, name, 1)),
            "seeds": check.integer(self.seeds, "seeds", 1),
            "data": datasets.check_name(self.data),
            "epochs": check.integer(self.epochs, "epochs", 1),
            "batch_size": check.integer(self.batch_size, "batch_size", 1),
            "limit": None if self.limit is None else check.integer(self.limit, "limit", 1),
            "beta1": None if self.beta1 is None else Adam(beta1=self.beta1).beta1,
            "precision": check.choice(self.precision, "precision", PRECISIONS),
            "scores": check.flag(self.scores, "scores"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for model, size in itertools.product(self.models, self.sizes):
            if size not in known[model]:
                choices = ", ".join(map(str, known[model]))
                raise ValueError(f"sizes: the zoo has no {model}-{size}; {model} comes in {choices}")
        if self.beta1 is not None and not self.adam_models():
            raise ValueError(f"beta1 is {self.beta1}, but of {', '.join(self.models)} none has an Adam optimizer")

    def adam_models(self) -> list[str]:
        """The models that are trained with Adam at every size: those that take `beta1`."""
        return [model for model in self.models if all(_has_adam(f"{model}-{size}") for size in self.sizes)]

    def trials(self) -> list[Trial]:
        """All trials; the seed changes first, then the latent size, the image size, the model."""
        axes = self.models, self.sizes, self.latent, range(self.seeds)
        return list(itertools.starmap(Trial, itertools.product(*axes)))


def open_grid(folder: Path, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Grid:
    """The grid asked for. What is not given (None) is taken from the sweep in the folder, or else from `defaults`.

    Changes nothing. Raises ValueError where `check_folder` does.
    """
    earlier = read_grid(folder)
    asked = {name: value for name, value in given.items() if value is not None}
    grid = Grid(**{**defaults, **(asdict(earlier) if earlier else {}), **asked})
    check_folder(folder, grid)
    return grid


def read_grid(folder: Path) -> Grid | None:
    """The grid of the sweep in the folder, None when there is none. ValueError for a damaged file."""
    return read_file(folder / SETTINGS, Grid, "sweep")


def write_grid(folder: Path, grid: Grid) -> None:
    """Notes the grid in the folder, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / SETTINGS, grid)


def check_folder(folder: Path, grid: Grid) -> None:
    """Raises ValueError unless the folder is free or holds a sweep that can grow into this one: of a sweep that was
    begun, the grid and the number of epochs may grow, and nothing else may change."""
    earlier = read_grid(folder)
    if earlier is None:
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RunExistsError(f"{folder} is not empty and holds no sweep: name another folder")
        return
    for name, before in asdict(earlier).items():
        now = getattr(grid, name)
        if name in _GROWING:
            dropped = [value for value in before if value not in now]
            if dropped:
                held = ", ".join(map(str, before))
                raise ValueError(f"the sweep in {folder} has {name} {held}: it may grow, not lose {dropped[0]}")
        elif name in ("seeds", "epochs"):
            if now < before:
                raise ValueError(f"the sweep in {folder} has {name} {before}, which cannot be lowered to {now}")
        elif now != before:
            raise ValueError(f"the sweep in {folder} was begun with {name} {before}, which cannot be changed to {now}")


def _has_adam(name: str) -> bool:
    return all(isinstance(optimizer, Adam) for optimizer in zoo.optimizers(name).values())


def _sizes_by_model() -> dict[str, list[int]]:
    """The families of the zoo that come in several image sizes: {"vae": [16, 32, 64], ...}."""
    found: dict[str, list[int]] = {}
    for match in filter(None, (re.fullmatch(r"(.+)-(\d+)", name) for name in zoo.names())):
        found.setdefault(match[1], []).append(int(match[2]))
    return {model: sorted(sizes) for model, sizes in found.items()}


def _list(values: Any, name: str, checked: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    """The values as a tuple, each checked, none twice."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list, not {check.shown(values)}")
    found = tuple(checked(value, name) for value in values)
    if not found:
        raise ValueError(f"{name} is empty: at least one is needed")
    for value in found:
        if found.count(value) > 1:
            raise ValueError(f"{name} has {value} twice")
    return found
