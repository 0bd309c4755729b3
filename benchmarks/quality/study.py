"""The study of the second report: families, image sizes and latent sizes compared by `genmodels sweep`.

    python benchmarks/quality/study.py --out runs/study

Each of STUDIES is a sweep in a folder of OUT, which goes on with the same command where it was killed; its page, with
curves and the draws of every epoch, is OUT/NAME/index.html. What came of the trials is kept in RECORDS as
study-NAME.csv, from which `results.py` makes a table, and what their models draw in PICTURES as NAME.png.

Needs the extra `plot`; the data as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import genmodels as gm
from genmodels import run, sweep

COMMON = "--latent 2,20,100 --seeds 1 --epochs 4 --precision bf16 --beta1 0.5 --scores"
STUDIES = {
    "mnist": f"sweep --models vae,gan,wgan --sizes 16,32 --data mnist {COMMON}",
    "cifar10": f"sweep --models vae,gan --sizes 32 --data cifar10 {COMMON}",
}
SIDE = 5  # a grid of 5 x 5 draws a trial


def picture(folder: Path, path: Path) -> None:
    """A row of grids for each model and size, a grid for each number of latent axes."""
    import matplotlib.pyplot as plt

    grid = sweep.open_grid(folder, {}, {})
    rows = [(model, size) for model in grid.models for size in grid.sizes]
    size = (2.6 * len(grid.latent), 2.8 * len(rows))
    figure, axes = plt.subplots(len(rows), len(grid.latent), squeeze=False, figsize=size, layout="constrained")
    for trial in grid.trials():
        draws = gm.load(run.find_model(folder / "trials" / trial.name)).sample(SIDE**2, seed=0)
        ax = axes[rows.index((trial.model, trial.size)), grid.latent.index(trial.latent)]
        gm.plot.image_grid(draws, ax=ax).set_title(f"{trial.model}-{trial.size}-z{trial.latent}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(STUDIES), choices=STUDIES, metavar="NAME")
    parser.add_argument("--no-verify", action="store_true", help="take data files that are not the published ones")
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--records", type=Path, default=Path("docs/results"))
    parser.add_argument("--pictures", type=Path, default=Path("docs/images/study"))
    options = parser.parse_args()
    for name in options.only:
        folder = options.out / name
        command = [*shlex.split(STUDIES[name]), *(["--no-verify"] if options.no_verify else []), "--out", str(folder)]
        subprocess.run([sys.executable, "-m", "genmodels", *command], check=True, stdout=sys.stderr)
        shutil.copyfile(folder / sweep.RESULTS, options.records / f"study-{name}.csv")
        picture(folder, options.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
