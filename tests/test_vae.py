"""VAE: losses by their definitions, labels, seeds, streams, learning."""

import copy
import json
import pickle

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L

SHAPE = (8, 8, 1)
PIXELS = 64


def build(classes=0, latent=3, last=None, shape=SHAPE, **changes):
    height, width, channels = shape
    options = {
        "encoder": [L.Conv2D(4, 3, strides=2, padding="same"), L.ReLU(), L.Flatten(), L.Dense(16), L.Tanh()],
        "decoder": [L.Dense(height * width * channels), L.Reshape(shape), last or L.Sigmoid()],
        "input_shape": shape,
        "latent_dim": latent,
        "num_classes": classes,
        "optimizer": gm.optimizers.Adam(1e-2),
    }
    return gm.VAE(**{**options, **changes})


def data(n=12, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def reference_losses(vae, x, noise, labels=None):
    """reconstruction and kl in float64, from the networks' own forward passes."""
    mse = vae.reconstruction == "mse"
    pixels = x.astype(np.float64) / 255
    signal = 2 * pixels - 1 if isinstance(vae.networks["decoder"].layers[-1], L.Tanh) else pixels
    onehot = np.eye(vae.num_classes)[labels] if vae.num_classes else np.zeros((len(x), 0))
    planes = np.broadcast_to(onehot[:, None, None, :], (*x.shape[:3], vae.num_classes))
    features = vae.networks["encoder"].forward(np.concatenate([signal, planes], axis=3))
    mean, logvar = np.split(vae.networks["head"].forward(features).astype(np.float64), 2, axis=1)
    z = mean + np.exp(logvar / 2) * noise
    out = vae.networks["decoder"].forward(np.concatenate([z, onehot], axis=1)).astype(np.float64)
    if mse:
        cost = (out - signal) ** 2
    else:
        cost = -(pixels * np.log(out) + (1 - pixels) * np.log(1 - out))
    reconstruction = cost.reshape(len(x), -1).sum(1).mean()
    if vae.reduction == "mean":
        reconstruction /= cost[0].size
    kl = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).sum(1).mean()
    return reconstruction, kl


# ---- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("reconstruction", "last"), [("bce", L.Sigmoid()), ("mse", L.Sigmoid()), ("mse", L.Tanh())])
@pytest.mark.parametrize("classes", [0, 4])
def test_losses_are_those_of_the_definition(reconstruction, last, reduction, classes):
    vae = build(classes, last=last, reconstruction=reconstruction, reduction=reduction, beta=0.5)
    x, labels = data(), np.arange(12) % classes if classes else None
    noise = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)
    expected, kl = reference_losses(vae, x, noise, labels)
    got = vae.train_step(x, labels, noise)
    assert list(got) == ["loss", "reconstruction", "kl"]
    assert all(type(value) is float for value in got.values())
    assert got["reconstruction"] == pytest.approx(expected, rel=1e-5)
    assert got["kl"] == pytest.approx(kl, rel=1e-4, abs=1e-6)
    assert got["loss"] == pytest.approx(expected + 0.5 * kl, rel=1e-5)


def test_a_step_follows_the_gradient_of_the_loss():
    """SGD with a small rate: the loss falls by rate * |gradient|^2, with the gradient that the step applied."""
    vae = build(optimizer=gm.optimizers.SGD(1e-4))
    x, noise = data(), np.zeros((12, 3), np.float32)
    before = {name: view.copy() for name, view in vae.weights.items()}
    first = vae.train_step(x, noise=noise)["loss"]
    moved = sum(float(np.sum((view - before[name]).astype(np.float64) ** 2)) for name, view in vae.weights.items())
    second = vae.train_step(x, noise=noise)["loss"]
    assert first - second == pytest.approx(moved / 1e-4, rel=0.05)


def test_uint8_and_float_pixels_are_the_same():
    x = data()
    noise = np.ones((12, 3), np.float32)
    losses = [build().train_step(pixels, noise=noise) for pixels in (x, (x / 255).astype(np.float32), x / 255)]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-6)
    assert losses[1] == losses[2]


def test_arrays_may_lie_at_any_address():
    vae = build(classes=4)
    x, labels, codes = data() / np.float32(255), np.arange(12) % 4, np.ones((12, 3))
    assert not any(small.unaligned(array).flags.aligned for array in (x, labels, codes))
    assert vae.evaluate(small.unaligned(x), small.unaligned(labels)) == vae.evaluate(x, labels)
    for z in (codes, codes.astype(np.float32)):
        assert np.array_equal(vae.decode(small.unaligned(z), labels), vae.decode(z, labels))


