"""Classifier: losses by their definitions, gradients, what it tells of images, bad input, what it has no part in."""

import subprocess
import sys

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L
from genmodels.run import CHECKPOINT, Run

SHAPE, CLASSES = (8, 8, 1), 4
LAYERS = [L.Conv2D(6, 3, padding="same"), L.ReLU(), L.Flatten(), L.Dense(5), L.Tanh(), L.Dense(CLASSES)]


def build(**changes):
    return gm.Classifier(**({"layers": LAYERS, "input_shape": SHAPE, "num_classes": CLASSES} | changes))


def data(n=12, seed=0):
    """Images and labels; the label is the quarter that is brightest."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 100, (n, *SHAPE), np.uint8), rng.integers(0, CLASSES, n)
    for image, label in zip(x, y, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 100
    return x, y


def softmax(logits):
    """In float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def snapshot(model):
    tensors = {**model.weights, **model._optimizer_tensors()}
    return {name: view.tobytes() for name, view in tensors.items()}, model._counters(), repr(model.history.__dict__)


# ---- losses and training --------------------------------------------------------------------------


def test_losses_are_those_of_their_definition():
    model, (x, y) = build(), data(300)  # more than go through the network at a time
    probabilities = softmax(model.networks["network"].forward(np.float32(x) / np.float32(255)))
    expected = -np.log(probabilities[np.arange(300), y]).mean()
    for losses in (model.evaluate(x, y), model.train_step(x, y)):
        assert list(losses) == ["loss", "accuracy"]
        assert all(type(value) is float for value in losses.values())
        assert losses["loss"] == pytest.approx(expected, rel=1e-5)
        assert losses["accuracy"] == pytest.approx((probabilities.argmax(1) == y).mean(), abs=1e-12)


def test_a_step_follows_the_gradient():
    """SGD of rate 1 moves the parameters by their gradient; along random directions the loss, measured apart, changes
    as it says (central differences of fourth order, in float32 as it ships)."""
    rate, step = 1e-3, 2.0**-5
    x, y = data()
    layers = [L.Flatten(), L.Dense(9), L.Tanh(), L.Dense(CLASSES)]
    model = build(layers=layers, optimizer=gm.optimizers.SGD(rate))
    parameters = model.networks["network"].parameters
    start = parameters.copy()
    model.train_step(x, y)
    gradient = model.networks["network"].parameter_gradients.astype(np.float64)
    np.testing.assert_allclose(parameters - start, -rate * gradient, atol=1e-7)

    def loss_at(direction, shift):
        parameters[...] = start + np.float32(shift) * direction
        return model.evaluate(x, y)["loss"]

    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = rng.standard_normal(parameters.size).astype(np.float32) * np.float32(0.3)
        differences = [loss_at(direction, k * step) - loss_at(direction, -k * step) for k in (1, 2)]
        slope = (8 * differences[0] - differences[1]) / (12 * step)
        assert abs(slope - gradient @ direction) < 1e-3 * 0.3 * np.linalg.norm(gradient)


def test_it_learns():
    model = build()
    (x, y), held_out = data(256), data(200, seed=1)
    history = model.fit(x, y, epochs=15, batch_size=32, validation_data=held_out, verbose="silent")
    assert list(history)[:4] == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["val_accuracy"][-1] > 0.95 > 0.6 > history["accuracy"][0]
    assert model.evaluate(*held_out) == {name: history[f"val_{name}"][-1] for name in ("loss", "accuracy")}


def test_a_step_that_diverges_changes_nothing():
    """The loss overflows, then a gradient does: neither leaves a trace."""
    for scale in (1e38, 1e25):
        model, (x, y) = small.classifier(), (small.images(), np.arange(small.TRAINING) % 3)
        model.train_step(x, y)
        model.weights["network.5.kernel"][...] = scale
        model.weights["network.7.kernel"][...] = np.linspace(-scale, scale, 36).reshape(12, 3)
        before = snapshot(model)
        with pytest.raises(FloatingPointError, match=r"training diverged: at step 2 .* lower learning rate"):
            model.train_step(x, y)
        assert snapshot(model) == before


