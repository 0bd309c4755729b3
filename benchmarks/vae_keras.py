"""`vae-keras` on MNIST beside the same network in PyTorch: seconds an epoch, and the test loss after training.

    python benchmarks/vae_keras.py time --rounds 7
    python benchmarks/vae_keras.py train --epochs 30 --seeds 0 1 2 [--only genmodels|pytorch]

`time` takes whole epochs of both in turn and prints medians and the ratio round by round, so that a machine whose
speed drifts treats both alike. `train` prints the held-out loss (bce sum + KL, nats an image) of each seed.

PyTorch runs the same architecture from the same initial weights with the same recipe (Adam 1e-3, epsilon 1e-7, batch
128, images in the same order), in its faster memory layout (channels last) and with its fused optimizer. Its stride-2
layers pad one pixel on the other side than TensorFlow's "same", which is the form PyTorch is fastest in.

Needs `pip install torch==2.13.0`; MNIST as `genmodels.datasets.load` finds it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import genmodels as gm
from genmodels import _core

BATCH = 128


class TorchVAE(nn.Module):
    """The twin of `gm.zoo.build("vae-keras")`, with its weights."""

    def __init__(self, model: gm.VAE) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, 32, 3, 2, 1), nn.Conv2d(32, 64, 3, 2, 1), nn.Linear(3136, 16)])
        self.head = nn.Linear(16, 4)
        self.dense = nn.Linear(2, 3136)
        self.decoder = nn.ModuleList(
            [
                nn.ConvTranspose2d(64, 64, 3, 2, 1, output_padding=1),
                nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1),
                nn.ConvTranspose2d(32, 1, 3, 1, 1),
            ]
        )
        kernels = [w for name, w in model.weights.items() if name.endswith("kernel")]
        layers = [*self.encoder, self.head, self.dense, *self.decoder]
        with torch.no_grad():
            for layer, kernel in zip(layers, kernels, strict=True):
                order = (1, 0) if kernel.ndim == 2 else (3, 2, 0, 1)
                layer.weight.copy_(torch.from_numpy(kernel.transpose(order).copy()))
                layer.bias.zero_()

    def losses(self, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (N, 1, 28, 28) in [0, 1], noise (N, 2) -> reconstruction and KL, nats an image."""
        h = F.relu(self.encoder[1](F.relu(self.encoder[0](x))))
        h = F.relu(self.encoder[2](h.permute(0, 2, 3, 1).flatten(1)))
        mean, logvar = self.head(h).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * logvar) * noise
        y = F.relu(self.dense(z)).reshape(-1, 7, 7, 64).permute(0, 3, 1, 2)
        logits = self.decoder[2](F.relu(self.decoder[1](F.relu(self.decoder[0](y)))))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum() / len(x)
        return reconstruction, kl


class TorchRun:
    """One training run in PyTorch: the same data order as genmodels' own `fit`."""

    def __init__(self, model: gm.VAE, x: np.ndarray) -> None:
        self.net = TorchVAE(model).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.x, self.seed, self.epoch = images(x), model.seed, 0
        self.noise = torch.Generator().manual_seed(model.seed)

    def train_epoch(self) -> None:
        order = torch.from_numpy(_core.permutation(self.seed, self.epoch, len(self.x)))
        self.epoch += 1
        for start in range(0, len(order), BATCH):
            x = self.x[order[start : start + BATCH]]
            reconstruction, kl = self.net.losses(x, torch.randn(len(x), 2, generator=self.noise))
            self.optimizer.zero_grad()
            (reconstruction + kl).backward()
            self.optimizer.step()

    def evaluate(self, x: np.ndarray) -> float:
        data, total = images(x), 0.0
        with torch.no_grad():
            for start in range(0, len(data), 1000):
                piece = data[start : start + 1000]
                noise = torch.randn(len(piece), 2, generator=self.noise)
                total += float(sum(self.net.losses(piece, noise))) * len(piece)
        return total / len(data)


def images(x: np.ndarray) -> torch.Tensor:
    data = torch.from_numpy(x.astype(np.float32) / 255).permute(0, 3, 1, 2)
    return data.contiguous(memory_format=torch.channels_last)


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare_time(rounds: int, x: np.ndarray) -> None:
    model = gm.zoo.build("vae-keras", seed=0)
    peer = TorchRun(model, x)
    ours, theirs = [], []
    for k in range(rounds + 1):  # the first is a warm-up
        pair = seconds(lambda: model.fit(x, batch_size=BATCH, verbose="silent")), seconds(peer.train_epoch)
        print(
            f"round {k}: genmodels {pair[0]:.2f} s, pytorch {pair[1]:.2f} s, ratio {pair[1] / pair[0]:.2f}", flush=True
        )
        if k:
            ours.append(pair[0])
            theirs.append(pair[1])
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    print(
        f"seconds an epoch of {len(x)} images, medians of {rounds}: genmodels {statistics.median(ours):.2f}, "
        f"pytorch {torch.__version__} {statistics.median(theirs):.2f}, ratio {ratio:.2f}"
    )


def compare_loss(epochs: int, seeds: list[int], only: str | None, x: np.ndarray, x_test: np.ndarray) -> None:
    for seed in seeds:
        model = gm.zoo.build("vae-keras", seed=seed)
        peer = TorchRun(model, x)
        if only != "pytorch":
            model.fit(x, epochs=epochs, batch_size=BATCH, verbose="silent")
            print(f"seed {seed}: genmodels test loss {model.evaluate(x_test)['loss']:.2f} nats", flush=True)
        if only != "genmodels":
            for _ in range(epochs):
                peer.train_epoch()
            print(f"seed {seed}: pytorch   test loss {peer.evaluate(x_test):.2f} nats", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["time", "train"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=["genmodels", "pytorch"])
    parser.add_argument("--threads", type=int, default=gm.get_num_threads())
    options = parser.parse_args()
    gm.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    (x, _), (x_test, _) = gm.datasets.load("mnist")
    if options.what == "time":
        compare_time(options.rounds, x)
    else:
        compare_loss(options.epochs, options.seeds, options.only, x, x_test)


if __name__ == "__main__":
    main()
