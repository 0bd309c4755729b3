"""Scores of images and models: extractors, evaluate, the callback, the command line."""

import json
import math

import numpy as np
import pytest
import small
from command import call

import genmodels as gm
from genmodels import metrics, run
from genmodels.callbacks import Checkpoint, EarlyStopping, Scores
from genmodels.datasets import strokes
from genmodels.metrics import weights

N = 300


def projection(x):
    """Sixteen features of any image, all of them of random pixels."""
    flat = np.asarray(x, np.float32).reshape(len(x), -1)
    matrix = np.random.default_rng(0).normal(size=(flat.shape[1], 16)).astype(np.float32)
    return np.maximum(flat @ matrix, 0)


@pytest.fixture(scope="module")
def digits():
    return strokes.generate(3 * N)[0]


# ---- damages -----------------------------------------------------------------------------------------------------


def noise(x, y, strength, random):
    return np.clip(x + strength * random.normal(size=x.shape), 0, 1)


def blur(x, y, strength, random):
    steps = round(10 * strength)
    for _ in range(steps):
        for axis in (1, 2):
            x = (np.roll(x, 1, axis) + 2 * x + np.roll(x, -1, axis)) / 4
    return x


def blackout(x, y, strength, random):
    """A black square over a share of the area."""
    x, side = x.copy(), round(28 * strength**0.5)
    for image, (row, column) in zip(x, random.integers(0, 29 - side, (len(x), 2)), strict=True):
        image[row : row + side, column : column + side] = 0
    return x


def foreign(x, y, strength, random):
    """A share of transposed and inverted images in place of the set's own."""
    count = round(strength * len(x))
    return np.concatenate([1 - x[:count].transpose(0, 2, 1, 3), x[count:]])


def fewer_classes(x, y, strength, random):
    kept = np.flatnonzero(y < round(10 * (1 - strength)))
    return x[np.resize(kept, len(x))]


DAMAGES = [noise, blur, blackout, foreign, fewer_classes]


