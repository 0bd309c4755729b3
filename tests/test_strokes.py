"""The digits the library draws: the same bytes everywhere, as many of each, and legible."""

import hashlib
import time
import tracemalloc

import numpy as np
import pytest
from small_data import idx_contents, write

from genmodels import datasets
from genmodels.datasets import cache, idx, strokes
from genmodels.datasets.sources import STROKES

TRAIN = 60_000


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def drawn():
    """The whole set, drawn once."""
    return strokes.generate(70_000)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GENMODELS_DATA", raising=False)


@pytest.fixture
def quick(drawn, monkeypatch):
    """`generate` gives what was drawn before; a list of the calls."""
    calls = []

    def generate(n, seed=0):
        calls.append((n, seed))
        return tuple(array.copy() for array in drawn)

    monkeypatch.setattr(strokes, "generate", generate)
    return calls


def check(loaded, drawn):
    (x_train, y_train), (x_test, y_test) = loaded
    images, labels = drawn
    assert np.array_equal(x_train, images[:TRAIN])
    assert np.array_equal(y_train, labels[:TRAIN])
    assert np.array_equal(x_test, images[TRAIN:])
    assert np.array_equal(y_test, labels[TRAIN:])


# The pictures


def test_the_bytes_are_the_same_on_every_machine():
    images, labels = strokes.generate(300, seed=7)
    assert (images.shape, images.dtype) == ((300, 28, 28, 1), np.uint8)
    assert (labels.shape, labels.dtype) == ((300,), np.uint8)
    assert digest(images) == "732b78c1b2e48b9427ddbeba20921a9b2675c9c77f4ea6212cc700e6680719f6"
    assert digest(labels) == "8e4eb84cc0d72bd3a09fb78f1462969686386043ca68abee91eebffbed7fdeaf"


def test_the_whole_set_is_the_published_one(drawn):
    images, labels = drawn
    parts = (images[:TRAIN, ..., 0], labels[:TRAIN], images[TRAIN:, ..., 0], labels[TRAIN:])
    for file, part in zip(STROKES.files, parts, strict=True):
        assert len(part) == file.items
        assert hashlib.sha256(idx.header(part.shape) + part.tobytes()).hexdigest() == file.sha256


def test_the_first_images_do_not_depend_on_how_many(drawn):
    for n in (1, 9, 10, 11, 4001):
        images, labels = strokes.generate(n)
        assert np.array_equal(images, drawn[0][:n])
        assert np.array_equal(labels, drawn[1][:n])


def test_every_ten_hold_each_digit_once_in_changing_order(drawn):
    blocks = drawn[1].reshape(-1, 10)
    assert np.array_equal(np.sort(blocks, axis=1), np.tile(np.arange(10), (7000, 1)))
    first = np.bincount(blocks[:, 0], minlength=10)
    assert first.min() > 580  # 700 expected, standard deviation 25
    assert first.max() < 820


def test_seeds_give_different_handwriting():
    sets = [strokes.generate(50, seed=seed)[0] for seed in (0, 1, 2, 2**64 - 1)]
    assert len({digest(images) for images in sets}) == 4


def test_no_picture_twice(drawn):
    assert len({image.tobytes() for image in drawn[0]}) == 70_000


def test_they_look_like_mnist(drawn):
    """Ink, stroke width, grey edges and place, against what MNIST has (mean 33.6, 13.3% above half, 9.3% grey)."""
    images = drawn[0][..., 0]
    assert images.max() == 255
    assert 31 < images.mean() < 36
    assert 0.12 < (images > 127).mean() < 0.145
    assert 0.08 < ((images > 20) & (images < 235)).mean() < 0.105
    rows, columns = images[:5000].max(axis=2) > 0, images[:5000].max(axis=1) > 0
    height, width = rows.sum(axis=1), columns.sum(axis=1)
    assert np.maximum(height, width).min() >= 19
    assert np.maximum(height, width).max() <= 23
    assert not images[:, [0, 27], :].any()
    assert not images[:, :, [0, 27]].any()
    y, x = np.mgrid[:28, :28]
    mass = images.sum(axis=(1, 2))
    for axis in (x, y):
        centre = (images * axis).sum(axis=(1, 2)) / mass
        assert abs(centre.mean() - 13.5) < 1
        assert 0.5 < centre.std() < 2.5


def test_they_can_be_read(drawn):
    """A nearest neighbour among 4,000 names nearly every one of 1,000 others; the mean picture of a digit does not."""
    x = drawn[0].reshape(70_000, 784).astype(np.float32) / 255
    y = drawn[1].astype(int)
    known, asked = slice(0, 4000), slice(TRAIN, TRAIN + 1000)
    distance = (x[known] ** 2).sum(axis=1) - 2 * x[asked] @ x[known].T
    assert (y[known][distance.argmin(axis=1)] == y[asked]).mean() > 0.97
    means = np.stack([x[known][y[known] == digit].mean(axis=0) for digit in range(10)])
    distance = (means**2).sum(axis=1) - 2 * x[asked] @ means.T
    assert 0.5 < (distance.argmin(axis=1) == y[asked]).mean() < 0.97  # legible, and varied


