"""Loading: every place and spelling, and every damaged idx file refused by name."""

import gzip
import io
import os
import re
import tracemalloc

import pytest
from small_data import (
    NAMES,
    TRAIN,
    check_mnist,
    digest,
    idx_contents,
    isolate,
    tree,
    use_cifar,
    use_mnist,
    with_bytes,
    write,
)

from genmodels import datasets
from genmodels.datasets import cache, idx, sources


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def mnist(monkeypatch):
    return use_mnist(monkeypatch)


@pytest.fixture
def cifar(monkeypatch):
    return use_cifar(monkeypatch)


# Names and places


def test_names_and_info():
    assert datasets.names() == ["mnist", "fashion_mnist", "cifar10", "strokes"]
    for name in datasets.names():
        info = datasets.info(name)
        assert info["name"] == name
        assert len(info["classes"]) == 10
        assert (info["train"], info["test"]) == ((50_000 if name == "cifar10" else 60_000), 10_000)
        assert info["image_shape"] == ((32, 32, 3) if name == "cifar10" else (28, 28, 1))


@pytest.mark.parametrize("function", [datasets.load, datasets.info])
def test_unknown_names_are_refused(function):
    with pytest.raises(ValueError, match=r"'minst'.*mnist, fashion_mnist, cifar10, strokes"):
        function("minst")
    for wrong in (None, 3, b"mnist", ["mnist"]):
        with pytest.raises(TypeError, match="name"):
            function(wrong)


@pytest.mark.parametrize("root", [3, b"data", "", "a\0b"])
def test_roots_that_are_no_paths(root):
    with pytest.raises((TypeError, ValueError)):
        datasets.load("mnist", root=root, download=False)


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize("spell", ["{}", "{}.gz", "dotted", "dotted.gz"])
def test_every_place_and_spelling(tmp_path, mnist, place, spell):
    contents = {name.replace("-idx", ".idx") if "dotted" in spell else name: c for name, c in mnist.items()}
    packed = spell.endswith(".gz")
    write(tmp_path / "r" / place, contents, "{}.gz" if packed else "{}", gzip.compress if packed else None)
    check_mnist(datasets.load("mnist", root=tmp_path / "r", download=False), mnist)
    check_mnist(datasets.load("mnist", root=str(tmp_path / "r"), download=False), mnist)


def test_compressed_again_is_still_the_published_content(tmp_path, mnist):
    write(tmp_path, mnist, "{}.gz", lambda content: gzip.compress(content[:50], 1) + gzip.compress(content[50:], 9))
    check_mnist(datasets.load("mnist", root=tmp_path, download=False), mnist)


def test_variable_then_cache_folder(tmp_path, mnist, monkeypatch):
    write(cache.user_folder() / "mnist", mnist)
    check_mnist(datasets.load("mnist", download=False), mnist)
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    check_mnist(datasets.load("mnist", download=False), mnist)  # nothing there: the cache still serves
    write(tmp_path / "data", mnist)
    (tmp_path / "data" / NAMES[0]).write_bytes(b"other")
    with pytest.raises(ValueError, match="data/train-images"):
        datasets.load("mnist", download=False)