def rises(x, y, x_test, damage, extractor):
    x = x.astype(np.float32) / 255
    reference = metrics.features(x_test, extractor)
    random = np.random.default_rng(0)
    images = [x, *(damage(x, y, strength, random).astype(np.float32) for strength in (0.1, 0.2, 0.4, 0.6))]
    distances = [metrics.frechet_distance(metrics.features(some, extractor), reference) for some in images]
    return distances == sorted(distances) and distances[-1] > 1.5 * distances[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_fd_orders_damages_of_strokes(damage):
    x, y = strokes.generate(1600)
    assert rises(x[:800], y[:800], x[800:], damage, "mnist")


@pytest.mark.parametrize("damage", DAMAGES)
def test_fd_orders_damages_of_mnist(damage):
    try:
        (x, y), (x_test, _) = gm.datasets.load("mnist", download=False)
    except FileNotFoundError:
        pytest.skip("MNIST is not here; GENMODELS_DATA names the folder of the data sets")
    assert rises(x[:2000], y[:2000], x_test[:2000], damage, "mnist")


# ---- extractors -----------------------------------------------------------------------------------------------------


def test_a_name_is_our_classifier(digits):
    network, _ = weights.load("mnist")
    assert np.array_equal(metrics.features(digits[:20]), network.features(digits[:20]))
    halves = gm.datasets.resize(digits[:20] / np.float32(255), 14)
    assert np.array_equal(
        metrics.features(halves, "mnist"), network.features(gm.datasets.resize(halves, 28, "bicubic"))
    )


def test_digits_of_sixteen_pixels_are_still_read():
    """Enlarged bilinearly they would be so flat that a third of them is taken for another."""
    x, y = strokes.generate(900)
    x = gm.datasets.resize(x, 16)
    scores = metrics.evaluate(x, x, labels=y, extractor="strokes")
    assert scores["label_accuracy"] > 0.95
    assert min(scores["class_histogram"]) > 0.08 * len(x)


def test_a_function_is_given_floats_a_piece_at_a_time(digits):
    seen = []

    def extractor(x):
        seen.append((x.shape, x.dtype, x.max() <= 1))
        return projection(x)

    assert metrics.features(digits[:600], extractor).shape == (600, 16)
    assert seen[-2:] == [((500, 28, 28, 1), np.float32, True), ((100, 28, 28, 1), np.float32, True)]


@pytest.mark.parametrize(
    ("x", "extractor", "error", "message"),
    [
        (np.zeros((3, 8, 8, 1), np.uint8), "inception", ValueError, "extractor is 'inception'"),
        (np.zeros((3, 8, 8, 1), np.uint8), 5, TypeError, "not 5"),
        (np.zeros((3, 8, 8, 3), np.uint8), "mnist", ValueError, "takes 1 channels, the images have 3"),
        (np.zeros((3, 8, 8), np.uint8), "mnist", ValueError, r"shape \(3, 8, 8\)"),
        (np.zeros((0, 8, 8, 1), np.uint8), "mnist", ValueError, "none of them 0"),
        (np.full((3, 8, 8, 1), np.nan), "mnist", ValueError, "x: .*nan"),
        (np.zeros((3, 8, 8, 1), np.uint8), lambda x: x, ValueError, r"\(N, D\)"),
        (np.zeros((3, 8, 8, 1), np.uint8), lambda x: np.full((len(x), 2), np.nan), ValueError, "nan"),
        (np.zeros((3, 8, 8, 1), np.uint8), lambda x: np.zeros((len(x), 2), int), TypeError, "int64"),
        (np.zeros((3, 8, 8, 1), np.uint8), "none.onnx", OSError, "none.onnx"),
    ],
)
def test_bad_extractors(x, extractor, error, message):
    if isinstance(extractor, str) and extractor.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    with pytest.raises(error, match=message):
        metrics.features(x, extractor)


def test_scores_of_two_extractors_do_not_mix(digits):
    def other(x):
        return projection(x) + 1

    found = [metrics.evaluate(digits[:40], digits[40:80], extractor=one) for one in (projection, projection, other)]
    assert found[0] == found[1]
    number = metrics.extractor_number(found[0]["extractor"])
    history = {"fd_extractor": [math.nan, number]}
    name = metrics.extractor_name(found[0]["extractor"])
    assert name == f"projection:{number:012x}"
    assert metrics.one_extractor({"first": found[0], "second": found[1], "run": history}) == name
    assert metrics.one_extractor({"run": history}) == f"{number:012x}"
    assert metrics.one_extractor({"run": {"fd": 3.0}}) is None
    for mixed in ({"first": found[0], "other": found[2]}, {"run": history, "other": found[2]}):
        with pytest.raises(ValueError, match=r"different extractors .* (first|run) has .*, other has other:"):
            metrics.one_extractor(mixed)


# ---- evaluate -------------------------------------------------------------------------------------------------------


def test_evaluate_is_made_of_the_scores(digits):
    a, b, train = digits[:N], digits[N : 2 * N], digits[2 * N :]
    found = metrics.evaluate(a, b, labels=np.arange(N) % 10, reference_train=train)
    x, y, z = (metrics.features(images) for images in (a, b, train))
    p = weights.load("mnist")[0].predict_proba(a)
    expected = {
        "fd": metrics.frechet_distance(x, y),
        **dict(zip(("kd", "kd_stderr"), metrics.kernel_distance(x, y), strict=True)),
        **dict(zip(("precision", "recall"), metrics.precision_recall(x, y), strict=True)),
        **dict(zip(("density", "coverage"), metrics.density_coverage(x, y), strict=True)),
        "fd_floor": metrics.frechet_distance(z, y),
        "is": metrics.inception_score(p),
        "label_accuracy": metrics.label_accuracy(p, np.arange(N) % 10),
        "class_histogram": metrics.class_histogram(p),
        "extractor": f"mnist:{weights.load('mnist')[1]}",
        "n_generated": N,
        "n_reference": N,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["fd_ceiling"] > 10 * found["fd_floor"]
    json.dumps(found, allow_nan=False)


def test_evaluate_a_model_leaves_its_streams():
    model = small.vae(num_classes=3)
    before = model._counters()
    first = metrics.evaluate(model, small.images(60), n=50, extractor=projection)
    assert model._counters() == before
    assert first == metrics.evaluate(
        model.sample(50, np.arange(50) % 3, seed=0), small.images(60), 50, None, projection
    )
    assert (first["n_generated"], first["n_reference"], first["floor"]) == (50, 50, "halves")
    assert first["is"] is first["label_accuracy"] is first["class_histogram"] is None
    with_classes = metrics.evaluate(model, small.images(100), n=90)
    assert 0 <= with_classes["label_accuracy"] <= 1
    assert sum(with_classes["class_histogram"]) == 90


def test_a_model_of_more_classes_than_the_extractor_knows_is_scored_without_them():
    model = small.vae(num_classes=26)
    found = metrics.evaluate(model, small.images(100), n=90)
    assert found["label_accuracy"] is None
    assert sum(found["class_histogram"]) == 90
    known = metrics.evaluate(model, small.images(100), n=90, labels=np.arange(90) % 10)
    assert 0 <= known["label_accuracy"] <= 1
    with pytest.raises(ValueError, match=r"labels\[10\] is 10, must be in 0..9"):
        metrics.evaluate(model, small.images(100), n=90, labels=np.arange(90) % 26)


@pytest.mark.parametrize(("n", "k", "message"), [(3, 1, "n is 3, must be at least 4"), (5, 5, "k is 5, must be below")])
def test_n_has_room_for_the_floor_and_the_neighbours(n, k, message):
    x = small.images(30)
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(x, x, n=n, k=k, extractor=projection)
    with pytest.warns(UserWarning, match="for 16 features"):
        assert metrics.evaluate(x, x, n=n + 1, k=k, extractor=projection)["n_generated"] == n + 1


def test_edges_are_numbers_with_a_warning_or_clear_errors(digits):
    grey = np.full((40, 28, 28, 1), 0.5)
    for pair in ((grey, digits[:40]), (digits[:40], grey), (grey, grey), (digits[:7], digits[:6])):
        with pytest.warns(UserWarning, match="for 64 features"):
            json.dumps(metrics.evaluate(*pair), allow_nan=False)
    hole = digits[:40] / 255
    hole[3, 4, 5, 0] = np.nan
    for bad, message in (
        (digits[:5], "k is 5, must be below the number of samples, 5"),
        (digits[:0], "none of them 0"),
        (hole, "nan"),
    ):
        for pair in ((bad, digits[:40]), (digits[:40], bad)):
            with pytest.raises(ValueError, match=message):
                metrics.evaluate(*pair)
    with pytest.raises(ValueError, match="give an extractor"):
        metrics.evaluate(np.zeros((9, 8, 8, 2)), np.zeros((9, 8, 8, 2)))


# ---- while training -------------------------------------------------------------------------------------------------


def scores(**changes):
    return Scores(small.images(60, seed=9), **{"every_epochs": 2, "n": 30, "extractor": projection} | changes)


def test_scores_go_into_history_file_and_csv(tmp_path):
    model, plain = small.vae(), small.vae()
    model.fit(small.images(), epochs=5, batch_size=32, callbacks=scores())
    plain.fit(small.images(), epochs=5, batch_size=32)
    assert all(np.array_equal(model.weights[name], plain.weights[name]) for name in model.weights)
    history = model.history
    assert [epoch for epoch in history["fd_epoch"] if not math.isnan(epoch)] == [2, 4, 5]
    assert [math.isnan(value) for value in history["fd"]] == [True, False, True, False, False]
    last = metrics.evaluate(model, small.images(60, seed=9), 30, extractor=projection)
    assert history["fd"][-1] == last["fd"]
    assert history["fd_extractor"][-1] == metrics.extractor_number(last["extractor"])
    model.save(tmp_path / "model.safetensors")
    again = gm.load(tmp_path / "model.safetensors").history
    assert np.array_equal(again["fd"], history["fd"], equal_nan=True)
    history.to_csv(tmp_path / "history.csv")
    assert "fd_extractor" in (tmp_path / "history.csv").read_text().splitlines()[0].split(",")


def test_the_best_is_kept_and_the_fit_ends(tmp_path):
    model = small.vae()
    best = tmp_path / "best.safetensors"
    watchers = [
        scores(every_epochs=1),
        Checkpoint(tmp_path / "newest.safetensors", monitor="fd", best=best),
        EarlyStopping("fd", patience=2),
    ]
    history = model.fit(small.images(), epochs=40, batch_size=32, callbacks=watchers)
    values = history["fd"]
    assert gm.load(best).history["fd"] == values[: int(np.argmin(values)) + 1]
    assert len(values) == 40 or len(values) == int(np.argmin(values)) + 3


def test_a_resumed_fit_has_the_scores_of_one_never_killed(tmp_path):
    whole = small.vae()
    whole.fit(small.images(), epochs=4, batch_size=32, callbacks=scores())
    broken = small.vae()
    # Saved before the scores: as if killed between the two.
    broken.fit(small.images(), epochs=2, batch_size=32, callbacks=[Checkpoint(tmp_path / "a.safetensors")])
    model = gm.load(tmp_path / "a.safetensors")
    model.fit(small.images(), epochs=2, batch_size=32, callbacks=scores())
    assert model.history["fd"][3] == whole.history["fd"][3]


def test_another_extractor_does_not_go_on_with_a_curve():
    model = small.vae()
    model.fit(small.images(), batch_size=32, callbacks=scores())
    with pytest.raises(ValueError, match="different extractors"):
        model.fit(small.images(), batch_size=32, callbacks=scores(extractor=lambda x: projection(x) + 1))


def test_the_reference_is_read_once_whatever_the_number_of_fits(digits, monkeypatch):
    read = []

    def load(name):
        read.append(name)
        return (digits, None), (digits, None)

    monkeypatch.setattr(gm.datasets, "load", load)
    callback = Scores(digits[:80], n=80, reference_train="strokes")
    model = gm.zoo.build("vae-keras", seed=0)
    for _ in range(2):
        model.fit(digits[:32], batch_size=32, callbacks=callback)
    assert read == ["strokes"]
    assert callback._reference.extractor.name == "mnist"  # of the model's recipe


@pytest.mark.parametrize("digest", ["", "abc", "no hexadecimal digits", "0x12345678901234"])
def test_a_hash_that_is_none_is_refused_before_anything_is_computed(digits, digest):
    def extractor(images):
        raise AssertionError("called")

    extractor.hash = digest
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        metrics.features(digits[:4], extractor=extractor)


@pytest.mark.parametrize("changes", [{"n": 1}, {"every_epochs": 0}, {"k": 30}, {"seed": -1}])
def test_bad_arguments_of_the_callback(changes):
    with pytest.raises(ValueError, match="must be"):
        scores(**changes)


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [(26, np.arange(30) % 26, r"labels\[10\] is 10, must be in 0..9"), (3, np.full(30, 3), r"labels\[0\] is 3")],
)
def test_labels_that_cannot_be_are_refused_before_the_first_step(classes, labels, message):
    model = small.vae(num_classes=classes)
    before = {name: value.copy() for name, value in model.weights.items()}
    with pytest.raises(ValueError, match=message):
        model.fit(small.images(26), np.arange(26) % classes, callbacks=scores(labels=labels, extractor="mnist"))
    assert not len(model.history.steps)
    assert all(np.array_equal(before[name], value) for name, value in model.weights.items())


# ---- command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binarize", [(), ("--binarize", "dynamic")])
def test_train_and_evaluate_write_the_same_scores(binarize, few_strokes, tmp_path, capsys):
    """Against grey images, and as many training images as test images, whatever was trained on."""
    folder = tmp_path / "run"
    settings = ("vae-keras", "--data", "strokes", "--limit", 128, "--epochs", 2, *binarize, "--out", folder)
    assert call("train", *settings, "--scores-every", 1, "--keep", 1) == 0
    assert (folder / run.KEPT / "best.safetensors").exists()
    history = gm.load(folder / run.MODEL).history
    assert history["fd_epoch"] == [1, 2]
    capsys.readouterr()
    assert call("evaluate", folder) == 0
    printed = capsys.readouterr().out
    found = json.loads((folder / run.SCORES).read_text())
    for name in ("fd", "fd_floor", "kd", "precision", "coverage", "is", "n_generated", "n_reference"):
        assert found[name] == history[name][-1], name
    assert f"{found['fd']:.4g}" in printed
    assert found["extractor"] in printed
    before = (folder / run.SCORES).read_bytes()
    assert call("evaluate", folder, "--extractor", "nothing") == 1
    with pytest.raises(SystemExit, match="2"):  # five neighbours need a sixth
        call("evaluate", folder, "--n", 5)
    assert "argument --n: must be at least 6, not 5" in capsys.readouterr().err
    assert (folder / run.SCORES).read_bytes() == before


@pytest.mark.parametrize("labels", [3, [[1, 2]]])
def test_labels_that_are_no_list_are_refused_before_anything_is_computed(labels):
    x = np.zeros((9, 28, 28, 1), np.float32)
    with pytest.raises(ValueError, match=r"labels have shape .*, expected \(N,\)"):
        metrics.evaluate(x, x, labels=labels, extractor="strokes")
