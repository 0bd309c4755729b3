"""Small data sets in the published layouts, for the tests of loading and downloading."""

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np

from genmodels.datasets import idx, sources

TRAIN, TEST = 30, 20
NAMES = [file.name for file in sources.MNIST.files]
BATCHES = [file.name for file in sources.CIFAR10.files]
RECORD = 3073


def digest(content):
    return hashlib.sha256(content).hexdigest()


def idx_contents(seed=0):
    """A small data set of MNIST's layout: content by file name."""
    rng = np.random.default_rng(seed)
    contents = []
    for count in (TRAIN, TEST):
        contents.append(idx.header((count, 28, 28)) + rng.bytes(count * 784))
        contents.append(idx.header((count,)) + bytes(i % 10 for i in range(count)))
    return dict(zip(NAMES, contents, strict=True))


def cifar_contents(records=10):
    """Batch files in which pixel (row, column, channel) of record i is known."""
    contents = {}
    for batch, name in enumerate(BATCHES):
        data = np.random.default_rng(batch).integers(0, 256, (records, RECORD)).astype(np.uint8)
        data[:, 0] = np.arange(records) % 10
        contents[name] = data.tobytes()
    return contents


def published(source, contents, items, mirrors=()):
    """The source with these contents as the published ones."""
    files = tuple(
        replace(file, sha256=digest(contents[file.name]), items=count)
        for file, count in zip(source.files, items, strict=True)
    )
    return replace(source, files=files, mirrors=tuple(mirrors))


def isolate(tmp_path, monkeypatch):
    """No test sees the user's files or a proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GENMODELS_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def use_mnist(monkeypatch, contents=None, name="mnist"):
    """`mnist` is the small set; returns its contents."""
    contents = contents or idx_contents()
    source = published(sources.SOURCES[name], contents, (TRAIN, TRAIN, TEST, TEST))
    monkeypatch.setitem(sources.SOURCES, name, source)
    return contents


def use_cifar(monkeypatch):
    """`cifar10` is a small set; returns its contents."""
    contents = cifar_contents()
    monkeypatch.setitem(sources.SOURCES, "cifar10", published(sources.CIFAR10, contents, (10,) * 6))
    return contents


def use_mirrors(monkeypatch, name, mirrors):
    monkeypatch.setitem(sources.SOURCES, name, replace(sources.SOURCES[name], mirrors=tuple(mirrors)))


def with_bytes(content, at, value):
    return content[:at] + value + content[at + len(value) :]


def write(folder, contents, spell="{}", pack=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / spell.format(name)).write_bytes(pack(content) if pack else content)


def tree(folder):
    """Everything below a folder: paths with their content."""
    return {str(p.relative_to(folder)): p.is_file() and p.read_bytes() for p in sorted(folder.rglob("*"))}


def check_mnist(loaded, contents):
    (x_train, y_train), (x_test, y_test) = loaded
    assert x_train.shape == (TRAIN, 28, 28, 1)
    assert x_test.shape == (TEST, 28, 28, 1)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    for array, name in zip((x_train, y_train, x_test, y_test), NAMES, strict=True):
        assert array.flags.writeable
        assert contents[name].endswith(array.tobytes())
        assert array.nbytes == len(contents[name]) - (16 if array.ndim == 4 else 8)


def tar(contents, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def check_cifar(loaded, contents):
    (x_train, y_train), (x_test, y_test) = loaded
    assert (x_train.shape, x_test.shape) == ((50, 32, 32, 3), (10, 32, 32, 3))
    for at in ((0, 5, 7, 0), (3, 31, 30, 1), (49, 0, 31, 2)):
        i, row, column, channel = at
        record = contents[BATCHES[i // 10]][(i % 10) * RECORD :]
        assert x_train[at] == record[1 + channel * 1024 + row * 32 + column]
    assert x_test[9, 4, 2, 1] == contents[BATCHES[5]][9 * RECORD + 1 + 1024 + 4 * 32 + 2]
    assert y_train.tolist() == list(range(10)) * 5
    assert y_test.tolist() == list(range(10))
    assert x_train.dtype == y_train.dtype == np.uint8
