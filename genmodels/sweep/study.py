"""A sweep from beginning to end: trials handed to an executor, tables kept up to date, the page in the end."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from pathlib import Path
from typing import Any

from .. import _lock, datasets
from .. import _validate as check
from .grid import Grid, Trial, check_folder, write_grid
from .page import PAGE, write_sweep_page
from .pool import SerialExecutor
from .tables import RESULTS, TIMES, result_rows, time_rows, write_table
from .trial import BEGUN, INTERRUPTED, WAITING, failure, noted, train_trial

TRIALS = "trials"

logger = logging.getLogger("genmodels")

Results = dict[Trial, dict[str, Any]]


def run_sweep(
    grid: Grid,
    out: str | os.PathLike[str],
    executor: Executor | None = None,
    *,
    data_root: str | None = None,
    verify: bool = True,
    threads: int | None = None,
    checkpoint_every: int = 1,
) -> list[dict[str, Any]]:
    """Trains every trial of the grid that is not finished yet and writes the tables and the page.

    The same call again goes on: a finished trial is left as it is, one that was killed goes on from its checkpoint to
    the same bits. A folder that holds a sweep takes a grid that contains its own, with at least as many seeds and
    epochs. A trial that fails (NaN, memory, disk) is noted as failed and tried again by the next call.

    Args:
        grid: what to train.
        out: the sweep's folder.
        executor: any `concurrent.futures.Executor`, to which `train_trial` is submitted once a trial with plain data
            (None: one trial after the other in this thread). Its workers must see the folder and the data. It stays
            open; Ctrl-C cancels what has not begun, and what has is the executor's to end. When it breaks, as pools of
            processes do that lose one, the trials that were begun have failed, and the others are left waiting.
        data_root: where the data sets lie.
        verify: hold the data against the published SHA-256, as `datasets.load` does.
        threads: threads a trial, None for those its process has. The results do not depend on it.
        checkpoint_every: epochs between two checkpoints of a trial, at least 1.

    Returns:
        The rows of `results.csv`: a dict a trial in the grid's order, with the columns' names; what a trial lacks is
        missing.

    Raises:
        ValueError: the folder holds something else, or a sweep that cannot grow into this one.
        OSError: data or folder cannot be read or written.
        TimeoutError: another process has a sweep in the folder under way.
        KeyboardInterrupt: after Ctrl-C, with tables and page of what is there.
    """
    folder = Path(out)
    options = {
        "data_root": data_root,
        "verify": check.flag(verify, "verify"),
        "threads": None if threads is None else check.integer(threads, "threads", 1),
        "checkpoint_every": check.integer(checkpoint_every, "checkpoint_every", 1),
        "scores": grid.scores,
        "verbose": "auto" if executor is None else "silent",  # the bars of several trials would overwrite each other
    }
    with _lock.locked(folder, timeout=0.0):
        check_folder(folder, grid)
        return _sweep(folder, grid, executor or SerialExecutor(), options)


def _sweep(folder: Path, grid: Grid, executor: Executor, options: dict[str, Any]) -> list[dict[str, Any]]:
    """`run_sweep`, of checked options, in a folder that is ours."""
    # Fetched once, and missing before the first trial.
    _, (x, _) = datasets.load(grid.data, root=options["data_root"], verify=options["verify"])
    write_grid(folder, grid)
    folders = _folders(folder, grid)
    results: Results = {trial: noted(path, grid.epochs) or {"status": WAITING} for trial, path in folders.items()}
    try:
        with contextlib.closing(_outcomes(executor, grid, folders, options)) as outcomes:
            for count, (trial, result) in enumerate(outcomes, 1):
                results[trial] = result
                _write_tables(folder, grid, results)
                logger.info("trial %d of %d, %s: %s", count, len(results), trial.name, result["status"])
                if result["status"] == INTERRUPTED:
                    raise KeyboardInterrupt
    finally:
        _write_tables(folder, grid, results)
        write_sweep_page(folder / PAGE, grid, folders, results, x)
    return result_rows(grid, results)


def _outcomes(
    executor: Executor, grid: Grid, folders: dict[Trial, Path], options: dict[str, Any]
) -> Generator[tuple[Trial, dict[str, Any]]]:
    """The trials with their results as they come. What is not begun when the caller stops asking is cancelled."""
    waiting: dict[Future[dict[str, Any]], Trial] = {}
    try:
        for trial, path in folders.items():
            with contextlib.suppress(OSError):  # the mark of a process that died in an earlier sweep
                (path / BEGUN).unlink()
            future = executor.submit(train_trial, {"folder": str(path), "settings": _settings(grid, trial), **options})
            if future.done():
                yield from _outcome(trial, future, path)
            else:
                waiting[future] = trial
        for future in as_completed(waiting):
            trial = waiting[future]
            yield from _outcome(trial, future, folders[trial])
    finally:
        for future in waiting:
            future.cancel()


def _outcome(trial: Trial, future: Future[dict[str, Any]], folder: Path) -> list[tuple[Trial, dict[str, Any]]]:
    """The trial with what it returned; a worker that died (killed, out of memory) is the failure of its trial. Nothing
    of a trial that was not begun when the executor broke: it stands where it stood."""
    try:
        return [(trial, future.result())]
    except (OSError, BrokenExecutor) as error:
        if isinstance(error, OSError) or (folder / BEGUN).exists():
            return [(trial, failure(error, str(folder)))]
        logger.warning("%s was not begun: %s", trial.name, error)
        return []


def _settings(grid: Grid, trial: Trial) -> dict[str, Any]:
    """The fields of `genmodels.settings.Settings` for a trial."""
    return {
        "model": f"{trial.model}-{trial.size}",
        "data": grid.data,
        "epochs": grid.epochs,
        "batch_size": grid.batch_size,
        "seed": trial.seed,
        "limit": grid.limit,
        "conditional": False,
        "image_size": trial.size,
        "latent_dim": trial.latent,
        "beta1": grid.beta1 if trial.model in grid.adam_models() else None,
        "precision": grid.precision,
    }


def _folders(folder: Path, grid: Grid) -> dict[Trial, Path]:
    return {trial: folder / TRIALS / trial.name for trial in grid.trials()}


def _write_tables(folder: Path, grid: Grid, results: Results) -> None:
    write_table(folder / RESULTS, result_rows(grid, results))
    write_table(folder / TIMES, time_rows(grid, results))
