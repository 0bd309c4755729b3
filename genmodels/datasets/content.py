"""Bounded reading of files that are gzipped or plain: a reader asks for as many bytes as it expects and one more."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's content, unpacked if it starts as a gzip file does.

    Raises:
        OSError: missing, unreadable, a folder, a pipe or a device.
        ValueError: gzip data that are damaged or cut short, or a name in .gz over something else.
    """
    import gzip
    import zlib

    if path.exists() and not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is a pipe or a device, not a regular file")
    with open(path, "rb") as raw:
        if not _is_gzip(raw, path):
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield cast(BinaryIO, unpacked)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip data: {error}") from None


def is_packed(path: Path) -> bool:
    """Does the file start as a gzip file does?"""
    with open(path, "rb") as raw:
        return raw.read(2) == GZIP_MAGIC


def _is_gzip(raw: BinaryIO, path: Path) -> bool:
    start = raw.read(2)
    raw.seek(0)
    if start != GZIP_MAGIC and path.suffix == ".gz":
        raise ValueError(f"{path} is not a gzip file: its first two bytes are {start!r}, expected {GZIP_MAGIC!r}")
    return start == GZIP_MAGIC


def check_length(path: Path, length: int, expected: int, why: str) -> None:
    """ValueError unless a read of at most ``expected + 1`` bytes found exactly ``expected``."""
    if length < expected:
        raise ValueError(f"{path} is cut short: {length} bytes of content, expected {expected} ({why})")
    if length > expected:
        raise ValueError(f"{path} is too long: more than the expected {expected} bytes of content ({why})")
