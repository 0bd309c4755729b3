"""Images of one's own in an .npz file: what is taken, what is refused, and a run from them."""

import errno
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from command import call

import genmodels as gm
from genmodels import datasets, metrics, pictures, run
from genmodels.sweep import Grid

N = 40


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images, held_out = (rng.integers(0, 256, (n, 8, 8, 3)).astype(np.uint8) for n in (N, 10))
    return {"x_train": images, "y_train": np.arange(N) % 3, "x_test": held_out, "y_test": np.arange(10) % 3}


@pytest.fixture
def keep(tmp_path):
    """Writes arrays to a file."""

    def written(arrays, save=np.savez):
        path = tmp_path / "own.npz"
        save(path, **arrays)
        return path

    return written


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_of_four_arrays_is_taken_as_it_is(arrays, keep, save):
    path = keep({**arrays, "notes": np.array("of the user's")}, save)
    for name in (path, str(path)):
        train, test = datasets.load(name, download=False)
        for found, expected in zip((*train, *test), arrays.values(), strict=True):
            assert found.dtype == np.uint8
            assert found.flags.writeable
            np.testing.assert_array_equal(found, expected)
    info = datasets.info(path)
    assert (info["name"], info["image_shape"], info["train"], info["test"]) == (str(path), (8, 8, 3), N, 10)
    assert info["classes"] == ("0", "1", "2")


def test_without_a_test_part_the_last_tenth_is_held_out(arrays, keep):
    path = keep({"x_train": arrays["x_train"][..., 0], "y_train": arrays["y_train"]})  # grey without an axis for it
    (x, y), (x_test, y_test) = datasets.load(path)
    assert (x.shape, x_test.shape) == ((36, 8, 8, 1), (4, 8, 8, 1))
    np.testing.assert_array_equal(np.concatenate([x, x_test])[..., 0], arrays["x_train"][..., 0])
    np.testing.assert_array_equal(np.concatenate([y, y_test]), arrays["y_train"])


def test_two_images_are_enough(arrays, keep):
    train, test = datasets.load(keep({"x_train": arrays["x_train"][:2]}))
    assert (len(train[0]), len(test[0])) == (1, 1)
    with pytest.raises(ValueError, match="x_train has 1 image, must have at least 2"):
        datasets.load(keep({"x_train": arrays["x_train"][:1]}))


def test_without_labels_all_images_are_of_one_class(arrays, keep):
    path = keep({"x_train": arrays["x_train"], "x_test": arrays["x_test"]})
    (_, y), (_, y_test) = datasets.load(path)
    assert y.tolist() + y_test.tolist() == [0] * (N + 10)
    assert datasets.info(path)["classes"] == ("0",)


