"""The library's own speed: whole models, their layers, and the kernels beside the machine's limit.

    make bench BENCH_FLAGS="--only vae-keras dcgan-tf --rounds 7 --json build/own.json --markdown build/own.md"
    python benchmarks/own.py --what kernels

- models: for each model of the zoo at its recipe's batch, ms and images a second of a training iteration and of
  drawing a batch, GFLOP/s (two a multiplication of a product, those with padding left out), its share of the limit,
  and the memory that training takes. A model is a process of its own; each round measures the limit, an iteration and
  a draw one after the other, and a share is that of the round. Medians of the rounds.
- layers: `gm.profile` of each of these models.
- kernels: the list of benchmarks/conv.c, forward, input gradient and weight gradient.

The limit is a loop of independent fused multiply-adds in registers on as many threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from typing import Any

from turns import ROOT, Resident, add_arguments, machine, markdown, save, text, worker

import genmodels as gm

WHAT = ("models", "layers", "kernels")
TASKS = ("train", "sample")
PASSES = ("forward", "input_gradient", "weight_gradient")
MODEL_HEAD = (
    *("model (batch)", "iteration ms", "images/s", "GFLOP/s", "of the limit"),
    *("draw ms", "images/s", "GFLOP/s", "of the limit", "memory MB"),
)
LAYER_HEAD = ("layer", "pass", "calls", "ms", "of the layers", "GFLOP/s", "of the limit", "MB", "GB/s")
KERNEL_HEAD = ("image, filters, kernel", "batch", *(part for p in PASSES for part in (f"{p}: ms", "GFLOP/s", "share")))

Figures = dict[str, Any]


# ---- Measuring ----


def measure(name: str, options: argparse.Namespace, limits: Resident) -> Figures:
    """One model: medians, and the rows of its profile where they are wanted."""
    recipe = gm.zoo.recipe(name)
    figures: Figures = {"model": name, "batch": options.batch or recipe["batch_size"]}
    with worker("genmodels", name, options.threads, options.batch, options.precision) as process:
        figures["parameters"] = process.reply()["parameters"]
        for task in TASKS:
            process.ask(f"{task} 0")  # makes room, fills caches
        flop = process.ask("flop")
        rounds = []
        for _ in range(options.rounds):
            limit = limits.ask("limit")["gflops"]
            seconds = {task: process.ask(f"{task} {options.seconds}")["seconds"] for task in TASKS}
            rounds.append({"limit_gflops": limit, **seconds})
        figures["memory_bytes"] = process.ask("memory")["bytes"]
        figures["profile"] = process.ask("profile") if "layers" in options.what else []
    figures["limit_gflops"] = statistics.median(row["limit_gflops"] for row in rounds)
    for task in TASKS:
        figures[task] = task_figures(rounds, task, flop[task], images_of(task, figures))
    return {**figures, "rounds": rounds}


def images_of(task: str, figures: Figures) -> int:
    """That an iteration learns from or that are drawn."""
    return figures["batch"] * (gm.zoo.build(figures["model"]).config.get("critic_steps", 1) if task == "train" else 1)


def task_figures(rounds: list[dict[str, float]], task: str, flop: float, images: int) -> Figures:
    seconds = statistics.median(row[task] for row in rounds)
    return {
        "ms": 1e3 * seconds,
        "images_per_second": images / seconds,
        "gflop": flop / 1e9,
        "gflops": flop / seconds / 1e9,
        "share_of_limit": statistics.median(flop / row[task] / 1e9 / row["limit_gflops"] for row in rounds),
    }


def measure_kernels(threads: int, precision: str) -> Figures:
    command = [ROOT / "build" / "conv", str(threads), precision]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


# ---- Tables ----


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def model_row(figures: Figures) -> list[str]:
    cells = [f"{figures['model']} ({figures['batch']})"]
    for task in TASKS:
        row = figures[task]
        cells += [f"{row['ms']:.2f}", f"{row['images_per_second']:,.0f}", f"{row['gflops']:.1f}"]
        cells.append(percent(row["share_of_limit"]))
    return [*cells, f"{figures['memory_bytes'] / 1e6:.0f}"]


def layer_rows(figures: Figures) -> list[list[str]]:
    """In the order of the time they take."""
    rows, limit = figures["profile"], figures["limit_gflops"]
    whole = sum(row["seconds"] for row in rows) or 1.0
    return [layer_row(row, whole, limit) for row in sorted(rows, key=lambda row: -row["seconds"])]


def layer_row(row: Figures, whole: float, limit: float) -> list[str]:
    rate = row["flop"] / row["seconds"] / 1e9 if row["seconds"] else 0.0
    speed = (f"{rate:.1f}", percent(rate / limit)) if row["flop"] else ("", "")
    moved = f"{row['bytes'] / row['seconds'] / 1e9:.1f}" if row["seconds"] else ""
    return [
        *(f"{row['network']} {row['layer']}", row["passed"], f"{row['calls']:g}", f"{row['seconds'] * 1e3:.3f}"),
        *(percent(row["seconds"] / whole), *speed, f"{row['bytes'] / 1e6:.2f}", moved),
    ]


def kernel_row(row: Figures, limit: float) -> list[str]:
    cells = [row["layer"], str(row["batch"])]
    for p in PASSES:
        cells += [f"{row[p]['ms']:.2f}", f"{row[p]['gflops']:.0f}", percent(row[p]["gflops"] / limit)]
    return cells


def tables(results: Figures, table: Any) -> str:
    """All there is, `table` being `text` or `markdown`."""
    parts = [results["machine"]]
    if models := results["models"]:
        limit = statistics.median(figures["limit_gflops"] for figures in models)
        parts += [f"fused multiply-adds: {limit:.0f} GFLOP/s", table(MODEL_HEAD, map(model_row, models))]
        for figures in models:
            if figures["profile"]:
                parts += [f"{figures['model']}, by layer and pass", table(LAYER_HEAD, layer_rows(figures))]
    if kernels := results["kernels"]:
        limit = kernels["limit_gflops"]
        rows = [kernel_row(row, limit) for row in kernels["layers"]]
        title = f"kernels in {kernels['precision']}, fused multiply-adds of float32: {limit:.0f} GFLOP/s"
        parts += [title, table(KERNEL_HEAD, rows)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=gm.zoo.names(), choices=gm.zoo.names(), metavar="MODEL")
    parser.add_argument("--what", nargs="+", default=WHAT, choices=WHAT)
    add_arguments(parser, seconds=0.3)
    options = parser.parse_args()
    info = gm.cpu_info()
    results: Figures = {
        "machine": f"{info['cpu']}, {info['isa']}, {options.threads} threads, {info['compiler']}",
        "threads": options.threads,
        "models": [],
        "kernels": {},
    }
    if {"models", "layers"} & set(options.what):
        with machine(options.threads) as limits:
            for name in options.only:
                print(f"{name} ...", flush=True)
                results["models"].append(measure(name, options, limits))
    if "kernels" in options.what:
        results["kernels"] = measure_kernels(options.threads, options.precision)
    print(tables(results, text))
    save(options.json, json.dumps(results, indent=1))
    save(options.markdown, tables(results, markdown))


if __name__ == "__main__":
    main()
