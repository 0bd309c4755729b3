"""Small random networks, drawn by hypothesis: every kind of layer, in orders that fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from genmodels import layers as L

Draw = Callable[[st.SearchStrategy], object]

MAX_CHANNELS, MAX_KERNEL, MAX_STRIDE, MAX_BATCH = 40, 7, 3, 33
MAX_POOL, MAX_UP = 5, 3
MAX_SIZE = 13  # rows and columns of the input
MAX_VALUES = 60_000  # of one layer's output, whole batch
LEAST_NORM_VALUES = 16  # a channel or row: statistics of fewer are badly conditioned
LAYERS = 5  # with weights, at most


@dataclass
class Sketch:
    """A network in the making: its layers and the shape they have led to."""

    input_shape: tuple[int, ...]
    batch: int
    layers: list[L.Layer] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.shape = self.input_shape

    def add(self, layer: L.Layer, shape: tuple[int, ...] | None = None) -> None:
        self.layers.append(layer)
        self.shape = self.shape if shape is None else shape

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an output of this shape is neither empty nor too large for a quick test."""
        return min(shape) >= 1 and self.batch * math.prod(shape) <= MAX_VALUES


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def paddings() -> st.SearchStrategy[str | tuple[int, int]]:
    return st.one_of(st.just("same"), st.just("valid"), pairs(0, 3))


def explicit(padding: str | tuple[int, int]) -> tuple[int, int]:
    return (0, 0) if isinstance(padding, str) else padding


def filters() -> st.SearchStrategy[int]:
    """Any number, with the ends and a whole vector more often."""
    return st.one_of(st.integers(1, MAX_CHANNELS), st.sampled_from([1, 16, 32, MAX_CHANNELS]))


# ---- One layer each: draws its settings and adds it where the result fits ----


