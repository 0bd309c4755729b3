"""The same networks in PyTorch, in float64: what ours are measured against.

Weights come in the library's layouts (Keras order) and are mapped here, as are TensorFlow's "same" paddings.
Arrays are NHWC, like ours; an operation that wants NCHW turns them round itself.

Two things would upset a fair comparison, for no float32 computation could do well there; the reference tells of both:
- kinks: where a value that decides between the two sides of a ReLU lies within rounding of 0, either side is right, and
  so is either of two values within rounding of each other that are the largest of a pool's window;
- cancellation: with `rounding` every value that passes between two layers, forwards and backwards, is changed by a
  random part of float32's epsilon, or of a few. How much a result moves by that is what any float32 code may be off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from genmodels import layers as L

Tensors = dict[str, torch.Tensor]
Padding = tuple[int, int]
FLOAT32_EPSILON = 2.0**-23
UNTRAINED = ("moving_mean", "moving_var", "u")


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """max |actual - expected| / max |expected|, over the whole tensor: what "relative" means in these tests."""
    assert actual.shape == tuple(expected.shape), (actual.shape, expected.shape)
    error, size = np.abs(np.float64(actual) - expected).max(), np.abs(expected).max()
    return float(error / size) if size else (0.0 if error == 0 else math.inf)


def double(array: np.ndarray) -> torch.Tensor:
    """A copy in float64."""
    return torch.from_numpy(np.array(array, dtype=np.float64))


def zero_gradient_biases(layers: Sequence[L.Layer]) -> set[str]:
    """Biases just before a batch norm: it takes the mean out again, so their true gradient is 0."""
    names = set()
    for index, layer in enumerate(layers):
        following = [other for other in layers[index + 1 :] if not isinstance(other, L.Dropout)]
        if getattr(layer, "use_bias", False) and following and isinstance(following[0], L.BatchNorm):
            names.add(f"{index}.bias")
    return names


# ---- Convolutions ----


def same_padding(size: int, kernel: int, stride: int) -> Padding:
    """Zeros before and behind of TensorFlow's "same" convolution: ceil(size / stride) outputs, the odd one behind."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def paddings(layer: L.Layer, sizes: Sequence[int]) -> tuple[Padding, Padding]:
    """Padding before and behind, rows then columns, of a convolution or pool of an image of these sizes."""
    if layer.padding == "same":
        window = layer.pool_size if isinstance(layer, (L.MaxPool2D, L.AvgPool2D)) else layer.kernel_size
        rows, columns = map(same_padding, sizes, window, layer.strides or window)
        return rows, columns
    rows, columns = (0, 0) if layer.padding == "valid" else layer.padding
    return (rows, rows), (columns, columns)


def convolve(layer: L.Conv2D, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x (N, H, W, in), kernel (kh, kw, in, out)."""
    rows, columns = paddings(layer, x.shape[1:3])
    padded = F.pad(x.permute(0, 3, 1, 2), (*columns, *rows))
    return F.conv2d(padded, kernel.permute(3, 2, 0, 1).contiguous(), bias, layer.strides).permute(0, 2, 3, 1)


def transposed_convolve(
    layer: L.Conv2DTranspose, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """x (N, P, Q, in), kernel (kh, kw, out, in)."""
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1).contiguous()
    if layer.padding != "same":
        padding = 0 if layer.padding == "valid" else layer.padding
        return F.conv_transpose2d(x, kernel, bias, layer.strides, padding, layer.output_padding).permute(0, 2, 3, 1)
    sizes = [size * stride for size, stride in zip(x.shape[2:], layer.strides, strict=True)]
    full = F.conv_transpose2d(x, kernel, None, layer.strides)
    cut = crop(full, sizes, [before for before, _ in paddings(layer, sizes)]).permute(0, 2, 3, 1)
    return cut if bias is None else cut + bias


def crop(full: torch.Tensor, sizes: Sequence[int], before: Sequence[int]) -> torch.Tensor:
    """`sizes` rows and columns of full (N, C, H, W) from `before` on, zeros where it ends too early."""
    missing = [max(start + size - have, 0) for size, start, have in zip(sizes, before, full.shape[2:], strict=True)]
    full = F.pad(full, (0, missing[1], 0, missing[0]))
    return full[:, :, before[0] : before[0] + sizes[0], before[1] : before[1] + sizes[1]]


# ---- Pools ----


def pool(layer: L.MaxPool2D | L.AvgPool2D, x: torch.Tensor) -> torch.Tensor:
    """x (N, H, W, C). Means are those of sums over windows and of the pixels in them."""
    rows, columns = paddings(layer, x.shape[1:3])
    strides = layer.strides or layer.pool_size

    def padded(image: torch.Tensor, value: float) -> torch.Tensor:
        return F.pad(image.permute(0, 3, 1, 2), (*columns, *rows), value=value)

    if isinstance(layer, L.MaxPool2D):
        return F.max_pool2d(padded(x, -math.inf), layer.pool_size, strides).permute(0, 2, 3, 1)
    sums, pixels = (F.avg_pool2d(padded(image, 0.0), layer.pool_size, strides) for image in (x, torch.ones_like(x)))
    return (sums / pixels).permute(0, 2, 3, 1)


def margin(layer: L.MaxPool2D, x: torch.Tensor) -> float:
    """The least distance of the two largest values of a window, equal ones apart, relative to the largest |x|."""
    rows, columns = paddings(layer, x.shape[1:3])
    padded = F.pad(x.detach().permute(0, 3, 1, 2), (*columns, *rows), value=-math.inf)
    for axis, (size, stride) in enumerate(zip(layer.pool_size, layer.strides or layer.pool_size, strict=True), 2):
        padded = padded.unfold(axis, size, stride)
    values = padded.flatten(4).sort(-1).values
    gaps = (values[..., 1:] - values[..., :-1])[..., -1:]
    gaps = gaps[(gaps > 0) & gaps.isfinite()]
    return float(gaps.min() / x.detach().abs().max()) if gaps.numel() else math.inf


# ---- LSTM ----


def lstm_steps(x: torch.Tensor, kernel: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x (N, T, in), kernels (in, 4u) and (u, 4u), gates i, f, g, o -> all outputs (N, T, u)."""
    h = c = x.new_zeros(len(x), len(recurrent))
    outputs = []
    for step in x.unbind(1):
        i, f, g, o = (step @ kernel + h @ recurrent + bias).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 1)


