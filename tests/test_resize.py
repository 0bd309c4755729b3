"""gm.datasets.resize beside Pillow, and gm.datasets.join."""

import numpy as np
import pytest
from PIL import Image

import genmodels as gm
from genmodels.datasets import join, resize, resizing, strokes

FILTERS = {"area": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def by_pillow(x, rows, columns, method):
    """(N, H, W, C), a channel at a time."""
    channels = [
        np.stack([np.asarray(Image.fromarray(image).resize((columns, rows), FILTERS[method])) for image in x[..., c]])
        for c in range(x.shape[3])
    ]
    return np.stack(channels, axis=-1)


def pictures(height, width, channels=1):
    """Noise, black and white, white."""
    x = np.random.default_rng(height * width).integers(0, 256, (5, height, width, channels), np.uint8)
    x[2:4] = np.where(x[2:4] > 127, 255, 0)
    x[4] = 255
    return x


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[((28, 28), (size, size)) for size in (16, 32, 64, 28, 27, 7, 1)],
        *[((32, 32), (16, 16)), ((32, 32), (64, 64)), ((27, 27), (13, 13)), ((1, 1), (5, 5)), ((101, 101), (33, 33))],
        *[((28, 28), (28, 16)), ((17, 40), (16, 16)), ((17, 40), (33, 7)), ((9, 31), (20, 64)), ((28, 20), (56, 40))],
    ],
)
def test_bytes_are_pillows(old, new, method):
    for channels in (1, 3):
        x = pictures(*old, channels)
        assert np.array_equal(resize(x, new, method), by_pillow(x, *new, method))


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("size", [16, 32, 64])
def test_digits_are_pillows(size, method):
    x = strokes.generate(64)[0]
    resized = resize(x, size, method)
    assert resized.dtype == np.uint8
    assert np.array_equal(resized, by_pillow(x, size, size, method))


@pytest.mark.parametrize("method", ["area", "bilinear"])
def test_tall_images_are_within_a_level_of_any_pillow(method):
    x = pictures(40, 9)
    differences = resize(x, (7, 5), method).astype(int) - by_pillow(x, 7, 5, method)
    assert abs(differences).max() <= 1


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("new", [(16, 16), (32, 32), (64, 64), (11, 50)])
def test_floats_are_pillows_to_their_rounding(new, method):
    x = pictures(28, 28) / np.float32(255)
    resized = resize(x, new, method)
    assert resized.dtype == np.float32
    assert abs(resized - by_pillow(x, *new, method).clip(0, 1)).max() < 5e-7
    assert resized.max() == 1
    assert np.array_equal(resize(x.astype(np.float64), new, method), resized)


def test_a_missing_channel_axis_is_one_channel():
    x = pictures(28, 28)
    assert np.array_equal(resize(x[..., 0], 16), resize(x, 16)[..., 0])


def test_area_is_the_mean_and_default():
    x = pictures(28, 28)
    expected = x.reshape(5, 14, 2, 14, 2).mean(axis=(2, 4))
    assert abs(resize(x, 14)[..., 0] - expected).max() <= 1
    assert np.array_equal(resize(x, 14), resize(x, (14, 14), "area"))


def test_pieces_join_without_a_seam(monkeypatch):
    x = strokes.generate(10)[0]
    expected = resize(x, 16)
    for pixels in (1, 3 * 28 * 28):
        monkeypatch.setattr(resizing, "PIECE", pixels)
        assert np.array_equal(resize(x, 16), expected)


def test_the_same_size_is_a_copy_and_the_layout_does_not_matter():
    x = pictures(28, 28)
    same = resize(x, 28)
    assert np.array_equal(same, x)
    assert not np.shares_memory(same, x)
    assert np.array_equal(resize(np.asfortranarray(x), 16), resize(x, 16))


@pytest.mark.parametrize(
    ("x", "arguments", "error", "message"),
    [
        (np.zeros((2, 8), np.uint8), {}, ValueError, r"x has shape \(2, 8\)"),
        (np.zeros((0, 8, 8), np.uint8), {}, ValueError, r"x has shape \(0, 8, 8\)"),
        (np.zeros((2, 8, 8, 0), np.uint8), {}, ValueError, r"none of them 0"),
        (np.zeros((2, 8, 8), np.int64), {}, TypeError, "int64"),
        (None, {}, ValueError, r"x has shape \(\)"),
        (np.full((2, 8, 8), 1.5), {}, ValueError, r"1\.5"),
        (np.full((2, 8, 8), np.nan), {}, ValueError, "nan"),
        (np.zeros((2, 8, 8), np.uint8), {"size": 0}, ValueError, "size is 0, must be at least 1"),
        (np.zeros((2, 8, 8), np.uint8), {"size": 2.5}, TypeError, "size must be an int"),
        (np.zeros((2, 8, 8), np.uint8), {"size": (4, 4, 4)}, ValueError, "pair"),
        (np.zeros((2, 8, 8), np.uint8), {"size": (4, 2**16)}, ValueError, "at most 32768"),
        (np.zeros((2, 8, 8), np.uint8), {"method": "cubic"}, ValueError, "'area', 'bilinear', 'bicubic'"),
        (np.zeros((2, 8, 8), np.uint8), {"method": 0}, TypeError, "method must be a str"),
    ],
)
def test_bad_input(x, arguments, error, message):
    with pytest.raises(error, match=message):
        resize(x, **({"size": 4} | arguments))


def test_join_puts_splits_one_after_the_other():
    x, y = strokes.generate(30)
    images, labels = join((x[:20], y[:20]), (x[20:], y[20:]))
    assert np.array_equal(images, x)
    assert np.array_equal(labels, y)
    for unfit in ([], [(x, y), (x[:, :20], y)]):
        with pytest.raises(ValueError, match="array"):
            gm.datasets.join(*unfit)