REFUSED = {
    "no images": ({"x_train": None}, "has no x_train"),
    "floats": ({"x_train": np.zeros((4, 8, 8, 3))}, r"x_train has dtype float64, must be uint8"),
    "axes": ({"x_train": np.zeros((4, 8), np.uint8)}, r"x_train has shape \(4, 8\), must be \(N, H, W\)"),
    "none": ({"x_train": np.zeros((0, 8, 8, 3), np.uint8)}, r"x_train has shape \(0, 8, 8, 3\)"),
    "not square": ({"x_train": np.zeros((4, 8, 9, 3), np.uint8)}, "as high as they are wide"),
    "alpha": ({"x_train": np.zeros((4, 8, 8, 4), np.uint8)}, "1 channel or 3"),
    "another test shape": ({"x_test": np.zeros((10, 9, 9, 3), np.uint8)}, r"x_test has images \(9, 9, 3\)"),
    "no test labels": ({"y_test": None}, "has y_train but no y_test"),
    "no training labels": ({"y_train": None}, "has y_test but no y_train"),
    "label floats": ({"y_train": np.zeros(N)}, "y_train has dtype float64, must be integers"),
    "label count": ({"y_test": np.zeros(9, int)}, r"y_test has shape \(9,\), must be \(10,\)"),
    "label below": ({"y_test": np.arange(10) - 1}, r"y_test\[0\] is -1, must be in 0..255"),
    "label above": ({"y_train": np.full(N, 256)}, r"y_train\[0\] is 256, must be in 0..255"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_other_arrays_are_refused_by_name_and_bound(arrays, keep, changes, message):
    path = keep({name: value for name, value in {**arrays, **changes}.items() if value is not None})
    with pytest.raises(ValueError, match=message) as error:
        datasets.load(path)
    assert str(path) in str(error.value)


def test_files_that_are_none_are_refused_by_name(arrays, tmp_path, keep):
    whole = keep(arrays, np.savez_compressed).read_bytes()
    contents = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"x_train", "pickle": pickle.dumps(arrays)}
    middle = len(whole) // 2
    contents["damaged"] = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 64]) + whole[middle + 64 :]
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}\.npz is no file of arrays"):
            datasets.load(path)
    np.save(tmp_path / "one.npy", arrays["x_train"])
    with pytest.raises(ValueError, match="it is one array"):
        datasets.load(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        datasets.load(str(tmp_path / "missing.npz"))
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(OSError, match="pipe"):
        datasets.load(tmp_path / "pipe.npz")


def member(header):
    """The bytes of an array in a file of version 1.0, with this header whatever it says."""
    padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded + bytes(256)


def packed(content, method=zipfile.ZIP_STORED):
    """A zip archive whose x_train.npy is these bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x_train.npy", content)
    return stream.getvalue()


def broken(archive, at):
    """With the byte there inverted: counted from x_train's first, or from the end."""
    at = archive.index(b"x_train.npy") + len("x_train.npy") + at if at >= 0 else len(archive) + at
    return archive[:at] + bytes([archive[at] ^ 255]) + archive[at + 1 :]


def shaped(shape):
    return packed(member(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"))


IMAGES = member("{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8), }")
DAMAGES = {
    "open bracket": packed(member("{'descr': (")),  # tokenize.TokenError
    "indented": packed(member("  x\n y")),  # IndentationError
    "half a dtype": packed(member("{'descr': ((),), 'fortran_order': False, 'shape': (4, 8, 8), }")),  # IndexError
    "size beyond int64": shaped("(99999999999999999999999, 8, 8)"),  # OverflowError
    "no array": packed(b"hello"),  # bytes, without an error
    "lzma": broken(packed(IMAGES, zipfile.ZIP_LZMA), 20),  # lzma.LZMAError
    "bzip2": broken(packed(IMAGES, zipfile.ZIP_BZIP2), 20),  # OSError without a number
    "end record": broken(packed(IMAGES), -3),  # OSError: a place before the file's start
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_any_damage_is_a_value_error_that_names_the_file(content, tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.npz is no file of arrays as numpy\.savez writes it: ."):
        datasets.load(path)


def test_a_size_beyond_memory_and_a_failing_disk_are_told_as_such(tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    path.write_bytes(shaped("(1000000000000000, 8, 8)"))
    with pytest.raises(MemoryError, match=r"own\.npz: Unable to allocate"):
        datasets.load(path)

    def load(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(np, "load", load)
    with pytest.raises(OSError, match="Input/output error"):
        datasets.load(path)


def test_no_pickle_is_loaded(arrays, keep):
    class Harmful:
        def __reduce__(self):
            return pytest.fail, ("a pickle was loaded",)

    path = keep({**arrays, "x_train": np.array([Harmful()], object)})
    with pytest.raises(ValueError, match="is no file of arrays"):
        datasets.load(path)


def test_a_run_from_a_file_is_scored_reported_and_gone_on_with_from_another_folder(arrays, keep, tmp_path, monkeypatch):
    path, out = keep(arrays), tmp_path / "run"
    monkeypatch.chdir(path.parent)
    assert call("train", "vae-16", "--conditional", "--epochs", 1, "--data", path.name, "--out", out) == 0
    asked = json.loads((out / "run.json").read_bytes())
    assert (asked["data"], asked["image_size"]) == (str(path), 16)  # the model's size

    monkeypatch.chdir("/")
    assert call("train", "vae-16", "--epochs", 2, "--out", out, "--resume") == 0
    assert call("evaluate", out) == 0
    scores = json.loads((out / "scores.json").read_bytes())
    assert (scores["data"], scores["epochs"], scores["n_reference"]) == (str(path), 2, 10)
    assert scores["extractor"].startswith("cifar10:")  # that for colour
    assert call("report", out) == 0


def test_a_run_with_one_test_image_is_finished_and_gone_on_with(arrays, keep, tmp_path):
    path, out = keep({"x_train": arrays["x_train"][:12]}), tmp_path / "run"
    asked = ("train", "vae-16", "--latent-dim", 3, "--keep", 2, "--data", path, "--out", out)
    assert call(*asked, "--epochs", 1) == 0
    assert call(*asked, "--epochs", 2, "--resume") == 0
    assert len(gm.load(out / run.MODEL).history) == 2
    assert (out / pictures.RECONSTRUCTIONS).exists()
    assert not (out / pictures.LATENT).exists()  # one point of three axes has no principal components
    assert call("report", out) == 0


def test_a_failing_picture_costs_no_model(arrays, keep, tmp_path, monkeypatch):
    asked = ("train", "vae-16", "--data", keep(arrays), "--out", tmp_path / "run")
    assert call(*asked, "--epochs", 1) == 0

    def draw(*arguments):
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "draw", draw)
        assert call(*asked, "--epochs", 2, "--resume") == 1
    assert len(gm.load(tmp_path / "run" / run.MODEL).history) == 2
    assert call(*asked, "--epochs", 2, "--resume") == 0  # what is lacking is written
    assert "epochs trained</td><td>2</td>" in (tmp_path / "run" / run.REPORT).read_text()


def test_a_conditional_model_needs_labels(arrays, keep, tmp_path, capsys):
    path, out = keep({"x_train": arrays["x_train"]}), tmp_path / "run"
    assert call("train", "vae-16", "--conditional", "--data", path, "--out", out) == 1
    assert "a conditional model needs labels" in capsys.readouterr().err
    assert not (out / "run.json").exists()


def test_other_users_of_names_take_files_too(arrays, keep):
    path = keep(arrays)
    sweep = Grid(models=["vae"], sizes=[16], latent=[2], data=str(path))
    assert sweep.data == str(path)
    with pytest.raises(ValueError, match=r"unknown data set 'minst'.*\*\.npz"):
        Grid(models=["vae"], sizes=[16], latent=[2], data="minst")

    def mean(x):
        return x.mean(axis=(1, 2))

    scores = metrics.evaluate(arrays["x_train"], arrays["x_test"], extractor=mean, reference_train=str(path), n=10)
    assert scores["floor"] == "train"
