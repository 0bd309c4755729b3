"""The PyTorch twin of a network, a VAE or a GAN: the same architecture from the same initial weights, written as
PyTorch users do, with fused optimizers where PyTorch has them; in float32, or under autocast where the model is of
precision "bf16". It comes in three forms:

- "exact": computes what the library does. Images are (N, C, H, W) in channels-last memory, so that Flatten and Reshape
  keep the library's order of values; TensorFlow's "same" padding is kept where it is not symmetric, by adding zeros or
  cutting off outputs.
- "nhwc", "nchw": what PyTorch is fastest in, with images in channels-last or in its default memory. A lopsided padding
  becomes the symmetric one of the same output size; in "nchw" Flatten and Reshape keep PyTorch's order of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

Losses = dict[str, float]
Form = Literal["exact", "nhwc", "nchw"]


# ---- Layers ----


class Flatten(nn.Module):
    """In the order rows, columns, channels; which costs nothing where the memory has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


class Reshape(nn.Module):
    """To (H, W, C), as (C, H, W), or another shape; of an image in the order rows, columns, channels."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(-1, *self.shape)
        return y.permute(0, 3, 1, 2) if y.ndim == 4 else y


class Recurrent(nn.Module):
    """An LSTM of one bias, as the library has it: PyTorch's second one stays at zero and is not trained."""

    def __init__(self, layer: L.LSTM, features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, layer.units, batch_first=True)
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()
        self.return_sequences = layer.return_sequences

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = self.lstm(x)[0]
        return steps if self.return_sequences else steps[:, -1]


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


def padding_of(layer: L.Conv2D, shape: tuple[int, ...], out: tuple[int, ...], form: Form) -> tuple[int, int] | None:
    """The symmetric padding, of the form's own where the layer's is lopsided; None: there is none of this size."""
    before, after = zip(*paddings(layer, shape[:2]), strict=True)
    if before == after:
        return before
    sizes = zip(shape, out, after, layer.kernel_size, layer.strides, strict=False)
    fits = all((size + 2 * p - k) // s + 1 == wanted for size, wanted, p, k, s in sizes)
    return after if form != "exact" and fits else None


def convolution(layer: L.Conv2D, shape: tuple[int, ...], out: tuple[int, ...], form: Form) -> list[nn.Module]:
    padding = padding_of(layer, shape, out, form)
    conv = nn.Conv2d(shape[2], layer.filters, layer.kernel_size, layer.strides, padding or 0, bias=layer.use_bias)
    if padding:
        return [conv]
    rows, columns = paddings(layer, shape[:2])
    return [nn.ZeroPad2d((*columns, *rows)), conv]


def transposed_convolution(
    layer: L.Conv2DTranspose, shape: tuple[int, ...], out: tuple[int, ...], form: Form
) -> list[nn.Module]:
    before, after = zip(*paddings(layer, out[:2]), strict=True)
    padding = before if form == "exact" else after
    plain = [
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(shape[:2], layer.strides, padding, layer.kernel_size, strict=True)
    ]
    extra = tuple(max(wanted - size, 0) for wanted, size in zip(out[:2], plain, strict=True))
    conv = nn.ConvTranspose2d(
        shape[2], layer.filters, layer.kernel_size, layer.strides, padding, extra, bias=layer.use_bias
    )
    return [conv, Crop(out[:2])] if any(size > wanted for wanted, size in zip(out[:2], plain, strict=True)) else [conv]


def reshaped(shape: tuple[int, ...], form: Form) -> nn.Module:
    if form != "nchw":
        return Reshape(shape)
    return (
        nn.Unflatten(1, (shape[2], *shape[:2]))
        if len(shape) == 3
        else nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape))
    )


def modules_of(layer: L.Layer, shape: tuple[int, ...], out: tuple[int, ...], form: Form) -> list[nn.Module]:
    """For a layer with inputs and outputs of these shapes (H, W, C), what does its work."""
    match layer:
        case L.Dense():
            return [nn.Linear(shape[0], layer.units, bias=layer.use_bias)]
        case L.Conv2D():
            return convolution(layer, shape, out, form)
        case L.Conv2DTranspose():
            return transposed_convolution(layer, shape, out, form)
        case L.BatchNorm():
            kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            return [kind(shape[-1], eps=layer.epsilon, momentum=layer.momentum)]
        case L.LSTM():
            return [Recurrent(layer, shape[1])]
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
            return [nn.Flatten() if form == "nchw" else Flatten()]
        case L.Reshape():
            return [reshaped(layer.shape, form)]
        case L.GlobalMaxPool2D():
            return [GlobalMaxPool()]
    raise TypeError(f"no twin of {layer!r}")


# ---- Networks ----