def test_evaluate_is_repeatable_and_changes_nothing():
    vae = build()
    vae.train_step(data())
    counters, weights = vae._counters(), {name: view.copy() for name, view in vae.weights.items()}
    first = vae.evaluate(data(50, seed=5))
    assert first == vae.evaluate(data(50, seed=5))
    assert list(first) == ["loss", "reconstruction", "kl"]
    assert vae._counters() == counters
    for name, view in vae.weights.items():
        np.testing.assert_array_equal(view, weights[name])


def test_training_lowers_the_loss():
    """Blank and full images: the mean image is the worst answer, and a code tells them apart."""
    x = np.zeros((64, *SHAPE), np.uint8)
    x[::2] = 255
    vae = build(latent=1)
    before = vae.evaluate(x)["loss"]
    for _ in range(150):
        vae.train_step(x)
    assert vae.evaluate(x)["loss"] < 0.2 * before
    np.testing.assert_allclose(vae.reconstruct(x), x / 255, atol=0.2)


# ---- codes and images -----------------------------------------------------------------------------


@pytest.mark.parametrize("last", [L.Sigmoid(), L.Tanh()], ids=repr)
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_and_ranges(last, classes):
    vae = build(classes, last=last, reconstruction="mse", shape=(6, 10, 3))
    x = data(7, (6, 10, 3))
    labels = np.arange(7) % 3 if classes else None
    mean, logvar = vae.encode(x, labels)
    assert mean.shape == logvar.shape == (7, 3)
    for images in (vae.decode(50 * mean, labels), vae.reconstruct(x, labels), vae.sample(7, labels)):
        assert images.shape == (7, 6, 10, 3)
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1


def test_reconstruct_goes_through_the_mean():
    vae = build()
    mean, _ = vae.encode(data())
    np.testing.assert_array_equal(vae.reconstruct(data()), vae.decode(mean))


def test_tanh_decoders_see_and_make_the_doubled_range():
    vae = build(last=L.Tanh(), reconstruction="mse")
    z = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    raw = vae.networks["decoder"].forward(z)
    np.testing.assert_allclose(vae.decode(z), (raw + 1) / 2, atol=1e-6)


def test_labels_matter_and_any_integer_dtype_will_do():
    vae = build(classes=3)
    z = np.zeros((2, 3), np.float32)
    images = vae.decode(z, [0, 2])
    assert not np.array_equal(images[0], images[1])
    for dtype in (np.uint8, np.int16, np.int64, np.uint64):
        np.testing.assert_array_equal(vae.decode(z, np.array([0, 2], dtype)), images)


# ---- seeds and streams ----------------------------------------------------------------------------


@pytest.mark.parametrize("label", [2, np.int8(2), np.array(2)])
def test_one_label_is_for_all_that_is_drawn(label):
    z = np.random.default_rng(0).normal(size=(5, 2))
    vae, gan = small.vae(num_classes=4), small.gan(num_classes=4)
    for model, draw in ((vae, vae.decode), (gan, gan.generate)):
        assert np.array_equal(model.sample(5, label, seed=1), model.sample(5, [2] * 5, seed=1))
        assert np.array_equal(draw(z, label), draw(z, [2] * 5))


@pytest.mark.parametrize(("label", "error", "words"), [(4, ValueError, "is 4, must be"), (1.0, TypeError, "float64")])
def test_one_unfit_label(label, error, words):
    vae = small.vae(num_classes=4)
    for draw in (lambda: vae.sample(3, label), lambda: vae.decode(np.zeros((3, 2)), label)):
        with pytest.raises(error, match=words):
            draw()


@pytest.mark.parametrize("call", ["train_step", "evaluate", "encode", "reconstruct", "fit"])
def test_images_that_are_given_take_a_label_each(call):
    with pytest.raises(ValueError, match=r"labels have shape \(\), expected \(3,\)"):
        getattr(small.vae(num_classes=4), call)(small.images(3), 1)


def test_sample_with_a_seed_is_a_prefix_and_leaves_the_streams():
    vae = build()
    counters = vae._counters()
    nine = vae.sample(9, seed=4)
    np.testing.assert_array_equal(vae.sample(5, seed=4), nine[:5])
    np.testing.assert_array_equal(vae.sample(1, seed=4), nine[:1])
    assert not np.array_equal(vae.sample(9, seed=5), nine)
    assert vae._counters() == counters
    assert not np.array_equal(vae.sample(9), vae.sample(9))
    assert vae._counters()["sample"] > counters["sample"]


