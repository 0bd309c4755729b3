"""The descriptions: layers and optimizers are checked, frozen, comparable, printable, and survive JSON."""

import dataclasses
import json

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers as O

LAYERS = [
    L.Dense(3),
    L.Dense(3, use_bias=False, kernel_initializer="he_normal"),
    L.Conv2D(8, 3),
    L.Conv2D(8, (3, 5), strides=(2, 1), padding="same", use_bias=False),
    L.Conv2D(8, 4, strides=2, padding=(1, 2)),
    L.Conv2DTranspose(8, 3, strides=2, padding=1, output_padding=1),
    L.Conv2DTranspose(8, 3, padding="same", kernel_initializer="he_normal"),
    L.BatchNorm(0.2, 1e-3),
    L.LayerNorm(1e-3),
    L.LSTM(3),
    L.LSTM(3, return_sequences=False),
    L.MaxPool2D(),
    L.MaxPool2D((3, 2), strides=1, padding="same"),
    L.AvgPool2D(4, strides=(2, 3), padding=(2, 1)),
    L.GlobalMaxPool2D(),
    L.GlobalAvgPool2D(),
    L.UpSampling2D(),
    L.UpSampling2D((1, 3)),
    L.ReLU(),
    L.LeakyReLU(0.3),
    L.Tanh(),
    L.Sigmoid(),
    L.Dropout(0.25),
    L.Flatten(),
    L.Reshape((7, 7, 64)),
]
OPTIMIZERS = [O.Adam(), O.Adam(1e-4, beta1=0.5), O.RMSprop(5e-5, momentum=0.1), O.SGD(0.1, momentum=0.9)]


@pytest.mark.parametrize("thing", [*LAYERS, *OPTIMIZERS], ids=repr)
def test_descriptions_survive_json_and_repr(thing):
    module = L if isinstance(thing, L.Layer) else O
    copy = module.from_dict(json.loads(json.dumps(thing.to_dict())))
    assert copy == thing
    assert hash(copy) == hash(thing)
    assert type(copy) is type(thing)
    assert eval(repr(thing), vars(module)) == thing


@pytest.mark.parametrize("thing", [L.Dense(3), L.Conv2D(8, 3), O.Adam()], ids=repr)
def test_descriptions_are_frozen(thing):
    name = dataclasses.fields(thing)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, name, 5)


def test_one_number_stands_for_both_axes():
    assert L.Conv2D(8, 3, strides=2, padding=1) == L.Conv2D(8, (3, 3), strides=[2, 2], padding=(1, 1))
    assert L.Conv2D(8, 3) != L.Conv2D(8, 3, padding="same")
    assert L.Dense(np.int64(3)) == L.Dense(3)
    assert L.MaxPool2D(3, 2, 1) == L.MaxPool2D((3, 3), (2, 2), (1, 1))
    assert L.UpSampling2D(2) == L.UpSampling2D([2, 2])