@pytest.fixture
def homeless(monkeypatch):
    """No home folder is known, as of a user of a container without an entry of its own."""
    for variable in ("HOME", "XDG_CACHE_HOME", "GENMODELS_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_without_a_home_folder_the_variable_and_root_still_serve(tmp_path, mnist, monkeypatch, homeless):
    write(tmp_path / "data", mnist)
    check_mnist(datasets.load("mnist", root=tmp_path / "data"), mnist)
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    check_mnist(datasets.load("mnist"), mnist)
    before = tree(tmp_path)
    for download in (True, False):
        with pytest.raises(FileNotFoundError, match="the home folder is unknown: set GENMODELS_DATA or XDG_CACHE_HOME"):
            datasets.load("cifar10", download=download)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("option", ["download", "verify"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_options_are_true_or_false(option, value, tmp_path):
    before = tree(tmp_path)
    for name in ("mnist", "strokes"):
        with pytest.raises(TypeError, match=f"{option} must be True or False, not {value!r}"):
            datasets.load(name, **{option: value})
    assert tree(tmp_path) == before


def test_an_explicit_root_is_searched_alone(tmp_path, mnist, monkeypatch):
    write(cache.user_folder() / "mnist", mnist)
    monkeypatch.setenv("GENMODELS_DATA", str(cache.user_folder()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte.*empty"):
        datasets.load("mnist", root=tmp_path / "empty", download=False)


def test_missing_files_say_what_where_and_what_is_there_instead(tmp_path, cifar):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "pictures.npz").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError) as error:
        datasets.load("cifar10", root=tmp_path, download=False)
    for part in ("cifar10", "data_batch_1.bin", "cifar-10-binary.tar.gz", str(tmp_path), "pictures.npz"):
        assert part in str(error.value)


def test_root_that_is_a_file(tmp_path, mnist):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="file"):
        datasets.load("mnist", root=tmp_path / "file")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_published_files(name, published_root):
    (x_train, y_train), (x_test, y_test) = datasets.load(name, root=published_root, download=False)
    assert (x_train.shape, x_test.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert set(y_train) == set(y_test) == set(range(10))


DATA = os.environ.get("GENMODELS_DATA")


@pytest.fixture
def published_root():
    if not DATA:
        pytest.skip("GENMODELS_DATA names no folder with the published files")
    return DATA


# Damage: idx


def load_damaged(tmp_path, name, content, verify):
    """Loads from the cache folder, where the named file has this content; it must raise and touch nothing."""
    folder = cache.user_folder() / "mnist"
    (folder / name.removesuffix(".gz")).unlink()
    (folder / name).write_bytes(content)
    before = tree(tmp_path)
    try:
        with pytest.raises((ValueError, OSError)) as error:
            datasets.load("mnist", verify=verify)
    finally:
        assert tree(tmp_path) == before
    assert type(error.value) in (ValueError, OSError)
    assert str(folder / name) in str(error.value)
    return str(error.value)


IDX_DAMAGE = {
    "empty": (lambda c: b"", "00000803"),
    "text": (lambda c: b"<html>404 not found</html>", "3c68746d"),
    "magic": (lambda c: with_bytes(c, 3, b"\x01"), "00000801.*00000803"),
    "type": (lambda c: with_bytes(c, 2, b"\x0d"), "00000d03"),
    "header cut": (lambda c: c[:9], "9 bytes.*16"),
    "cut": (lambda c: c[:-1], f"{15 + TRAIN * 784} bytes.*{16 + TRAIN * 784}"),
    "cut in half": (lambda c: c[: len(c) // 2], "cut short"),
    "trailing": (lambda c: c + b"\n", f"{16 + TRAIN * 784}"),
    "more counted": (lambda c: with_bytes(c, 4, (TRAIN + 1).to_bytes(4, "big")), f"{TRAIN + 1}"),
    "fewer counted": (lambda c: with_bytes(c, 4, (TRAIN - 1).to_bytes(4, "big")), f"{TRAIN - 1} items"),
    "none counted": (lambda c: with_bytes(c, 4, bytes(4)), "0 items"),
    "billions counted": (lambda c: with_bytes(c, 4, b"\xff\xff\xff\xff"), "4294967295 items"),
    "other size": (lambda c: with_bytes(c, 8, (32).to_bytes(4, "big")), r"\(32, 28\).*\(28, 28\)"),
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", IDX_DAMAGE)
def test_damaged_idx_files(tmp_path, mnist, damage, packed, verify):
    change, expected = IDX_DAMAGE[damage]
    write(cache.user_folder() / "mnist", mnist)
    content = change(mnist[NAMES[0]])
    name = NAMES[0] + ".gz" if packed else NAMES[0]
    message = load_damaged(tmp_path, name, gzip.compress(content) if packed else content, verify)
    assert re.search(expected, message)


@pytest.mark.parametrize("verify", [True, False])
def test_damaged_gzip_files(tmp_path, mnist, verify):
    packed = gzip.compress(mnist[NAMES[0]])
    damaged = [packed[:cut] for cut in (2, 5, 11, 100, len(packed) // 2, len(packed) - 4, len(packed) - 1)]
    damaged += [with_bytes(packed, len(packed) // 2, b"\x00\xff\x00"), packed + b"garbage"]
    damaged += [with_bytes(packed, len(packed) - 6, bytes([packed[-6] ^ 1]))]  # the stored CRC
    for content in damaged:
        folder = cache.user_folder() / "mnist"
        write(folder, mnist)
        (folder / f"{NAMES[0]}.gz").unlink(missing_ok=True)
        assert "gzip" in load_damaged(tmp_path, f"{NAMES[0]}.gz", content, verify)


def test_a_text_file_named_gz(tmp_path, mnist):
    write(cache.user_folder() / "mnist", mnist)
    message = load_damaged(tmp_path, f"{NAMES[1]}.gz", b"not what it says", True)
    assert "not a gzip file" in message
    assert "b'no'" in message


@pytest.mark.parametrize("verify", [True, False])
def test_a_gzip_bomb_is_not_unpacked(tmp_path, mnist, verify):
    write(cache.user_folder() / "mnist", mnist)
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as stream:
        stream.write(mnist[NAMES[0]])
        for _ in range(200):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    message = load_damaged(tmp_path, f"{NAMES[0]}.gz", bomb.getvalue(), verify)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"more than the expected {16 + TRAIN * 784} bytes" in message
    assert peak < 4 << 20


def test_other_content_is_refused_with_both_hashes_unless_unverified(tmp_path, mnist):
    other = idx_contents(seed=1)
    write(tmp_path / "r", other)
    with pytest.raises(ValueError, match="other content") as error:
        datasets.load("mnist", root=tmp_path / "r", download=False)
    assert digest(mnist[NAMES[0]]) in str(error.value)
    assert digest(other[NAMES[0]]) in str(error.value)
    check_mnist(datasets.load("mnist", root=tmp_path / "r", download=False, verify=False), other)


def test_another_known_set_is_recognised(tmp_path, mnist, monkeypatch):
    other = idx_contents(seed=1)
    use_mnist(monkeypatch, other, "fashion_mnist")
    write(tmp_path, other)
    with pytest.raises(ValueError, match="it is the published train-images-idx3-ubyte of fashion_mnist"):
        datasets.load("mnist", root=tmp_path, download=False)


def test_smaller_sets_of_the_same_layout_need_verify_false(tmp_path):
    contents = idx_contents()
    write(tmp_path, contents)
    with pytest.raises(ValueError, match=sources.MNIST.files[0].sha256):
        datasets.load("mnist", root=tmp_path, download=False)
    check_mnist(datasets.load("mnist", root=tmp_path, download=False, verify=False), contents)


def test_labels_out_of_range(tmp_path, mnist):
    bad = dict(mnist)
    bad[NAMES[3]] = with_bytes(bad[NAMES[3]], 8 + 7, b"\x0a")
    write(tmp_path, bad)
    with pytest.raises(ValueError, match="test part of mnist: label 7 is 10, outside 0 to 9"):
        datasets.load("mnist", root=tmp_path, download=False, verify=False)


def test_images_and_labels_must_be_as_many(tmp_path, mnist):
    bad = dict(mnist)
    bad[NAMES[1]] = idx.header((TRAIN - 1,)) + bytes(TRAIN - 1)
    write(tmp_path, bad)
    with pytest.raises(ValueError, match=f"{TRAIN} images but {TRAIN - 1} labels"):
        datasets.load("mnist", root=tmp_path, download=False, verify=False)


def test_a_folder_in_a_files_place(tmp_path, mnist):
    write(tmp_path, mnist)
    (tmp_path / NAMES[2]).unlink()
    (tmp_path / NAMES[2]).mkdir()
    with pytest.raises(OSError, match=NAMES[2]):
        datasets.load("mnist", root=tmp_path, download=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_a_files_place_does_not_hang(tmp_path, mnist):
    write(tmp_path, mnist)
    (tmp_path / NAMES[2]).unlink()
    os.mkfifo(tmp_path / NAMES[2])
    with pytest.raises(OSError, match=f"{NAMES[2]} is a pipe"):
        datasets.load("mnist", root=tmp_path, download=False)
