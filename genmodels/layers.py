"""The layers: immutable descriptions. `Network` gives them weights.

Shapes are without the batch axis; images are (H, W, C). Sizes, strides and paddings take an int or a pair (rows,
columns) and are stored as pairs. Objects compare by value, print as the call that makes them, and are checked when
made: TypeError for the wrong kind of value, ValueError for one out of bounds, OverflowError for a size beyond 2^40.

`padding` of the convolutions and pools is
- "valid": none;
- "same": TensorFlow's. Conv2D and pools: out = ceil(in / stride), an odd pixel of padding at the bottom and right.
  Conv2DTranspose: out = in * stride, the exact gradient of the same-padded convolution of that size;
- an int or pair p: symmetric, as in PyTorch.
Convolutions pad with zeros; padding never is a pool's largest value and does not count in its mean.

`kernel_initializer` is "glorot_uniform" (Glorot and Bengio 2010) or "he_normal" (He et al. 2015); biases start at 0,
those of an LSTM's forget gates at 1.

`spectral_norm=True` divides the kernel by an estimate of its largest singular value (Miyato, Kataoka, Koyama, Yoshida
2018): with W the kernel as (outputs, rest), each training forward takes one power step, v = unit(W'u), u = unit(W v),
and sigma = u.W v; the gradient holds u and v constant. The weight u (outputs,) is not trained. In inference it stays,
and the kernel is divided by |W'u|: half a power step more than with the v that torch.nn.utils.spectral_norm keeps from
training, and the same once the power iteration has converged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import _validate as check

__all__ = [
    "LSTM",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2D",
    "ReLU",
    "Reshape",
    "Sigmoid",
    "Tanh",
    "UpSampling2D",
    "from_dict",
]

Pair = tuple[int, int]
INITIALIZERS = ("glorot_uniform", "he_normal")
MAX_RANK = 4
"""Axes of a sample, at most."""


@dataclass(frozen=True)
class Layer:
    """Base class of the layers."""

    def to_dict(self) -> dict[str, Any]:
        """`{"kind": "Dense", "units": 10, ...}`: JSON values, for saving."""
        return {"kind": type(self).__name__, **asdict(self)}

    def _core_config(self) -> dict[str, Any]:
        """What the core reads; fields of other layers are left out."""
        return self.to_dict()

    def _set(self, name: str, value: Any) -> None:
        """Store a normalised field, while the frozen object is being made."""
        object.__setattr__(self, name, value)

    def _name(self, field: str) -> str:
        return f"{type(self).__name__}: {field}"

    def _set_size(self, name: str) -> None:
        self._set(name, check.integer(getattr(self, name), self._name(name), 1))

    def _set_pair(self, name: str, low: int) -> None:
        self._set(name, check.pair(getattr(self, name), self._name(name), low))

    def _set_number(self, name: str, low: float, high: float, *, open_high: bool = False) -> None:
        self._set(name, check.number(getattr(self, name), self._name(name), low, high, open_high=open_high))


class _Weighted(Layer):
    """What all layers with a kernel share. The dataclasses themselves list the fields, in their own order."""

    use_bias: bool
    kernel_initializer: str
    spectral_norm: bool

    def _check_weights(self) -> None:
        self._set("use_bias", check.flag(self.use_bias, self._name("use_bias")))
        self._set("spectral_norm", check.flag(self.spectral_norm, self._name("spectral_norm")))
        check.choice(self.kernel_initializer, self._name("kernel_initializer"), INITIALIZERS)


@dataclass(frozen=True)
class Dense(_Weighted):
    """Every output a weighted sum of all inputs: (in,) -> (units,).

    Weights: kernel (in, units), bias (units,). units >= 1; kernel_initializer and spectral_norm: see
    `genmodels.layers`.
    """

    units: int
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        self._set_size("units")
        self._check_weights()


class _Padded(Layer):
    """What all layers with `padding` share."""

    padding: str | int | Pair

    def _set_padding(self) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                message = f"is {self.padding!r}, must be 'same', 'valid', an int or a pair"
                raise ValueError(f"{self._name('padding')} {message}")
        else:
            self._set_pair("padding", 0)

    def _core_config(self) -> dict[str, Any]:
        config = self.to_dict()
        if not isinstance(self.padding, str):
            config.update(padding="explicit", pad=self.padding)
        return config


class _Convolution(_Weighted, _Padded):
    """What the two convolutions share."""

    filters: int
    kernel_size: int | Pair
    strides: int | Pair

    def _set_geometry(self) -> None:
        self._set_size("filters")
        self._set_pair("kernel_size", 1)
        self._set_pair("strides", 1)
        self._set_padding()
        self._check_weights()


@dataclass(frozen=True)
class Conv2D(_Convolution):
    """2-D convolution (cross-correlation): (H, W, in) -> (P, Q, filters).

    P = floor((H + 2p - k) / stride) + 1 for padding p ("valid": 0), ceil(H / stride) for "same".
    Weights: kernel (kh, kw, in, filters), bias (filters,). filters >= 1; a network takes kernel_size and strides of
    1 to 64 and padding of 0 to 2^20. padding, kernel_initializer and spectral_norm: see `genmodels.layers`.
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: str | int | Pair = "valid"
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        self._set_geometry()


