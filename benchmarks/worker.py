"""One framework with one model of the zoo, resident: a line in, a line of JSON out, so that several take turns.

    python benchmarks/worker.py FRAMEWORK MODEL --threads 2     (genmodels, torch-nhwc, torch-nchw or tensorflow)

First line out: {"framework", "version", "parameters"}. Then, on request,

    train S     whole training iterations for S seconds, at least one: {"seconds": median, "count": how many}
    sample S    the same of drawing a batch of images
    memory      {"bytes": the process's peak less what it held before there was a model}
    flop        genmodels alone: {"train": of an iteration, "sample": of a batch}, two a multiplication on true taps
    profile     genmodels alone: the rows of `gm.profile`

and the end of the input ends the process. The framework is imported by the Python that runs this, genmodels from the
folder above. An iteration is a step of a VAE, and of a GAN `critic_steps` updates of the discriminator and one of the
generator, on one batch of random pixels; for PyTorch and TensorFlow it is ready in the model's range and layout.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import genmodels as gm

Batch = tuple[np.ndarray, np.ndarray | None]
FRAMEWORKS = ("genmodels", "torch-nhwc", "torch-nchw", "tensorflow")


# ---- Frameworks ----


class Own:
    """genmodels itself."""

    version = gm.__version__

    def __init__(self, model: gm.VAE | gm.GAN, batch: Batch) -> None:
        self.model, (self.x, self.labels) = model, batch
        self.parameters = model.parameter_count

    def train(self) -> None:
        self.model.train_step(self.x, self.labels)

    def sample(self) -> None:
        self.model.sample(len(self.x), labels=self.labels)

    def flop(self) -> dict[str, float]:
        return {"train": self.counted(self.train), "sample": self.counted(self.sample)}

    def counted(self, call: Callable[[], None]) -> float:
        before = self.products()
        call()
        return 2 * (self.products() - before)

    def products(self) -> float:
        """Multiplications of all passes so far."""
        meters = [network._core.meters() for network in self.model.networks.values()]
        return sum(products for network in meters for layer in network for _, _, products, _ in layer)

    def profile(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(row) for row in gm.profile(self.model, self.x, self.labels, steps=5).rows]


class Twin:
    """A framework's twin, on a batch of its own kind."""

    def __init__(self, twin: Any, version: str, batch: Batch) -> None:
        self.twin, self.version, self.parameters = twin, version, twin.parameter_count
        self.x, self.one_hot = twin.batch(*batch)

    def train(self) -> None:
        self.twin.iterate(self.x, self.one_hot)

    def sample(self) -> None:
        self.twin.sample(len(self.x), self.one_hot)


def start(framework: str, threads: int) -> Callable[[gm.VAE | gm.GAN, Batch], Own | Twin]:
    """Imports the framework; what it returns makes the model of it."""
    if framework == "genmodels":
        gm.set_num_threads(threads)
        return Own
    if framework == "tensorflow":
        from tensorflow_twin import keras, tf, twin  # which prepares their import

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        version = f"{tf.__version__}, Keras {keras.__version__}"
        return lambda model, batch: Twin(twin(model, form="native"), version, batch)
    import torch
    from torch_twin import twin

    torch.set_num_threads(threads)
    return lambda model, batch: Twin(twin(model, form=framework.partition("-")[2]), torch.__version__, batch)


def random_batch(model: gm.VAE | gm.GAN, size: int) -> Batch:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, model.num_classes, size) if model.num_classes else None
    return rng.integers(0, 256, (size, *model.input_shape), np.uint8), labels


# ---- Memory ----


def memory(name: str) -> int:
    """VmRSS, what the process holds, or VmHWM, the most it ever held; bytes, 0 where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
    return 0


def forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")


# ---- Requests ----


def timed(call: Callable[[], None], enough: float) -> dict[str, float]:
    seconds: list[float] = []
    while sum(seconds) < enough or not seconds:
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(seconds), "count": len(seconds)}


def answer(request: str, subject: Own | Twin, held_before: int) -> Any:
    what, *arguments = request.split()
    match what:
        case "train" | "sample":
            return timed(getattr(subject, what), float(arguments[0]))
        case "memory":
            return {"bytes": memory("VmHWM") - held_before}
        case "flop" | "profile":
            return getattr(subject, what)()
    raise ValueError(f"no answer to {request!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("model", choices=gm.zoo.names(), metavar="MODEL")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, help="images; that of the model's recipe unless given")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16", "high"))
    options = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what frameworks print is no reply

    make, held_before = start(options.framework, options.threads), memory("VmRSS")
    model = gm.zoo.build(options.model, seed=0, precision=options.precision)
    subject = make(model, random_batch(model, options.batch or model.recipe["batch_size"]))
    del model
    gc.collect()
    forget_peak()
    hello = {"framework": options.framework, "version": subject.version, "parameters": subject.parameters}
    print(json.dumps(hello), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line, subject, held_before)), file=replies, flush=True)


if __name__ == "__main__":
    main()
