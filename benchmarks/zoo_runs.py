"""Every reference model trained by its recipe for a while: its 25 draws, its losses and its time, as a table.

    python benchmarks/zoo_runs.py --budget 10m --out runs/zoo
    python benchmarks/zoo_runs.py --only dcgan-tf gan-mlm --out runs/zoo --pictures docs/images/zoo

A row is `genmodels train NAME --recipe --budget T --out OUT/NAME`, which ends after the budget or the recipe's last
epoch, whichever comes first; a row whose model is there is not run again. Where the recipe's large batches and slow
rates leave too few steps in ten minutes to draw anything, the row takes the smaller batches and quicker rates of
IN_SHORT, and the table says so. With --scores each is scored by `genmodels evaluate`, 10,000 draws against the 10,000
test images; with --scores-every K also while it trains, and the table names the best epoch. Then prints a Markdown
table of all rows there are, from their own files, and copies their pictures to the folder given.

Needs the extra `plot`; the data as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import genmodels as gm
from genmodels import run, settings
from genmodels.plot.curves import label

TIMES = ("seconds", "images_per_second")
HEAD = (
    *("model", "parameters", "epochs", "seconds", "last losses"),
    *("fd (floor, ceiling)", "precision, recall", "best epoch (its fd)", "draws"),
)

# Options for a short training in the recipe's place: four times the steps, at the rates of Radford et al. (2016).
QUICK = ("--batch-size", "64", "--learning-rate", "2e-4", "--beta1", "0.5")
IN_SHORT = {
    **dict.fromkeys(("dcgan-tf", "gan-mlm"), QUICK),
    **dict.fromkeys(("cgan-keras", "gan-16", "gan-32", "gan-64"), ("--beta1", "0.5")),
}


def train(name: str, out: Path, budget: str, scores_every: str | None) -> None:
    command = [sys.executable, "-m", "genmodels", "train", name, "--recipe", "--budget", budget, "--out", str(out)]
    scored = [] if scores_every is None else ["--scores-every", scores_every, "--keep", "1"]
    subprocess.run([*command, "--resume", *scored, *IN_SHORT.get(name, ())], check=True, stdout=sys.stderr)


def evaluate(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "genmodels", "evaluate", str(folder)], check=True, stdout=sys.stderr)


def row(name: str, folder: Path) -> str:
    """Of the table: what was trained, how long, and the mean losses of the last steps, a fiftieth of all of them."""
    model = gm.load(folder / "model.safetensors")
    recipe, steps, asked = gm.zoo.recipe(name), model.history.steps, settings.read(folder)
    images = {"train+test": 70000}.get(asked.split, 60000)
    epochs = len(steps) * model.critic_steps * asked.batch_size / images
    last = max(1, len(steps) // 50)
    losses = ", ".join(f"{label(term)} {sum(steps[term][-last:]) / last:.3g}" for term in steps if term not in TIMES)
    counts = " + ".join(f"{network.parameter_count:,}" for network in model.networks.values())
    progress = f"{epochs:.1f} of {recipe['epochs']}, batch {asked.batch_size}"
    changes = {"rate": asked.learning_rate, "beta1": asked.beta1}
    progress += "".join(f", {what} {value:g}" for what, value in changes.items() if value is not None)
    draws = f'<img src="docs/images/zoo/{name}.png" width="140" alt="25 draws of {name}">'
    cells = [f"`{name}`", counts, progress, f"{seconds(model):.0f}", losses, *scores(folder), best_epoch(model), draws]
    return "| " + " | ".join(cells) + " |"


def scores(folder: Path) -> tuple[str, str]:
    """Frechet distance and precision and recall, empty where the run was not scored."""
    if not (folder / run.SCORES).exists():
        return "", ""
    found = json.loads((folder / run.SCORES).read_bytes())
    distance = f"{found['fd']:.3g} ({found['fd_floor']:.2g}, {found['fd_ceiling']:.3g})"
    return distance, f"{found['precision']:.2f}, {found['recall']:.2f}"


def best_epoch(model: gm.VAE | gm.GAN) -> str:
    """The epoch after which the distance was least, empty where it was not taken on the way."""
    taken = {epoch: fd for epoch, fd in enumerate(model.history["fd"], 1) if fd == fd} if "fd" in model.history else {}
    if not taken:
        return ""
    best = min(taken, key=taken.__getitem__)
    return f"{best} ({taken[best]:.3g})"


def seconds(model: gm.VAE | gm.GAN) -> float:
    """Of the training steps: those of whole epochs, and of the one that the budget broke off."""
    whole = sum(model.history["seconds"]) if len(model.history) else 0.0
    return whole + (model._position.seconds if model.interrupted else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=gm.zoo.names(), choices=gm.zoo.names(), metavar="NAME")
    parser.add_argument("--budget", default="10m", help="of a row: 90s, 10m, ...")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    parser.add_argument("--scores", action="store_true", help="score the rows that are not scored yet")
    parser.add_argument(
        "--scores-every", metavar="K", help="score every K epochs too, of the rows that are still to run"
    )
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    for name in options.only:
        if not (options.out / name / "model.safetensors").exists():
            train(name, options.out / name, options.budget, options.scores_every)
        if options.scores and not (options.out / name / run.SCORES).exists():
            evaluate(options.out / name)
    rows = [name for name in gm.zoo.names() if (options.out / name / "model.safetensors").exists()]
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name in rows:
        print(row(name, options.out / name))
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(options.out / name / "samples.png", options.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
