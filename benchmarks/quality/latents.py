"""How many seeds of a VAE lose one of their latents in the first epoch, here or in another framework.

    python benchmarks/quality/latents.py vae-keras --seeds 8
    build/peers-torch/bin/python benchmarks/quality/latents.py vae-keras --seeds 8 --framework pytorch
    build/peers-tf/bin/python benchmarks/quality/latents.py vae-keras --seeds 8 --framework tensorflow

A model that has lost one shows in its KL, a nat or more below that of the others. A line for each seed: reconstruction
and KL on the test images after an epoch of the recipe, nats an image. The other frameworks begin at the library's
initial weights of the seed, with images in an order and noise of their own (torch_twin.py, tensorflow_twin.py); their
test images are coded in the mode of training, which without batch normalisation and dropout is the same.

Needs the framework, and `genmodels` on PYTHONPATH where its environment has none; the data as `genmodels.datasets.load`
finds it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import genmodels as gm

TWINS = {"pytorch": "torch_twin", "tensorflow": "tensorflow_twin"}
TESTED = 1000  # images at a time


def trained_here(model: gm.VAE, x: np.ndarray, test: np.ndarray, batch_size: int) -> tuple[float, float]:
    """Reconstruction and KL on the test images after an epoch."""
    model.fit(x, epochs=1, batch_size=batch_size, verbose="silent")
    losses = model.evaluate(test)
    return losses["reconstruction"], losses["kl"]


def trained_there(twin: Any, x: np.ndarray, test: np.ndarray, batch_size: int, seed: int) -> tuple[float, float]:
    order = np.random.default_rng(seed).permutation(len(x))
    for start in range(0, len(x), batch_size):
        twin.iterate(*twin.batch(x[order[start : start + batch_size]], None))
    batches = (twin.batch(test[start : start + TESTED], None) for start in range(0, len(test), TESTED))
    losses = np.array([[float(loss) for loss in twin.losses(*batch)] for batch in batches])
    reconstruction, kl = losses.mean(axis=0)
    return float(reconstruction), float(kl)


def measured(options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    recipe = gm.zoo.recipe(options.name)
    (x, _), (test, _) = gm.datasets.load(recipe["data"])
    for seed in range(options.seeds):
        model = gm.zoo.build(options.name, seed=seed, precision=options.precision)
        if options.framework == "genmodels":
            yield trained_here(model, x, test, recipe["batch_size"])
        else:
            twin = import_module(TWINS[options.framework]).twin(model, seed)
            yield trained_there(twin, x, test, recipe["batch_size"], seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("vae-keras", "vae-fashion", "vae-z10"), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=8, help="seeds 0..N-1 (default: 8)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    parser.add_argument("--framework", default="genmodels", choices=("genmodels", *TWINS))
    options = parser.parse_args()
    for seed, (reconstruction, kl) in enumerate(measured(options)):
        print(f"seed {seed}: reconstruction {reconstruction:.1f}, KL {kl:.2f}", flush=True)


if __name__ == "__main__":
    main()
