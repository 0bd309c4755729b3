"""The PyTorch twin of a network or a GAN: the same architecture from the same initial weights, written as PyTorch users
do, in float32, channels last and with fused optimizers where PyTorch has them.

Images are (N, C, H, W) in channels-last memory, so that Flatten and Reshape keep the library's order of values.
TensorFlow's "same" padding is kept exactly: where it is not symmetric, zeros are added or outputs cut off.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

Losses = dict[str, float]


# ---- Layers ----


class Flatten(nn.Module):
    """In the order rows, columns, channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


class Reshape(nn.Module):
    """To (H, W, C) or a flat shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(-1, *self.shape)
        return y.permute(0, 3, 1, 2) if y.ndim == 4 else y


class GlobalMaxPool(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_max_pool2d(x, 1).flatten(1)


class Crop(nn.Module):
    """The first rows and columns, of this size (H, W)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, : self.size[0], : self.size[1]]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind of a "same" convolution of an image of this size."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def paddings(layer: L.Conv2D | L.Conv2DTranspose, sizes: Iterable[int]) -> list[tuple[int, int]]:
    """Zeros before and behind, rows then columns, for the image of these sizes."""
    if layer.padding == "same":
        return list(map(same_padding, sizes, layer.kernel_size, layer.strides))
    return [(p, p) for p in ((0, 0) if layer.padding == "valid" else layer.padding)]


def convolution(layer: L.Conv2D, shape: tuple[int, ...]) -> list[nn.Module]:
    rows, columns = paddings(layer, shape[:2])
    symmetric = rows[0] == rows[1] and columns[0] == columns[1]
    padding = (rows[0], columns[0]) if symmetric else 0
    conv = nn.Conv2d(shape[2], layer.filters, layer.kernel_size, layer.strides, padding, bias=layer.use_bias)
    return [conv] if symmetric else [nn.ZeroPad2d((*columns, *rows)), conv]


def transposed_convolution(layer: L.Conv2DTranspose, shape: tuple[int, ...], out: tuple[int, ...]) -> list[nn.Module]:
    padding = tuple(before for before, _ in paddings(layer, out[:2]))
    plain = [
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(shape[:2], layer.strides, padding, layer.kernel_size, strict=True)
    ]
    extra = tuple(max(wanted - size, 0) for wanted, size in zip(out[:2], plain, strict=True))
    conv = nn.ConvTranspose2d(
        shape[2], layer.filters, layer.kernel_size, layer.strides, padding, extra, bias=layer.use_bias
    )
    return [conv, Crop(out[:2])] if any(size > wanted for wanted, size in zip(out[:2], plain, strict=True)) else [conv]


def modules_of(layer: L.Layer, shape: tuple[int, ...], out: tuple[int, ...]) -> list[nn.Module]:
    """For a layer with inputs and outputs of these shapes (H, W, C), what does its work."""
    match layer:
        case L.Dense():
            return [nn.Linear(shape[0], layer.units, bias=layer.use_bias)]
        case L.Conv2D():
            return convolution(layer, shape)
        case L.Conv2DTranspose():
            return transposed_convolution(layer, shape, out)
        case L.BatchNorm():
            kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            return [kind(shape[-1], eps=layer.epsilon, momentum=layer.momentum)]
        case L.ReLU():
            return [nn.ReLU()]
        case L.LeakyReLU():
            return [nn.LeakyReLU(layer.negative_slope)]
        case L.Tanh():
            return [nn.Tanh()]
        case L.Sigmoid():
            return [nn.Sigmoid()]
        case L.Dropout():
            return [nn.Dropout(layer.rate)]
        case L.Flatten():
            return [Flatten()]
        case L.Reshape():
            return [Reshape(layer.shape)]
        case L.GlobalMaxPool2D():
            return [GlobalMaxPool()]
    raise TypeError(f"no twin of {layer!r}")


# ---- Networks ----

KERNEL_ORDER = {nn.Linear: (1, 0), nn.Conv2d: (3, 2, 0, 1), nn.ConvTranspose2d: (3, 2, 0, 1)}
STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}


