"""The generative adversarial network's losses and training step in PyTorch, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from model_reference import ModelReference, torch_optimizer
from reference import Reference, Rounding, double

import genmodels as gm
from genmodels import layers as L

Array = np.ndarray
WASSERSTEIN = ("wgan", "wgan-gp")
LINEAR = (L.Dense, L.Conv2D, L.Conv2DTranspose, L.AvgPool2D, L.GlobalAvgPool2D, L.UpSampling2D, L.Flatten, L.Reshape)


def cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def loss_of_discriminator(
    objective: str, real: torch.Tensor, fake: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Of its outputs (N,) on real and on generated images, without a penalty."""
    target = 1 - label_smoothing
    match objective:
        case "bce":
            return cross_entropy(real, target) + cross_entropy(fake, 0)
        case "lsgan":
            return ((real - target).square().mean() + fake.square().mean()) / 2
        case "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return fake.mean() - real.mean()


def loss_of_generator(objective: str, fake: torch.Tensor) -> torch.Tensor:
    match objective:
        case "bce":
            return cross_entropy(fake, 1)
        case "lsgan":
            return (fake - 1).square().mean()
    return -fake.mean()


def indifferent_biases(layers: Sequence[L.Layer]) -> set[str]:
    """Behind the last layer that is not linear a bias moves all outputs alike: to a Wasserstein loss it is nothing."""
    names = set()
    for index in reversed(range(len(layers))):
        if not isinstance(layers[index], LINEAR):
            break
        if getattr(layers[index], "use_bias", False):
            names.add(f"{index}.bias")
    return names


def norms(gradient: torch.Tensor) -> torch.Tensor:
    """Of whole samples (N,). At 0 the norm's own gradient is 0, as PyTorch has it."""
    return torch.linalg.vector_norm(gradient.flatten(1), dim=1)


def part(array: Array | None, k: int, axes: int) -> Array | None:
    """What serves update k: `array` itself, of so many axes, or its part k where each update has its own."""
    return array if array is None or array.ndim == axes else array[k]


