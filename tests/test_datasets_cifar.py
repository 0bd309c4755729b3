"""CIFAR-10: files and archives of the binary layout, their damage, and pickles left alone."""

import gzip
import tracemalloc

import pytest
from small_data import (
    BATCHES,
    check_cifar,
    digest,
    isolate,
    tar,
    tree,
    use_cifar,
    with_bytes,
    write,
)

from genmodels import datasets


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def cifar(monkeypatch):
    return use_cifar(monkeypatch)


@pytest.mark.parametrize("place", ["cifar10/cifar-10-batches-bin", "cifar10", "cifar-10-batches-bin", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_files(tmp_path, cifar, place, packed):
    write(tmp_path / place, cifar, "{}.gz" if packed else "{}", gzip.compress if packed else None)
    check_cifar(datasets.load("cifar10", root=tmp_path, download=False), cifar)


@pytest.mark.parametrize(("name", "mode"), [("cifar-10-binary.tar.gz", "w:gz"), ("cifar-10-binary.tar", "w")])
@pytest.mark.parametrize("place", ["cifar10", "."])
def test_cifar_archive(tmp_path, cifar, place, name, mode):
    write(tmp_path / place, {name: tar(cifar, mode)})
    before = tree(tmp_path)
    check_cifar(datasets.load("cifar10", root=tmp_path, download=False), cifar)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["cifar-10-batches-py/data_batch_1", "cifar-10-python.tar.gz", "data_batch_1"])
def test_cifar_pickles_are_never_read(tmp_path, cifar, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(ValueError, match=r"pickles, which are never read.*cifar-10-binary\.tar\.gz"):
        datasets.load("cifar10", root=tmp_path)
    write(tmp_path, cifar)
    check_cifar(datasets.load("cifar10", root=tmp_path), cifar)  # the binary files beside them are


CIFAR_DAMAGE = {
    "cut": (lambda c: c[:-1], "not 1 or more records of 3073"),
    "empty": (lambda c: b"", "0 bytes"),
    "longer": (lambda c: c + c, "more than 10 records"),
    "other": (lambda c: with_bytes(c, 5, bytes([c[5] ^ 1])), "other content.*SHA-256"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", CIFAR_DAMAGE)
def test_damaged_cifar_files(tmp_path, cifar, damage, packed):
    change, expected = CIFAR_DAMAGE[damage]
    bad = cifar | {BATCHES[2]: change(cifar[BATCHES[2]])}
    write(tmp_path, {"cifar-10-binary.tar.gz": tar(bad)} if packed else bad)
    with pytest.raises(ValueError, match=f"data_batch_3.bin.*{expected}"):
        datasets.load("cifar10", root=tmp_path, download=False)


def test_other_cifar_is_taken_unverified(tmp_path, cifar):
    other = {name: with_bytes(content, 1, bytes([content[1] ^ 1])) for name, content in cifar.items()}
    write(tmp_path, other)
    with pytest.raises(ValueError, match=f"{digest(other[BATCHES[0]])}.*{digest(cifar[BATCHES[0]])}"):
        datasets.load("cifar10", root=tmp_path, download=False)
    check_cifar(datasets.load("cifar10", root=tmp_path, download=False, verify=False), other)


def test_damaged_cifar_archives(tmp_path, cifar):
    whole = tar(cifar, "w")
    without = tar({name: cifar[name] for name in BATCHES[1:]})
    cases = [
        (b"text", "not a gzip file"),
        (gzip.compress(b"text" * 500), "not a tar archive"),
        (without, r"lacks data_batch_1\.bin"),
        (gzip.compress(whole[:100_000]), "not a tar archive"),
        (gzip.compress(whole)[:-9], "damaged gzip data"),
    ]
    for content, expected in cases:
        (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
        with pytest.raises(ValueError, match=f"{tmp_path}/cifar-10-binary.tar.gz.*{expected}"):
            datasets.load("cifar10", root=tmp_path, download=False)


def test_an_archive_bomb_is_bounded(tmp_path, cifar, monkeypatch):
    from genmodels.datasets import cifar as layout

    monkeypatch.setattr(layout, "ARCHIVE_LIMIT", 1 << 20)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(bytes(50 << 20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to more than 1048576 bytes"):
        datasets.load("cifar10", root=tmp_path, download=False)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
