"""The course of a GAN's losses beside the same GAN in PyTorch, or in another precision.

    python benchmarks/gan_losses.py dcgan-tf --iterations 300 --seeds 0 1 2 --threads 2 --out runs/losses
    python benchmarks/gan_losses.py wgan-32 --only pytorch --out runs/losses
    python benchmarks/gan_losses.py cgan-keras --between genmodels genmodels-bf16 --out runs/losses

Both train the reference model NAME on its data by its recipe (batch size, optimizers, critic steps, objective), for so
many iterations of the generator, and write the two losses of each to OUT/NAME-FRAMEWORK-SEED.csv. A run whose file is
there and long enough is not made again, so a stopped comparison goes on where it was.

The PyTorch twin (torch_twin.py) begins with genmodels' initial weights of the same seed, so that these are drawn alike.
Everything after that is its own: the order of the images, noise and dropout masks come from PyTorch's generators. The
curves of two right implementations then differ as those of two seeds do. Summary and plot, OUT/NAME.png, ask whether
they do:

- a run's losses are averaged over windows of 25 iterations;
- in each window the framework's curve is the mean over its seeds, and the spread is the standard deviation of a single
  run about that mean: squared deviations of both frameworks pooled, over the window and its two neighbours, for three
  seeds alone tell a spread badly;
- a window agrees where the two curves are at most twice the spread apart;
- a loss agrees where at least 90 % of its windows do.

Were both the same program, the difference of the means of three seeds would have a standard deviation of 0.8 spreads.
The table prints difference and spread of each window, so that a spread too wide to tell anything is seen.

Needs `pip install torch==2.13.0 matplotlib`; the data as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch_twin import TorchGAN

import genmodels as gm

FRAMEWORKS = ("genmodels", "genmodels-bf16", "pytorch")
LOSSES = ("discriminator_loss", "generator_loss")
WINDOW = 25
LEAST_SHARE, MOST_SPREADS = 0.9, 2.0

Rows = list[dict[str, float]]
Batch = tuple[np.ndarray, np.ndarray | None]


# ---- Training ----


def load(model: gm.GAN) -> Batch:
    """The images and labels of the model's recipe: (N, H, W, C) uint8, (N,) or None."""
    recipe = model.recipe
    train, test = gm.datasets.load(recipe["data"])
    x, y = gm.datasets.join(train, test) if recipe.get("split") == "train+test" else train
    if x.shape[1] != recipe["image_size"]:
        x = gm.datasets.resize(x, recipe["image_size"])
    return x, (y.astype(np.int64) if model.num_classes else None)


class Stop(gm.callbacks.Callback):
    """Ends the fit after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, model: gm.GAN, step: int, losses: dict[str, float]) -> None:
        model.stop_training = step >= self.steps


def run_genmodels(model: gm.GAN, data: Batch, iterations: int) -> Rows:
    x, y = data
    batch_size = model.recipe["batch_size"]
    steps_an_epoch = max(1, len(x) // (batch_size * model.critic_steps))
    epochs = iterations // steps_an_epoch + 1
    model.fit(x, y, epochs=epochs, batch_size=batch_size, callbacks=Stop(iterations), verbose="silent")
    columns = [model.history.steps[name][:iterations] for name in LOSSES]
    return [dict(zip(LOSSES, row, strict=True)) for row in zip(*columns, strict=True)]


def batches(data: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Without end, each epoch in an order of its own; what an epoch leaves over is left out."""
    x, y = data
    source = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=source).numpy()
        for start in range(0, len(x) - size + 1, size):
            places = order[start : start + size]
            yield x[places], None if y is None else y[places]


def run_pytorch(model: gm.GAN, data: Batch, iterations: int) -> Rows:
    twin, source = TorchGAN(model, model.seed), batches(data, model.recipe["batch_size"], model.seed)
    return [twin.train_step([next(source) for _ in range(model.critic_steps)]) for _ in range(iterations)]


def run(framework: str, name: str, seed: int, data: Batch, iterations: int) -> Rows:
    """Of the model built with the seed, in bfloat16 where the framework's name says so."""
    model = gm.zoo.build(name, seed=seed, precision="bf16" if framework.endswith("-bf16") else "float32")
    return (run_pytorch if framework == "pytorch" else run_genmodels)(model, data, iterations)


# ---- Files ----


def file_of(out: Path, name: str, framework: str, seed: int) -> Path:
    return out / f"{name}-{framework}-{seed}.csv"


def read(path: Path) -> Rows:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(row[name]) for name in LOSSES} for row in csv.DictReader(file)]


