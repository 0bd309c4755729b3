"""The table of the reference models, and what a row of it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import _validate as check
from ..gan import GAN
from ..vae import VAE


@dataclass(frozen=True)
class Sizes:
    """What a row's networks are made for: images of `side` x `side` pixels in `channels`, and `num_classes` labels."""

    side: int
    channels: int
    latent_dim: int
    num_classes: int

    @property
    def code(self) -> int:
        """Numbers that go into a decoder or generator: the latent axes, and after them the one-hot label."""
        return self.latent_dim + self.num_classes

    def halved(self, times: int) -> int:
        """The side of a feature map from which `times` strides of 2 lead back to the image. ValueError for none."""
        step = 1 << times
        if self.side % step:
            raise ValueError(f"image_size must be a multiple of {step} for this model, not {self.side}")
        return self.side // step


Family = type[VAE] | type[GAN]
Arguments = dict[str, Any]
Builder = Callable[[Sizes], Arguments]


@dataclass(frozen=True)
class Entry:
    """One reference model: its family, the function that lists its networks and how they learn, its own sizes, and how
    it is trained. `one_size`: its depth fits the image size of its name alone."""

    name: str
    family: Family
    arguments: Builder
    latent_dim: int
    num_classes: int
    one_size: bool
    recipe: Mapping[str, Any]

    def check_size(self, side: int) -> None:
        """ValueError, naming the model to build instead, where the name says another image size."""
        if not self.one_size or side == self.recipe["image_size"]:
            return
        sizes = {row.recipe["image_size"]: row.name for row in ENTRIES.values() if row.arguments is self.arguments}
        right = repr(sizes[side]) if side in sizes else "one of " + ", ".join(map(repr, sorted(sizes.values())))
        raise ValueError(f"image_size is {side}, {self.name} makes {self.recipe['image_size']}: build {right}")


ENTRIES: dict[str, Entry] = {}


def reference(
    name: str, family: Family, latent_dim: int, *, num_classes: int = 0, one_size: bool = False, **recipe: Any
) -> Callable[[Builder], Builder]:
    """Enters the decorated function, which lists the constructor's arguments, under `name`."""

    def enter(arguments: Builder) -> Builder:
        ENTRIES[name] = Entry(name, family, arguments, latent_dim, num_classes, one_size, recipe)
        return arguments

    return enter


def entry(name: str) -> Entry:
    """The row `name`. ValueError or TypeError for no name of one."""
    return ENTRIES[check.choice(name, "name", sorted(ENTRIES))]
