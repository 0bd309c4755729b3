"""Reference models trained by their recipes, here or in PyTorch, scored, and what came of it kept as small records.

    python benchmarks/quality/recipes.py --only vae-keras dcgan-tf --out runs/recipes
    python benchmarks/quality/recipes.py --only dcgan-tf --seed 1
    python benchmarks/quality/recipes.py --only cgan-keras --recommended
    python benchmarks/quality/recipes.py --only dcgan-tf --framework pytorch --python build/peers-torch/bin/python

A run is `genmodels train NAME --recipe` with the options of CHANGES and KEPT and a budget of ten minutes, or an hour
for the models that need it: it ends after the budget or the recipe's last epoch, whichever comes first. It is scored on
its way, and at its end `genmodels evaluate` compares 10,000 draws with the 10,000 test images. In PyTorch it is
`quality/pytorch.py` for as many epochs as ours had, and our code scores it.

Each run has a folder in OUT, where a killed one goes on with the same command, and a record in RECORDS, from which
`results.py` makes its tables: NAME.json, with "-recommended" for the recipe that we recommend where it is not the
report's, "-1" for seed 1 and "-pytorch" for the other framework. The first 25 draws of seed 0, by the recommended
recipe where there is one, go to PICTURES, and of the models of STAGES what their reports show of the way there.

Needs the extra `plot`; the data as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import genmodels as gm
from genmodels import metrics, run, settings
from genmodels._labels import classes_in_turn
from genmodels.metrics import extractors
from genmodels.plot.figure import save_figure

HOUR = ("cgan-keras", "dcgan-tf", "gan-mlm", "vae-lstm", "wgan-mlm")
# Epochs from one score to the next where the budget ends long before the recipe; others are scored ten times in theirs.
EVERY = dict.fromkeys(("gan-32", "gan-5x5", "gan-64", "vae-32", "vae-64", "wgan-32", "wgan-64"), 1) | {"gan-mlm": 5}
# Where ours differs from the recipe; docs/results.md says why.
CHANGES = dict.fromkeys(("gan-16", "gan-32", "gan-64"), ("--beta1", "0.5")) | {"wgan-16": ("--epochs", "100")}
# The recipe that we recommend, where the report's own is run too.
RECOMMENDED = {
    "cgan-keras": ("--beta1", "0.5"),
    "gan-5x5": ("--conditional",),
    "gan-fashion": ("--conditional", "--beta1", "0.5"),
    "gan-mlm": ("--epochs", "40", "--batch-size", "64", "--learning-rate", "2e-4", "--beta1", "0.5"),
    "wgan-16": ("--epochs", "100", "--conditional", "--learning-rate", "2e-4"),
    "wgan-32": ("--learning-rate", "2e-4"),
    "wgan-64": ("--conditional", "--learning-rate", "2e-4"),
}
# What else a report shows: models at several epochs, of which STAGES makes a picture (below).
KEPT = {"vae-z10": ("--checkpoint-every", "10", "--keep", "10"), "gan-5x5": ("--samples-every", "1")}
# In bfloat16, the fastest, but for these.
PRECISIONS = {"vae-keras": "float32"}
# What a record keeps of what was asked for.
ASKED = ("data", "seed", "precision", "conditional", "batch_size", "learning_rate", "beta1")
SURE = 0.9


def ours(name: str, options: argparse.Namespace) -> list[str]:
    """The command of our run, but for its folder."""
    budget = options.budget or ("1h" if name in HOUR else "10m")
    command = ["genmodels", "train", name, "--recipe", *changes(name, options), *same(name, options)]
    return [*command, "--budget", budget, *scored(name), *KEPT.get(name, ())]


def theirs(name: str, options: argparse.Namespace) -> list[str]:
    """That of PyTorch's."""
    epochs = () if options.epochs is None else ("--epochs", str(options.epochs))
    command = ["benchmarks/quality/pytorch.py", name, *changes(name, options), *same(name, options)]
    return [*command, *epochs, *scored(name)]


def changes(name: str, options: argparse.Namespace) -> tuple[str, ...]:
    return RECOMMENDED[name] if options.recommended else CHANGES.get(name, ())


