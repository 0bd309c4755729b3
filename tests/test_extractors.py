"""The extractors the package ships: their files, what these tell of themselves, and the command that makes them."""

import json
import logging
import os
import threading

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import _safetensors
from genmodels.metrics import extractors, train_extractor, weights
from genmodels.metrics.train_extractor import FEATURES, RECIPES
from genmodels.training.position import fingerprint

BOUNDS = {"mnist": 0.992, "fashion_mnist": 0.915, "cifar10": 0.75, "strokes": 0.999}
SIZES = {"mnist": 120_000, "fashion_mnist": 250_000, "cifar10": 500_000, "strokes": 80_000}
DATA = os.environ.get("GENMODELS_DATA")
EACH = pytest.mark.parametrize("name", BOUNDS)


def metadata(name):
    return _safetensors.read(weights.FOLDER / f"{name}.safetensors")[1]


def test_there_is_one_for_every_data_set():
    assert set(weights.names()) == set(RECIPES) == set(gm.datasets.names()) == set(BOUNDS)
    assert sum(path.stat().st_size for path in weights.FOLDER.iterdir()) < 1_000_000


@EACH
def test_a_file_and_what_it_tells(name):
    path, told = weights.FOLDER / f"{name}.safetensors", metadata(name)
    assert path.stat().st_size <= SIZES[name]
    assert told["data"] == name
    assert BOUNDS[name] <= float(told["test_accuracy"]) <= 1
    assert told["command"].startswith(f"python -m genmodels.metrics.train_extractor {name} --out FILE")
    assert int(told["seed"]) == RECIPES[name].seed
    assert len(told["data_sha256"]) == 64
    assert told["config"] == json.dumps(train_extractor.classifier(name).config), "not the recipe's"


@EACH
def test_the_classifier_of_a_file(name):
    model, found = weights.load(name)
    assert found == metadata(name)["sha256"]
    assert weights.load(name)[0] is model
    x = np.random.default_rng(0).integers(0, 256, (5, *model.input_shape), np.uint8)
    features = model.features(x)
    assert features.shape == (5, FEATURES)
    assert features.min() >= 0  # averages of what a ReLU leaves
    assert np.isfinite(features).all()
    assert not model._counters()["network.steps"]


def test_threads_get_one_and_the_same():
    found, x = [], np.zeros((200, 28, 28, 1), np.uint8)

    def look():
        model, _ = weights.load("mnist")
        found.append((model, model.features(x).tobytes()))

    weights._loaded.clear()
    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(model is found[0][0] and features == found[0][1] for model, features in found)


@EACH
def test_accuracy_on_the_whole_test_set(name, load_data):
    """Exactly that of the metadata, with the data and the kernels that made the file; other kernels may judge a
    borderline image anew, and of another copy of the data (of CIFAR-10 there are some) only the bound is asked."""
    train, (x, y) = load_data(name)
    told = metadata(name)
    accuracy = weights.load(name)[0].evaluate(x, y)["accuracy"]
    assert accuracy >= BOUNDS[name]
    if fingerprint(*train) == told["data_sha256"]:
        slack = 0 if gm.cpu_info()["isa"] == told["isa"] else 3 / len(x)
        assert abs(accuracy - float(told["test_accuracy"])) <= slack


@pytest.fixture
def load_data():
    """The data set of a name, where it is at hand."""

    def load(name):
        if name != "strokes" and not DATA:
            pytest.skip("GENMODELS_DATA names no folder with the data")
        try:
            return gm.datasets.load(name, download=False, verify=False)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return load


# ---- the command ------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """The command on a few strokes."""
    load, recipe = gm.datasets.load, train_extractor.Recipe(((4,), (FEATURES,)), epochs=2, shift=1, flip=False)

    def load_few(*arguments, **options):
        return tuple((x[:200], y[:200]) for x, y in load(*arguments, **options))

    monkeypatch.setattr(gm.datasets, "load", load_few)
    monkeypatch.setitem(RECIPES, "strokes", recipe)


