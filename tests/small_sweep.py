"""Sweeps that tests train in a moment: grids, the arguments of their commands, and what lies in their folders."""

import csv
import io
import sys
from dataclasses import replace

from genmodels import datasets, sweep

GRID = sweep.Grid(("vae", "wgan"), (16,), (2, 8), seeds=2, data="strokes", epochs=1, batch_size=10, limit=60)
ONE = replace(GRID, models=("vae",), latent=(2,), seeds=1)
ARGUMENTS = ["sweep", "--models", "vae,wgan", "--sizes", "16", "--latent", "2,8", "--seeds", "2", "--epochs", "1"]
ARGUMENTS += ["--batch-size", "10", "--limit", "60"]


def make_small(patch=None):
    """Few test images and no pictures that need matplotlib, here and, as an initializer, in worker processes."""
    load, set_item = datasets.load, patch.setitem if patch else dict.__setitem__

    def load_few(*arguments, **options):
        train, (x, y) = load(*arguments, **options)
        return train, (x[:100], y[:100])

    (patch.setattr if patch else setattr)(datasets, "load", load_few)
    set_item(sys.modules, "matplotlib", None)


def rows(folder, name=sweep.RESULTS):
    return list(csv.DictReader(io.StringIO((folder / name).read_text())))


def trial(folder, name):
    return folder / "trials" / name
