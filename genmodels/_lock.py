"""A folder that one process at a time works in."""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

FILE = ".lock"


@contextmanager
def locked(folder: Path, timeout: float) -> Iterator[None]:
    """Hold the folder against other processes; make it if need be, and take it away if it stays empty.

    The lock is the operating system's, on the file ``.lock``: it goes with its process, so none is ever stale.

    Raises:
        TimeoutError: another process held the lock for ``timeout`` seconds.
        OSError: the folder cannot be made or written.
    """
    made = _missing(folder)
    lock = _take(folder, timeout)
    try:
        yield
    finally:
        _give_back(lock, folder / FILE)
        for empty in made:
            with suppress(OSError):
                empty.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folders that will have to be made, the innermost first."""
    return list(itertools.takewhile(lambda candidate: not candidate.exists(), (folder, *folder.parents)))


def _make(folder: Path) -> None:
    """As Path.mkdir, which takes a folder for a file when the last holder removes it in the middle of its check.
    FileNotFoundError where one is removed as we make it, FileExistsError where a file lies in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise


def _take(folder: Path, timeout: float) -> BinaryIO:
    path, deadline = folder / FILE, time.monotonic() + timeout
    while True:
        with suppress(FileNotFoundError):  # the last holder may remove the folder as we open the lock
            _make(folder)
            lock = open(path, "ab")  # noqa: SIM115 - held until _give_back
            if _acquired(lock) and _still_named(lock, path):
                return lock
            lock.close()
        if time.monotonic() > deadline:
            waited = f" for {timeout:g} seconds already" if timeout else ""
            raise TimeoutError(f"{folder} is in use: another process holds {path}{waited}")
        time.sleep(0.05)


def _still_named(lock: BinaryIO, path: Path) -> bool:
    """False if a former holder unlinked the file between our open and our lock: then nobody else would see our lock."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _give_back(lock: BinaryIO, path: Path) -> None:
    """Unlink while the lock is still held; Windows refuses to remove an open file and keeps it."""
    with suppress(OSError):
        path.unlink()
    lock.close()


if os.name == "nt":
    import msvcrt

    def _acquired(lock: BinaryIO) -> bool:
        try:
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
else:
    import fcntl

    def _acquired(lock: BinaryIO) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: nobody can be kept out
            return True
        return True
