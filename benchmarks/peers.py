"""Training and sampling beside PyTorch and TensorFlow, in turn in one session.

    make bench-peers BENCH_FLAGS="--only vae-keras --rounds 7 --json build/peers.json --markdown build/peers.md"

For each model of the zoo four processes stay resident: genmodels, PyTorch with images in channels-last memory and in
its default one (eager, fused Adam), TensorFlow with Keras (a whole iteration one tf.function graph). In each round
each trains for a while, then each draws, one at a time, on the same number of threads; the order turns from round to
round. The twins are made from the model's own layers (torch_twin.py, tensorflow_twin.py); their parameter counts must
agree with the model's. With `--precision bf16` all of them multiply in bfloat16: PyTorch by its autocast, TensorFlow by
the policy mixed_bfloat16; with `--precision high` genmodels alone does, in three products for one. An iteration is a
step of a VAE, critic_steps discriminator steps and one generator step of a GAN; a draw is a batch of images from the
prior.

The ratio is the faster peer's time over ours, round by round: 2 means twice as fast as the faster of both. PyTorch's
better layout and the faster peer are those of the smaller median, for training and sampling apart. The table holds the
medians of the rounds and the quartiles of the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from typing import Any

from turns import Resident, add_arguments, machine, markdown, quartiles, save, text, worker

import genmodels as gm

OURS, PEERS = "genmodels", ("torch-nhwc", "torch-nchw", "tensorflow")
FRAMEWORKS = (OURS, *PEERS)
REFERENCE = ("vae-keras", "dcgan-tf", "cgan-keras", "wgan-32", "vae-32", "vae-lstm", "gan-5x5")
TASKS = ("train", "sample")
WARM_UPS = 2
HEAD = (
    *("model (batch)", "iteration: genmodels ms", "PyTorch ms", "TensorFlow ms", "times as fast (quartiles)"),
    *("draw: genmodels ms", "PyTorch ms", "TensorFlow ms", "times as fast (quartiles)"),
    *("memory: genmodels MB", "PyTorch MB", "TensorFlow MB"),
)

Figures = dict[str, Any]


# ---- Measuring ----


def greet(process: Resident, count: int) -> str:
    """The framework's version, once its model is known to be the same."""
    hello = process.reply()
    if hello["parameters"] != count:
        sys.exit(f"{process.name}: {hello['parameters']:,} parameters, the model has {count:,}")
    return hello["version"]


def measure(name: str, options: argparse.Namespace, limits: Resident) -> Figures:
    """Seconds of every framework and task by round, and memory."""
    count = gm.zoo.build(name).parameter_count
    with contextlib.ExitStack() as stack:
        processes, versions = {}, {}
        for framework in options.frameworks:  # one after the other: only one computes at a time
            process = stack.enter_context(worker(framework, name, options.threads, options.batch, options.precision))
            versions[framework] = greet(process, count)
            for task in TASKS:
                for _ in range(WARM_UPS):
                    process.ask(f"{task} 0")
            processes[framework] = process
        rounds = [take_turns(processes, k, options.seconds, limits) for k in range(options.rounds)]
        memory = {framework: process.ask("memory")["bytes"] for framework, process in processes.items()}
    size = options.batch or gm.zoo.recipe(name)["batch_size"]
    figures = {"model": name, "batch": size, "parameters": count, "versions": versions, "memory_bytes": memory}
    return {**figures, **{task: compare(rounds, task) for task in TASKS}, "rounds": rounds}


def take_turns(processes: dict[str, Resident], k: int, seconds: float, limits: Resident) -> Figures:
    order = list(processes)[k % len(processes) :] + list(processes)[: k % len(processes)]
    result: Figures = {"limit_gflops": limits.ask("limit")["gflops"]}
    for task in TASKS:
        result[task] = {name: processes[name].ask(f"{task} {seconds}")["seconds"] for name in order}
    return result


def compare(rounds: list[Figures], task: str) -> Figures:
    times = {name: [row[task][name] for row in rounds] for name in rounds[0][task]}
    medians = {name: statistics.median(values) for name, values in times.items()}
    peers = [name for name in medians if name != OURS]
    result: Figures = {"ms": {name: 1e3 * seconds for name, seconds in medians.items()}}
    if OURS not in medians or not peers:
        return result
    faster = min(peers, key=medians.__getitem__)
    ratios = [peer / own for peer, own in zip(times[faster], times[OURS], strict=True)]
    low, middle, high = quartiles(ratios)
    return {**result, "faster_peer": faster, "ratio": middle, "ratio_quartiles": [low, high], "ratios": ratios}


# ---- The table ----


def best(values: dict[str, float], framework: str) -> tuple[str, float] | None:
    """Of the framework's forms the one with the smallest value."""
    mine = {name: value for name, value in values.items() if name.partition("-")[0] == framework}
    return min(mine.items(), key=lambda item: item[1]) if mine else None


def row(figures: Figures) -> list[str]:
    cells = [f"`{figures['model']}` ({figures['batch']})"]
    kinds = (OURS, "torch", "tensorflow")
    for task in TASKS:
        found = figures[task]
        cells += [f"{b[1]:.1f}" if (b := best(found["ms"], kind)) else "" for kind in kinds]
        quarters = "{:.2f}-{:.2f}".format(*found["ratio_quartiles"]) if "ratio" in found else ""
        cells.append(f"{found['ratio']:.2f} ({quarters})" if quarters else "")
    for kind in kinds:
        form = best(figures["train"]["ms"], kind)
        cells.append(f"{figures['memory_bytes'][form[0]] / 1e6:.0f}" if form else "")
    return cells


def tables(results: Figures, table: Any) -> str:
    models = results["models"]
    named = {name.partition("-")[0]: version for name, version in models[0]["versions"].items()}
    limit = statistics.median(line["limit_gflops"] for figures in models for line in figures["rounds"])
    head = f"{results['machine']}, {results['precision']}, float32 multiply-adds: {limit:.0f} GFLOP/s, "
    head += f"medians of {results['rounds']} rounds\n"
    return "\n".join(
        [head, ", ".join(f"{name} {version}" for name, version in named.items()), "", table(HEAD, map(row, models))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=REFERENCE, choices=gm.zoo.names(), metavar="MODEL")
    parser.add_argument("--all", action="store_true", help="every model of the zoo")
    parser.add_argument("--frameworks", nargs="+", default=FRAMEWORKS, choices=FRAMEWORKS)
    add_arguments(parser, seconds=0.5)
    options = parser.parse_args()
    info = gm.cpu_info()
    results: Figures = {
        "machine": f"{info['cpu']}, {info['isa']}, {options.threads} threads",
        **{name: getattr(options, name) for name in ("threads", "rounds", "seconds", "precision")},
        "models": [],
    }
    with machine(options.threads) as limits:
        for name in gm.zoo.names() if options.all else options.only:
            print(f"{name} ...", flush=True)
            results["models"].append(measure(name, options, limits))
            print(text(HEAD, [row(results["models"][-1])]), flush=True)
            save(options.json, json.dumps(results, indent=1))  # what there is, should the next one fail
    print(tables(results, text))
    save(options.markdown, tables(results, markdown))


if __name__ == "__main__":
    main()