def scored(name: str) -> tuple[str, str]:
    return "--scores-every", str(EVERY.get(name) or max(1, gm.zoo.recipe(name)["epochs"] // 10))


def same(name: str, options: argparse.Namespace) -> list[str]:
    precision = options.precision or PRECISIONS.get(name, "bf16")
    return ["--precision", precision, *(() if options.seed == 0 else ("--seed", str(options.seed)))]


def train(name: str, folder: Path, options: argparse.Namespace) -> str:
    """Trains and scores; the command that a reader gives for it."""
    if options.framework == "pytorch":
        command, python = theirs(name, options), options.python
        paths = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
        call([python, *command, "--out", str(folder)], {**os.environ, "PYTHONPATH": paths})
        return shlex.join(["python", *command, "--out", f"runs/{folder.name}"])
    command = ours(name, options)
    if not (folder / run.MODEL).exists():
        call([sys.executable, "-m", *command, "--out", str(folder), "--resume"])
    call([sys.executable, "-m", "genmodels", "evaluate", str(folder)])
    return shlex.join([*command, "--out", f"runs/{folder.name}"])


def call(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)


# ---- Records ----


def record(name: str, folder: Path, command: str, options: argparse.Namespace) -> dict[str, Any]:
    """What is kept of a run; see `results.py` for what it makes of it."""
    model, asked = gm.load(folder / run.MODEL), settings.read(folder)
    assert asked is not None
    with (folder / run.HISTORY).open(newline="") as file:
        epochs = list(csv.DictReader(file))
    cpu = gm.cpu_info()
    return {
        "model": name,
        "framework": options.framework,
        "recommended": options.recommended,
        "command": command,
        "processor": f"{cpu['cpu']}, {cpu['isa']}, bf16: {cpu['bf16']}, {cpu['threads']} threads",
        **{key: getattr(asked, key) for key in ASKED},
        "parameters": [network.parameter_count for network in model.networks.values()],
        "epochs": round(len(epochs) + begun(model), 2),
        "epochs_asked": asked.epochs,
        "seconds": round(sum(float(row["seconds"]) for row in epochs) + unfinished(model), 1),
        "curve": {int(k): float(row["fd"]) for k, row in enumerate(epochs, 1) if measured(row.get("fd"))},
        **judged(model, asked, folder),
    }


def begun(model: Any) -> float:
    """The share of an epoch that the budget broke off."""
    return float(model._position.step / model._position.steps_per_epoch) if model.interrupted else 0.0


def unfinished(model: Any) -> float:
    """Its seconds."""
    return float(model._position.seconds) if model.interrupted else 0.0


def measured(text: str | None) -> bool:
    return text not in (None, "", "nan")


def judged(model: Any, asked: settings.Settings, folder: Path) -> dict[str, Any]:
    """Scores and test losses, as `evaluate` left them or, for PyTorch's runs, its script; and those that it has not."""
    scores = json.loads((folder / run.SCORES).read_bytes())
    _, (x, y) = run.Run(folder, asked).data()
    losses = model.evaluate(*run.inputs(model, x, y))
    scores = {term: value for term, value in scores.items() if term not in ("data", "epochs", "losses")}
    extractor = extractors.find(asked.data, model.input_shape)
    drawn = extractors.classified(extractor, model.sample(len(x), labels=classes_in_turn(model, len(x)), seed=0))
    real = extractors.classified(extractor, x)
    assert drawn is not None
    assert real is not None
    found = {"losses": losses, "scores": scores, "sure": sure(drawn)}
    found["real"] = {"sure": sure(real), "class_histogram": metrics.class_histogram(real)}
    if hasattr(model, "reconstruct"):
        found["reconstruction_error"] = metrics.reconstruction_error(model, x)
    return found


def sure(probabilities: np.ndarray) -> float:
    """The share of images to whose class the judge gives more than SURE."""
    return float(np.mean(probabilities.max(axis=1) > SURE))


# ---- Pictures ----


def clusters(folder: Path) -> Figure:
    """Test images in the latent space after 10, 20 and 50 epochs."""
    asked = settings.read(folder)
    assert asked is not None
    _, (x, y) = run.Run(folder, asked).data()
    return figure_of(gm.plot.latent_stages(folder, x[:3000], y[:3000], epochs=(10, 20, 50))[0])


def course(folder: Path) -> Figure:
    """Draws of the same codes on the way."""
    return figure_of(gm.plot.evolution(folder))


def figure_of(ax: Axes) -> Figure:
    """All of it."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


STAGES = {"vae-z10": clusters, "gan-5x5": course, "wgan-16": course}


def show(name: str, folder: Path, pictures: Path) -> None:
    pictures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / run.SAMPLES, pictures / f"{name}.png")
    if name in STAGES:
        save_figure(STAGES[name](folder), pictures / f"{name}-stages.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=gm.zoo.names(), choices=gm.zoo.names(), metavar="NAME")
    parser.add_argument("--budget", help="of our runs: 90s, 10m, ...; for a trial, as the records are of the default")
    parser.add_argument("--precision", choices=("float32", "bf16"), help=f"default: bf16, but {PRECISIONS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--framework", default="genmodels", choices=("genmodels", "pytorch"))
    parser.add_argument("--python", default=sys.executable, help="that has PyTorch")
    parser.add_argument("--recommended", action="store_true", help=f"our recipe, of {', '.join(RECOMMENDED)}")
    parser.add_argument("--epochs", type=int, help="of PyTorch's runs (default: the recipe's)")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--records", type=Path, default=Path("docs/results"))
    parser.add_argument("--pictures", type=Path, default=Path("docs/images/zoo"))
    options = parser.parse_args()
    if options.recommended and not set(options.only) <= RECOMMENDED.keys():
        parser.error(f"--recommended is for --only {' '.join(RECOMMENDED)}")
    for name in options.only:
        shown = name + ("-recommended" if options.recommended else "")
        label = shown + (f"-{options.seed}" if options.seed else "")
        label += "" if options.framework == "genmodels" else f"-{options.framework}"
        folder = options.out / label
        command = train(name, folder, options)
        kept = record(name, folder, command, options)
        options.records.mkdir(parents=True, exist_ok=True)
        (options.records / f"{label}.json").write_text(json.dumps(kept, indent=1) + "\n")
        if label == shown and (options.recommended or name not in RECOMMENDED):
            show(name, folder, options.pictures)


if __name__ == "__main__":
    main()