KERNEL_ORDER = {nn.Linear: (1, 0), nn.Conv2d: (3, 2, 0, 1), nn.ConvTranspose2d: (3, 2, 0, 1), Recurrent: (1, 0)}
TENSORS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}
LSTM_TENSORS = {"kernel": "lstm.weight_ih_l0", "recurrent_kernel": "lstm.weight_hh_l0", "bias": "lstm.bias_ih_l0"}


def take_weights(module: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Those of one layer, by the library's names."""
    names, state = LSTM_TENSORS if isinstance(module, Recurrent) else TENSORS, module.state_dict()
    with torch.no_grad():
        for name, value in weights.items():
            order = KERNEL_ORDER[type(module)] if name.endswith("kernel") else range(value.ndim)
            state[names.get(name, name)].copy_(torch.from_numpy(value.transpose(*order).copy()))


class Autocast(nn.Sequential):
    """Modules under autocast to bfloat16, from float32 to float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


def twin_of(network: gm.Network, form: Form = "exact") -> nn.Sequential:
    """The twin of a network, with its weights as they stand."""
    result, shape = [], network.input_shape
    for index, (layer, (_, out, *_)) in enumerate(zip(network.layers, network._core.layers(), strict=True)):
        modules = modules_of(layer, shape, out, form)
        weights = {name: value for name, value in network.weights.items() if name.startswith(f"{index}.")}
        holder = next((module for module in modules if any(True for _ in module.parameters())), None)
        if holder is not None:
            take_weights(holder, {name.split(".")[1]: value for name, value in weights.items()})
        result += modules
        shape = out
    memory = torch.contiguous_format if form == "nchw" else torch.channels_last
    kind = Autocast if network.precision == "bf16" else nn.Sequential
    return kind(*result).to(memory_format=memory)


def optimizer_of(description: optimizers.Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    parameters, rate = [parameter for parameter in parameters if parameter.requires_grad], description.learning_rate
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


# ---- Models ----


class TorchModel:
    """What the twins of both families share. Random numbers are PyTorch's, of `seed`.

    Labels go in as one-hot rows (N, num_classes); None for a model without.
    """

    def __init__(self, model: gm.VAE | gm.GAN, seed: int, form: Form = "exact") -> None:
        torch.manual_seed(seed)
        self.form = form
        self.num_classes, self.latent_dim = model.num_classes, model.latent_dim
        self.networks = {name: twin_of(network, form) for name, network in model.networks.items()}
        self.draws = "decoder" if isinstance(model, gm.VAE) else "generator"
        self.signed = isinstance(model.networks[self.draws].layers[-1], L.Tanh)

    @property
    def parameter_count(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for net in self.networks.values() for p in net.parameters() if p.requires_grad)

    def batch(self, x: np.ndarray, labels: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """x (N, H, W, C) uint8 -> (N, C, H, W) in the model's range, in the form's memory; and labels (N,), one-hot."""
        unit = self.in_memory(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255)
        one_hot = None if labels is None else F.one_hot(torch.from_numpy(labels), self.num_classes).float()
        return (2 * unit - 1 if self.signed else unit), one_hot

    def in_memory(self, images: torch.Tensor) -> torch.Tensor:
        memory = torch.contiguous_format if self.form == "nchw" else torch.channels_last
        return images.contiguous(memory_format=memory)

    def with_planes(self, images: torch.Tensor, one_hot: torch.Tensor | None) -> torch.Tensor:
        """The labels as constant channels after those of the images."""
        if one_hot is not None:
            images = torch.cat([images, one_hot[:, :, None, None].expand(-1, -1, *images.shape[2:])], 1)
        return self.in_memory(images)

    def codes(self, n: int, one_hot: torch.Tensor | None) -> torch.Tensor:
        """Fresh noise, and the labels behind it."""
        z = torch.randn(n, self.latent_dim)
        return z if one_hot is None else torch.cat([z, one_hot], 1)

    def sample(self, n: int, one_hot: torch.Tensor | None = None) -> np.ndarray:
        """(N, H, W, C) float32 in [0, 1], by the moving statistics."""
        network = self.networks[self.draws].eval()
        with torch.no_grad():
            images = network(self.codes(n, one_hot))
            images = (images + 1) / 2 if self.signed else images
        network.train()
        return images.permute(0, 2, 3, 1).contiguous().numpy()


class TorchVAE(TorchModel):
    """The twin of a VAE, from its weights as they stand."""

    def __init__(self, vae: gm.VAE, seed: int, form: Form = "exact") -> None:
        super().__init__(vae, seed, form)
        self.vae = vae
        decoder = self.networks["decoder"]
        self.before_loss = decoder[:-1] if vae.reconstruction == "bce" else decoder
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        self.optimizer = optimizer_of(vae.optimizer, parameters)
        self.flatten = nn.Flatten() if form == "nchw" else Flatten()

    def losses(self, x: torch.Tensor, one_hot: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction and KL, nats an image."""
        features = self.flatten(self.networks["encoder"](self.with_planes(x, one_hot)))
        mean, logvar = self.networks["head"](features).chunk(2, 1)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        made = self.before_loss(z if one_hot is None else torch.cat([z, one_hot], 1))
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum() / len(x)
        return self.reconstruction(made, x), kl

    def reconstruction(self, made: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        loss = F.binary_cross_entropy_with_logits if self.vae.reconstruction == "bce" else F.mse_loss
        share = len(x) if self.vae.reduction == "sum" else x.numel()
        return loss(made, x, reduction="sum") / share

    def iterate(self, x: torch.Tensor, one_hot: torch.Tensor | None) -> Losses:
        """One step on a batch that `batch` made."""
        reconstruction, kl = self.losses(x, one_hot)
        loss = reconstruction + self.vae.beta * kl
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {
            "loss": float(loss.detach()),
            "reconstruction": float(reconstruction.detach()),
            "kl": float(kl.detach()),
        }


def cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


class TorchGAN(TorchModel):
    """The twin of a GAN, from its weights as they stand."""

    def __init__(self, gan: gm.GAN, seed: int, form: Form = "exact") -> None:
        if gan.ema:
            raise TypeError("no twin of a moving average of the weights")
        super().__init__(gan, seed, form)
        self.gan = gan
        self.generator, self.discriminator = self.networks["generator"], self.networks["discriminator"]
        self.judging = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.optimizer = {
            name: optimizer_of(gan.optimizers[name], network.parameters()) for name, network in self.networks.items()
        }

    # ---- Passes ----

    def judge(self, images: torch.Tensor, one_hot: torch.Tensor | None) -> torch.Tensor:
        """(N,)"""
        return self.discriminator(self.with_planes(images, one_hot)).flatten()

    def judge_both(self, real: torch.Tensor, fake: torch.Tensor, one_hot: torch.Tensor | None) -> list[torch.Tensor]:
        if not self.gan.mixed_batches:
            return [self.judge(real, one_hot), self.judge(fake, one_hot)]
        twice = None if one_hot is None else torch.cat([one_hot, one_hot])
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

    def penalty(self, real: torch.Tensor, fake: torch.Tensor, one_hot: torch.Tensor | None) -> torch.Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        outputs = self.judge(between, one_hot)
        (gradient,) = torch.autograd.grad(outputs.sum(), between, create_graph=True)
        return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square().mean()

    # ---- Steps ----

    def update(self, name: str, loss: torch.Tensor) -> float:
        self.optimizer[name].zero_grad()
        loss.backward()
        self.optimizer[name].step()
        return float(loss.detach())

    def train_discriminator(self, real: torch.Tensor, one_hot: torch.Tensor | None) -> float:
        with torch.no_grad():
            fake = self.generator(self.codes(len(real), one_hot))
        loss = self.loss_of_discriminator(*self.judge_both(real, fake, one_hot))
        if self.gan.objective == "wgan-gp":
            loss = loss + self.gan.gradient_penalty * self.penalty(real, fake, one_hot)
        value = self.update("discriminator", loss)
        if self.gan.clip_weights:
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-self.gan.clip_weights, self.gan.clip_weights)
        return value

    def train_generator(self, n: int, one_hot: torch.Tensor | None) -> float:
        for weight in self.judging:
            weight.requires_grad_(False)
        fake = self.generator(self.codes(n, one_hot))
        value = self.update("generator", self.loss_of_generator(self.judge(fake, one_hot)))
        for weight in self.judging:
            weight.requires_grad_(True)
        return value

    def train_step(self, batches: list[tuple[np.ndarray, np.ndarray | None]]) -> Losses:
        """A batch of images, and labels, for each of the discriminator's updates; then the generator's."""
        return self.iterate_over([self.batch(x, labels) for x, labels in batches])

    def iterate(self, x: torch.Tensor, one_hot: torch.Tensor | None) -> Losses:
        """A whole iteration, all of it on one batch that `batch` made."""
        return self.iterate_over([(x, one_hot)] * self.gan.critic_steps)

    def iterate_over(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> Losses:
        critic = [self.train_discriminator(x, one_hot) for x, one_hot in batches]
        x, one_hot = batches[-1]
        return {
            "discriminator_loss": sum(critic) / len(critic),
            "generator_loss": self.train_generator(len(x), one_hot),
        }


def twin(model: gm.VAE | gm.GAN, seed: int = 0, form: Form = "exact") -> TorchVAE | TorchGAN:
    """The twin of a model of either family."""
    return (TorchVAE if isinstance(model, gm.VAE) else TorchGAN)(model, seed, form)
