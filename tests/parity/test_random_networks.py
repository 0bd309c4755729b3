"""200 random small networks agree with PyTorch: outputs, every gradient, moving statistics."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, settings
from random_networks import MAX_BATCH, MAX_CHANNELS, MAX_KERNEL, MAX_STRIDE, Sketch, sketches
from reference import Reference, Rounding, double, relative_error, zero_gradient_biases

import genmodels as gm
from genmodels import layers as L

Results = dict[str, np.ndarray]
FORWARD, GRADIENT = 1e-5, 1e-4
EXAMPLES = 200
KINK_DISTANCE = 2e-6  # see reference.py: less is no fair comparison
TRIES = 20  # draws of weights and data until one keeps clear of kinks
ROUNDINGS = 4
PADDINGS = ("same", "valid", "explicit")


def draw_weights(net: gm.Network, rng: np.random.Generator) -> None:
    """Values that leave no weight at its initial 0 or 1 and keep outputs near unit size."""
    for name, value in net.weights.items():
        kind = name.split(".")[1]
        normal = rng.standard_normal(value.shape)
        if kind.endswith("kernel"):
            layer = net.layers[int(name.split(".")[0])]
            fan_in = value.size / value.shape[2 if isinstance(layer, L.Conv2DTranspose) else -1]
            value[...] = normal / np.sqrt(fan_in)
        elif kind == "moving_var":
            value[...] = np.exp(0.5 * normal)
        else:
            value[...] = (kind == "gamma") + 0.3 * normal


class Example:
    """A network with weights, a batch, and a gradient of its output."""

    def __init__(self, sketch: Sketch, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.net = gm.Network(sketch.layers, sketch.input_shape)
        draw_weights(self.net, rng)
        self.x = rng.standard_normal((sketch.batch, *sketch.input_shape), np.float32)
        self.dy = rng.standard_normal((sketch.batch, *self.net.output_shape), np.float32)

    def ours(self) -> Results:
        """By name: outputs, gradients, moving statistics. This moves the network's own statistics."""
        results = {"inference": self.net.forward(self.x), "training": self.net.forward(self.x, training=True)}
        results["x.gradient"] = self.net.backward(self.dy)
        results |= {f"{name}.gradient": value for name, value in self.net.gradients.items()}
        return results | {name: value for name, value in self.net.weights.items() if "moving" in name}

    def expected(self, rounding: Rounding | None = None) -> tuple[Results, float]:
        """The same in PyTorch, and how close it came to a kink."""
        reference = Reference(self.net.layers, self.net.weights, rounding)
        x = double(self.x).requires_grad_()
        inference, training = reference.forward(x), reference.forward(x, training=True)
        training.backward(double(self.dy))
        results = {"inference": inference, "training": training, "x.gradient": x.grad}
        results |= {f"{name}.gradient": value.grad for name, value in reference.trainable.items()}
        results |= {name: value for name, value in reference.weights.items() if "moving" in name}
        return {name: value.detach().numpy() for name, value in results.items()}, reference.kink_distance


def tolerance(name: str) -> float:
    return GRADIENT if name.endswith("gradient") else FORWARD


def zero_gradients(example: Example) -> set[str]:
    return {f"{name}.gradient" for name in zero_gradient_biases(example.net.layers)}


def is_well_conditioned(example: Example, expected: Results) -> bool:
    """Whether rounding all that passes between the layers to float32, a few times over, leaves the results alone."""
    names = expected.keys() - zero_gradients(example)
    roundings = (example.expected(Rounding(seed))[0] for seed in range(ROUNDINGS))
    return all(
        relative_error(moved[name], expected[name]) <= tolerance(name) / 10 for moved in roundings for name in names
    )


def fair_example(sketch: Sketch) -> tuple[Example, Results] | None:
    """A draw of weights and data whose results float32's rounding cannot upset, or None, and what is expected.

    The reference alone is the judge; our results have no part in it.
    """
    for seed in range(TRIES):
        example = Example(sketch, seed)
        expected, kink_distance = example.expected()
        if kink_distance >= KINK_DISTANCE:
            return (example, expected) if is_well_conditioned(example, expected) else None
    return None


def check(example: Example, expected: Results) -> None:
    zero, ours = zero_gradients(example), example.ours()
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        if name in zero:  # rounding noise of the sum of what flows back: small beside the kernel's gradient
            size = np.abs(expected[name.replace("bias", "kernel")]).max()
            assert np.abs(ours[name]).max() <= GRADIENT * max(size, 1.0), name
        else:
            assert relative_error(ours[name], value) <= tolerance(name), name


def note(seen: Counter, sketch: Sketch) -> None:
    """Counts what the drawn networks are made of."""
    seen["networks"] += 1
    seen[f"layers {len(sketch.layers)}"] += 1
    seen[f"batch {sketch.batch}"] += 1
    seen[f"channels {sketch.input_shape[-1]}"] += 1
    for layer in sketch.layers:
        seen[type(layer).__name__] += 1
        if isinstance(layer, (L.Conv2D, L.Conv2DTranspose)):
            padding = layer.padding if isinstance(layer.padding, str) else "explicit"
            seen[f"{type(layer).__name__} {padding}"] += 1
            seen[f"bias {layer.use_bias}"] += 1
            seen.update(f"kernel {size}" for size in layer.kernel_size)
            seen.update(f"stride {size}" for size in layer.strides)
            seen[f"channels {layer.filters}"] += 1
            seen["output padding"] += any(getattr(layer, "output_padding", ()))
        elif isinstance(layer, (L.MaxPool2D, L.AvgPool2D)):
            padding = layer.padding if isinstance(layer.padding, str) else "explicit"
            seen[f"{type(layer).__name__} {padding}"] += 1
        elif isinstance(layer, L.LSTM):
            seen[f"all outputs {layer.return_sequences}"] += 1


def wanted() -> set[str]:
    """What 200 networks must have held at least once."""
    kinds = {kind.__name__ for kind in L.KINDS.values()}
    windows = ("Conv2D", "Conv2DTranspose", "MaxPool2D", "AvgPool2D")
    paddings = {f"{kind} {padding}" for kind in windows for padding in PADDINGS}
    numbers = {f"kernel {k}" for k in range(1, MAX_KERNEL + 1)} | {f"stride {s}" for s in range(1, MAX_STRIDE + 1)}
    ends = {"channels 1", f"channels {MAX_CHANNELS}", "batch 1", f"batch {MAX_BATCH}"}
    outputs = {"all outputs True", "all outputs False"}
    return kinds | paddings | numbers | ends | outputs | {"bias True", "bias False", "output padding"}


def test_random_networks() -> None:
    torch.set_num_threads(1)
    seen: Counter = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sketches())
    def property_holds(sketch: Sketch) -> None:
        fair = fair_example(sketch)
        seen["drawn"] += 1
        assume(fair is not None)
        check(*fair)
        note(seen, sketch)

    property_holds()
    assert not (missing := wanted() - seen.keys()), missing
    assert seen["networks"] >= EXAMPLES
