"""The twins that benchmarks/ times the library beside are the same models: parameters, outputs, terms of the loss.

PyTorch's here; TensorFlow's in the environment that `make bench-peers` makes for it, by
`build/peers-tf/bin/python -m pytest --noconftest tests/parity/test_twins.py`.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import genmodels as gm

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

# Of the others, the large and the alike, no layer is missing here.
NAMES = ["vae-keras", "vae-z10", "vae-16", "vae-lstm", "dcgan-tf", "cgan-keras", "gan-16", "wgan-16", "wgan-mlm"]
FORMS = {"torch_twin": ("exact", "nhwc", "nchw"), "tensorflow_twin": ("exact", "native")}
# PyTorch, unless this is TensorFlow's environment: where neither is, importing PyTorch's twin fails.
HERE = "tensorflow_twin" if find_spec("tensorflow") and not find_spec("torch") else "torch_twin"


@pytest.fixture
def twins():
    return import_module(HERE)


def moved(name):
    """A new model of the zoo none of whose weights is 0 or 1."""
    model, rng = gm.zoo.build(name, seed=3), np.random.default_rng(4)
    for value in model.weights.values():
        value += 0.05 * rng.random(value.shape, np.float32)
    return model


def batch(model, n=2):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, model.num_classes, n) if model.num_classes else None
    return rng.integers(0, 256, (n, *model.input_shape), np.uint8), labels


def output_of(twin, x):
    """Of a network's twin of the form "exact", in inference mode, (N, ...) in the library's order of axes."""
    if not hasattr(twin, "eval"):
        return np.asarray(twin(x, training=False))
    import torch

    with torch.no_grad():
        images = x.ndim == 4
        y = twin.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2) if images else x))
    return (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_alike(twins, name):
    model, rng = moved(name), np.random.default_rng(6)
    for part, network in model.networks.items():
        x = rng.standard_normal((3, *network.input_shape)).astype(np.float32)
        expected = network.forward(x)
        actual = output_of(twins.twin_of(network), x).reshape(expected.shape)
        assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max(), part


@pytest.mark.parametrize("name", ["vae-keras", "vae-lstm", "cgan-keras", "wgan-mlm"])
def test_every_form_has_the_parameters_and_trains(twins, name):
    model = gm.zoo.build(name, seed=3)
    x, labels = batch(model)
    terms = model.train_step(x, labels).keys()
    for form in FORMS[twins.__name__]:
        twin = twins.twin(model, 0, form)
        assert twin.parameter_count == model.parameter_count
        images, one_hot = twin.batch(x, labels)
        assert twin.sample(len(x), one_hot).shape == x.shape
        losses = twin.iterate(images, one_hot)
        assert losses.keys() <= terms
        assert np.isfinite(list(losses.values())).all()
