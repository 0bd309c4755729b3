"""Single layers of random shapes beside PyTorch: how many are not slower, and which are the slowest.

    make bench-shapes BENCH_FLAGS="--count 40 --rounds 5 --seed 0 --json build/shapes.json"

Convolution, transposed convolution, dense, LSTM and batch norm, each with a bias where it has one: the forward pass in
training mode, the input's gradient alone and the weights' gradients alone. Sizes are drawn evenly on a logarithmic
scale: channels 1 to 512, kernels 1 to 7, strides 1 to 3, padding 0 to half the kernel, maps 1 to 64 a side, batches 1
to 256. What has too little work to tell a layer from a call, or too much to repeat, is drawn again.

Ours is build/layer, PyTorch another resident process (`shapes.py torch`, run by the Python that has it), which tries
channels-last and default memory; each has a turn in every round, a turn is a median, and the ratio is that of the
medians: PyTorch's better layout over ours, 1 is as fast. PyTorch's times hold the way through its Python, some ten
microseconds, which is why shapes below --least MFLOP are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from turns import ROOT, Resident, machine, markdown, python_of, save, text

KINDS = ("Conv2D", "Conv2DTranspose", "Dense", "LSTM", "BatchNorm")
PASSES = ("forward", "input_gradient", "weight_gradient")
NAMES = {
    "Conv2D": ("N", "H", "W", "C", "filters", "kernel", "stride", "padding"),
    "Conv2DTranspose": ("N", "H", "W", "C", "filters", "kernel", "stride", "padding"),
    "Dense": ("N", "inputs", "units"),
    "LSTM": ("N", "steps", "inputs", "units"),
    "BatchNorm": ("N", "H", "W", "C"),
}
MOST_REPEATS, LEAST_REPEATS, ENOUGH_SECONDS = 25, 3, 0.03
SLOW = 0.6


# ---- Shapes ----


@dataclass(frozen=True)
class Shape:
    kind: str
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        """As build/layer is asked."""
        return " ".join([self.kind, *map(str, self.numbers)])

    @property
    def described(self) -> str:
        return self.kind + " " + ", ".join(f"{n} {v}" for n, v in zip(NAMES[self.kind], self.numbers, strict=True))

    def size(self) -> tuple[float, float]:
        """Operations of the forward pass, padding counted, and the values of input, output and weights."""
        match self.kind, self.numbers:
            case "Conv2D" | "Conv2DTranspose", (n, h, w, c, k, r, s, p):
                forth = self.kind == "Conv2D"
                out = [((size + 2 * p - r) // s + 1 if forth else (size - 1) * s + r - 2 * p) for size in (h, w)]
                if min(out) < 1:
                    return 0.0, 0.0
                places = math.prod(out) if forth else h * w
                return 2.0 * n * places * c * k * r * r, n * (h * w * c + math.prod(out) * k) + c * k * r * r
            case "Dense", (n, c, k):
                return 2.0 * n * c * k, n * (c + k) + c * k
            case "LSTM", (n, t, c, k):
                return 8.0 * n * t * k * (c + k), n * t * (c + k) + 4 * k * (c + k)
            case _, (n, h, w, c):
                return 8.0 * n * h * w * c, 2 * n * h * w * c
        raise ValueError(self.kind)


def random_shapes(kind: str, count: int, rng: np.random.Generator, least: float, most: float) -> Iterator[Shape]:
    """`least` and `most` of work, FLOP; no more than 2^25 values and weights."""
    while count:
        shape = Shape(kind, random_numbers(kind, rng))
        flop, values = shape.size()
        if least <= flop <= most and values <= 2**25:
            count -= 1
            yield shape


def random_numbers(kind: str, rng: np.random.Generator) -> tuple[int, ...]:
    def between(low: int, high: int) -> int:
        return int(math.exp(rng.uniform(math.log(low), math.log(high + 1))))

    n, side, channels = between(1, 256), between(1, 64), between(1, 512)
    match kind:
        case "Dense":
            return n, between(1, 512 * 49), between(1, 512 * 49)
        case "LSTM":
            return n, side, channels, between(1, 512)
        case "BatchNorm":
            return n, side, side, channels
    kernel = int(rng.integers(1, 8))
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, kernel // 2 + 1))
    return n, side, side, channels, between(1, 512), kernel, stride, padding


# ---- PyTorch's side ----


def torch_layer(shape: Shape) -> tuple[Any, tuple[int, ...]]:
    """A module and the shape of its input."""
    from torch import nn

    match shape.kind, shape.numbers:
        case "Conv2D", (n, h, w, c, k, r, s, p):
            return nn.Conv2d(c, k, r, s, p), (n, c, h, w)
        case "Conv2DTranspose", (n, h, w, c, k, r, s, p):
            return nn.ConvTranspose2d(c, k, r, s, p), (n, c, h, w)
        case "Dense", (n, c, k):
            return nn.Linear(c, k), (n, c)
        case "LSTM", (n, t, c, k):
            return nn.LSTM(c, k, batch_first=True), (n, t, c)
        case _, (n, h, w, c):
            return nn.BatchNorm2d(c), (n, c, h, w)


def time_torch(shape: Shape, memory: Any) -> dict[str, float]:
    """Medians in seconds, with images and weights in this memory format."""
    import torch

    module, size = torch_layer(shape)
    x = torch.rand(size)
    if len(size) == 4:
        module, x = module.to(memory_format=memory), x.contiguous(memory_format=memory)
    x.requires_grad_()
    weights = list(module.parameters())

    def forward() -> Any:
        y = module(x)
        return y[0] if isinstance(y, tuple) else y

    dy = torch.rand_like(forward())
    seconds: dict[str, list[float]] = {p: [] for p in PASSES}
    for repeat in range(-1, MOST_REPEATS):  # the first is a warm-up
        if repeat >= LEAST_REPEATS and sum(map(sum, seconds.values())) >= ENOUGH_SECONDS:
            break
        took: dict[str, float] = {}
        y = clocked(forward, took, "forward")
        clocked(lambda y=y: torch.autograd.grad(y, [x], dy, retain_graph=True), took, "input_gradient")
        clocked(lambda y=y: torch.autograd.grad(y, weights, dy), took, "weight_gradient")
        for p in PASSES if repeat >= 0 else ():
            seconds[p].append(took[p])
    return {p: statistics.median(values) for p, values in seconds.items()}


def clocked(call: Callable[[], Any], took: dict[str, float], name: str) -> Any:
    start = time.perf_counter()
    result = call()
    took[name] = time.perf_counter() - start
    return result


def serve_torch(threads: int) -> None:
    """A line as `Shape` writes it in, a line of JSON out: of both layouts."""
    import torch

    torch.set_num_threads(threads)
    for line in sys.stdin:
        kind, *numbers = line.split()
        shape = Shape(kind, tuple(map(int, numbers)))
        layouts = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
        if len(shape.numbers) < 4 or kind == "LSTM":
            layouts = {"any": torch.contiguous_format}
        print(json.dumps({name: time_torch(shape, memory) for name, memory in layouts.items()}), flush=True)


# ---- Comparing ----


def compare(shape: Shape, ours: Resident, theirs: Resident, rounds: int) -> dict[str, Any]:
    """Medians of the rounds in ms, and the ratios."""
    own, peer = [], []
    for _ in range(rounds):
        own.append(ours.ask(str(shape)))
        if "error" in own[-1]:
            sys.exit(f"{shape}: {own[-1]['error']}")
        peer.append(theirs.ask(str(shape)))
    result: dict[str, Any] = {"shape": str(shape), "described": shape.described, "kind": shape.kind}
    for p in PASSES:
        mine = statistics.median(row[p] for row in own)
        layouts = {name: statistics.median(row[name][p] for row in peer) for name in peer[0]}
        layout = min(layouts, key=layouts.__getitem__)
        result[p] = {"ms": 1e3 * mine, "torch_ms": 1e3 * layouts[layout], "layout": layout}
        result[p]["ratio"] = layouts[layout] / mine
    return result


def summary(results: list[dict[str, Any]], worst: int, table: Any) -> str:
    rows = []
    for kind in (*KINDS, "all"):
        mine = [row for row in results if kind in (row["kind"], "all")]
        for p in PASSES if mine else ():
            ratios = [row[p]["ratio"] for row in mine]
            shares = [sum(r >= bound for r in ratios) / len(ratios) for bound in (1.0, SLOW)]
            cells = [f"{100 * share:.0f} %" for share in shares]
            rows.append(
                [f"{kind}, {p}", str(len(ratios)), *cells, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}"]
            )
    head = ("layer, pass", "shapes", "not slower", f"at least {SLOW}", "median ratio", "worst")
    slowest = sorted(((row[p]["ratio"], row, p) for row in results for p in PASSES), key=lambda item: item[0])[:worst]
    lines = [
        [
            f"{row['described']}: {p}",
            f"{row[p]['ms']:.3f}",
            f"{row[p]['torch_ms']:.3f}",
            row[p]["layout"],
            f"{ratio:.2f}",
        ]
        for ratio, row, p in slowest
    ]
    return table(head, rows) + "\n\n" + table(("the slowest", "ms", "PyTorch ms", "layout", "ratio"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", nargs="?", default="both", choices=["both", "torch"], help="torch: PyTorch's process")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--count", type=int, default=40, help="shapes of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=1.0, help="MFLOP of a forward pass")
    parser.add_argument("--most", type=float, default=5000.0, help="MFLOP of a forward pass")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worst", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.side == "torch":
        serve_torch(options.threads)
        return
    command = [python_of("torch"), ROOT / "benchmarks" / "shapes.py", "torch", "--threads", str(options.threads)]
    results = []
    with machine(options.threads) as ours, Resident("torch", command, options.threads) as theirs:
        for kind in options.kinds:
            rng = np.random.default_rng([options.seed, KINDS.index(kind)])
            for shape in random_shapes(kind, options.count, rng, 1e6 * options.least, 1e6 * options.most):
                results.append(compare(shape, ours, theirs, options.rounds))
                print(shape, *(f"{results[-1][p]['ratio']:.2f}" for p in PASSES), flush=True)
    print(summary(results, options.worst, text))
    save(options.json, json.dumps(results, indent=1))
    save(options.markdown, summary(results, options.worst, markdown))


if __name__ == "__main__":
    main()
