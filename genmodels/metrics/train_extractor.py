"""Trains the classifiers whose features the scores are made of, and writes the files that the package ships.

    python -m genmodels.metrics.train_extractor mnist --out mnist.safetensors

With the same data, version of the package and instruction set (`genmodels.cpu_info()["isa"]`) the command writes the
same bits, whatever the number of threads. What each extractor is and how it learns stands in the table RECIPES; the
number of epochs is fixed beforehand, and the test images are looked at once, when all is done.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import datasets
from .. import layers as L
from .._system import cpu_info
from ..augmentation import Augmentation
from ..callbacks import CosineDecay
from ..classifier import Classifier
from ..optimizers import Adam
from ..training.position import fingerprint
from . import weights

FEATURES = 64
"""D: channels of the last convolution, whose averages over the image, after the activation, are the features."""

logger = logging.getLogger("genmodels")


@dataclass(frozen=True)
class Recipe:
    """channels: of the 3x3 convolutions, grouped; the last one of a group, but for the last group, is followed by a
    max-pooling that halves the image. shift, flip: of `genmodels.Augmentation`. The learning rate of Adam falls along
    half a cosine wave over all epochs."""

    channels: tuple[tuple[int, ...], ...]
    epochs: int
    shift: int
    flip: bool
    learning_rate: float = 2e-3
    batch_size: int = 128
    seed: int = 0


# fmt: off
RECIPES = {
    #                       channels, "," between groups      epochs  shift  flip
    "mnist":         Recipe(((16,), (24,), (24, FEATURES)),       10,     1, False),
    "fashion_mnist": Recipe(((16,), (32,), (48, FEATURES)),       12,     1, True),
    "cifar10":       Recipe(((32,), (48,), (64, FEATURES)),       12,     3, True),
    "strokes":       Recipe(((16,), (16,), (16, FEATURES)),        6,     1, False),
}
# fmt: on


def classifier(name: str) -> Classifier:
    """The extractor of the data set `name` before it has learned anything."""
    recipe, about = RECIPES[name], datasets.info(name)
    return Classifier(
        layers=list(_layers(recipe.channels, len(about["classes"]))),
        input_shape=about["image_shape"],
        num_classes=len(about["classes"]),
        optimizer=Adam(recipe.learning_rate),
        seed=recipe.seed,
    )


def _layers(groups: tuple[tuple[int, ...], ...], classes: int) -> Iterable[L.Layer]:
    """Pooling comes before normalisation and activation, which then have a quarter of the work."""
    for group in groups:
        for index, channels in enumerate(group):
            yield L.Conv2D(channels, 3, padding="same", use_bias=False)
            if group is not groups[-1] and index == len(group) - 1:
                yield L.MaxPool2D()
            yield L.BatchNorm()
            yield L.ReLU()
    yield L.GlobalAvgPool2D()
    yield L.Dense(classes)


def train(name: str, out: str, root: str | None = None, verify: bool = True, verbose: str = "auto") -> float:
    """Train the extractor of the data set `name` and write it to `out`; its accuracy on the test images.

    `root` and `verify` as in `genmodels.datasets.load`, `verbose` as in `fit`. Errors are those of either, and of
    `weights.save`.
    """
    recipe, model = RECIPES[name], classifier(name)
    (x, y), (x_test, y_test) = datasets.load(name, root=root, verify=verify)
    model.fit(
        *(x, y, recipe.epochs, recipe.batch_size),
        callbacks=CosineDecay(recipe.epochs),
        augmentation=Augmentation(recipe.shift, recipe.flip),
        verbose=verbose,
    )
    accuracy = model.evaluate(x_test, y_test)["accuracy"]
    made = {
        "data": name,
        "data_sha256": fingerprint(x, y),
        "test_accuracy": repr(accuracy),
        "isa": cpu_info()["isa"],
        "command": f"python -m genmodels.metrics.train_extractor {name} --out FILE{'' if verify else ' --no-verify'}",
    }
    weights.save(model, out, made)
    return accuracy


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m genmodels.metrics.train_extractor", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=list(RECIPES), help="the data set")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--data-root", metavar="DIR", help="folder with the data; see genmodels.datasets.load")
    parser.add_argument("--no-verify", action="store_true", help="take data files that are not the published ones")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began = time.monotonic()
    accuracy = train(given.name, given.out, given.data_root, not given.no_verify)
    logger.info("%s: test accuracy %.4f after %.0f s", given.out, accuracy, time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