# ---- what it tells of images ----------------------------------------------------------------------


def test_predictions_and_features():
    model, (x, y) = build(), data(300)
    model.fit(x, y, verbose="silent")
    logits, features = model.logits(x), model.features(x)
    assert (logits.shape, features.shape) == ((300, CLASSES), (300, 5))
    assert logits.dtype == features.dtype == np.float32
    last = model.networks["network"].weights
    np.testing.assert_allclose(features @ last["5.kernel"] + last["5.bias"], logits, atol=1e-5)
    assert np.abs(features).max() <= 1  # behind the Tanh
    probabilities = model.predict_proba(x)
    assert (probabilities.shape, probabilities.dtype) == ((300, CLASSES), np.float32)
    np.testing.assert_allclose(probabilities, softmax(logits), atol=1e-6)
    predicted = model.predict(x)
    assert (predicted.shape, predicted.dtype) == ((300,), np.int64)
    np.testing.assert_array_equal(predicted, logits.argmax(1))
    assert model.evaluate(x, y)["accuracy"] == (predicted == y).mean()


def test_features_may_be_the_pixels():
    model = build(layers=[L.Flatten(), L.Dense(CLASSES)])
    x = np.random.default_rng(0).uniform(size=(7, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(model.features(x), x.reshape(7, -1))


def test_uint8_and_float_pixels_are_the_same():
    model, (x, _) = build(), data()
    np.testing.assert_allclose(model.logits(x), model.logits(x / 255), atol=1e-6)
    np.testing.assert_array_equal(model.logits(x / 255), model.logits((x / 255).astype(np.float32)))


def test_looking_changes_nothing():
    model, (x, y) = build(), data()
    model.train_step(x, y)
    before = snapshot(model)
    for call in (model.predict, model.predict_proba, model.logits, model.features):
        call(x)
    model.evaluate(x, y)
    assert snapshot(model) == before


def test_memory_does_not_grow_with_the_images():
    """The activations of 4,000 images, 100 MB, are never there at once: a child process tells its peak."""
    code = """
import resource
import numpy as np, genmodels as gm
from genmodels import layers as L
model = gm.Classifier(layers=[L.Conv2D(32, 3, padding="same"), L.ReLU(), L.GlobalAvgPool2D(), L.Dense(4)],
                      input_shape=(28, 28, 1), num_classes=4)
x = np.zeros((4000, 28, 28, 1), np.uint8)
model.predict(x[:128])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.features(x), model.predict(x), model.predict_proba(x), model.evaluate(x, np.zeros(4000, int))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 20e6


# ---- files ----------------------------------------------------------------------------------------


def test_a_file_restores_it(tmp_path):
    model, (x, y) = small.classifier(), (small.images(), np.arange(small.TRAINING) % 3)
    model.fit(x, y, epochs=2, batch_size=40, verbose="silent")
    model.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    assert isinstance(loaded, gm.Classifier)
    assert loaded.config == model.config
    assert small.state(loaded) == small.state(model)
    assert loaded.train_step(x, y) == model.train_step(x, y)
    assert next(iter(loaded.weights)) == "network.0.kernel"


def test_description():
    model = build(seed=3)
    assert repr(model).startswith("Classifier(input_shape=(8, 8, 1), num_classes=4, optimizer=Adam(")
    assert "Classifier: 2,009 trainable parameters in all" in model.summary()
    assert gm.Classifier.from_config(model.config).config == model.config
    with pytest.raises(TypeError, match="num_classes is fixed when a Classifier is built"):
        model.num_classes = 5


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"layers": [*LAYERS, L.ReLU()]}, ValueError, r"last layer must be Dense\(4\), .*it is ReLU"),
        ({"layers": [L.Flatten()]}, ValueError, r"last layer must be Dense\(4\), .*it is Flatten"),
        ({"layers": []}, ValueError, r"last layer must be Dense\(4\), .*it is missing"),
        ({"layers": [L.Flatten(), L.Dense(5)]}, ValueError, r"network's output has shape \(5,\), must have \(4,\)"),
        ({"layers": [L.Dense(4)]}, ValueError, r"layers: layer 0 \(Dense\): .*Flatten"),
        ({"layers": L.Dense(4)}, TypeError, "layers must be a list of layers"),
        ({"layers": None}, TypeError, "layers must be a list of layers"),
        ({"num_classes": 1}, ValueError, "num_classes is 1, must be at least 2"),
        ({"num_classes": 0}, ValueError, "num_classes is 0, must be at least 2"),
        ({"num_classes": 2.5}, TypeError, "num_classes"),
        ({"num_classes": 2**40}, ValueError, "num_classes|output"),
        ({"input_shape": (8, 8)}, ValueError, "input_shape"),
        ({"input_shape": (8, 8, 0)}, ValueError, "input_shape is 0"),
        ({"optimizer": "adam"}, TypeError, "optimizer"),
        ({"precision": "float16"}, ValueError, "precision"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_what_cannot_be_built(changes, error, words):
    with pytest.raises(error, match=words):
        build(**changes)


def spoiled(value):
    x = np.full((3, *SHAPE), 0.5, np.float32)
    x[1, 2, 3, 0] = value
    return x


IMAGES = [
    (np.zeros((3, 8, 8), np.uint8), ValueError, r"shape \(3, 8, 8\), expected \(N, 8, 8, 1\)"),
    (np.zeros((0, *SHAPE), np.uint8), ValueError, "empty"),
    (np.zeros((3, *SHAPE), np.int64), TypeError, "int64"),
    (spoiled(np.nan), ValueError, "nan"),
    (spoiled(1.1), ValueError, r"1\.1"),
    (None, TypeError, "object"),
]


@pytest.mark.parametrize(("x", "error", "words"), IMAGES)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "fit", "predict", "predict_proba", "logits", "features"])
def test_unfit_images(call, x, error, words):
    model = build()
    before = snapshot(model)
    labels = [[0, 1, 2][: 3 if x is None else len(x)]] if call in ("train_step", "evaluate", "fit") else []
    with pytest.raises(error, match=words):
        getattr(model, call)(x, *labels)
    assert snapshot(model) == before


LABELS = [
    (None, ValueError, r"labels are needed, one of 4 classes for each sample \(num_classes=4\)"),
    ([0, 1], ValueError, r"shape \(2,\), expected \(3,\)"),
    ([0, 1, 4], ValueError, r"labels\[2\] is 4, must be in 0..3"),
    ([0, -1, 2], ValueError, r"labels\[1\] is -1"),
    ([0.0, 1.0, 2.0], TypeError, "float64"),
]


@pytest.mark.parametrize(("labels", "error", "words"), LABELS)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "fit"])
def test_unfit_labels(call, labels, error, words):
    model = build()
    before = snapshot(model)
    with pytest.raises(error, match=words):
        getattr(model, call)(np.zeros((3, *SHAPE), np.uint8), labels)
    assert snapshot(model) == before


# ---- what it has no part in -----------------------------------------------------------------------


def test_it_draws_no_images(tmp_path):
    model, (x, y) = build(), data()
    before = snapshot(model)
    with pytest.raises(TypeError, match="a Classifier draws no images"):
        model.sample(3)
    with pytest.raises(TypeError, match=r"Samples shows images that a model draws, a Classifier draws none"):
        model.fit(x, y, callbacks=gm.callbacks.Samples(tmp_path / "samples", gif=False), verbose="silent")
    assert snapshot(model) == before
    assert not (tmp_path / "samples").exists()


def test_a_run_is_of_a_model_that_draws(tmp_path, few_strokes):
    build().save(tmp_path / CHECKPOINT)
    defaults = {"data": "strokes", "split": "train", "limit": 50, "image_size": 28, "latent_dim": None}
    defaults |= {"epochs": 1, "batch_size": 50, "seed": 0, "conditional": False}
    run = Run.open(tmp_path, {"model": "vae-keras"}, defaults, mode="resume")
    with pytest.raises(
        ValueError, match=r"checkpoint.safetensors holds another model .* family is 'Classifier', not 'VAE'"
    ):
        run.train(verbose="silent")