def add_conv(draw: Draw, sketch: Sketch) -> None:
    kernel, strides, padding = draw(pairs(1, MAX_KERNEL)), draw(pairs(1, MAX_STRIDE)), draw(paddings())
    layer = L.Conv2D(draw(filters()), kernel, strides, padding, draw(st.booleans()))
    geometry = list(zip(sketch.shape[:2], kernel, strides, explicit(padding), strict=True))
    if padding == "same":
        sizes = [-(-size // s) for size, _, s, _ in geometry]
    else:
        sizes = [(size + 2 * p - k) // s + 1 for size, k, s, p in geometry]
    shape = (*sizes, layer.filters)
    if sketch.fits(shape):
        sketch.add(layer, shape)


def add_conv_transpose(draw: Draw, sketch: Sketch) -> None:
    kernel, strides, padding = draw(pairs(1, MAX_KERNEL)), draw(pairs(1, MAX_STRIDE)), draw(paddings())
    extra = (0, 0) if isinstance(padding, str) else tuple(draw(st.integers(0, s - 1)) for s in strides)
    layer = L.Conv2DTranspose(draw(filters()), kernel, strides, padding, extra, draw(st.booleans()))
    geometry = list(zip(sketch.shape[:2], kernel, strides, explicit(padding), extra, strict=True))
    if padding == "same":
        sizes = [size * s for size, _, s, _, _ in geometry]
    else:
        sizes = [(size - 1) * s + k - 2 * p + e for size, k, s, p, e in geometry]
    shape = (*sizes, layer.filters)
    if sketch.fits(shape):
        sketch.add(layer, shape)


def add_pool(draw: Draw, sketch: Sketch) -> None:
    kind, padding = draw(st.sampled_from([L.MaxPool2D, L.AvgPool2D])), draw(st.sampled_from(["valid", "same", None]))
    size, strides = draw(pairs(1, MAX_POOL)), draw(st.one_of(st.none(), pairs(1, MAX_STRIDE)))
    padding = padding or draw(st.tuples(*(st.integers(0, k // 2) for k in size)))
    geometry = list(zip(sketch.shape[:2], size, strides or size, explicit(padding), strict=True))
    if padding == "same":
        sizes = [-(-n // s) for n, _, s, _ in geometry]
    else:
        sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in geometry]
    shape = (*sizes, sketch.shape[-1])
    if sketch.fits(shape):
        sketch.add(kind(size, strides, padding), shape)


def add_global_pool(draw: Draw, sketch: Sketch) -> None:
    sketch.add(draw(st.sampled_from([L.GlobalMaxPool2D(), L.GlobalAvgPool2D()])), sketch.shape[-1:])


def add_up_sampling(draw: Draw, sketch: Sketch) -> None:
    size = draw(pairs(1, MAX_UP))
    shape = (sketch.shape[0] * size[0], sketch.shape[1] * size[1], sketch.shape[2])
    if sketch.fits(shape):
        sketch.add(L.UpSampling2D(size), shape)


def add_lstm(draw: Draw, sketch: Sketch) -> None:
    """Over the rows of an image or the values of a flat sample; all outputs become an image again."""
    steps, units, sequences = sketch.shape[0], draw(filters()), draw(st.booleans())
    sketch.add(L.Reshape((steps, math.prod(sketch.shape[1:]))))
    sketch.add(L.LSTM(units, sequences), (units,))
    if sequences:
        sketch.add(L.Reshape((steps, 1, units)), (steps, 1, units))


def add_dense(draw: Draw, sketch: Sketch) -> None:
    if len(sketch.shape) > 1:
        sketch.add(L.Flatten(), (math.prod(sketch.shape),))
    units = draw(filters())
    sketch.add(L.Dense(units, draw(st.booleans())), (units,))


def add_dense_image(draw: Draw, sketch: Sketch) -> None:
    """Flat to an image, through a Dense of its size: the way a decoder begins."""
    rows, columns, channels = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 8))
    shape = (rows, columns, channels)
    sketch.add(L.Dense(math.prod(shape), draw(st.booleans())), (math.prod(shape),))
    sketch.add(L.Reshape(shape), shape)


def add_batch_norm(draw: Draw, sketch: Sketch) -> None:
    if sketch.batch * math.prod(sketch.shape[:-1]) >= LEAST_NORM_VALUES:
        sketch.add(L.BatchNorm(draw(st.sampled_from([0.1, 0.01, 0.5])), draw(st.sampled_from([1e-5, 1e-3]))))


def add_layer_norm(draw: Draw, sketch: Sketch) -> None:
    if sketch.shape[-1] >= LEAST_NORM_VALUES:
        sketch.add(L.LayerNorm(draw(st.sampled_from([1e-5, 1e-3]))))


def add_activation(draw: Draw, sketch: Sketch) -> None:
    kinds = [L.ReLU(), L.LeakyReLU(0.2), L.LeakyReLU(0.3), L.Tanh(), L.Sigmoid()]
    if (layer := draw(st.sampled_from([None, *kinds]))) is not None:
        sketch.add(layer)


def add_block(draw: Draw, sketch: Sketch) -> None:
    """A layer with weights, and what usually follows one."""
    image = len(sketch.shape) == 3
    kinds = [*[add_conv, add_conv_transpose] * 3, add_dense, add_lstm]
    draw(st.sampled_from(kinds if image else [add_dense, add_dense_image, add_dense_image, add_lstm]))(draw, sketch)
    if draw(st.booleans()):
        draw(st.sampled_from([add_batch_norm, add_batch_norm, add_layer_norm]))(draw, sketch)
    add_activation(draw, sketch)
    if len(sketch.shape) == 3 and draw(st.integers(0, 2)):
        draw(st.sampled_from([add_pool, add_pool, add_pool, add_global_pool, add_up_sampling]))(draw, sketch)
    if draw(st.integers(0, 3)) == 3:
        sketch.add(L.Dropout(0.0))


@st.composite
def sketches(draw: Draw) -> Sketch:
    """A network of 1 to LAYERS layers with weights, on images or flat samples, and its batch."""
    batch = draw(st.one_of(st.integers(1, MAX_BATCH), st.sampled_from([1, 17, MAX_BATCH])))
    rows, columns = draw(pairs(1, MAX_SIZE))
    channels = draw(filters())
    image = draw(st.integers(0, 4)) > 0
    sketch = Sketch((rows, columns, channels) if image else (channels,), batch)
    for _ in range(draw(st.integers(1, LAYERS))):
        add_block(draw, sketch)
    return sketch