def test_the_command_writes_the_same_bits_again(short, tmp_path, threads, caplog):
    caplog.set_level(logging.INFO)
    files = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    for count, file in enumerate(files, 1):
        threads(count)
        assert train_extractor.main(["strokes", "--out", str(file)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    model, found = weights.read(files[0])
    _, (x, y) = gm.datasets.load("strokes")
    told = _safetensors.read(files[0])[1]
    assert told["sha256"] == found
    assert model.evaluate(x, y)["accuracy"] == float(told["test_accuracy"])
    assert f"{files[0]}: test accuracy {float(told['test_accuracy']):.4f}" in caplog.text


@pytest.mark.parametrize("arguments", [["letters", "--out", "x"], ["mnist"], []])
def test_a_command_that_makes_no_sense(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        train_extractor.main(arguments)
    assert "usage: python -m genmodels.metrics.train_extractor" in capsys.readouterr().err


# ---- files that are none ----------------------------------------------------------------------------


def test_unknown_names():
    with pytest.raises(ValueError, match=r"extractor is 'inception', must be one of 'cifar10', 'fashion_mnist'"):
        weights.load("inception")
    with pytest.raises(TypeError, match="extractor must be a str"):
        weights.load(3)


def test_a_changed_bit_is_refused(tmp_path):
    contents = bytearray((weights.FOLDER / "mnist.safetensors").read_bytes())
    contents[-5] ^= 1
    (tmp_path / "mnist.safetensors").write_bytes(contents)
    with pytest.raises(ValueError, match=r"mnist.safetensors: damaged or cut off: its SHA-256"):
        weights.read(tmp_path / "mnist.safetensors")


def _changed(path, tensors=None, **metadata):
    """An MNIST extractor's file with other metadata (None: without) or tensors, its checksum right."""
    old, told = _safetensors.read(weights.FOLDER / "mnist.safetensors")
    told = {name: value for name, value in (told | metadata).items() if name != "sha256" and value is not None}
    _safetensors.write(path, tensors(dict(old)) if tensors else old, told)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": None}, "of kind None"),
        ({"config": None}, "config must be a dict, not NoneType"),
        ({"config": "["}, "Expecting value"),
        ({"config": "[]"}, "config must be a dict"),
        ({"tensors": lambda old: old | {"more": np.zeros(3, np.float32)}}, "'more' is not part of the model"),
        ({"tensors": lambda old: {n: t for n, t in old.items() if "gamma" not in n}}, "weights, at most .* are there"),
        ({"tensors": lambda old: {n: t.reshape(-1) for n, t in old.items()}}, r"expected float32 .*, got"),
        (
            {"tensors": lambda old: {n: t * np.float32(np.nan) for n, t in old.items()}},
            "holds values that are not finite",
        ),
    ],
)
def test_files_of_another_kind(changes, words, tmp_path):
    path = tmp_path / "changed.safetensors"
    _changed(path, **changes)
    with pytest.raises(ValueError, match=f"changed.safetensors: no extractor: .*{words}"):
        weights.read(path)


def test_a_model_is_no_extractor(tmp_path):
    train_extractor.classifier("strokes").save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="of kind None, expected 'extractor'"):
        weights.read(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        weights.read(tmp_path / "nowhere.safetensors")


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = train_extractor.classifier("strokes")
    model.weights["network.0.kernel"][0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"network.0.kernel. holds values that are not finite"):
        weights.save(model, tmp_path / "x.safetensors", {"data": "strokes"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("digest", "function", "error", "message"),
    [
        ("zzz", len, ValueError, "extractor mine: its hash is 'zzz', must be at least 12 hexadecimal digits"),
        (None, len, TypeError, "extractor mine: its hash must be a str, not None"),
        ("0" * 64, 3, TypeError, "extractor mine: features must be a function, not 3"),
    ],
)
def test_what_is_no_extractor_is_refused_when_it_is_made(digest, function, error, message):
    with pytest.raises(error, match=message):
        gm.metrics.Extractor("mine", digest, function)


# ---- Classifiers of one's own -----------------------------------------------------------------------


IMAGES = np.random.default_rng(4).random((9, 8, 8, 1), np.float32)


def test_a_classifier_of_ones_own_is_an_extractor():
    model = small.classifier()
    found = extractors.find(model, (8, 8, 1))
    np.testing.assert_array_equal(gm.metrics.features(IMAGES, model), model.features(IMAGES))
    np.testing.assert_array_equal(extractors.classified(found, IMAGES), model.predict_proba(IMAGES))
    with pytest.warns(UserWarning, match="9 generated and 9 reference samples"):
        scores = gm.metrics.evaluate(IMAGES, IMAGES[::-1], n=9, extractor=model)
    assert scores["extractor"] == f"classifier:{found.hash}"
    assert len(scores["class_histogram"]) == 3


def test_its_hash_is_that_of_its_layers_and_weights():
    model, shape = small.classifier(), (8, 8, 1)
    before = extractors.find(model, shape).hash
    assert extractors.find(small.classifier(), shape).hash == before
    assert extractors.find(small.classifier(precision="bf16"), shape).hash != before
    model.train_step(IMAGES, np.arange(9) % 3)
    assert extractors.find(model, shape).hash != before


def test_images_of_another_size_are_resized_for_it():
    larger = np.random.default_rng(5).random((4, 16, 16, 1), np.float32)
    model = small.classifier()
    wanted = model.features(np.clip(gm.datasets.resize(larger, 8, "bicubic"), 0, 1))
    np.testing.assert_allclose(gm.metrics.features(larger, model), wanted, atol=1e-6)


def test_a_file_of_the_command_is_an_extractor(tmp_path):
    model, path = small.classifier(), tmp_path / "mine.safetensors"
    weights.save(model, path, {"data": "mine"})
    for given in (path, str(path)):
        found = extractors.find(given, (8, 8, 1))
        assert str(found) == f"mine:{_safetensors.read(path)[1]['sha256']}"
        np.testing.assert_array_equal(extractors.extracted(found, IMAGES), model.features(IMAGES))


def test_a_file_that_is_none_is_refused(tmp_path):
    model, path = small.classifier(), tmp_path / "model.safetensors"
    model.save(path)
    with pytest.raises(ValueError, match=r"model\.safetensors: no extractor: of kind None"):
        gm.metrics.features(IMAGES, path)
    with pytest.raises(FileNotFoundError):
        gm.metrics.features(IMAGES, str(tmp_path / "none.safetensors"))
