"""A lock that a fork does not leave with nobody to open it."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet


class ThreadLock:
    """Held by one thread at a time, and only once by that. In the child of a fork it is held by the thread that forked
    or by none, for no other came along."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None
        _locks.add(self)

    def acquire(self) -> bool:
        """Take it, if nobody holds it. Whether that was so."""
        taken = self._lock.acquire(blocking=False)
        if taken:
            self._holder = threading.get_ident()
        return taken

    def release(self) -> None:
        """Let go of it."""
        self._holder = None
        self._lock.release()

    def locked(self) -> bool:
        """Whether a thread holds it."""
        return self._lock.locked()

    def _after_fork(self) -> None:
        if self._holder != threading.get_ident():
            self._lock, self._holder = threading.Lock(), None


_locks: WeakSet[ThreadLock] = WeakSet()


def _after_fork() -> None:
    for lock in list(_locks):
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
