"""The variational autoencoder's losses and training step in PyTorch, in float64."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from reference import Reference, double

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


class VAEReference:
    """A float64 copy of `vae` as it stands."""

    def __init__(self, vae: gm.VAE) -> None:
        self.vae = vae
        self.networks = {name: Reference(net.layers, net.weights) for name, net in vae.networks.items()}
        self.tanh = isinstance(vae.networks["decoder"].layers[-1], L.Tanh)
        parameters = [tensor for net in self.networks.values() for tensor in net.trainable.values()]
        self.optimizer = torch_optimizer(vae.optimizer, parameters)

    # ---- The way through the networks ----

    def one_hot(self, labels: np.ndarray) -> torch.Tensor:
        """(N, classes)"""
        return F.one_hot(torch.from_numpy(np.asarray(labels, np.int64)), self.vae.num_classes).double()

    def images(self, x: np.ndarray) -> torch.Tensor:
        """x (N, H, W, C) in the model's own range."""
        unit = double(x) / 255 if x.dtype == np.uint8 else double(x)
        return 2 * unit - 1 if self.tanh else unit

    def encode(self, x: np.ndarray, labels: np.ndarray | None, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.images(x)
        if labels is not None:
            planes = self.one_hot(labels)[:, None, None].expand(*images.shape[:3], -1)
            images = torch.cat([images, planes], -1)
        head = self.networks["head"].forward(self.networks["encoder"].forward(images, training), training)
        return head[:, : self.vae.latent_dim], head[:, self.vae.latent_dim :]

    def decode(
        self, z: torch.Tensor, labels: np.ndarray | None, training: bool = False, logits: bool = False
    ) -> torch.Tensor:
        """In the model's own range, or the logits."""
        code = z if labels is None else torch.cat([z, self.one_hot(labels)], -1)
        return self.networks["decoder"].forward(code, training, logits)

    # ---- Losses and steps ----

    def losses(
        self, x: np.ndarray, labels: np.ndarray | None, noise: np.ndarray, training: bool = True
    ) -> dict[str, torch.Tensor]:
        mean, logvar = self.encode(x, labels, training)
        z = mean + torch.exp(logvar / 2) * double(noise)
        bce = self.vae.reconstruction == "bce"
        output, target = self.decode(z, labels, training, logits=bce), self.images(x)
        pixels = (F.binary_cross_entropy_with_logits if bce else F.mse_loss)(output, target, reduction="none")
        by_image = pixels.flatten(1)
        reconstruction = (by_image.sum(1) if self.vae.reduction == "sum" else by_image.mean(1)).mean()
        kl = (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1)).mean()
        return {"loss": reconstruction + self.vae.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def train_step(self, x: np.ndarray, labels: np.ndarray | None, noise: np.ndarray) -> dict[str, float]:
        """The gradients stay in the weights, as ours do."""
        self.optimizer.zero_grad()
        losses = self.losses(x, labels, noise)
        losses["loss"].backward()
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}