@dataclass(frozen=True)
class Conv2DTranspose(_Convolution):
    """Transposed 2-D convolution, a convolution's gradient: (P, Q, in) -> (H, W, filters).

    H = (P - 1) * stride + k - 2p + output_padding for padding p ("valid": 0), P * stride for "same".
    Weights: kernel (kh, kw, filters, in), bias (filters,). filters >= 1; a network takes kernel_size and strides of
    1 to 64 and padding of 0 to 2^20; 0 <= output_padding < stride, other than 0 only with a padding given as a number.
    padding, kernel_initializer and spectral_norm: see `genmodels.layers`.
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: str | int | Pair = "valid"
    output_padding: int | Pair = 0
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        self._set_geometry()
        self._set_pair("output_padding", 0)
        self._check_output_padding()

    def _check_output_padding(self) -> None:
        extra, strides = self.output_padding, self.strides
        if any(e >= s for e, s in zip(extra, strides, strict=True)):  # type: ignore[arg-type]  # pairs by now
            raise ValueError(f"{self._name('output_padding')} is {extra}, must be below the strides {strides}")
        if isinstance(self.padding, str) and extra != (0, 0):
            raise ValueError(f"{self._name('output_padding')} is {extra}, must be 0 with padding={self.padding!r}")


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation (Ioffe and Szegedy 2015) over every axis but the last: (..., C) -> (..., C).

    Training: by the batch's mean and biased variance, and the moving statistics take `momentum` of the batch's
    (unbiased) ones. Inference: by the moving statistics.
    Weights: gamma, beta (C,), moving_mean, moving_var (C,), the last two not trained. momentum in [0, 1],
    epsilon in [1e-12, 1].
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._set_number("momentum", 0.0, 1.0)
        self._set_number("epsilon", 1e-12, 1.0)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation (Ba, Kiros and Hinton 2016) over the last axis: (..., C) -> (..., C).

    Training and inference alike: by the mean and biased variance of the C values, each sample and place on its own.
    Weights: gamma, beta (C,). epsilon in [1e-12, 1].
    """

    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._set_number("epsilon", 1e-12, 1.0)