class GANReference(ModelReference):
    """A float64 copy of `gan` as it stands; new optimizers.

    Attributes:
        average: the moving average of the generator, which begins where the generator stands.
    """

    def __init__(self, gan: gm.GAN, rounding: Rounding | None = None) -> None:
        super().__init__(gan, draws="generator", rounding=rounding)
        self.gan = gan
        self.generator, self.discriminator = self.networks["generator"], self.networks["discriminator"]
        # What comes in there are shares of a batch; those of a Wasserstein loss add up to 0, and must go on to.
        self.discriminator.rounds_output = False
        self.average = Reference(self.generator.layers, gan.networks["generator"].weights)
        self.optimizers = {
            name: torch_optimizer(optimizer, list(self.networks[name].trainable.values()))
            for name, optimizer in gan.optimizers.items()
        }

    # ---- The way through the networks ----

    def generate(self, z: torch.Tensor, labels: Array | None, training: bool) -> torch.Tensor:
        """Images (N, H, W, C) in the model's own range, by the generator itself."""
        return self.generator.forward(self.with_classes(z, labels), training)

    def sample(self, z: torch.Tensor, labels: Array | None) -> torch.Tensor:
        """Images (N, H, W, C) in [0, 1], by the average where there is one."""
        generator = self.average if self.gan.ema else self.generator
        images = generator.forward(self.with_classes(z, labels))
        return (images + 1) / 2 if self.tanh else images

    def judge(self, images: torch.Tensor, labels: Array | None, training: bool) -> torch.Tensor:
        """(N,) for images in the model's own range."""
        return self.discriminator.forward(self.with_planes(images, labels), training).flatten()

    def judge_both(
        self, real: torch.Tensor, fake: torch.Tensor, labels: Array | None, training: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """In two passes, or in one of all images together."""
        if not (self.gan.mixed_batches and training):
            return self.judge(real, labels, training), self.judge(fake, labels, training)
        twice = None if labels is None else np.concatenate([labels, labels])
        outputs = self.judge(torch.cat([real, fake]), twice, training)
        return outputs[: len(real)], outputs[len(real) :]

    # ---- Losses ----

    def penalty(
        self, real: torch.Tensor, fake: torch.Tensor, labels: Array | None, mix: Array, training: bool = True
    ) -> torch.Tensor:
        """By double backward: its own gradient reaches the weights."""
        share = double(mix)[:, None, None, None]
        between = (share * real + (1 - share) * fake).requires_grad_()
        outputs = self.judge(between, labels, training)
        (gradient,) = torch.autograd.grad(outputs.sum(), between, create_graph=True)
        return (norms(gradient) - 1).square().mean()

    def losses_of_discriminator(
        self, x: Array, labels: Array | None, noise: Array, mix: Array | None, training: bool = True
    ) -> dict[str, torch.Tensor]:
        gan, real = self.gan, self.images(x)
        fake = self.generate(double(noise), labels, training).detach()
        on_real, on_fake = self.judge_both(real, fake, labels, training)
        loss = loss_of_discriminator(gan.objective, on_real, on_fake, gan.label_smoothing)
        losses = {"discriminator_loss": loss}
        if gan.objective == "wgan-gp" and mix is not None:
            losses["gradient_penalty"] = self.penalty(real, fake, labels, mix, training)
            losses["discriminator_loss"] = loss + gan.gradient_penalty * losses["gradient_penalty"]
        if gan.objective in WASSERSTEIN:
            losses["wasserstein"] = on_real.mean() - on_fake.mean()
        return losses

    def losses_of_generator(self, labels: Array | None, noise: Array, training: bool = True) -> dict[str, torch.Tensor]:
        fake = self.generate(double(noise), labels, training)
        outputs = self.judge(fake, labels, training)
        return {"generator_loss": loss_of_generator(self.gan.objective, outputs)}

    # ---- Steps ----

    def update(self, name: str, loss: torch.Tensor) -> None:
        """Of one network alone: no gradient is left in the other. The gradients stay in the weights, as ours do."""
        weights = list(self.networks[name].trainable.values())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        self.optimizers[name].step()

    def clip(self) -> None:
        if self.gan.clip_weights:
            with torch.no_grad():
                for weight in self.discriminator.trainable.values():
                    weight.clamp_(-self.gan.clip_weights, self.gan.clip_weights)

    def follow(self) -> None:
        """The average takes a step towards the generator's trained weights, and copies the others."""
        with torch.no_grad():
            for name, weight in self.generator.weights.items():
                decay = self.gan.ema if weight.requires_grad else 0.0
                self.average.weights[name] = decay * self.average.weights[name] + (1 - decay) * weight

    def train_step(self, x: Array, labels: Array | None, noise: Array, mix: Array | None = None) -> dict[str, float]:
        """All of them for every update, or with one axis more in front, for each its own."""
        steps, sums = self.gan.critic_steps, {}
        for k in range(steps):
            own = part(x, k, 4), part(labels, k, 1), part(noise, k, 2), part(mix, k, 1)
            losses = self.losses_of_discriminator(*own)
            self.update("discriminator", losses["discriminator_loss"])
            self.clip()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        losses = self.losses_of_generator(part(labels, steps - 1, 1), part(noise, steps, 2))
        self.update("generator", losses["generator_loss"])
        self.follow()
        means = {name: value / steps for name, value in sums.items()}
        return means | {"generator_loss": float(losses["generator_loss"].detach())}

    def take_over(self) -> None:
        """The weights that the model has come to by a step of its own."""
        with torch.no_grad():
            for name, net in self.networks.items():
                for key, value in self.gan.networks[name].weights.items():
                    net.weights[key].copy_(double(value))
        self.follow()

    # ---- Held-out images ----

    def evaluate(self, x: Array, labels: Array | None, noise: Array) -> dict[str, float]:
        losses = self.losses_of_discriminator(x, labels, noise, None, training=False)
        losses |= self.losses_of_generator(labels, noise, training=False)
        return {name: float(value) for name, value in losses.items()}
