"""genmodels.profile: which layers and passes it counts, how much arithmetic, and that the model stays as it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L


def images(n: int = 4, side: int = 8, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((n, side, side, channels), dtype=np.float32)


def convolution(padding: str = "same", strides: int = 2) -> gm.Network:
    return gm.Network([L.Conv2D(3, 5, strides=strides, padding=padding), L.ReLU()], (8, 8, 2))


def true_products(side: int, kernel: int, stride: int, inputs: int, outputs: int) -> int:
    """Multiplications of a "same" convolution, counted one tap at a time."""
    out = -(-side // stride)
    before = max((out - 1) * stride + kernel - side, 0) // 2
    inside = sum(0 <= p * stride - before + r < side for p, r in itertools.product(range(out), range(kernel)))
    return inside**2 * inputs * outputs


def small_gan(**changes: object) -> gm.GAN:
    return gm.GAN(
        generator=[L.Dense(64), L.Reshape((8, 8, 1)), L.Sigmoid()],
        discriminator=[L.Conv2D(4, 3, strides=2), L.LeakyReLU(0.2), L.Flatten(), L.Dense(1)],
        input_shape=(8, 8, 1),
        latent_dim=3,
        **changes,
    )


@pytest.mark.parametrize(("strides", "kernel"), [(1, 5), (2, 5), (3, 5)])
def test_arithmetic_of_a_convolution_leaves_padding_out(strides, kernel):
    result = gm.profile(convolution(strides=strides), images(channels=2), steps=2)
    rows = {row.passed: row for row in result.rows if "Conv2D" in row.layer}
    products = 4 * true_products(8, kernel, strides, 2, 3)
    assert rows["forward"].flop == 2 * products
    assert rows["backward"].flop == 4 * products  # the weights' gradients and the input's


def test_arithmetic_of_dense_transposed_and_recurrent_layers():
    dense = gm.profile(gm.Network([L.Dense(7)], (5,)), np.ones((3, 5), np.float32)).rows
    assert [row.flop for row in dense] == [2 * 3 * 5 * 7, 4 * 3 * 5 * 7]
    back = gm.profile(gm.Network([L.Conv2DTranspose(2, 5, strides=2, padding="same")], (4, 4, 3)), images(4, 4, 3)).rows
    assert back[0].flop == 2 * 4 * true_products(8, 5, 2, 2, 3)
    lstm = gm.profile(gm.Network([L.LSTM(6)], (5, 3)), np.ones((2, 5, 3), np.float32)).rows
    assert lstm[0].flop == 2 * 2 * (5 * 3 + 4 * 6) * 4 * 6


def test_bytes_are_of_what_is_stored():
    members = [L.Conv2D(6, 3), L.ReLU(), L.Conv2D(8, 3), L.Flatten(), L.Dense(2)]
    first, second = 4 * 6 * 6 * 6, 4 * 4 * 4 * 8  # values that a batch of four hands on
    for precision, width in (("float32", 4), ("bf16", 2)):
        rows = gm.profile(gm.Network(members, (8, 8, 2), precision=precision), images(channels=2)).rows
        forward = [row.bytes for row in rows if row.passed == "forward"]
        x, weights = 4 * 8 * 8 * 2, [6 * 9 * 2 + 6, 8 * 9 * 6 + 8]
        assert forward[0] == 4 * x + width * first + 4 * weights[0]
        assert forward[1] == width * first + 4 * second + 4 * weights[1]


def test_batch_norm_belongs_to_the_convolution_that_computes_it():
    """One of few filters, which reads a large image: neither that nor its gradient is written."""
    members = [L.Conv2D(16, 3, padding=1), L.BatchNorm(), L.ReLU(), L.Conv2D(1, 3, strides=2, padding=1)]
    rows = gm.profile(gm.Network(members, (64, 64, 1)), images(2, 64)).rows
    assert [(row.layer[0], row.passed) for row in rows] == [
        *(("0", "forward"), ("0", "backward"), ("3", "forward"), ("3", "backward"))
    ]


def test_every_layer_with_work_of_its_own_has_a_row():
    members = [L.Conv2D(2, 3), L.ReLU(), L.BatchNorm(), L.MaxPool2D(), L.Flatten(), L.Dense(4), L.Tanh()]
    rows = gm.profile(gm.Network(members, (8, 8, 1)), images()).rows
    assert {row.layer.split()[0] for row in rows if row.passed == "forward"} == {"0", "2", "3", "5"}
    assert all(row.seconds > 0 and row.calls == 1 for row in rows)


def test_a_gan_step_counts_its_passes():
    rows = gm.profile(small_gan(objective="wgan-gp", critic_steps=2), images(), steps=3).rows
    calls = {(row.network, row.passed): row.calls for row in rows if "Dense" in row.layer}
    # Two critic steps: fakes, then real, fake and mixed through the critic; one generator step through both.
    assert calls["generator", "forward"] == 3
    assert calls["generator", "backward"] == 1
    assert calls["discriminator", "forward"] == 2 * 3 + 1
    assert calls["discriminator", "tangent"] == 2


def test_the_model_stays_as_it_is():
    model = small_gan()
    other = small_gan()
    gm.profile(model, images(), steps=2)
    model.train_step(images())
    other.train_step(images())
    for name, value in model.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])
    np.testing.assert_array_equal(model.sample(2), other.sample(2))


def test_the_copy_has_the_models_weights():
    network = gm.Network([L.Dense(2)], (2,))
    network.weights["0.kernel"][...] = np.nan
    assert np.isnan(network.forward(np.ones((1, 2), np.float32))).all()
    gm.profile(network, np.ones((1, 2), np.float32))
    assert np.isnan(network.weights["0.kernel"]).all()
    assert (network.gradients["0.kernel"] == 0).all()


def test_a_table_for_people_notebooks_and_pandas():
    result = gm.profile(small_gan(), images())
    assert repr(result) == str(result)
    lines = str(result).splitlines()
    assert lines[0].split()[:3] == ["network", "layer", "pass"]
    assert "whole step" in lines[-1]
    assert len({len(line) for line in lines}) == 1
    assert result._repr_html_().count("<tr>") == len(result.rows) + 3
    frame = result.to_pandas()
    assert list(frame["seconds"]) == [row.seconds for row in result.rows]
    assert 0 <= result.rest < result.seconds
    assert {type(number) for row in result.rows for number in (row.calls, row.seconds, row.flop, row.bytes)} == {float}


def test_a_subclass_may_have_a_constructor_of_its_own():
    class Own(gm.VAE):
        def __init__(self, width):
            decoder = [L.Dense(64), L.Reshape((8, 8, 1)), L.Sigmoid()]
            super().__init__(
                encoder=[L.Flatten(), L.Dense(width)], decoder=decoder, input_shape=(8, 8, 1), latent_dim=2
            )

    assert any(row.layer == "1 Dense(5)" for row in gm.profile(Own(5), images(), steps=1).rows)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("model",), TypeError, "model must be a model or a Network"),
        ((small_gan(), np.zeros((2, 9, 9, 1), np.float32)), ValueError, "x has shape"),
        ((small_gan(num_classes=2),), ValueError, "labels"),
        ((convolution(), images(channels=2), np.zeros(4, int)), ValueError, "a network takes none"),
    ],
)
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words):
        gm.profile(arguments[0], *(arguments[1:] or (images(),)))


def test_steps_below_one():
    with pytest.raises(ValueError, match="steps"):
        gm.profile(small_gan(), images(), steps=0)