def test_defaults_are_the_published_ones():
    assert repr(L.BatchNorm()) == "BatchNorm(momentum=0.1, epsilon=1e-05)"
    assert L.LeakyReLU().negative_slope == 0.2
    assert repr(L.LayerNorm()) == "LayerNorm(epsilon=1e-05)"
    assert repr(L.LSTM(3)) == "LSTM(units=3, return_sequences=True)"
    assert repr(L.MaxPool2D()) == "MaxPool2D(pool_size=(2, 2), strides=None, padding='valid')"
    assert repr(L.AvgPool2D()) == "AvgPool2D(pool_size=(2, 2), strides=None, padding='valid')"
    assert repr(L.UpSampling2D()) == "UpSampling2D(size=(2, 2))"
    assert repr(O.Adam()) == "Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-07)"
    assert repr(O.RMSprop()) == "RMSprop(learning_rate=0.001, rho=0.99, momentum=0.0, epsilon=1e-08)"
    assert repr(O.SGD()) == "SGD(learning_rate=0.01, momentum=0.0)"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: L.Dense(0), ValueError, "units is 0, must be at least 1"),
        (lambda: L.Dense(-3), ValueError, "units is -3"),
        (lambda: L.Dense(2.0), TypeError, "units must be an int, not 2.0"),
        (lambda: L.Dense(True), TypeError, "units must be an int, not True"),
        (lambda: L.Dense("3"), TypeError, "units must be an int"),
        (lambda: L.Dense(None), TypeError, "units must be an int"),
        (lambda: L.Dense(10**30), OverflowError, "units is 1000"),
        (lambda: L.Dense(10**5000), OverflowError, "units is a value too long to write, must be at most"),
        (lambda: L.Dense(-(10**5000)), ValueError, "units is a value too long to write, must be at least 1"),
        (lambda: L.Dense(3, use_bias=1), TypeError, "use_bias must be True or False"),
        (lambda: L.Dense(3, kernel_initializer="zeros"), ValueError, "'glorot_uniform', 'he_normal'"),
        (lambda: L.Dense(3, kernel_initializer=None), TypeError, "kernel_initializer"),
        (lambda: L.Dense(3, spectral_norm=1), TypeError, "spectral_norm must be True or False, not 1"),
        (lambda: L.Conv2D(0, 3), ValueError, "filters is 0"),
        (lambda: L.Conv2D(8, 0), ValueError, "kernel_size is 0"),
        (lambda: L.Conv2D(8, (3, 3, 3)), ValueError, r"kernel_size is \(3, 3, 3\)"),
        (lambda: L.Conv2D(8, (3, 1.5)), TypeError, "kernel_size must be an int, not 1.5"),
        (lambda: L.Conv2D(8, 3, strides=0), ValueError, "strides is 0"),
        (lambda: L.Conv2D(8, 3, padding="full"), ValueError, "padding is 'full', must be 'same', 'valid'"),
        (lambda: L.Conv2D(8, 3, padding=-1), ValueError, "padding is -1, must be at least 0"),
        (lambda: L.Conv2D(8, 3, padding=None), TypeError, "padding must be an int"),
        (lambda: L.Conv2DTranspose(8, 3, strides=2, padding=1, output_padding=2), ValueError, "below the strides"),
        (lambda: L.Conv2DTranspose(8, 3, strides=2, padding="same", output_padding=1), ValueError, "'same'"),
        (lambda: L.Conv2DTranspose(8, 3, strides=2, padding="valid", output_padding=1), ValueError, "'valid'"),
        (lambda: L.BatchNorm(momentum=1.5), ValueError, "momentum is 1.5"),
        (lambda: L.BatchNorm(epsilon=0), ValueError, "epsilon is 0.0"),
        (lambda: L.BatchNorm(momentum=float("nan")), ValueError, "momentum is nan, must be finite"),
        (lambda: L.LayerNorm(epsilon=0), ValueError, "epsilon is 0.0"),
        (lambda: L.LayerNorm(epsilon="1"), TypeError, "epsilon must be a number"),
        (lambda: L.LSTM(0), ValueError, "units is 0, must be at least 1"),
        (lambda: L.LSTM(2.0), TypeError, "units must be an int"),
        (lambda: L.LSTM(3, return_sequences=1), TypeError, "return_sequences must be True or False"),
        (lambda: L.MaxPool2D(0), ValueError, "pool_size is 0, must be at least 1"),
        (lambda: L.MaxPool2D((2, 2, 2)), ValueError, r"pool_size is \(2, 2, 2\)"),
        (lambda: L.MaxPool2D(2.0), TypeError, "pool_size must be an int"),
        (lambda: L.MaxPool2D(None), TypeError, "pool_size must be an int"),
        (lambda: L.MaxPool2D(2, strides=0), ValueError, "strides is 0"),
        (lambda: L.MaxPool2D(2, padding="full"), ValueError, "padding is 'full', must be 'same', 'valid'"),
        (lambda: L.MaxPool2D(3, padding=2), ValueError, r"padding is \(2, 2\), must be at most half of pool_size"),
        (lambda: L.AvgPool2D((4, 1), padding=(2, 1)), ValueError, r"must be at most half of pool_size \(4, 1\)"),
        (lambda: L.AvgPool2D(2, padding=-1), ValueError, "padding is -1, must be at least 0"),
        (lambda: L.AvgPool2D(2, strides=2.5), TypeError, "strides must be an int"),
        (lambda: L.UpSampling2D(0), ValueError, "size is 0, must be at least 1"),
        (lambda: L.UpSampling2D("2"), TypeError, "size must be an int"),
        (lambda: L.LeakyReLU(-0.1), ValueError, "negative_slope is -0.1"),
        (lambda: L.LeakyReLU("0.1"), TypeError, "negative_slope must be a number"),
        (lambda: L.Dropout(1.0), ValueError, "rate is 1.0"),
        (lambda: L.Dropout(-0.5), ValueError, "rate is -0.5"),
        (lambda: L.Reshape(()), ValueError, "shape is"),
        (lambda: L.Reshape((1,) * 5), ValueError, "shape is"),
        (lambda: L.Reshape((0, 3)), ValueError, "shape is 0, must be at least 1"),
        (lambda: L.Reshape("7x7"), TypeError, "shape must be a tuple of ints"),
        (lambda: O.Adam(learning_rate=-1), ValueError, "learning_rate is -1.0"),
        (lambda: O.Adam(learning_rate=float("inf")), ValueError, "must be finite"),
        (lambda: O.Adam(learning_rate=10**400), ValueError, "learning_rate is 1000.*beyond what a float holds"),
        (lambda: O.Adam(learning_rate=10**5000), ValueError, "learning_rate is a value too long to write"),
        (lambda: O.Adam(learning_rate="1e-3"), TypeError, "learning_rate must be a number"),
        (lambda: O.Adam(beta1=1.0), ValueError, "beta1 is 1.0"),
        (lambda: O.Adam(epsilon=0), ValueError, "epsilon is 0.0"),
        (lambda: O.RMSprop(rho=1), ValueError, "rho is 1.0"),
        (lambda: O.SGD(momentum=-0.1), ValueError, "momentum is -0.1"),
        (lambda: O.SGD(momentum=True), TypeError, "momentum must be a number"),
    ],
)
def test_unfit_fields_are_named_with_value_and_bound(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"kind": "GRU", "units": 3}, ValueError, "kind is 'GRU'"),
        ({"kind": "Layer"}, ValueError, "kind is 'Layer'"),
        ({"units": 3}, TypeError, "kind must be a str"),
        ({"kind": ["Dense"], "units": 3}, TypeError, "kind must be a str"),
        ({"kind": "Dense"}, ValueError, "Dense needs the field units"),
        ({"kind": "Dense", "units": 3, "activation": "relu"}, ValueError, "has no field activation"),
        ({"kind": "Dense", "units": "3"}, TypeError, "units must be an int"),
        ([("kind", "Dense")], TypeError, "must be a dict"),
    ],
)
def test_dicts_are_checked(values, error, words):
    with pytest.raises(error, match=words):
        L.from_dict(values)


def test_optimizer_dicts_are_checked():
    with pytest.raises(ValueError, match="kind is 'Adagrad'"):
        O.from_dict({"kind": "Adagrad"})
    with pytest.raises(ValueError, match="has no field decay"):
        O.from_dict({"kind": "Adam", "decay": 0.1})


def test_every_kind_of_layer_is_built_by_the_core():
    """The names in Python are the core's names."""
    fit = {"Flatten": (4, 4, 1), "Reshape": (49, 64), "Dense": (5,), "LSTM": (5, 4)}
    for layer in LAYERS:
        kind = type(layer).__name__
        net = gm.Network([layer], input_shape=fit.get(kind, (9, 9, 2)))
        assert net._core.layers()[0][0] == kind
        assert gm.layers.from_dict(layer.to_dict()) == layer
    assert {type(layer).__name__ for layer in LAYERS} == set(L.KINDS)
