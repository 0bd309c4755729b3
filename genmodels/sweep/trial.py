"""One trial of a sweep: plain data in, plain data out, in whatever process, thread or machine an executor has."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import _system, checkpoint, metrics, run
from .._files import replacing
from .._json import parse_json
from ..model import Model
from ..training.history import TIMES
from . import pool

RESULT = "trial.json"
BEGUN = "trial.begun"  # there while the trial is trained, and afterwards only where its process died
SCORES = ("fd", "fd_floor", "fd_ceiling", "kd", "precision", "recall", "extractor")
FINISHED, INTERRUPTED, WAITING = "finished", "interrupted", "waiting"
FAILED = "failed: "

# What the result of a finished trial holds besides its status, as `_result` makes it.
_KINDS = {"epochs": int, "parameters": int, "training": dict, "test": dict, "scores": dict, "seconds": list}
_KINDS |= {"images_per_second": float}

# What ends a trial and lets the others go on: numbers that became NaN, memory, disk, a damaged file in its folder.
_FAILURES = (FloatingPointError, MemoryError, OverflowError, OSError, ValueError)


def train_trial(job: Mapping[str, Any]) -> dict[str, Any]:
    """Trains a trial to its end, from where its folder says it stands; one that has ended is left as it is.

    job: `folder`, `settings` (fields of `genmodels.settings.Settings`), `data_root` and `verify` (as in
    `datasets.load`), `checkpoint_every` (epochs), `scores` (whether to score the model), `threads` (None for those in
    use) and `verbose`, as JSON values. Returns `status`, which is "finished", "interrupted" or "failed: " and why, and
    of a finished trial `epochs`, `parameters`, `training` (by name the losses by epoch), `test` (the losses by name),
    `scores` (those of SCORES, none where they were not asked for), `seconds` (by epoch) and `images_per_second` (over
    all epochs).
    """
    if pool.stopping():
        return {"status": INTERRUPTED}
    try:
        if job["threads"] is not None:
            _system.set_num_threads(job["threads"])
        return _trained(Path(job["folder"]), job)
    except _FAILURES as error:
        return failure(error, job["folder"])


def failure(error: BaseException, folder: str) -> dict[str, Any]:
    """The result of a trial that the error ended, without what is said of the trial's own folder: whether there is a
    checkpoint depends on the time, on which no result may depend."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return {"status": FAILED + text.partition(f"; {folder}")[0]}


def _trained(folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    options = {"checkpoint_every": job["checkpoint_every"]}
    work = run.Run.open(folder, job["settings"], {}, "resume", job["data_root"], options, job["verify"])
    earlier = noted(folder, work.settings.epochs)
    if earlier is not None and work.finished():
        return earlier
    with _mark(folder / BEGUN):
        return _train(work, folder, job)


def _train(work: run.Run, folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    outcome = work.train(verbose=job["verbose"], callbacks=pool.stoppers())
    if outcome.stopped:
        return {"status": INTERRUPTED}
    model = checkpoint.load(folder / run.MODEL)
    result = _result(model, outcome.test) | {"scores": _scores(work, model) if job["scores"] else {}}
    with replacing(folder / RESULT) as file:  # last: a trial that has it has everything
        file.write(json.dumps(result, indent=2).encode() + b"\n")
    return result


@contextlib.contextmanager
def _mark(path: Path) -> Iterator[None]:
    """An empty file that is there during the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def noted(folder: Path, epochs: int) -> dict[str, Any] | None:
    """The result that training the trial for so many epochs left in its folder; None where there is none to be read:
    what is missing or damaged comes of training again, which has little to do where the model is there."""
    try:
        found = parse_json((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if _is_result(found) and found["epochs"] == epochs else None


def _is_result(found: Any) -> bool:
    """Whether it is what `_result` makes: the losses and times of as many epochs as it says, scores all or none."""
    if not isinstance(found, dict) or found.get("status") != FINISHED:
        return False
    if not all(isinstance(found.get(name), kind) for name, kind in _KINDS.items()):
        return False
    columns = [found["seconds"], *found["training"].values()]
    if not all(isinstance(column, list) and len(column) == found["epochs"] for column in columns):
        return False
    numbers = itertools.chain(found["test"].values(), *columns)
    scored = not found["scores"] or found["scores"].keys() >= set(SCORES)
    return scored and all(isinstance(value, float) for value in numbers)


def _scores(work: run.Run, model: Model) -> dict[str, Any]:
    found = metrics.evaluate(model, **work.scoring())
    return {name: found[name] for name in SCORES}


def _result(model: Model, test: Mapping[str, float]) -> dict[str, Any]:
    history = model.history
    seconds, speeds = (history[name] for name in TIMES)
    images = sum(time * speed for time, speed in zip(seconds, speeds, strict=True))
    return {
        "status": FINISHED,
        "epochs": len(history),
        "parameters": model.parameter_count,
        "training": {name: history[name] for name in history.steps if name in history},
        "test": dict(test),
        "seconds": seconds,
        "images_per_second": images / max(sum(seconds), 1e-9),
    }
