"""The variational autoencoder's losses and training step in PyTorch, in float64."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from model_reference import ModelReference, torch_optimizer
from reference import Rounding, double

import genmodels as gm


class VAEReference(ModelReference):
    """A float64 copy of `vae` as it stands. `rounding`: what imitates float32's, or None."""

    def __init__(self, vae: gm.VAE, rounding: Rounding | None = None) -> None:
        super().__init__(vae, draws="decoder", rounding=rounding)
        self.vae = vae
        parameters = [tensor for net in self.networks.values() for tensor in net.trainable.values()]
        self.optimizer = torch_optimizer(vae.optimizer, parameters)

    # ---- The way through the networks ----

    def encode(self, x: np.ndarray, labels: np.ndarray | None, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.networks["encoder"].forward(self.with_planes(self.images(x), labels), training)
        head = self.networks["head"].forward(features, training)
        return head[:, : self.vae.latent_dim], head[:, self.vae.latent_dim :]

    def decode(
        self, z: torch.Tensor, labels: np.ndarray | None, training: bool = False, logits: bool = False
    ) -> torch.Tensor:
        """In the model's own range, or the logits."""
        return self.networks["decoder"].forward(self.with_classes(z, labels), training, logits)

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
