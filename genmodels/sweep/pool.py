"""Where trials run: in this process one after the other, or in worker processes that end in good order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Event
from typing import Any, ParamSpec, TypeVar

from ..callbacks import Callback
from ..model import Model

P = ParamSpec("P")
T = TypeVar("T")

_stop: Event | None = None  # set by the parent of a worker process, to end its trial after the step in hand


class SerialExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread. Ctrl-C reaches the caller."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _ProcessPerCall(ThreadPoolExecutor):
    """Runs each call in a fresh process, as many at a time as there are threads, which wait for them (spawned: a fork
    would share the state of the core's threads). A process that dies takes no other call with it: its own raises
    ChildProcessError."""

    def __init__(self, workers: int, stop: Event) -> None:
        super().__init__(workers)
        self._stop = stop

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return super().submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, initializer=_begin_worker, initargs=(self._stop,)) as process:
            try:
                return process.submit(fn, *args, **kwargs).result()
            except BrokenExecutor:
                raise ChildProcessError("the worker process died: it was killed, or memory ran out") from None


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[Executor]:
    """An executor that runs each trial in a process of its own, `workers` at a time. One that dies fails its trial.

    Leaving the block by an exception, Ctrl-C among them, ends the trials after the step in hand, with a checkpoint.
    Workers whose parent was killed end at once, so that nobody writes into a folder that another sweep goes on with.
    """
    stop = multiprocessing.get_context("spawn").Event()
    pool = _ProcessPerCall(workers, stop)
    try:
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def stopping() -> bool:
    """Whether this is a worker process that was asked to stop: trials already handed to it are not begun."""
    return _stop is not None and _stop.is_set()


def stoppers() -> list[Callback]:
    """The callback by which a fit in a worker process can be ended; none elsewhere."""
    return [] if _stop is None else [_StopWhenAsked()]


class _StopWhenAsked(Callback):
    def on_step_end(self, model: Model, step: int, losses: Any) -> None:
        if stopping():
            model.stop_training = True


def _begin_worker(stop: Event) -> None:
    """A terminal sends Ctrl-C to workers as well: they leave it to their parent, which asks them to stop."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
