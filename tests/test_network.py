"""Network: shapes, views, forward and backward, seeds, threads."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import genmodels as gm
from genmodels import layers as L
from genmodels.network import described

RNG = np.random.default_rng(0)


def convnet(**options):
    layers = [L.Conv2D(6, 3, strides=2, padding="same"), L.BatchNorm(), L.LeakyReLU(0.3), L.Flatten(), L.Dense(2)]
    return gm.Network(layers, input_shape=(9, 7, 3), **options)


def images(n=4, shape=(9, 7, 3)):
    return RNG.standard_normal((n, *shape)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- shapes and names -----------------------------------------------------------------------------


def test_names_shapes_and_counts():
    net = convnet()
    assert {name: view.shape for name, view in net.weights.items()} == {
        "0.kernel": (3, 3, 3, 6),
        "0.bias": (6,),
        "1.gamma": (6,),
        "1.beta": (6,),
        "1.moving_mean": (6,),
        "1.moving_var": (6,),
        "4.kernel": (5 * 4 * 6, 2),
        "4.bias": (2,),
    }
    assert set(net.weights) - set(net.gradients) == {"1.moving_mean", "1.moving_var"}
    assert net.parameter_count == 3 * 3 * 3 * 6 + 6 + 12 + 240 + 2
    assert net.parameters.shape == net.parameter_gradients.shape == (net.parameter_count,)
    assert net.input_shape == (9, 7, 3)
    assert net.output_shape == (2,)
    assert net.layers[0] == L.Conv2D(6, 3, strides=2, padding="same")


@pytest.mark.parametrize(
    ("layer", "size", "expected"),
    [
        (L.Conv2D(1, 3, strides=2, padding="same"), 7, 4),
        (L.Conv2D(1, 4, strides=3, padding="valid"), 11, 3),
        (L.Conv2D(1, 4, strides=2, padding=1), 8, 4),
        (L.Conv2DTranspose(1, 3, strides=2, padding="same"), 7, 14),
        (L.Conv2DTranspose(1, 4, strides=1, padding="valid"), 1, 4),
        (L.Conv2DTranspose(1, 3, strides=2, padding=1, output_padding=1), 7, 14),
        (L.Conv2DTranspose(1, 2, strides=3, padding="same"), 4, 12),
        (L.MaxPool2D(), 7, 3),
        (L.MaxPool2D(3, padding="same"), 7, 3),
        (L.MaxPool2D(3, strides=2, padding=1), 7, 4),
        (L.MaxPool2D(100, strides=1, padding=50), 7, 8),
        (L.AvgPool2D(3, strides=1), 7, 5),
        (L.AvgPool2D(2, strides=4, padding="same"), 9, 3),
        (L.UpSampling2D(3), 7, 21),
    ],
    ids=repr,
)
def test_sizes_of_convolutions_and_pools(layer, size, expected):
    net = gm.Network([layer], input_shape=(size, size, 2))
    channels = getattr(layer, "filters", 2)
    assert net.output_shape == (expected, expected, channels)
    assert net.forward(images(1, (size, size, 2))).shape == (1, expected, expected, channels)


def test_summary_is_a_table_and_prints_nothing(capsys):
    text = convnet().summary()
    assert "Conv2D(6, 3, strides=2, padding='same')" in text
    assert "(5, 4, 6)" in text
    assert text.splitlines()[-1].split() == ["total", "422"]
    assert capsys.readouterr().out == ""


def test_summary_cuts_no_layer_off():
    layer = L.Conv2DTranspose(6, 3, strides=2, padding="same", kernel_initializer="he_normal", spectral_norm=True)
    assert f"0 {described(layer)}  " in gm.Network([layer], input_shape=(4, 4, 1)).summary()


def test_no_layers_are_the_identity():
    net = gm.Network([], input_shape=(3, 2))
    x = images(5, (3, 2))
    assert net.parameter_count == net.parameters.size == 0
    for training in (False, True):
        y = net.forward(x, training)
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(net.backward(2 * x), 2 * x)


# ---- views ----------------------------------------------------------------------------------------


def test_weights_are_live_writable_and_part_of_parameters():
    net = gm.Network([L.Dense(2)], input_shape=(3,))
    net.weights["0.kernel"][...] = np.arange(6).reshape(3, 2)
    net.weights["0.bias"][...] = 7
    np.testing.assert_array_equal(net.parameters, [0, 1, 2, 3, 4, 5, 7, 7])
    np.testing.assert_array_equal(net.forward(np.ones((1, 3), np.float32)), [[13, 16]])
    net.parameters[...] = 0
    assert not net.weights["0.kernel"].any()


def test_names_of_weights_are_fixed():
    net = gm.Network([L.Dense(2)], input_shape=(3,))
    for tensors in (net.weights, net.gradients):
        with pytest.raises(TypeError, match="write into the array"):
            tensors["0.kernel"] = np.zeros((3, 2))
        with pytest.raises(ValueError, match=r"there is no '0\.kernle'; there are 0\.kernel, 0\.bias"):
            tensors["0.kernle"]
        assert "0.kernle" not in tensors
        assert tensors.get("0.kernle") is None
        for change in (
            tensors.clear,
            tensors.popitem,
            lambda tensors=tensors: tensors.pop("0.bias"),
            lambda tensors=tensors: tensors.update({"0.bias": np.ones(2, np.float32)}),
            lambda tensors=tensors: tensors.setdefault("1.bias", np.ones(2, np.float32)),
            lambda tensors=tensors: tensors.__delitem__("0.bias"),
            lambda tensors=tensors: tensors.__ior__({}),
        ):
            with pytest.raises(TypeError, match="write into the array"):
                change()


def test_weights_can_be_changed_in_place():
    net = gm.Network([L.Dense(2)], input_shape=(3,))
    net.weights["0.bias"] += 1
    net.weights["0.bias"] *= 3
    np.testing.assert_array_equal(net.parameters[-2:], [3, 3])


def test_is_not_copied_or_pickled():
    net = gm.Network([L.Dense(2)], input_shape=(3,))
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a Network cannot be copied or pickled: build one of the same layers"):
            refused(net)


def test_a_deep_copy_of_the_weights_is_a_snapshot():
    net = gm.Network([L.Dense(2)], input_shape=(3,))
    before = copy.deepcopy(net.weights)
    net.parameters[...] = 1
    assert type(before) is dict
    assert (before["0.kernel"] != 1).all()
    assert before["0.kernel"].shape == (3, 2)


def test_views_keep_the_network_alive():
    net = gm.Network([L.Dense(64)], input_shape=(64,))
    kernel, flat = net.weights["0.kernel"], net.parameters
    before = kernel.copy()
    del net
    gc.collect()
    churn = [gm.Network([L.Dense(64)], input_shape=(64,), seed=i) for i in range(20)]
    np.testing.assert_array_equal(kernel, before)
    kernel[...] = 3
    assert (flat[: kernel.size] == 3).all()
    del churn


def test_streams_beyond_the_last_that_is_told_apart_are_refused():
    convnet(seed=5, stream=2**24 - 1)
    with pytest.raises(ValueError, match="stream is 16777216"):
        convnet(seed=5, stream=2**24)


def test_the_same_seed_gives_the_same_bits():
    first, again, other = convnet(seed=5), convnet(seed=5), convnet(seed=6)
    np.testing.assert_array_equal(first.parameters, again.parameters)
    assert not np.array_equal(first.parameters, other.parameters)
    apart = convnet(seed=5, stream=1)
    assert not np.array_equal(first.weights["0.kernel"], apart.weights["0.kernel"])
    assert convnet(seed=2**64 - 1).parameter_count == first.parameter_count


@pytest.mark.parametrize("layer", [L.Dense(300), L.Conv2D(20, 5), L.Conv2DTranspose(20, 5)], ids=repr)
def test_initial_weights_have_the_published_spread(layer):
    """Glorot: uniform within sqrt(6 / (in + out)); He: normal with deviation sqrt(2 / in)."""
    shape = (200,) if isinstance(layer, L.Dense) else (8, 8, 16)
    fans = {"Dense": (200, 300), "Conv2D": (16 * 25, 20 * 25), "Conv2DTranspose": (16 * 25, 20 * 25)}
    fan_in, fan_out = fans[type(layer).__name__]
    uniform = gm.Network([layer], shape).weights["0.kernel"]
    bound = np.sqrt(6 / (fan_in + fan_out))
    assert 0.95 * bound < np.abs(uniform).max() <= bound * (1 + 1e-6)
    assert uniform.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)


# ---- computing ------------------------------------------------------------------------------------


def test_dense_forward_and_backward_against_the_definition():
    net = gm.Network([L.Dense(4), L.Sigmoid()], input_shape=(3,))
    x, dy = images(5, (3,)), images(5, (4,))
    w, b = net.weights["0.kernel"].astype(np.float64), net.weights["0.bias"]
    y = sigmoid(x @ w + b)
    np.testing.assert_allclose(net.forward(x), y, rtol=1e-5)
    np.testing.assert_allclose(net.forward(x, training=True), y, rtol=1e-5)
    dx = net.backward(dy)
    inner = dy * y * (1 - y)
    np.testing.assert_allclose(dx, inner @ w.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.gradients["0.kernel"], x.T @ inner, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.gradients["0.bias"], inner.sum(0), rtol=1e-4, atol=1e-6)


def test_backward_is_the_derivative_along_a_random_direction():
    layers = [L.Conv2D(6, 3, strides=2, padding="same"), L.BatchNorm(), L.Tanh(), L.Flatten(), L.Dense(2)]
    net = gm.Network(layers, input_shape=(9, 7, 3), seed=3)
    x, dy = images(6), images(6, (2,))
    net.forward(x, training=True)
    dx = net.backward(dy)
    direction = RNG.standard_normal(x.shape).astype(np.float32)
    step = 1e-2  # errors: about step^2 of the smooth function, 1e-7 / step of float32
    ahead = net.forward(x + step * direction, training=True).astype(np.float64)
    behind = net.forward(x - step * direction, training=True).astype(np.float64)
    measured = np.sum((ahead - behind) / (2 * step) * dy)
    assert measured == pytest.approx(np.sum(dx * direction, dtype=np.float64), rel=1e-2, abs=1e-2)


def test_backward_overwrites_gradients_and_leaves_its_arguments_alone():
    net = convnet()
    x, dy = images(), images(4, (2,))
    x_before, dy_before = x.copy(), dy.copy()
    net.forward(x, training=True)
    first = (net.backward(dy), net.parameter_gradients.copy())
    net.forward(x, training=True)
    x += 100  # what the caller does with x afterwards is no matter
    second = (net.backward(dy), net.parameter_gradients)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(x - 100, (x_before + np.float32(100)) - 100)
    np.testing.assert_array_equal(dy, dy_before)


def test_forward_makes_fresh_arrays_and_takes_any_layout():
    net = convnet()
    x = images(8)
    y = net.forward(x)
    kept = y.copy()
    net.forward(images(8))
    np.testing.assert_array_equal(y, kept)
    np.testing.assert_array_equal(net.forward(x.astype(np.float64)), kept)
    np.testing.assert_array_equal(net.forward(np.asfortranarray(x)), kept)
    np.testing.assert_array_equal(net.forward(x.astype(">f4")), kept)
    np.testing.assert_array_equal(net.forward(np.repeat(x, 2, axis=0)[::2]), kept)


@pytest.mark.parametrize("n", [1, 2, 3, 31, 300])
def test_one_sample_does_not_depend_on_its_batch(n):
    net = convnet()
    x = images(300)
    whole = net.forward(x)
    np.testing.assert_array_equal(net.forward(x[:n]), whole[:n])


def test_batch_norm_moves_its_statistics_in_training_alone():
    net = gm.Network([L.BatchNorm(momentum=0.1)], input_shape=(2,))
    x = np.array([[1, 10], [3, 30]], np.float32)
    net.forward(x)
    np.testing.assert_array_equal(net.weights["0.moving_mean"], [0, 0])
    y = net.forward(x, training=True)
    np.testing.assert_allclose(y, [[-1, -1], [1, 1]], atol=1e-4)
    np.testing.assert_allclose(net.weights["0.moving_mean"], [0.2, 2], rtol=1e-6)
    np.testing.assert_allclose(net.weights["0.moving_var"], [0.9 + 0.1 * 2, 0.9 + 0.1 * 200], rtol=1e-6)


def test_a_bias_that_batch_norm_takes_out_has_no_gradient():
    """What shifts a channel is subtracted again, unless an activation or another division into channels is between."""

    def gradient(*layers):
        net = gm.Network([*layers, L.BatchNorm(), L.Flatten(), L.Dense(2)], (9, 7, 3), seed=3)
        net.forward(images(6), training=True)
        net.backward(images(6, (2,)))
        assert np.abs(net.gradients["0.kernel"]).max() > 1e-3
        return net.gradients["0.bias"]

    assert not gradient(L.Conv2D(6, 3)).any()
    assert not gradient(L.Conv2DTranspose(6, 3), L.Flatten(), L.Reshape((11, 9, 6))).any()
    assert np.abs(gradient(L.Conv2D(6, 3), L.ReLU())).min() > 1e-3
    halves = gradient(L.Conv2D(6, 3), L.Reshape((7, 5, 2, 3)))
    assert np.abs(halves).min() > 1e-3
    np.testing.assert_allclose(halves[:3] + halves[3:], 0, atol=1e-4)


def test_lstm_has_kerass_weights_and_first_values():
    net = gm.Network([L.LSTM(5)], input_shape=(28, 30), seed=3)
    weights = net.weights
    assert {name: view.shape for name, view in weights.items()} == {
        "0.kernel": (30, 20),
        "0.recurrent_kernel": (5, 20),
        "0.bias": (20,),
    }
    assert net.parameter_count == 30 * 20 + 5 * 20 + 20
    assert weights["0.bias"].tolist() == [0] * 5 + [1] * 5 + [0] * 10
    bound = np.sqrt(6 / (30 + 20))
    assert 0.95 * bound < np.abs(weights["0.kernel"]).max() <= bound * (1 + 1e-6)
    recurrent = np.float64(weights["0.recurrent_kernel"])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-6)


def test_orthogonal_kernels_have_no_favourite_direction():
    rows = np.concatenate([gm.Network([L.LSTM(8)], (1, 1), seed=k).weights["0.recurrent_kernel"] for k in range(200)])
    assert abs(rows.mean()) < 0.01
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(32) / 32, atol=0.01)
    wide = np.float64(gm.Network([L.LSTM(300)], (1, 1)).weights["0.recurrent_kernel"])
    np.testing.assert_allclose(wide @ wide.T, np.eye(300), atol=1e-5)


def test_lstm_follows_its_definition():
    net = gm.Network([L.LSTM(4)], (6, 3), seed=1)
    x, (kernel, recurrent, bias) = images(5, (6, 3)), (np.float64(view) for view in net.weights.values())
    h, c, expected = np.zeros((5, 4)), np.zeros((5, 4)), []
    for t in range(6):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(net.forward(x), np.stack(expected, 1), rtol=1e-5, atol=1e-6)
    last = gm.Network([L.LSTM(4, return_sequences=False)], (6, 3), seed=1)
    assert last.output_shape == (4,)
    np.testing.assert_array_equal(last.forward(x), net.forward(x)[:, -1])


def test_pools_follow_their_definitions():
    x = np.array([[1, 5, 2], [5, 0, -3], [-1, -1, -2]], np.float32).reshape(1, 3, 3, 1)

    def pooled(layer):
        return gm.Network([layer], (3, 3, 1)).forward(x)[0, ..., 0].tolist()

    assert pooled(L.MaxPool2D(2, 1)) == [[5, 5], [5, 0]]
    assert pooled(L.MaxPool2D(2, padding="same")) == [[5, 2], [-1, -2]]
    assert pooled(L.MaxPool2D(2, padding=1)) == [[1, 5], [5, 0]]
    assert pooled(L.AvgPool2D(2, padding="same")) == [[2.75, -0.5], [-1, -2]]
    assert pooled(L.AvgPool2D(2, padding=1)) == [[1, 3.5], [2, -1.5]]
    assert gm.Network([L.GlobalMaxPool2D()], (3, 3, 1)).forward(x).tolist() == [[5]]
    assert gm.Network([L.GlobalAvgPool2D()], (3, 3, 1)).forward(x)[0, 0] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(pooled(L.UpSampling2D((2, 1))), x[0, ..., 0].repeat(2, axis=0))


@pytest.mark.parametrize("layer", [L.MaxPool2D(3), L.GlobalMaxPool2D()], ids=repr)
def test_the_gradient_of_a_largest_value_goes_to_the_first_of_equals(layer):
    net = gm.Network([layer], (3, 3, 1))
    x = np.array([[1, 5, 2], [5, 0, -3], [5, -1, -2]], np.float32).reshape(1, 3, 3, 1)
    y = net.forward(x, training=True)
    np.testing.assert_array_equal(net.backward(np.full_like(y, 7)).reshape(3, 3), [[0, 7, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("layer", [L.MaxPool2D(), L.AvgPool2D(), L.GlobalMaxPool2D(), L.GlobalAvgPool2D()], ids=repr)
@pytest.mark.parametrize("place", range(4))
def test_pools_let_a_nan_through(layer, place):
    x = np.ones((1, 2, 2, 3), np.float32)
    x[0, place // 2, place % 2, 1] = np.nan
    y = gm.Network([layer], (2, 2, 3)).forward(x)
    assert np.isnan(y).reshape(3).tolist() == [False, True, False]


def test_dropout_drops_in_training_alone_and_never_the_same_twice():
    net = gm.Network([L.Dropout(0.25)], input_shape=(1000,))
    x = np.ones((4, 1000), np.float32)
    np.testing.assert_array_equal(net.forward(x), x)
    first, second = net.forward(x, training=True), net.forward(x, training=True)
    assert set(np.unique(first)) == {0, np.float32(1 / 0.75)}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(net.backward(x), second)


@pytest.mark.parametrize("forwards", [2**26, 2**41])
def test_masks_do_not_repeat_after_many_forwards(forwards):
    net = gm.Network([L.Dropout(0.25)], input_shape=(1000,))
    x, masks = np.ones((4, 1000), np.float32), []
    for clock in (0, forwards):
        net._core.clock = clock
        masks.append(net.forward(x, training=True))
    assert not np.array_equal(*masks)


def test_threads_share_a_network():
    """Calls from several threads are one after the other: each gives what it gives alone."""
    net = convnet()
    batches = [images(n) for n in (3, 5, 8, 13)]
    expected = [net.forward(x) for x in batches]
    wrong = []

    def work(x, y):
        wrong.extend(1 for _ in range(50) if not np.array_equal(net.forward(x), y))

    workers = [threading.Thread(target=work, args=pair) for pair in zip(batches, expected, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_number_of_threads_changes_no_bit(threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        net = convnet(seed=1)
        rng = np.random.default_rng(1)
        y = net.forward(rng.standard_normal((33, 9, 7, 3)).astype(np.float32), training=True)
        dx = net.backward(y)
        results.append(np.concatenate([y.ravel(), dx.ravel(), net.parameter_gradients]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


# ---- module functions -----------------------------------------------------------------------------


def test_permutation_is_one_and_a_pure_function():
    from genmodels import _core

    order = _core.permutation(3, 0, 1000)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, _core.permutation(3, 0, 1000))
    assert not np.array_equal(order, _core.permutation(3, 1, 1000))
    assert not np.array_equal(order, _core.permutation(4, 0, 1000))
    assert _core.permutation(3, 0, 0).shape == (0,)


def test_normal_and_uniform_have_their_moments():
    from genmodels import _core

    z, u = _core.normal(1, 9, 100_000), _core.uniform(1, 9, 100_000)
    assert abs(z.mean()) < 0.015
    assert z.std() == pytest.approx(1, abs=0.01)
    assert 0 <= u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(_core.normal(1, 9, 10), z[:10])


def test_threads_and_cpu_info(threads):
    threads(3)
    assert gm.get_num_threads() == 3
    info = gm.cpu_info()
    assert info["threads"] == 3
    assert info["isa"] in info["isa_available"]
    assert "portable" in info["isa_available"]
    assert info["bf16"] in ("none", "pairs", "blocks")
    assert info["compiler"]


def test_layers_are_described_as_they_are_written():
    layers = [
        L.Conv2D(4, (3, 1), padding=1),
        L.Reshape((8, 8)),
        L.Dense(3, use_bias=False),
        L.Dropout(0.25),
        L.BatchNorm(),
        L.MaxPool2D(3, 2, "same"),
        L.AvgPool2D((4, 2), padding=1),
        L.UpSampling2D(),
    ]
    texts = [
        "Conv2D(4, (3, 1), padding=1)",
        "Reshape((8, 8))",
        "Dense(3, use_bias=False)",
        "Dropout(0.25)",
        "BatchNorm()",
        "MaxPool2D(pool_size=3, strides=2, padding='same')",
        "AvgPool2D(pool_size=(4, 2), padding=1)",
        "UpSampling2D()",
    ]
    assert [described(layer) for layer in layers] == texts
    assert [eval(f"L.{text}") for text in texts] == layers


@pytest.mark.parametrize("last", [L.Tanh(), L.Sigmoid()], ids=repr)
def test_a_view_behind_the_last_activation_changes_nothing(last):
    """A model's range, and the logits of "bce", are told from the activation, wherever the shape is made."""
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    reconstruction = "bce" if isinstance(last, L.Sigmoid) else "mse"

    def losses(*ending):
        return gm.VAE(
            encoder=[L.Flatten(), L.Dense(8), L.Tanh()],
            decoder=[L.Dense(16), *ending],
            input_shape=(4, 4, 1),
            latent_dim=2,
            reconstruction=reconstruction,
        ).train_step(x, noise=np.ones((5, 2), np.float32))

    assert losses(last, L.Reshape((4, 4, 1))) == losses(L.Reshape((4, 4, 1)), last)