@dataclass(frozen=True)
class LSTM(Layer):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) over steps of features, from a state of zeros:
    (T, in) -> (T, units), or with return_sequences=False (units,), the last step's output.

    c = f * c + i * tanh(z_c), h = o * tanh(c); i, f, o the sigmoids of z_i, z_f, z_o; z = x kernel + h recurrent_kernel
    + bias. Weights: kernel (in, 4 * units), Glorot uniform; recurrent_kernel (units, 4 * units), orthogonal (Saxe et
    al. 2014); bias (4 * units,), 1 for f and 0 for the others; each holds i, f, c, o side by side. units >= 1.
    """

    units: int
    return_sequences: bool = True

    def __post_init__(self) -> None:
        self._set_size("units")
        self._set("return_sequences", check.flag(self.return_sequences, self._name("return_sequences")))


class _Pool(_Padded):
    """What the two pools share."""

    pool_size: int | Pair
    strides: int | Pair | None

    def _set_geometry(self) -> None:
        self._set_pair("pool_size", 1)
        if self.strides is not None:
            self._set_pair("strides", 1)
        self._set_padding()
        if not isinstance(self.padding, str):
            self._check_padding()

    def _check_padding(self) -> None:
        """So that no window lies on padding alone."""
        padding, half = check.pair(self.padding, "", 0), [size // 2 for size in check.pair(self.pool_size, "", 1)]
        if padding[0] > half[0] or padding[1] > half[1]:
            message = f"is {padding}, must be at most half of pool_size {self.pool_size}"
            raise ValueError(f"{self._name('padding')} {message}")

    def _core_config(self) -> dict[str, Any]:
        config = super()._core_config()
        size = config.pop("pool_size")
        return {**config, "kernel_size": size, "strides": size if self.strides is None else self.strides}


@dataclass(frozen=True)
class MaxPool2D(_Pool):
    """The largest value of each window: (H, W, C) -> (P, Q, C).

    P = floor((H + 2p - k) / stride) + 1 for padding p ("valid": 0), ceil(H / stride) for "same". The gradient goes to
    the first of equals. strides None: pool_size, windows side by side. Padding given as a number is at most half of
    pool_size; a network takes pool_size and strides of 1 to 2^20.
    """

    pool_size: int | Pair = 2
    strides: int | Pair | None = None
    padding: str | int | Pair = "valid"

    def __post_init__(self) -> None:
        self._set_geometry()


@dataclass(frozen=True)
class AvgPool2D(_Pool):
    """The mean of each window, padding left out: (H, W, C) -> (P, Q, C). Sizes and bounds as of MaxPool2D."""

    pool_size: int | Pair = 2
    strides: int | Pair | None = None
    padding: str | int | Pair = "valid"

    def __post_init__(self) -> None:
        self._set_geometry()


@dataclass(frozen=True)
class GlobalMaxPool2D(Layer):
    """The largest value of each channel: (H, W, C) -> (C,)."""


@dataclass(frozen=True)
class GlobalAvgPool2D(Layer):
    """The mean of each channel: (H, W, C) -> (C,)."""


@dataclass(frozen=True)
class UpSampling2D(Layer):
    """Nearest neighbour, every pixel a rectangle of `size` equal ones: (H, W, C) -> (H * size, W * size, C)."""

    size: int | Pair = 2

    def __post_init__(self) -> None:
        self._set_pair("size", 1)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0)."""


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x for x >= 0, negative_slope * x below. negative_slope in [0, 1e6]."""

    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        self._set_number("negative_slope", 0.0, 1e6)


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent, into [-1, 1]."""


@dataclass(frozen=True)
class Sigmoid(Layer):
    """The logistic function 1 / (1 + exp(-x)), into [0, 1]."""


@dataclass(frozen=True)
class Dropout(Layer):
    """Training: every value is zeroed with probability `rate`, the others are divided by 1 - rate (inverted dropout,
    Srivastava et al. 2014). Inference: the identity. rate in [0, 1)."""

    rate: float

    def __post_init__(self) -> None:
        self._set_number("rate", 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class Flatten(Layer):
    """(H, W, C) -> (H * W * C,), in memory order."""


@dataclass(frozen=True)
class Reshape(Layer):
    """Any shape -> `shape`, of the same size, in memory order. 1 to 4 axes, each >= 1."""

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self._set("shape", check.shape(self.shape, self._name("shape"), range(1, MAX_RANK + 1)))


KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Dense,
        Conv2D,
        Conv2DTranspose,
        BatchNorm,
        LayerNorm,
        LSTM,
        MaxPool2D,
        AvgPool2D,
        GlobalMaxPool2D,
        GlobalAvgPool2D,
        UpSampling2D,
        ReLU,
        LeakyReLU,
        Tanh,
        Sigmoid,
        Dropout,
        Flatten,
        Reshape,
    )
}


def from_dict(values: Mapping[str, Any]) -> Layer:
    """The inverse of `Layer.to_dict`. ValueError for unknown kinds and for unknown or missing fields."""
    return check.from_dict(values, KINDS, "layer")
