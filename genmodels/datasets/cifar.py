"""CIFAR-10's binary layout: records of one label byte and three 32x32 planes, red, green, blue.

The other layout, Python pickles, is never read: unpickling a downloaded file runs whatever it says.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import content

if TYPE_CHECKING:
    from tarfile import TarFile, TarInfo

RECORD = 1 + 3 * 32 * 32
ARCHIVE_LIMIT = 256 * 2**20  # bytes of an unpacked archive; the published one has 184 million

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read(path: Path, limit: int) -> tuple[bytes, str]:
    """The content of one batch file of at most ``limit`` records, and its SHA-256 in hexadecimal digits.

    Raises:
        ValueError: not whole records, too many, or none.
        OSError: missing or unreadable.
    """
    with content.opened(path) as stream:
        data = stream.read(limit * RECORD + 1)
    return _checked(path, data, limit)


def read_archive(path: Path, names: tuple[str, ...], limit: int) -> dict[str, tuple[bytes, str]]:
    """The named batch files of a tar archive, as `read` gives them, by name. Nothing is written to disk.

    Raises:
        ValueError: not a tar archive, larger than 256 MB unpacked, or without a named file.
        OSError: missing or unreadable.
    """
    import tarfile

    with content.opened(path) as stream:
        packed = stream.read(ARCHIVE_LIMIT + 1)
    if len(packed) > ARCHIVE_LIMIT:
        raise ValueError(f"{path} unpacks to more than {ARCHIVE_LIMIT} bytes")
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            members = {Path(member.name).name: member for member in archive if member.isreg()}
            found = {name: _member(archive, members[name], limit) for name in names if name in members}
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a tar archive: {error}") from None
    if len(found) < len(names):
        lacking = ", ".join(name for name in names if name not in found)
        raise ValueError(f"{path} lacks {lacking}: not the binary version of CIFAR-10")
    return {name: _checked(path / name, data, limit) for name, data in found.items()}


def split(data: bytes) -> Batch:
    """Images (N, 32, 32, 3) and labels (N,) of whole records."""
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].copy()


def _checked(path: Path, data: bytes, limit: int) -> tuple[bytes, str]:
    if len(data) > limit * RECORD:
        raise ValueError(f"{path} is too long: more than {limit} records of {RECORD} bytes")
    if not data or len(data) % RECORD:
        raise ValueError(f"{path} is cut short or foreign: {len(data)} bytes are not 1 or more records of {RECORD}")
    return data, hashlib.sha256(data).hexdigest()


def _member(archive: TarFile, member: TarInfo, limit: int) -> bytes:
    stream = archive.extractfile(member)
    return stream.read(limit * RECORD + 1) if stream else b""