def write(path: Path, rows: Rows) -> None:
    """The file is there when it is complete."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["iteration", *LOSSES], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"iteration": count, **row} for count, row in enumerate(rows, 1))
    os.replace(part, path)


def run_all(name: str, frameworks: list[str], options: argparse.Namespace) -> None:
    data = None
    for seed in options.seeds:
        for framework in frameworks:
            path = file_of(options.out, name, framework, seed)
            if len(read(path)) >= options.iterations:
                continue
            data = load(gm.zoo.build(name)) if data is None else data
            start = time.perf_counter()
            write(path, run(framework, name, seed, data, options.iterations))
            print(f"{path}: {time.perf_counter() - start:.0f} s", flush=True)


# ---- Comparison ----


@dataclass
class Curves:
    """One loss of both frameworks, by window.

    Attributes:
        runs: of each of the two frameworks (seeds, windows), means over each window.
        difference: (windows,) between the frameworks' means over seeds, absolute.
        spread: (windows,) the standard deviation of a single run; see the top.
    """

    runs: dict[str, np.ndarray]
    difference: np.ndarray
    spread: np.ndarray

    @property
    def agrees(self) -> np.ndarray:
        return self.difference <= MOST_SPREADS * self.spread


def windows(values: np.ndarray) -> np.ndarray:
    """(seeds, iterations) -> (seeds, windows); the last window may be a short one."""
    edges = range(0, values.shape[1], WINDOW)
    return np.stack([values[:, start : start + WINDOW].mean(1) for start in edges], axis=1)


def smoothed(values: np.ndarray) -> np.ndarray:
    """(windows,): the mean with the neighbours."""
    return np.array([values[max(0, k - 1) : k + 2].mean() for k in range(len(values))])


def compare(runs: dict[str, np.ndarray]) -> Curves:
    """`runs` of both frameworks (seeds, iterations)."""
    means = {framework: windows(values) for framework, values in runs.items()}
    ours, theirs = means.values()
    variance = (ours.var(0, ddof=1) + theirs.var(0, ddof=1)) / 2
    return Curves(means, np.abs(ours.mean(0) - theirs.mean(0)), np.sqrt(smoothed(variance)))


def report(loss: str, curves: Curves) -> bool:
    ours, theirs = (values.mean(0) for values in curves.runs.values())
    print(
        f"\n{loss}\n{'window':>7}"
        + "".join(f"{name:>16}" for name in (*curves.runs, "difference", "spread"))
        + "  agrees"
    )
    for k, agrees in enumerate(curves.agrees):
        numbers = (ours[k], theirs[k], curves.difference[k], curves.spread[k])
        print(f"{k + 1:>7}" + "".join(f"{value:>16.5g}" for value in numbers) + ("  yes" if agrees else "  no"))
    share = curves.agrees.mean()
    verdict = "agree" if share >= LEAST_SHARE else "DIFFER"
    print(f"{share:.0%} of the windows agree: the courses {verdict} (needed: {LEAST_SHARE:.0%})")
    return bool(share >= LEAST_SHARE)


def plot(path: Path, name: str, curves: dict[str, Curves]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(11, 4), layout="constrained")
    for ax, (loss, both) in zip(axes, curves.items(), strict=True):
        for (framework, runs), colour in zip(both.runs.items(), ("tab:blue", "tab:orange"), strict=True):
            places = WINDOW * (np.arange(runs.shape[1]) + 0.5)
            ax.plot(places, runs.T, color=colour, alpha=0.35, linewidth=0.8)
            ax.plot(places, runs.mean(0), color=colour, linewidth=2, label=f"{framework}, mean of {len(runs)} seeds")
        ax.set(title=f"{name}: {loss.replace('_', ' ')}", xlabel=f"iteration (windows of {WINDOW})")
        ax.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def summarise(name: str, options: argparse.Namespace) -> bool:
    """Whether all agree; True as well where there is not yet enough to compare."""
    rows = {f: [read(file_of(options.out, name, f, seed)) for seed in options.seeds] for f in options.between}
    shortest = min(len(run) for runs in rows.values() for run in runs)
    if shortest < options.iterations or len(options.seeds) < 2:
        both = " and ".join(options.between)
        print(f"{name}: no comparison before {both} have run {options.iterations} iterations of two seeds")
        return True
    curves = {}
    for loss in LOSSES:
        runs = {f: np.array([[row[loss] for row in run[: options.iterations]] for run in rows[f]]) for f in rows}
        curves[loss] = compare(runs)
    verdicts = [report(loss, both) for loss, both in curves.items()]
    picture = options.out / f"{name}{'-bf16' if 'genmodels-bf16' in options.between else ''}.png"
    plot(picture, name, curves)
    print(f"\n{picture}")
    return all(verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a GAN in genmodels.zoo.names()")
    parser.add_argument("--iterations", type=int, default=300, help="updates of the generator")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=gm.get_num_threads())
    parser.add_argument("--between", nargs=2, choices=FRAMEWORKS, default=["genmodels", "pytorch"])
    parser.add_argument("--only", choices=FRAMEWORKS, help="run this one of both")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    gm.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    run_all(options.name, [options.only] if options.only else options.between, options)
    raise SystemExit(0 if summarise(options.name, options) else 1)


if __name__ == "__main__":
    main()
