"""What the references of all models share: optimizers, the images' range, labels; and images to train on."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from reference import Reference, Rounding, double

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers


def torch_optimizer(optimizer: optimizers.Optimizer, tensors: list[torch.Tensor]) -> torch.optim.Optimizer:
    """PyTorch's optimizer with the same update rule; all of them start from zero state as ours do."""
    match optimizer:
        case optimizers.Adam():
            betas = (optimizer.beta1, optimizer.beta2)
            return torch.optim.Adam(tensors, optimizer.learning_rate, betas, optimizer.epsilon)
        case optimizers.RMSprop():
            rate, rho, epsilon = optimizer.learning_rate, optimizer.rho, optimizer.epsilon
            return torch.optim.RMSprop(tensors, rate, alpha=rho, eps=epsilon, momentum=optimizer.momentum)
        case optimizers.SGD():
            return torch.optim.SGD(tensors, optimizer.learning_rate, momentum=optimizer.momentum)
    raise TypeError(f"no counterpart of {optimizer!r}")


class ModelReference:
    """Float64 copies of a model's networks as they stand.

    `draws` names the network that makes the images, whose last layer tells their range; None: none does, and they stay
    in [0, 1]. `rounding`: see Reference.
    """

    def __init__(self, model: gm.model.Model, draws: str | None, rounding: Rounding | None = None) -> None:
        self.num_classes = model.num_classes
        self.networks = {name: Reference(net.layers, net.weights, rounding) for name, net in model.networks.items()}
        self.tanh = draws is not None and isinstance(model.networks[draws].layers[-1], L.Tanh)

    def images(self, x: np.ndarray) -> torch.Tensor:
        """x (N, H, W, C) in the model's own range."""
        unit = double(x) / 255 if x.dtype == np.uint8 else double(x)
        return 2 * unit - 1 if self.tanh else unit

    def one_hot(self, labels: np.ndarray) -> torch.Tensor:
        """(N, classes)"""
        return F.one_hot(torch.from_numpy(np.asarray(labels, np.int64)), self.num_classes).double()

    def with_planes(self, images: torch.Tensor, labels: np.ndarray | None) -> torch.Tensor:
        """The labels as constant channels after those of the images (N, H, W, C)."""
        if labels is None:
            return images
        return torch.cat([images, self.one_hot(labels)[:, None, None].expand(*images.shape[:3], -1)], -1)

    def with_classes(self, z: torch.Tensor, labels: np.ndarray | None) -> torch.Tensor:
        """The labels after the code z (N, latent_dim)."""
        return z if labels is None else torch.cat([z, self.one_hot(labels)], -1)


def blobs(n: int, seed: int) -> np.ndarray:
    """(n, 28, 28, 1) uint8: bright discs on black, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:28, :28]
    centre, radius = rng.uniform(8, 20, (2, n, 1, 1)), rng.uniform(3, 8, (n, 1, 1))
    edge = radius - np.hypot(rows - centre[0], columns - centre[1])
    return np.uint8(255 * np.clip(edge / 2 + 0.5, 0, 1))[..., None]
