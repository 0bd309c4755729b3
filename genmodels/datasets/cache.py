"""The user's cache folder, and the lock that keeps two processes from the same download."""

from __future__ import annotations

import itertools
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK_TIMEOUT = 3600.0  # seconds: a slow line may need long for 170 MB, and a dead process's lock is free at once


def user_folder() -> Path | None:
    """The user's cache folder for genmodels; it need not exist. None where no home folder is known."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "genmodels"
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "genmodels"
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "genmodels"
    return home / ".cache" / "genmodels"


@contextmanager
def locked(folder: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the folder against other processes; make it if need be, and take it away if it stays empty.

    The lock is the operating system's, on the file ``.lock``: it goes with its process, so none is ever stale. Parts of
    downloads that a killed process left behind are cleared.

    Raises:
        TimeoutError: another process held the lock for ``timeout`` seconds.
        OSError: the folder cannot be made or written.
    """
    made = _missing(folder)
    lock = _take(folder, timeout)
    try:
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        yield
    finally:
        _give_back(lock, folder / ".lock")
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
    path, deadline = folder / ".lock", time.monotonic() + timeout
    while True:
        with suppress(FileNotFoundError):  # the last holder may remove the folder as we open the lock
            _make(folder)
            lock = open(path, "ab")  # noqa: SIM115 - held until _give_back
            if _acquired(lock) and _still_named(lock, path):
                return lock
            lock.close()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path}: another process held the lock for {timeout:g} seconds")
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
        except OSError:  # a file system without locks: a rename is whole anyway, two downloads are only a waste
            return True
        return True