# ---- Networks ----


class Rounding:
    """Random errors of up to so many of float32's epsilons, drawn from a seed."""

    def __init__(self, seed: int, epsilons: float = 1.0) -> None:
        self.source = torch.Generator().manual_seed(seed)
        self.size = epsilons * FLOAT32_EPSILON

    def moved(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + self.size * (2 * torch.rand(x.shape, generator=self.source, dtype=x.dtype) - 1))


class Rounded(torch.autograd.Function):
    """x with errors; the gradient on its way back too, with its own."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor, rounding: Rounding) -> torch.Tensor:
        ctx.rounding = rounding
        return rounding.moved(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.rounding.moved(dy), None


class Reference:
    """A network of `layers` with a float64 copy of `weights`, the library's names and layouts.

    Attributes:
        weights: the trainable ones collect gradients; moving statistics and singular vectors move as ours do.
        kink_distance: the least |x| / max |x| met at the input of a ReLU or LeakyReLU, exact zeros apart, or the least
            `margin` of a pool.
        rounding: what imitates float32's, or None.
        rounds_output: whether that includes the network's output, and the gradient that comes in there.
    """

    def __init__(
        self,
        layers: Sequence[L.Layer],
        weights: Mapping[str, np.ndarray],
        rounding: Rounding | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self.weights: Tensors = {name: double(value) for name, value in weights.items()}
        for name, tensor in self.weights.items():
            tensor.requires_grad_(name.split(".")[-1] not in UNTRAINED)
        self.kink_distance = math.inf
        self.rounding = rounding
        self.rounds_output = True

    @property
    def trainable(self) -> Tensors:
        return {name: tensor for name, tensor in self.weights.items() if tensor.requires_grad}

    def gradients(self) -> dict[str, np.ndarray]:
        return {name: tensor.grad.numpy() for name, tensor in self.trainable.items()}

    def forward(self, x: torch.Tensor, training: bool = False, logits: bool = False) -> torch.Tensor:
        """With `logits` the last layer, an activation, is left out."""
        for index, layer in enumerate(self.layers[:-1] if logits else self.layers):
            x = APPLY[type(layer)](self, index, layer, self.rounded(x), training)
        return self.rounded(x) if self.rounds_output else x

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.rounding is None else Rounded.apply(x, self.rounding)

    def of(self, index: int, name: str) -> torch.Tensor | None:
        return self.weights.get(f"{index}.{name}")

    def watch_kink(self, x: torch.Tensor) -> None:
        size = x.detach().abs()
        if (nonzero := size[size > 0]).numel():
            self.kink_distance = min(self.kink_distance, float(nonzero.min() / size.max()))


def unit(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x, dim=0, eps=1e-12)


def spectral_kernel(net: Reference, index: int, layer: L.Layer, kernel: torch.Tensor, training: bool) -> torch.Tensor:
    """The kernel over its largest singular value, after one power step; inference takes none (and only needs v)."""
    axis = kernel.ndim - 2 if isinstance(layer, L.Conv2DTranspose) else kernel.ndim - 1
    matrix = kernel.movedim(axis, 0).flatten(1)
    u = net.weights[f"{index}.u"]
    with torch.no_grad():
        v = unit(matrix.T @ u)
        if training:
            u = net.weights[f"{index}.u"] = unit(matrix @ v)
    return kernel / (u @ matrix @ v)


def kernel_of(net: Reference, index: int, layer: L.Layer, training: bool) -> torch.Tensor:
    kernel = net.of(index, "kernel")
    return spectral_kernel(net, index, layer, kernel, training) if layer.spectral_norm else kernel


def dense(net: Reference, index: int, layer: L.Dense, x: torch.Tensor, training: bool) -> torch.Tensor:
    return F.linear(x, kernel_of(net, index, layer, training).T, net.of(index, "bias"))


def convolution(net: Reference, index: int, layer: L.Layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    apply = convolve if isinstance(layer, L.Conv2D) else transposed_convolve
    return apply(layer, x, kernel_of(net, index, layer, training), net.of(index, "bias"))


def batch_norm(net: Reference, index: int, layer: L.BatchNorm, x: torch.Tensor, training: bool) -> torch.Tensor:
    rows = x.reshape(-1, x.shape[-1])
    mean, var, gamma, beta = (net.of(index, name) for name in ("moving_mean", "moving_var", "gamma", "beta"))
    return F.batch_norm(rows, mean, var, gamma, beta, training, layer.momentum, layer.epsilon).reshape(x.shape)


def layer_norm(net: Reference, index: int, layer: L.LayerNorm, x: torch.Tensor, training: bool) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], net.of(index, "gamma"), net.of(index, "beta"), layer.epsilon)


def lstm(net: Reference, index: int, layer: L.LSTM, x: torch.Tensor, training: bool) -> torch.Tensor:
    y = lstm_steps(x, *(net.of(index, name) for name in ("kernel", "recurrent_kernel", "bias")))
    return y if layer.return_sequences else y[:, -1]


def pooling(net: Reference, index: int, layer: L.Layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    if isinstance(layer, L.MaxPool2D):
        net.kink_distance = min(net.kink_distance, margin(layer, x))
    return pool(layer, x)


def global_pooling(net: Reference, index: int, layer: L.Layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    kind = L.MaxPool2D if isinstance(layer, L.GlobalMaxPool2D) else L.AvgPool2D
    return pooling(net, index, kind(tuple(x.shape[1:3])), x, training).flatten(1)


def up_sampling(net: Reference, index: int, layer: L.UpSampling2D, x: torch.Tensor, training: bool) -> torch.Tensor:
    scale = tuple(map(float, layer.size))
    return F.interpolate(x.permute(0, 3, 1, 2), scale_factor=scale, mode="nearest").permute(0, 2, 3, 1)


def rectifier(net: Reference, index: int, layer: L.Layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    net.watch_kink(x)
    return F.leaky_relu(x, layer.negative_slope) if isinstance(layer, L.LeakyReLU) else F.relu(x)


def pointwise(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda net, index, layer, x, training: function(x)


def dropout(net: Reference, index: int, layer: L.Dropout, x: torch.Tensor, training: bool) -> torch.Tensor:
    assert not training or layer.rate == 0, "masks cannot be compared"
    return x


def reshape(net: Reference, index: int, layer: L.Layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    return x.reshape(len(x), *(layer.shape if isinstance(layer, L.Reshape) else (-1,)))


APPLY: dict[type[L.Layer], Callable[..., torch.Tensor]] = {
    L.Dense: dense,
    L.Conv2D: convolution,
    L.Conv2DTranspose: convolution,
    L.BatchNorm: batch_norm,
    L.LayerNorm: layer_norm,
    L.LSTM: lstm,
    L.MaxPool2D: pooling,
    L.AvgPool2D: pooling,
    L.GlobalMaxPool2D: global_pooling,
    L.GlobalAvgPool2D: global_pooling,
    L.UpSampling2D: up_sampling,
    L.ReLU: rectifier,
    L.LeakyReLU: rectifier,
    L.Tanh: pointwise(torch.tanh),
    L.Sigmoid: pointwise(torch.sigmoid),
    L.Dropout: dropout,
    L.Flatten: reshape,
    L.Reshape: reshape,
}
