"""Augmentation: which images come out of it, and that it is a function of seed, epoch and place."""

import os

import numpy as np
import pytest
import small
from stand_in import StandIn

import genmodels as gm
from genmodels.callbacks import Callback, Checkpoint, CosineDecay


def pictures(n, height=5, width=6, channels=1, dtype=np.uint8):
    """No pixel black and no two alike, as far as the bytes go: what was shifted where can be told."""
    values = np.arange(n * height * width * channels) % 255 + 1
    x = values.reshape(n, height, width, channels).astype(np.uint8)
    return x if dtype == np.uint8 else (x / 255).astype(dtype)


def moved(image, down, right, flipped):
    """An image shifted, then mirrored, by plain loops."""
    H, W, _ = image.shape
    out = np.zeros_like(image)
    for row in range(H):
        for column in range(W):
            if 0 <= row - down < H and 0 <= column - right < W:
                out[row, column] = image[row - down, column - right]
    return out[:, ::-1] if flipped else out


def changes(augmentation, images):
    """What every image may become: {bytes: (down, right, flipped)}, an image each."""
    reach = range(-augmentation.shift, augmentation.shift + 1)
    flips = (False, True) if augmentation.flip else (False,)
    return [
        {moved(image, d, r, f).tobytes(): (d, r, f) for d in reach for r in reach for f in flips} for image in images
    ]


def shown(augmentation, x, epochs=1, seed=3, batch_size=16):
    """The images of every epoch in their own order, as a training step gets them."""
    model = StandIn(seed=seed)
    model.fit(x, np.arange(len(x)), epochs, batch_size, augmentation=augmentation)
    images = np.concatenate([images for images, _ in model.seen]).reshape(epochs, *x.shape)
    labels = np.concatenate([labels for _, labels in model.seen]).reshape(epochs, len(x))
    return np.stack([images[epoch][np.argsort(labels[epoch])] for epoch in range(epochs)])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augmentation", [gm.Augmentation(), gm.Augmentation(1, flip=True), gm.Augmentation(0, True)])
def test_images_are_shifted_and_flipped_versions_of_themselves(augmentation, channels, dtype):
    x = pictures(300, channels=channels, dtype=dtype)
    possible = changes(augmentation, x)
    drawn = [versions[image.tobytes()] for versions, image in zip(possible, shown(augmentation, x)[0], strict=True)]
    assert set(drawn) == set(possible[0].values())  # every change occurs
    assert abs(np.mean([right for _, right, _ in drawn])) < 0.3
    assert abs(np.mean([flipped for *_, flipped in drawn]) - 0.5 * augmentation.flip) < 0.1


def test_another_epoch_another_seed_another_place_are_other_draws():
    x = np.repeat(pictures(1), 64, axis=0)
    first, second = shown(gm.Augmentation(2), x, epochs=2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, shown(gm.Augmentation(2), x, seed=4)[0])
    assert len(np.unique(first, axis=0)) > 15


def test_the_batch_size_does_not_matter_and_nothing_is_nothing():
    x = pictures(50)
    assert np.array_equal(shown(gm.Augmentation(), x, batch_size=7), shown(gm.Augmentation(), x, batch_size=50))
    before = x.copy()
    assert np.array_equal(shown(gm.Augmentation(shift=0), x)[0], x)
    assert np.array_equal(x, before)


def test_validation_data_stay_as_they_are():
    class Seeing(StandIn):
        family = "Seeing"

        def evaluate(self, x, labels=None):
            self.evaluated = x
            return super().evaluate(x, labels)

    model, x = Seeing(), pictures(5)
    model.fit(x, validation_data=x, augmentation=gm.Augmentation())
    assert np.array_equal(model.evaluated, x)


@pytest.mark.parametrize("K", [1, 3])
def test_resumed_at_any_step_the_bits_are_the_same(K, tmp_path):
    arguments = {"validation_data": (pictures(4), None), "augmentation": gm.Augmentation(2, flip=True)}
    x, y = pictures(38), np.arange(38)
    keep = Checkpoint(tmp_path / "{step}-{epoch}", every_steps=1)
    undisturbed = StandIn(critic_steps=K)
    undisturbed.fit(x, y, 3, 5, callbacks=[keep, CosineDecay(3)], **arguments)
    for name in os.listdir(tmp_path):
        model = gm.load(tmp_path / name)
        model.fit(x, y, resume=True, callbacks=CosineDecay(3), **arguments)
        assert small.state(model) == small.state(undisturbed), name


def test_a_vae_learns_with_it_whatever_the_threads(threads, tmp_path):
    models = []
    for n in (1, 3):
        threads(n)
        models.append(small.vae())
        models[-1].fit(small.images(), epochs=2, batch_size=25, augmentation=gm.Augmentation(1, True))
    assert small.state(models[0]) == small.state(models[1])
    plain = small.vae()
    plain.fit(small.images(), epochs=2, batch_size=25)
    assert small.state(models[0]) != small.state(plain)


@pytest.mark.parametrize("asked", [None, gm.Augmentation(1), gm.Augmentation(2, flip=True)])
def test_another_augmentation_than_before_is_refused(asked, tmp_path):
    class Stop(Callback):
        def on_step_end(self, model, step, losses):
            model.stop_training = True

    x = pictures(20)
    model = StandIn()
    model.fit(x, batch_size=5, augmentation=gm.Augmentation(2), callbacks=Stop())
    model.save(tmp_path / "model")
    for each in (model, gm.load(tmp_path / "model")):
        with pytest.raises(ValueError, match=r"had augmentation=Augmentation\(shift=2, .*got augmentation="):
            each.fit(x, resume=True, augmentation=asked)
        each.fit(x, resume=True, augmentation=gm.Augmentation(2))


@pytest.mark.parametrize(
    ("augmentation", "error", "message"),
    [
        (gm.Augmentation(5), ValueError, "shift is 5, must be below the images' 5 rows and 6 columns"),
        (2, TypeError, "must be a genmodels.Augmentation or None, not 2"),
    ],
)
def test_unfit_augmentation_is_refused_before_the_first_step(augmentation, error, message):
    model = StandIn()
    with pytest.raises(error, match=message):
        model.fit(pictures(4), augmentation=augmentation)
    assert model.seen == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"shift": -1}, ValueError),
        ({"shift": 1.5}, TypeError),
        ({"flip": 1}, TypeError),
        ({"shift": 2**20}, ValueError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error, match="Augmentation: "):
        gm.Augmentation(**arguments)


def test_it_is_immutable_comparable_printable():
    augmentation = gm.Augmentation(3)
    assert augmentation == gm.Augmentation(shift=3, flip=False)
    assert repr(augmentation) == "Augmentation(shift=3, flip=False)"
    with pytest.raises(AttributeError):
        augmentation.shift = 2
