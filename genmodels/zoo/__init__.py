"""Reference models by name.

>>> import genmodels as gm
>>> vae = gm.zoo.build("vae-keras")
>>> vae.recipe
{'data': 'mnist', 'epochs': 30, 'batch_size': 128, 'image_size': 28}

`help(gm.zoo.vaes)` and `help(gm.zoo.gans)` say where each comes from and what it is made of: sizes stand in the order
of the layers, with k for kernel, s for stride, p for padding ("same" where it is left out), and every layer has a bias
unless the row says no. Initial weights are Glorot uniform, and batch normalisation has our defaults, in all of them.

The models follow five student reports and the examples these started from. Where a report contradicts itself (one
prints a stride that would lead to images of 56 x 56 pixels, one 129 input channels for 128 latent axes and 10 classes)
the row takes what fits together; where it is silent the row's text says what we chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from .. import _validate as check
from ..gan import GAN
from ..optimizers import Optimizer
from ..vae import VAE
from . import gans, vaes
from .registry import ENTRIES, Entry, Sizes, entry

__all__ = ["build", "gans", "image_size", "names", "optimizers", "recipe", "vaes"]


def names() -> list[str]:
    """The names `build` knows."""
    return sorted(ENTRIES)


def recipe(name: str) -> dict[str, Any]:
    """How the model `name` is trained: a dict with `data`, `epochs`, `batch_size`, `image_size`, and where the report
    asks for it `split` ("train+test": on all images) and `checkpoint_every` (epochs)."""
    return dict(entry(name).recipe)


def optimizers(name: str) -> dict[str, Optimizer]:
    """The optimizers of the model `name`, by the constructor's argument: "optimizer" of a VAE, "generator_optimizer"
    and "discriminator_optimizer" of a GAN."""
    row = entry(name)
    arguments = row.arguments(Sizes(row.recipe["image_size"], 1, row.latent_dim, row.num_classes))
    return {name: value for name, value in arguments.items() if isinstance(value, Optimizer)}


def image_size(name: str) -> int | None:
    """Pixels a side of the images of a model whose depth is tied to them ("vae-32"); None for one of any size."""
    row = entry(name)
    return row.recipe["image_size"] if row.one_size else None


@overload
def build(
    name: vaes.Name,
    image_size: int | None = None,
    channels: int | None = None,
    latent_dim: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **changes: Any,
) -> VAE: ...
@overload
def build(
    name: gans.Name,
    image_size: int | None = None,
    channels: int | None = None,
    latent_dim: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **changes: Any,
) -> GAN: ...
@overload
def build(
    name: str,
    image_size: int | None = None,
    channels: int | None = None,
    latent_dim: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **changes: Any,
) -> VAE | GAN: ...
def build(
    name: str,
    image_size: int | None = None,
    channels: int | None = None,
    latent_dim: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    **changes: Any,
) -> VAE | GAN:
    """Builds the reference model `name`, freshly initialised from `seed`.

    image_size: pixels a side (default: the recipe's), which must be that of the name where the name has one; channels:
    1 grey (default) or 3 colour; latent_dim: the model's own unless given; changes: any other argument of the model's
    constructor, which then replaces the reference's (`num_classes=10` makes any of them conditional).
    The result's `recipe` is that of `recipe(name)`, with the image size asked for.

    Raises ValueError for an unknown name or sizes that do not fit, TypeError for an unknown argument.
    """
    row = entry(name)
    _check_changes(row, changes)
    sizes = Sizes(
        check.integer(row.recipe["image_size"] if image_size is None else image_size, "image_size", 1),
        check.integer(1 if channels is None else channels, "channels", 1),
        check.integer(row.latent_dim if latent_dim is None else latent_dim, "latent_dim", 1),
        check.integer(changes.get("num_classes", row.num_classes), "num_classes", 0),
    )
    row.check_size(sizes.side)
    arguments = {
        "input_shape": (sizes.side, sizes.side, sizes.channels),
        "latent_dim": sizes.latent_dim,
        "num_classes": sizes.num_classes,
        "seed": seed,
        "precision": precision,
    }
    model = row.family(**{**row.arguments(sizes), **arguments, **changes})
    model.recipe = {**row.recipe, "image_size": sizes.side}
    return model


def _check_changes(row: Entry, changes: Iterable[str]) -> None:
    """TypeError for what the model's constructor does not take, with the way to what belongs to its optimizers."""
    known = row.family._arguments()
    for name in set(changes).difference(known):
        message = f"{row.name} takes no {name}, only {', '.join(known)}"
        if any(hasattr(optimizer, name) for optimizer in optimizers(row.name).values()):
            changed = f"key: value.changed({name}=...) for key, value in zoo.optimizers({row.name!r}).items()"
            message += f"; its optimizers have one: build({row.name!r}, **{{{changed}}})"
        raise TypeError(message)
