"""A folder that one process at a time works in."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

FILE = ".lock"
# So often a folder may be gone as we make it and open the lock: then no holder's leaving takes it away, it cannot be.
MOST_RACES = 100


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


def _take(folder: Path, timeout: float) -> BinaryIO:
    path, deadline, races = folder / FILE, time.monotonic() + timeout, 0
    while True:
        try:
            lock = _opened(path)
        except (FileNotFoundError, FileExistsError):  # the last holder may remove the folder as we make it
            races += 1
            if races == MOST_RACES:
                raise
            continue
        if _acquired(lock) and _still_named(lock, path):
            return lock
        lock.close()
        if time.monotonic() > deadline:
            waited = f" for {timeout:g} seconds already" if timeout else ""
            raise TimeoutError(f"{folder} is in use: another process holds {path}{waited}")
        time.sleep(0.05)


def _opened(path: Path) -> BinaryIO:
    """The lock's file, in a folder that is made if need be. FileExistsError where something else lies in the folder's
    place or a holder removes it in the middle of mkdir's check, FileNotFoundError where one removes it behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "ab")


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
