"""A reference model trained by its recipe in PyTorch, for the table of what models reach.

    python benchmarks/quality/pytorch.py dcgan-tf --epochs 5 --out runs/pytorch/dcgan-tf
    python benchmarks/quality/pytorch.py vae-keras --seed 1 --out runs/pytorch/vae-keras-1

The twin (torch_twin.py, in the form that computes what the library does) begins at the library's initial weights of the
same seed; images in an order of its own, noise and dropout are PyTorch's. Data set, epochs, batch size and optimizers
are the recipe's unless given. After each epoch its weights are written into the library's model, whose file, losses on
the test images and scores are then made by the same code as those of `genmodels train`:

    OUT/run.json            what was asked for, so that `genmodels evaluate OUT` and the like know the run
    OUT/model.safetensors   the model
    OUT/history.csv         an epoch a row: mean losses, test losses, scores where there are some, seconds of training
    OUT/scores.json         `genmodels.metrics.evaluate` at the end
    OUT/state.npz           from which the same command goes on after a kill

Needs `pip install torch==2.13.0`; the data as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torch_twin import KERNEL_ORDER, LSTM_TENSORS, TENSORS, Recurrent, TorchVAE, twin

import genmodels as gm
from genmodels import run, settings

Rows = list[dict[str, float]]
SCORES = ("fd", "kd", "is", "precision", "recall", "density", "coverage", "label_accuracy")


# ---- The twin's weights in the library's model ----


def give_weights(module: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """What `torch_twin.take_weights` took, back into the views `weights` of one layer."""
    names, state = LSTM_TENSORS if isinstance(module, Recurrent) else TENSORS, module.state_dict()
    for name, value in weights.items():
        tensor = state[names.get(name, name)].numpy()
        order = KERNEL_ORDER[type(module)] if name.endswith("kernel") else range(value.ndim)
        value[...] = tensor.transpose(np.argsort(order))


def write_back(trained: Any, model: gm.VAE | gm.GAN) -> None:
    for name, network in model.networks.items():
        holders = [module for module in trained.networks[name] if any(True for _ in module.parameters())]
        indices = sorted({int(key.partition(".")[0]) for key in network.weights})
        for index, module in zip(indices, holders, strict=True):
            views = {key.partition(".")[2]: w for key, w in network.weights.items() if key.startswith(f"{index}.")}
            give_weights(module, views)


# ---- State ----


def optimizers_of(trained: Any) -> dict[str, torch.optim.Optimizer]:
    return {"": trained.optimizer} if isinstance(trained, TorchVAE) else trained.optimizer


def tensors_of(trained: Any) -> dict[str, torch.Tensor]:
    """Weights and optimizer state, by names that stay the same from run to run."""
    found = {f"{name}/{key}": t for name, net in trained.networks.items() for key, t in net.state_dict().items()}
    for name, optimizer in optimizers_of(trained).items():
        for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
            found |= {f"{name}/{index}/{key}": t for key, t in optimizer.state[parameter].items()}
    return found


def save(path: Path, trained: Any, rows: Rows) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        arrays = {name: tensor.numpy() for name, tensor in tensors_of(trained).items()}
        np.savez(
            file,
            random=torch.get_rng_state().numpy(),
            rows=np.frombuffer(json.dumps(rows).encode(), np.uint8),
            **arrays,
        )
    os.replace(part, path)


def restore(path: Path, trained: Any) -> Rows:
    """The rows so far; the twin becomes what it was."""
    with np.load(path, allow_pickle=False) as found:
        for optimizer in optimizers_of(trained).values():  # a step of nothing makes their state
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
        with torch.no_grad():
            for name, tensor in tensors_of(trained).items():
                tensor.copy_(torch.from_numpy(found[name]))
        torch.set_rng_state(torch.from_numpy(found["random"]))
        return json.loads(found["rows"].tobytes())


# ---- Training ----


def train_epoch(trained: Any, x: np.ndarray, y: np.ndarray, batch_size: int) -> dict[str, float]:
    """Mean losses of an epoch over all images, in an order of its own; a short last batch counts as one."""
    critic_steps = trained.gan.critic_steps if hasattr(trained, "gan") else 1
    order = torch.randperm(len(x)).numpy()
    starts = list(range(0, len(x), batch_size))
    steps = [starts[k : k + critic_steps] for k in range(0, len(starts), critic_steps)]
    sums: dict[str, float] = {}
    for step in (step for step in steps if len(step) == critic_steps):
        picked = [order[start : start + batch_size] for start in step]
        batches = [trained.batch(x[at], y[at] if trained.num_classes else None) for at in picked]
        losses = trained.iterate(*batches[0]) if isinstance(trained, TorchVAE) else trained.iterate_over(batches)
        sums = {term: sums.get(term, 0.0) + value for term, value in losses.items()}
    return {term: total / (len(starts) // critic_steps) for term, total in sums.items()}


def scores(model: gm.VAE | gm.GAN, test: tuple[np.ndarray, np.ndarray], data: str) -> dict[str, Any]:
    return gm.metrics.evaluate(model, test[0], extractor=data, reference_train=data)


def test_losses(model: gm.VAE | gm.GAN, test: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    x, y = test
    return {f"val_{term}": value for term, value in model.evaluate(x, y if model.num_classes else None).items()}


def write_rows(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def asked(options: argparse.Namespace) -> settings.Settings:
    recipe = gm.zoo.recipe(options.name)
    given = {key: getattr(options, key) for key in ("seed", "limit", "learning_rate", "beta1", "precision")}
    return settings.Settings(
        model=options.name,
        data=recipe["data"],
        epochs=options.epochs or recipe["epochs"],
        batch_size=options.batch_size or recipe["batch_size"],
        image_size=recipe["image_size"],
        split=recipe.get("split", "train"),
        **given,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=gm.zoo.names(), metavar="NAME")
    parser.add_argument("--epochs", type=int, help="the recipe's unless given")
    parser.add_argument("--batch-size", type=int, help="the recipe's unless given")
    parser.add_argument("--learning-rate", type=float, help="the recipe's unless given")
    parser.add_argument("--beta1", type=float, help="the recipe's unless given")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"), help="bf16: under autocast")
    parser.add_argument("--scores-every", type=int, default=0, metavar="K", help="score every K epochs too")
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N images only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=gm.get_num_threads())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    gm.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = asked(options)
    settings.write(options.out, wanted)

    model = gm.zoo.build(options.name, seed=options.seed, precision=options.precision, **wanted.optimizers())
    (x, y), test = run.Run(options.out, wanted).data()
    trained = twin(model, options.seed)
    state = options.out / "state.npz"
    rows = restore(state, trained) if state.exists() else []
    for epoch in range(len(rows) + 1, wanted.epochs + 1):
        begin = time.perf_counter()
        losses = train_epoch(trained, x, y.astype(np.int64), wanted.batch_size)
        row = {"epoch": epoch, **losses, "seconds": time.perf_counter() - begin}
        write_back(trained, model)
        row |= test_losses(model, test)
        if options.scores_every and epoch % options.scores_every == 0:
            found = scores(model, test, wanted.data)
            row |= {term: found[term] for term in SCORES if found[term] is not None}
        rows.append(row)
        model.save(options.out / "model.safetensors")
        write_rows(options.out / "history.csv", rows)
        save(state, trained, rows)
        print(" ".join(f"{key} {value:.5g}" for key, value in row.items()), flush=True)
    write_back(trained, model)
    (options.out / "scores.json").write_text(json.dumps(scores(model, test, wanted.data), indent=2) + "\n")


if __name__ == "__main__":
    main()