def take_weights(module: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Those of one layer, by the library's names."""
    with torch.no_grad():
        for name, value in weights.items():
            order = KERNEL_ORDER[type(module)] if name == "kernel" else range(value.ndim)
            tensor = getattr(module, {"kernel": "weight"}.get(name) or STATISTICS.get(name, name))
            tensor.copy_(torch.from_numpy(value.transpose(*order).copy()))


def twin_of(network: gm.Network) -> nn.Sequential:
    """The twin of a network, with its weights as they stand."""
    result, shape = [], network.input_shape
    for index, (layer, (_, out, _)) in enumerate(zip(network.layers, network._core.layers(), strict=True)):
        modules = modules_of(layer, shape, out)
        weights = {name: value for name, value in network.weights.items() if name.startswith(f"{index}.")}
        holder = next((module for module in modules if any(True for _ in module.parameters())), None)
        take_weights(holder, {name.split(".")[1]: value for name, value in weights.items()})
        result += modules
        shape = out
    return nn.Sequential(*result).to(memory_format=torch.channels_last)


def optimizer_of(description: optimizers.Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    parameters, rate = network.parameters(), description.learning_rate
    match description:
        case optimizers.Adam():
            betas = (description.beta1, description.beta2)
            return torch.optim.Adam(parameters, rate, betas, description.epsilon, fused=True)
        case optimizers.RMSprop():
            rho, epsilon, momentum = description.rho, description.epsilon, description.momentum
            return torch.optim.RMSprop(parameters, rate, rho, epsilon, momentum=momentum, foreach=True)
        case optimizers.SGD():
            return torch.optim.SGD(parameters, rate, description.momentum, fused=True)
    raise TypeError(f"no twin of {description!r}")


# ---- The GAN ----


def cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


class TorchGAN:
    """The twin of a GAN, from its weights as they stand. Its random numbers are PyTorch's, of `seed`."""

    def __init__(self, gan: gm.GAN, seed: int) -> None:
        torch.manual_seed(seed)
        self.gan = gan
        self.generator = twin_of(gan.networks["generator"])
        self.discriminator = twin_of(gan.networks["discriminator"])
        self.optimizer = {
            name: optimizer_of(gan.optimizers[name], getattr(self, name)) for name in ("generator", "discriminator")
        }
        self.signed = isinstance(gan.networks["generator"].layers[-1], L.Tanh)

    # ---- Passes ----

    def images(self, x: np.ndarray) -> torch.Tensor:
        """x (N, H, W, C) uint8 -> (N, C, H, W) in the generator's range."""
        unit = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
        return 2 * unit - 1 if self.signed else unit

    def one_hot(self, labels: np.ndarray) -> torch.Tensor:
        return F.one_hot(torch.from_numpy(labels), self.gan.num_classes).float()

    def draw(self, n: int, labels: np.ndarray | None) -> torch.Tensor:
        z = torch.randn(n, self.gan.latent_dim)
        return self.generator(z if labels is None else torch.cat([z, self.one_hot(labels)], 1))

    def judge(self, images: torch.Tensor, labels: np.ndarray | None) -> torch.Tensor:
        """(N,)"""
        if labels is not None:
            planes = self.one_hot(labels)[:, :, None, None].expand(-1, -1, *images.shape[2:])
            images = torch.cat([images, planes], 1)
        return self.discriminator(images.contiguous(memory_format=torch.channels_last)).flatten()

    def judge_both(self, real: torch.Tensor, fake: torch.Tensor, labels: np.ndarray | None) -> list[torch.Tensor]:
        if not self.gan.mixed_batches:
            return [self.judge(real, labels), self.judge(fake, labels)]
        twice = None if labels is None else np.concatenate([labels, labels])
        return list(self.judge(torch.cat([real, fake]), twice).chunk(2))

    # ---- Losses ----

    def loss_of_discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        target = 1 - self.gan.label_smoothing
        match self.gan.objective:
            case "bce":
                return cross_entropy(real, target) + cross_entropy(fake, 0)
            case "lsgan":
                return ((real - target).square().mean() + fake.square().mean()) / 2
            case "hinge":
                return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        return fake.mean() - real.mean()

    def loss_of_generator(self, fake: torch.Tensor) -> torch.Tensor:
        match self.gan.objective:
            case "bce":
                return cross_entropy(fake, 1)
            case "lsgan":
                return (fake - 1).square().mean()
        return -fake.mean()

    def penalty(self, real: torch.Tensor, fake: torch.Tensor, labels: np.ndarray | None) -> torch.Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        outputs = self.judge(between, labels)
        (gradient,) = torch.autograd.grad(outputs.sum(), between, create_graph=True)
        return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square().mean()

    # ---- Steps ----

    def update(self, name: str, loss: torch.Tensor) -> float:
        self.optimizer[name].zero_grad()
        loss.backward()
        self.optimizer[name].step()
        return float(loss.detach())

    def train_discriminator(self, x: np.ndarray, labels: np.ndarray | None) -> float:
        real = self.images(x)
        with torch.no_grad():
            fake = self.draw(len(x), labels)
        loss = self.loss_of_discriminator(*self.judge_both(real, fake, labels))
        if self.gan.objective == "wgan-gp":
            loss = loss + self.gan.gradient_penalty * self.penalty(real, fake, labels)
        value = self.update("discriminator", loss)
        if self.gan.clip_weights:
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-self.gan.clip_weights, self.gan.clip_weights)
        return value

    def train_generator(self, n: int, labels: np.ndarray | None) -> float:
        self.discriminator.requires_grad_(False)
        value = self.update("generator", self.loss_of_generator(self.judge(self.draw(n, labels), labels)))
        self.discriminator.requires_grad_(True)
        return value

    def train_step(self, batches: list[tuple[np.ndarray, np.ndarray | None]]) -> Losses:
        """A batch of images, and labels, for each of the discriminator's updates; then the generator's."""
        critic = [self.train_discriminator(x, labels) for x, labels in batches]
        x, labels = batches[-1]
        return {
            "discriminator_loss": sum(critic) / len(critic),
            "generator_loss": self.train_generator(len(x), labels),
        }