def test_sample_near_draws_around_the_encodings():
    vae, x = build(), data(4)
    mean, logvar = vae.encode(x)
    noise = vae._core.prior(10, 7)
    turn = np.arange(10) % 4
    expected = vae.decode(mean[turn] + 0.5 * np.exp(logvar[turn] / 2) * noise)
    assert np.array_equal(vae.sample_near(x, 10, spread=0.5, seed=7), expected)
    assert np.array_equal(vae.sample_near(x, 3, spread=0.5, seed=7), expected[:3])
    assert np.array_equal(vae.sample_near(x, spread=0.5, seed=7), expected[:4])
    assert np.array_equal(vae.sample_near(x, 10, spread=0.0), vae.reconstruct(x)[turn])
    assert not np.array_equal(vae.sample_near(x), vae.sample_near(x))


def test_sample_near_of_a_conditional_model_takes_the_images_labels():
    vae, x, y = build(classes=3), data(4), np.array([0, 2, 1, 1])
    mean, logvar = vae.encode(x, y)
    turn = np.arange(6) % 4
    expected = vae.decode(mean[turn] + np.exp(logvar[turn] / 2) * vae._core.prior(6, 1), y[turn])
    assert np.array_equal(vae.sample_near(x, 6, labels=y, seed=1), expected)
    assert np.array_equal(vae.sample_near(x, 2, labels=y, seed=1), expected[:2])


def test_sample_near_with_a_seed_or_a_failure_leaves_the_streams():
    vae, x = build(), data(4)
    before = vae._core.streams
    vae.sample_near(x, 9, seed=1)
    for arguments in ({"spread": 1e39}, {"n": 2**39}):
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            vae.sample_near(x, **arguments)
    assert vae._core.streams == before
    vae.sample_near(x)
    assert vae._core.streams != before


def test_sample_of_many_has_the_prefix_too():
    vae = build()
    vae.train_step(data(5))  # a small plan: many pieces
    many = vae.sample(1003, seed=9)
    np.testing.assert_array_equal(vae.sample(2, seed=9), many[:2])
    np.testing.assert_array_equal(build().sample(2, seed=9), build().sample(1003, seed=9)[:2])


def trained(steps=5, **changes):
    vae = build(**changes)
    for step in range(steps):
        vae.train_step(data(11 if step % 2 else 7, seed=step))
    return vae


