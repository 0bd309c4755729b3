"""The command line for tests: calls of it, and what they leave behind."""

import csv
import io
import subprocess
import sys
import time

import numpy as np

import genmodels as gm
from genmodels import cli, pictures, run

RESULTS = {*run.FILES, run.ON_THE_WAY} - {run.WARNINGS, run.SCORES}
LOSSES, LATENT, RECONSTRUCTIONS = pictures.LOSSES, pictures.LATENT, pictures.RECONSTRUCTIONS
SMALL = ("vae-keras", "--data", "strokes", "--limit", "256", "--batch-size", "32")


def call(*arguments):
    """The command in this process; its exit code."""
    return cli.main([str(argument) for argument in arguments])


def weights(path):
    return gm.load(path).weights


def same_weights(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def process(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "genmodels", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def losses(folder):
    """The history's columns but the times."""
    rows = list(csv.DictReader(io.StringIO((folder / run.HISTORY).read_text())))
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in rows
    ]


def wait_for(path, process):
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.005)