@pytest.mark.parametrize("digit", range(10))
def test_every_skeleton_is_used_and_has_its_random_numbers(digit, monkeypatch):
    used = []
    inked = strokes._inked
    monkeypatch.setattr(strokes, "_inked", lambda skeleton, *rest: used.append(skeleton) or inked(skeleton, *rest))
    strokes.generate(400)
    for skeleton in strokes.SKELETONS[digit]:
        assert skeleton in used
        assert 4 + 10 + 4 * len(skeleton.points) <= 4 * strokes.WORDS
        assert all(0 <= c <= 1 for point in skeleton.points for c in point)


@pytest.mark.parametrize("n", [0, -1, 2**41])
def test_bad_numbers(n):
    with pytest.raises(ValueError, match=rf"n must be .* not {n}"):
        strokes.generate(n)


def test_bad_types_and_seeds():
    for wrong in (1.5, "3", None, [1]):
        with pytest.raises(TypeError, match="n must be an integer"):
            strokes.generate(wrong)
        with pytest.raises(TypeError, match="seed must be an integer"):
            strokes.generate(1, seed=wrong)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed must be"):
            strokes.generate(1, seed=seed)
    assert strokes.generate(np.int64(2), seed=np.uint8(3))[0].shape == (2, 28, 28, 1)


def test_drawing_needs_little_memory_beyond_the_pictures():
    tracemalloc.start()
    images, _ = strokes.generate(8000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes + (24 << 20)


# Loading


def test_drawn_once_then_kept(drawn, quick):
    check(datasets.load("strokes"), drawn)
    check(datasets.load("strokes"), drawn)
    assert len(quick) == 1
    folder = cache.user_folder() / "strokes"
    assert sorted(p.name for p in folder.iterdir()) == sorted(file.name for file in STROKES.files)


def test_kept_in_the_root_that_is_given(tmp_path, drawn, quick):
    check(datasets.load("strokes", root=tmp_path / "r"), drawn)
    check(datasets.load("strokes", root=tmp_path / "r", download=False), drawn)
    assert len(quick) == 1
    assert not cache.user_folder().exists()


def test_they_may_lie_in_the_root_itself(tmp_path, monkeypatch, drawn, quick):
    datasets.load("strokes", root=tmp_path / "r")
    flat = (tmp_path / "r" / "strokes").rename(tmp_path / "flat")
    check(datasets.load("strokes", root=flat, download=False), drawn)
    monkeypatch.setenv("GENMODELS_DATA", str(flat))
    check(datasets.load("strokes", download=False), drawn)
    assert len(quick) == 1
    images = flat / STROKES.files[0].name
    images.write_bytes(images.read_bytes()[:-1] + b"\x0c")
    with pytest.raises(ValueError, match=STROKES.files[0].sha256):
        datasets.load("strokes", download=False)
    assert datasets.load("strokes", download=False, verify=False)[0][0][-1, -1, -1, 0] == 12


def test_other_idx_files_in_the_variables_folder_do_not_hide_the_cache(tmp_path, monkeypatch, drawn, quick):
    datasets.load("strokes")
    write(tmp_path / "data", idx_contents())
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    check(datasets.load("strokes"), drawn)
    assert len(quick) == 1


def test_other_idx_files_in_the_root_are_not_taken_for_strokes(tmp_path, drawn, quick):
    for file in STROKES.files:
        (tmp_path / file.name).write_bytes(b"another set")
    check(datasets.load("strokes", root=tmp_path, download=False), drawn)


def test_nothing_is_written_without_download(tmp_path, drawn, quick):
    check(datasets.load("strokes", download=False), drawn)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path, drawn, quick):
    (tmp_path / "xdg").write_bytes(b"a file where the folder should be")
    check(datasets.load("strokes"), drawn)
    assert (tmp_path / "xdg").read_bytes() == b"a file where the folder should be"


def test_a_cache_that_leads_nowhere_is_no_obstacle(tmp_path, monkeypatch, drawn, quick):
    monkeypatch.setattr(time, "sleep", pytest.fail)  # nobody holds a lock that one could wait for
    (tmp_path / "xdg").symlink_to(tmp_path / "nowhere")
    check(datasets.load("strokes"), drawn)
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_copy_in_the_cache_is_drawn_again(drawn, quick):
    datasets.load("strokes")
    file = cache.user_folder() / "strokes" / STROKES.files[0].name
    content = file.read_bytes()
    file.write_bytes(content[:5000])
    check(datasets.load("strokes"), drawn)
    assert file.read_bytes() == content


def test_a_damaged_copy_elsewhere_is_refused(tmp_path, monkeypatch, drawn, quick):
    datasets.load("strokes", root=tmp_path / "r")
    file = tmp_path / "r" / "strokes" / STROKES.files[1].name
    file.write_bytes(file.read_bytes()[:-1] + b"\x0c")
    with pytest.raises(ValueError, match=STROKES.files[1].sha256):
        datasets.load("strokes", root=tmp_path / "r")
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "r"))
    with pytest.raises(ValueError, match=STROKES.files[1].sha256):
        datasets.load("strokes")
