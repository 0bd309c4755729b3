"""A VAE of 200-200 tanh units and 50 codes on dynamically binarized MNIST: its test log-likelihood.

    python benchmarks/binarized_mnist.py --budget 10m --out runs/binarized-mnist

The architecture of Burda, Grosse and Salakhutdinov (2016, "Importance Weighted Autoencoders"), who report 86.76 nats
for the VAE (k = 1, one stochastic layer) by 5,000 importance samples, after 3,280 epochs of batches of 20: two layers
of 200 tanh units in the encoder and in the decoder, 50 codes, Adam with epsilon 1e-4, the last bias begun at the mean
image, a pixel white with the probability of its grey, anew in every epoch. Here the batches are of 100 and the rate
falls from 1e-3 to 0 along half a cosine wave in `--epochs`.

The budget is the training's. A training that it breaks off lies in OUT/checkpoint.safetensors, and the same command
goes on with it to the bits of one not broken off. Then follow the scores of the test images, binarized once with seed
0, in nats an image. The log-likelihood decodes samples * images codes; --samples and --images make it shorter.

MNIST as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import genmodels as gm
from genmodels import layers as L
from genmodels import metrics
from genmodels.callbacks import Checkpoint, CosineDecay, TimeLimit
from genmodels.cli import _seconds

LATENT, UNITS = 50, 200
HELD_OUT = 1000  # test images looked at after every epoch


def build(x: np.ndarray, seed: int) -> gm.VAE:
    """The network for images x (N, H, W, C) uint8."""
    hidden = [L.Dense(UNITS), L.Tanh(), L.Dense(UNITS), L.Tanh()]
    shape = x.shape[1:]
    model = gm.VAE(
        encoder=[L.Flatten(), *hidden],
        decoder=[*hidden, L.Dense(int(np.prod(shape))), L.Reshape(shape), L.Sigmoid()],
        input_shape=shape,
        latent_dim=LATENT,
        optimizer=gm.optimizers.Adam(1e-3, epsilon=1e-4),
        seed=seed,
    )
    mean = np.clip(x.mean(axis=0).ravel() / 255, 1e-3, 1 - 1e-3)
    model.weights["decoder.4.bias"][:] = np.log(mean / (1 - mean))
    return model


def train(options: argparse.Namespace, x: np.ndarray, x_test: np.ndarray) -> gm.VAE:
    """The model after the budget, or after the last epoch."""
    path = options.out / "checkpoint.safetensors"
    options.out.mkdir(parents=True, exist_ok=True)
    model = gm.load(path) if path.exists() else build(x, options.seed)
    if model.interrupted or not len(model.history):
        callbacks = [CosineDecay(options.epochs), TimeLimit(options.budget)]
        callbacks.append(Checkpoint(path, every_epochs=10, every_seconds=30))
        model.fit(
            x,
            epochs=options.epochs,
            batch_size=options.batch_size,
            validation_data=x_test[:HELD_OUT],
            callbacks=callbacks,
            resume=model.interrupted,
            binarize="dynamic",
        )
    model.history.to_csv(options.out / "history.csv")
    return model


def score(model: gm.VAE, x: np.ndarray, samples: int) -> None:
    x = gm.datasets.binarize(x, "dynamic", seed=0)
    parts = metrics.elbo(model, x)
    active, _ = metrics.active_units(model, x)
    print(f"bound: {-parts['elbo']:.2f} nats (reconstruction {parts['reconstruction']:.2f}, kl {parts['kl']:.2f})")
    print(f"active units: {active} of {model.latent_dim}", flush=True)
    began = time.perf_counter()
    found = metrics.log_likelihood(model, x, samples=samples)
    error = found.std(ddof=1) / len(found) ** 0.5
    print(f"nll: {-found.mean():.2f} nats, {samples} importance samples, {len(x)} test images", end=" ")
    print(f"(standard error of their mean {error:.2f}; {time.perf_counter() - began:.0f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/binarized-mnist"))
    parser.add_argument("--budget", type=_seconds, default="10m", help="of training: 90s, 10m, 2h (default: 10m)")
    parser.add_argument("--epochs", type=int, default=400, help="in all (default: 400)")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--images", type=int, default=10000, help="the first N test images (default: all)")
    parser.add_argument("--threads", type=int, default=gm.get_num_threads())
    options = parser.parse_args()
    gm.set_num_threads(options.threads)
    (x, _), (x_test, _) = gm.datasets.load("mnist")
    model = train(options, x, x_test)
    spent = sum(model.history["seconds"]) if len(model.history) else 0.0
    print(f"{len(model.history)} of {options.epochs} epochs, {spent:.0f} s of training steps", flush=True)
    score(model, x_test[: options.images], options.samples)


if __name__ == "__main__":
    main()
