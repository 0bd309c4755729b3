"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends without an exception.

    It is written under the name ".<name>.<8 hex digits>.tmp" in the same folder, flushed to the disk and renamed. An
    exception removes it and leaves `path` as it was. Such files of runs that were killed are removed on the way.
    A link is followed: what it points to is replaced. OSError of the system names `path`; it is also raised for a
    folder, a device or a pipe in the file's place.
    """
    target = os.path.realpath(file_name(path))
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "the folder to write into does not exist", folder)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "a folder is in the place of the file to write", target)
    if os.path.exists(target) and not os.path.isfile(target):  # the renaming would do away with a device
        raise FileExistsError(errno.EEXIST, "a device or pipe is in the place of the file to write", target)
    _remove_stale(folder, name)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        with _create(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        # One without a number is not the system's: a file name would take the place of what it says.
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            error.filename = target
        raise
    _sync_folder(folder)


def file_name(path: str | os.PathLike[str]) -> str:
    """The path as a string; TypeError for anything that is not a path, ValueError for one no file can have."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"path: expected a string or path, got {type(path).__name__}")
    if not name or "\0" in name:
        raise ValueError(f"path: {name!r} is not a file name")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise ValueError(f"path: {name!r} is not a file name: {error.reason}") from None
    return name


def _create(name: str) -> BinaryIO:
    """A new file, opened for writing and locked, so that others can tell it from one of a killed run."""
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    with contextlib.suppress(OSError):  # file systems without locks
        _lock(descriptor)
    return os.fdopen(descriptor, "wb")


def _lock(descriptor: int) -> None:
    """OSError where another process holds the lock. A process that ends gives its locks back."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_stale(folder: str, name: str) -> None:
    """Remove the temporary files of `name` that no living process holds."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in filter(pattern.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):
            with open(path, "rb") as file:
                _lock(file.fileno())
            os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Flush the rename itself, on systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
