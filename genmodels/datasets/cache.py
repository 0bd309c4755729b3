"""The user's cache folder, and the lock that keeps two processes from the same download."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import _lock

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
    """`genmodels._lock.locked`, and parts of downloads that a killed process left behind are cleared."""
    with _lock.locked(folder, timeout):
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        yield