def test_the_same_seed_gives_the_same_bits(threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(trained(seed=8))
    other = trained(seed=9)
    for name, view in results[0].weights.items():
        np.testing.assert_array_equal(view, results[1].weights[name])
        np.testing.assert_array_equal(view, results[2].weights[name])
    assert not np.array_equal(results[0].weights["head.0.kernel"], other.weights["head.0.kernel"])


def test_sampling_between_steps_changes_no_weight():
    plain, watched = trained(), build()
    for step in range(5):
        watched.train_step(data(11 if step % 2 else 7, seed=step))
        watched.sample(3)
        watched.evaluate(data(20))
        watched.networks["encoder"].forward(np.zeros((2, *SHAPE), np.float32))
    np.testing.assert_array_equal(plain.weights["decoder.0.kernel"], watched.weights["decoder.0.kernel"])


@pytest.mark.parametrize(
    "optimizer",
    [gm.optimizers.Adam(1e-2), gm.optimizers.RMSprop(1e-3, momentum=0.5), gm.optimizers.SGD(1e-4, 0.9)],
    ids=repr,
)
def test_config_weights_state_and_counters_are_all_there_is(optimizer):
    """A model rebuilt from them goes on to the same bits: what saving relies on."""
    dropout = [L.Flatten(), L.Dense(16), L.BatchNorm(), L.ReLU(), L.Dropout(0.3)]
    vae = trained(encoder=dropout, optimizer=optimizer)
    copy = gm.VAE.from_config(json.loads(json.dumps(vae.config)))
    for source, target in ((vae.weights, copy.weights), (vae._optimizer_tensors(), copy._optimizer_tensors())):
        assert source.keys() == target.keys()
        for name, view in source.items():
            target[name][...] = view
    copy._set_counters(vae._counters())
    for step in range(3):
        assert vae.train_step(data(seed=step)) == copy.train_step(data(seed=step))
    np.testing.assert_array_equal(vae.sample(3), copy.sample(3))
    for name, view in vae.weights.items():
        np.testing.assert_array_equal(view, copy.weights[name])


def test_counters_count():
    vae = trained(steps=4)
    counters = vae._counters()
    assert counters["encoder.steps"] == counters["head.steps"] == counters["decoder.steps"] == 4
    assert set(vae._optimizer_tensors()) == {
        f"optimizer.{network}.{slot}" for network in ("encoder", "head", "decoder") for slot in "mv"
    }
    with pytest.raises(ValueError, match="missing or unknown: noise"):
        vae._set_counters({name: value for name, value in counters.items() if name != "noise"})
    with pytest.raises(ValueError, match="counter sample is -1"):
        vae._set_counters({**counters, "noise": 77, "sample": -1})
    assert vae._counters() == counters


# ---- what it says of itself -----------------------------------------------------------------------


def test_names_counts_summary_repr(capsys):
    vae = build(classes=2)
    assert list(vae.networks) == ["encoder", "head", "decoder"]
    assert vae.networks["encoder"].input_shape == (8, 8, 3)
    assert vae.networks["decoder"].input_shape == (5,)
    assert vae.networks["head"].layers == (L.Dense(6),)
    assert vae.weights["encoder.0.kernel"].shape == (3, 3, 3, 4)
    assert vae.weights["head.0.bias"].shape == (6,)
    assert vae.parameter_count == sum(view.size for view in vae.weights.values())
    text = vae.summary()
    assert all(name in text for name in ("encoder", "head", "decoder", f"{vae.parameter_count:,}"))
    assert repr(vae).startswith("VAE(input_shape=(8, 8, 1), latent_dim=3, reconstruction='bce'")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("beta", 2.0), ("latent_dim", 5), ("optimizer", gm.optimizers.SGD()), ("seed", 1), ("networks", {})],
)
def test_what_it_was_built_with_is_fixed(name, value):
    vae = build()
    before = vae.config
    with pytest.raises(TypeError, match=f"{name} is fixed when a VAE is built"):
        setattr(vae, name, value)
    assert vae.config == before


def test_noise_that_lies_in_the_models_own_memory_is_read_as_it_was():
    one, other = build(), build()
    for vae in (one, other):
        vae.networks["decoder"].parameter_gradients[...] = np.random.default_rng(0).standard_normal(256)
    noise = one.networks["decoder"].parameter_gradients[:36].reshape(12, 3)
    given = noise.copy()
    one.train_step(data(), noise=noise)
    other.train_step(data(), noise=given)
    assert small.state(one) == small.state(other)
    assert not np.array_equal(noise, given)


def test_many_images_are_drawn_in_pieces_with_the_same_bits(monkeypatch):
    vae, sizes = build(), []
    codes = vae._core.prior(1100, 5)
    expected = vae._core.decode(codes, None)
    monkeypatch.setattr(vae, "_render", lambda z, y: (sizes.append(len(z)), vae._core.decode(z, y))[1])
    np.testing.assert_array_equal(vae.sample(1100, seed=5), expected)
    np.testing.assert_array_equal(vae.decode(codes), expected)
    assert sizes == 2 * [512, 512, 76]


def test_ctrl_c_in_a_sample_leaves_the_streams(monkeypatch):
    vae = build()

    def interrupted(codes, classes):
        raise KeyboardInterrupt

    monkeypatch.setattr(vae, "_render", interrupted)
    before = vae._counters()
    with pytest.raises(KeyboardInterrupt):
        vae.sample(3)
    assert vae._counters() == before


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_go_through_a_file(duplicate):
    with pytest.raises(TypeError, match="cannot be copied or pickled: save"):
        duplicate(build())


def test_weights_refuse_assignments_that_would_be_lost():
    vae = build()
    with pytest.raises(TypeError, match="write into the array"):
        vae.weights["head.0.bias"] = np.zeros(6)
    with pytest.raises(ValueError, match=r"there is no 'head\.0\.biass'"):
        vae.weights["head.0.biass"]


def test_weights_are_live():
    vae = build()
    vae.weights["decoder.0.kernel"][...] = 0
    vae.weights["decoder.0.bias"][...] = 0
    np.testing.assert_array_equal(vae.sample(2), np.full((2, *SHAPE), 0.5, np.float32))
