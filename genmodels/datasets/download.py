"""Downloads: mirrors in turn, no more bytes than can be right, nothing under its name before its content is checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .._files import replacing
from .._watched import watched
from . import cifar, content, reading
from .sources import File, Source

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 16


class DownloadError(OSError):
    """No mirror gave the file. The message says what was wrong with each."""


class Bar(Protocol):
    """What is used of a tqdm bar."""

    def update(self, n: int) -> object: ...
    def close(self) -> object: ...


class _NoBar:
    def update(self, n: int) -> None: ...
    def close(self) -> None: ...


class _Bounded:
    """A file open for writing that refuses to grow past a limit and moves a progress bar."""

    def __init__(self, stream: BinaryIO, limit: int, bar: Bar) -> None:
        self.stream, self.room, self.limit, self.bar = stream, limit, limit, bar

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise ValueError(f"it is longer than the {self.limit} bytes the file can have")
        self.bar.update(len(data))
        return self.stream.write(data)

    def flush(self) -> None:
        self.stream.flush()


def fetch(source: Source, files: Iterable[File], folder: Path) -> None:
    """Bring files of a data set into the folder, each complete and with the published content.

    Call it with the folder locked.

    Raises:
        DownloadError: every mirror failed for some file; files that came before it stay.
    """
    if source.archive is None:
        for file in files:
            limit = reading.content_size(source, file) + CHUNK  # gzip never makes a file much longer
            _first_good(source.mirrors, f"{file.name}.gz", folder, limit, file.packed, partial(_place, source, file))
    else:
        name, total = source.archive.name, source.archive.packed
        _first_good(source.mirrors, name, folder, cifar.ARCHIVE_LIMIT, total, partial(_unpack, source))


def _place(source: Source, file: File, part: Path) -> None:
    """Check a file and give it its name: with .gz if it is gzipped (some servers unpack what they send)."""
    reading.read_idx(source, file, part, verify=True)
    os.replace(part, part.with_name(file.name + (".gz" if content.is_packed(part) else "")))


def _unpack(source: Source, part: Path) -> None:
    """Check the batches of an archive and write them as files of their own, which load faster."""
    for name, data in reading.read_archive(source, part, verify=True).items():
        with replacing(part.with_name(name)) as stream:
            stream.write(data)


def _first_good(
    mirrors: tuple[str, ...], name: str, folder: Path, limit: int, total: int, accept: Callable[[Path], None]
) -> None:
    """Offer each mirror's file, complete and on disk, to ``accept`` until it takes one instead of raising ValueError.

    Args:
        mirrors: addresses of folders, each ending in "/".
        name: the file's name there.
        folder: where the temporary file lies, and from where ``accept`` may move it.
        limit: the most bytes to take from a mirror.
        total: the expected number of bytes, for the progress bar; 0 if unknown.
        accept: checks the file and puts it in its place.
    """
    import http.client

    part, reasons = folder / f".{name}.{os.getpid()}.part", []
    for mirror in mirrors:
        try:
            _download(mirror + name, part, limit, total)
            accept(part)
            return
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{mirror}{name}: {str(error) or type(error).__name__}")
        finally:
            part.unlink(missing_ok=True)
    raise DownloadError(f"could not download {name}: " + "; ".join(reasons))


def _download(url: str, path: Path, limit: int, total: int) -> None:
    bar = _bar(url.rsplit("/", 1)[-1], total)
    fetch = _with_pooch if find_spec("pooch") and find_spec("requests") else _with_urllib
    try:
        with open(path, "wb") as stream:
            fetch(url, _Bounded(stream, limit, bar))
            stream.flush()
            os.fsync(stream.fileno())
    finally:
        bar.close()


def _with_pooch(url: str, target: _Bounded) -> None:
    import pooch

    pooch.HTTPDownloader(progressbar=False, chunk_size=CHUNK, timeout=TIMEOUT)(url, target, None)


def _with_urllib(url: str, target: _Bounded) -> None:
    from urllib.request import Request, urlopen

    with urlopen(Request(url, headers={"User-Agent": "genmodels"}), timeout=TIMEOUT) as response:
        while data := response.read(CHUNK):
            target.write(data)


def _bar(name: str, total: int) -> Bar:
    """A tqdm bar where tqdm is installed and somebody watches: in a terminal or a notebook."""
    if not (watched() and find_spec("tqdm")):
        return _NoBar()
    from tqdm.auto import tqdm

    bar: Any = tqdm(total=total or None, desc=name, unit="B", unit_scale=True)
    return bar  # type: ignore[no-any-return]
