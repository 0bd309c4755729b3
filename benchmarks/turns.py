"""Resident programs that take turns on request, and what is made of their figures: used by the scripts beside it."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"torch": ROOT / "build" / "peers-torch", "tensorflow": ROOT / "build" / "peers-tf"}
REST_SECONDS = 0.05
"""Between two turns: threads that wait for more work without sleeping, as OpenMP's do for a while, go to sleep."""


class Resident:
    """A program that answers every line with a line of JSON, and rests between."""

    def __init__(self, name: str, command: Sequence[str | Path], threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GENMODELS_NUM_THREADS": str(threads)}
        self.name = name
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: str) -> Any:
        time.sleep(REST_SECONDS)
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            sys.exit(f"{self.name} ended before {request!r}")
        return self.reply()

    def reply(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with status {self.process.wait()}: see above")
        return json.loads(line)

    def __enter__(self) -> Resident:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def add_arguments(parser: argparse.ArgumentParser, seconds: float) -> None:
    """How models are timed, for `seconds` a turn unless told, and where the figures go."""
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each turn, at least one iteration")
    parser.add_argument("--batch", type=int, help="images; that of each model's recipe unless given")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16", "high"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)


def python_of(framework: str) -> Path | str:
    """The Python that has the framework: `make` makes environments for the peers."""
    return PEERS[framework.partition("-")[0]] / "bin" / "python" if framework != "genmodels" else sys.executable


def machine(threads: int) -> Resident:
    """Tells the machine's limit ("limit") and times layers; layer.c says how it is asked."""
    return Resident("build/layer", [ROOT / "build" / "layer", str(threads)], threads)


def worker(framework: str, model: str, threads: int, batch: int | None = None, precision: str = "float32") -> Resident:
    """Of one framework and model; worker.py says how it is asked. Its first reply still waits."""
    size = ["--batch", str(batch)] if batch else []
    command = [python_of(framework), ROOT / "benchmarks" / "worker.py", framework, model, "--threads", str(threads)]
    command += ["--precision", precision]
    return Resident(f"{framework}, {model}", [*command, *size], threads)


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper one."""
    values = list(values)
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In columns, the first to the left and the others to the right."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    aligned = ["<", *[">"] * (len(head) - 1)]
    return "\n".join("  ".join(map("{:{}{}}".format, row, aligned, widths)).rstrip() for row in cells)


def save(path: Path | None, content: str) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
