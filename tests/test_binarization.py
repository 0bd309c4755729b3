"""Black and white images: what comes out of `datasets.binarize`, and of training with it."""

import json
import os

import numpy as np
import pytest
import small
from stand_in import StandIn

import genmodels as gm
from genmodels import _core, settings
from genmodels.callbacks import Callback, Checkpoint

pytestmark = pytest.mark.usefixtures("same_threads")

binarize = gm.datasets.binarize


def pictures(n=200, shape=(5, 3, 1), seed=0):
    """15 pixels: no multiple of the four numbers that are drawn at a time."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


# ---- images ---------------------------------------------------------------------------------------------------------


def test_white_is_as_frequent_as_the_grey_says():
    x = np.broadcast_to(np.arange(0, 256, 51, dtype=np.uint8)[:, None, None, None], (6, 100, 100, 1))
    drawn = binarize(x, "dynamic")
    assert set(np.unique(drawn)) == {0, 255}
    shares = (drawn == 255).mean(axis=(1, 2, 3))
    assert shares[0] == 0
    assert shares[-1] == 1
    np.testing.assert_allclose(shares, np.arange(0, 1.1, 0.2), atol=4 * 0.005)


def test_pixels_are_independent():
    drawn = binarize(np.full((400, 5, 3, 1), 128, np.uint8)).reshape(400, 15) / 255
    correlations = np.corrcoef(drawn.T) - np.eye(15)
    assert np.abs(correlations).max() < 5 / np.sqrt(400)
    assert len(np.unique(drawn, axis=0)) > 390


def test_fixed_is_white_above_one_half():
    assert binarize(np.array([0, 1, 127, 128, 255], np.uint8).reshape(5, 1, 1, 1), "fixed").ravel().tolist() == [
        *[0, 0, 0, 255, 255]
    ]
    grey = np.array([0.0, 0.5, np.nextafter(np.float32(0.5), 1), 1.0], np.float32).reshape(4, 1, 1, 1)
    assert binarize(grey, "fixed").ravel().tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("how", ["fixed", "dynamic"])
def test_dtypes_agree_and_black_and_white_stays(how):
    x = pictures()
    before = x.copy()
    drawn = binarize(x, how, seed=2)
    assert drawn.dtype == np.uint8
    assert np.array_equal(x, before)
    as_floats = binarize(x / 255, how, seed=2)
    assert as_floats.dtype == np.float32
    assert np.array_equal(as_floats * 255, drawn)
    assert np.array_equal(binarize(drawn, how, seed=7), drawn)
    assert np.array_equal(binarize(as_floats, "dynamic", seed=8), as_floats)


def test_draws_depend_on_seed_and_place_alone():
    x = pictures(1300)  # more than a piece
    drawn = binarize(x, seed=2)
    assert np.array_equal(drawn[:1200], binarize(x[:1200], seed=2))
    assert not np.array_equal(drawn, binarize(x, seed=3))
    same = binarize(np.repeat(x[:1], 1300, axis=0), seed=2)
    assert len(np.unique(same, axis=0)) > 100


def test_none_leaves_images_as_they_are():
    assert np.array_equal(binarize(pictures(), None), pictures())


@pytest.mark.parametrize(
    ("x", "arguments", "error"),
    [
        (pictures(), {"how": "bernoulli"}, ValueError),
        (pictures(), {"how": 0.5}, TypeError),
        (pictures(), {"seed": -1}, ValueError),
        (pictures()[0], {}, ValueError),
        (pictures()[:0], {}, ValueError),
        (pictures().astype(int), {}, TypeError),
        (pictures().astype(float), {}, ValueError),
        (np.full((2, 3, 3, 1), np.nan), {"how": "fixed"}, ValueError),
        ([[1], [1, 2]], {}, ValueError),
    ],
)
def test_bad_input(x, arguments, error):
    with pytest.raises(error):
        binarize(x, **arguments)


def test_a_stream_can_be_entered_anywhere():
    for draw in (_core.uniform, _core.normal):
        assert np.array_equal(draw(1, 2, 8, 3), draw(1, 2, 20)[12:])


# ---- training -------------------------------------------------------------------------------------------------------


def shown(x, epochs=1, batch_size=16, seed=3, **options):
    """The images of every epoch in their own order, as a training step gets them."""
    model = StandIn(seed=seed)
    model.fit(x, np.arange(len(x)), epochs, batch_size, **options)
    images = np.concatenate([images for images, _ in model.seen]).reshape(epochs, *x.shape)
    labels = np.concatenate([labels for _, labels in model.seen]).reshape(epochs, len(x))
    return np.stack([images[epoch][np.argsort(labels[epoch])] for epoch in range(epochs)])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dynamic_draws_anew_in_every_epoch(dtype):
    x = pictures() if dtype == np.uint8 else (pictures() / 255).astype(np.float32)
    before = x.copy()
    epochs = shown(x, 40, binarize="dynamic")
    assert np.array_equal(x, before)
    white = 255 if dtype == np.uint8 else 1
    assert set(np.unique(epochs)) == {0, white}
    assert np.abs(epochs.mean(axis=0) - x).mean() < 0.1 * white
    assert len({epoch.tobytes() for epoch in epochs}) == 40
    assert not np.array_equal(epochs[0], shown(x, seed=4, binarize="dynamic")[0])


def test_fixed_is_the_same_in_every_epoch():
    first, second = shown(pictures(), 2, binarize="fixed")
    assert np.array_equal(first, second)
    assert np.array_equal(first, binarize(pictures(), "fixed"))


def test_the_batch_size_does_not_matter():
    x = pictures(50)
    assert np.array_equal(shown(x, batch_size=7, binarize="dynamic"), shown(x, batch_size=50, binarize="dynamic"))


def test_images_are_shifted_first():
    x = pictures()
    both = shown(x, binarize="dynamic", augmentation=gm.Augmentation(1))
    shifted = shown(x, augmentation=gm.Augmentation(1))
    assert set(np.unique(both)) == {0, 255}
    assert not both[shifted == 0].any()
    assert both[shifted == 255].all()


@pytest.mark.parametrize("how", ["fixed", "dynamic"])
def test_validation_data_are_binarized_once(how):
    class Seeing(StandIn):
        family = "Seeing"

        def evaluate(self, x, labels=None):
            self.evaluated = [*getattr(self, "evaluated", []), x]
            return super().evaluate(x, labels)

    model, x = Seeing(), pictures(9)
    model.fit(x, epochs=3, validation_data=(x, np.arange(9)), binarize=how)
    assert len(model.evaluated) == 3
    assert all(np.array_equal(seen, binarize(x, how, seed=model.seed)) for seen in model.evaluated)


@pytest.mark.parametrize("K", [1, 3])
def test_resumed_at_any_step_the_bits_are_the_same(K, tmp_path):
    options = {"binarize": "dynamic", "validation_data": pictures(4), "augmentation": gm.Augmentation(1)}
    x, y = pictures(38), np.arange(38)
    undisturbed = StandIn(critic_steps=K)
    undisturbed.fit(x, y, 3, 5, callbacks=Checkpoint(tmp_path / "{step}-{epoch}", every_steps=1), **options)
    assert len(os.listdir(tmp_path)) > 8
    for name in os.listdir(tmp_path):
        model = gm.load(tmp_path / name)
        model.fit(x, y, resume=True, **options)
        assert small.state(model) == small.state(undisturbed), name


@pytest.mark.parametrize("build", [small.vae, small.gan])
def test_models_learn_with_it_whatever_the_threads(build, threads):
    models = []
    for n in (1, 3):
        threads(n)
        models.append(build())
        models[-1].fit(small.images(), batch_size=25, binarize="dynamic")
    assert small.state(models[0]) == small.state(models[1])
    plain = build()
    plain.fit(small.images(), batch_size=25)
    assert small.state(models[0]) != small.state(plain)


@pytest.mark.parametrize("asked", [None, "fixed"])
def test_another_binarization_than_before_is_refused(asked, tmp_path):
    class Stop(Callback):
        def on_step_end(self, model, step, losses):
            model.stop_training = True

    model, x = StandIn(), pictures(20)
    model.fit(x, batch_size=5, binarize="dynamic", callbacks=Stop())
    model.save(tmp_path / "model")
    for each in (model, gm.load(tmp_path / "model")):
        with pytest.raises(ValueError, match="had binarize='dynamic', got binarize="):
            each.fit(x, resume=True, binarize=asked)
        each.fit(x, resume=True, binarize="dynamic")


@pytest.mark.parametrize(("how", "error"), [("Dynamic", ValueError), (True, TypeError)])
def test_unfit_choices_are_refused_before_the_first_step(how, error):
    model = StandIn()
    with pytest.raises(error, match="binarize"):
        model.fit(pictures(4), binarize=how)
    assert model.seen == []


# ---- runs ------------------------------------------------------------------------------------------------------------


def test_runs_of_before_there_was_the_option_are_read(tmp_path):
    asked = settings.Settings("vae-keras", "strokes", 3, 32, 28)
    settings.write(tmp_path, asked)
    path = tmp_path / settings.FILE
    written = json.loads(path.read_text())
    del written["binarize"]
    path.write_text(json.dumps(written))
    assert settings.read(tmp_path) == asked
