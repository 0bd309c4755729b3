"""What a sweep makes of trials that fail, of workers that die and of files that are damaged."""

import multiprocessing
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from small_sweep import ARGUMENTS, ONE, make_small, rows, trial

from genmodels import _lock, cli, run, sweep
from genmodels.sweep.trial import noted

pytestmark = pytest.mark.usefixtures("small_sweeps", "same_threads")


# ---- trials that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FloatingPointError("epoch 1, step 3 of 6: loss is <nan>"), "FloatingPointError: epoch 1, step 3 of 6"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space\nleft on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_failed_trial_is_noted_and_the_others_go_on(error, status, tmp_path, monkeypatch, capsys):
    train = run.Run.train

    def fail_once(self, *arguments, **options):
        if self.settings.seed == 0:
            raise error
        return train(self, *arguments, **options)

    command = [*ARGUMENTS, "--models", "vae", "--latent", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(run.Run, "train", fail_once)
    assert cli.main(command) == 1
    assert capsys.readouterr().err.endswith("error: 1 of 2 trials failed; the same command tries them again\n")
    failed, other = rows(tmp_path)
    assert failed["status"].startswith(f"failed: {status}")
    assert failed["parameters"] == failed["test_loss"] == ""
    assert other["status"] == "finished"
    page = (tmp_path / sweep.PAGE).read_text()
    assert "2 trials: 1 failed, 1 finished" in page
    assert status in page
    assert "<nan>" not in page
    monkeypatch.undo()
    make_small(monkeypatch)
    assert cli.main(command) == 0
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 2


def test_a_failure_reads_the_same_wherever_and_whenever_it_happened(tmp_path, monkeypatch):
    """Whether a checkpoint lies in the trial's folder depends on the time."""

    def fail(self, *arguments, **options):
        raise FloatingPointError(f"epoch 1: loss is nan; {self.folder / run.CHECKPOINT} holds the last state")

    monkeypatch.setattr(run.Run, "train", fail)
    (row,) = sweep.run_sweep(ONE, tmp_path)
    assert row["status"] == "failed: FloatingPointError: epoch 1: loss is nan"


def test_warnings_of_the_trials_are_on_the_page(one):
    (trial(one, "vae-16-z2-seed0") / run.WARNINGS).write_text("epoch 1: the generator < collapsed\n")
    sweep.run_sweep(ONE, one)
    assert "vae-16-z2-seed0: epoch 1: the generator &lt; collapsed" in (one / sweep.PAGE).read_text()


def test_a_damaged_trial_is_a_failed_one(one):
    path = trial(one, "vae-16-z2-seed0") / run.MODEL
    path.write_bytes(path.read_bytes()[:-9])
    (row,) = sweep.run_sweep(ONE, one)
    assert row["status"].startswith("failed: ValueError: ")


DAMAGES = [
    lambda text: b"",
    lambda text: text[:-9],
    lambda text: b"\xff" + text,
    lambda text: b"[" * 100_000,
    lambda text: b"[]",
    lambda text: b'{"epochs": 1}',
    lambda text: text.replace(b'"status"', b'"state"'),
    lambda text: text.replace(b'"seconds"', b'"minutes"'),
    lambda text: text.replace(b'"seconds": [', b'"seconds": [1.0,'),
    lambda text: re.sub(rb'("kl": \[\s*)[\d.]+', rb'\1"none"', text),
    lambda text: text.replace(b'"test": {', b'"test": {"other": null,'),
    lambda text: text.replace(b'"scores": {', b'"scores": {"fd": 1.0'),
]


def test_a_result_that_is_damaged_is_made_again(one):
    path, table = trial(one, "vae-16-z2-seed0") / "trial.json", (one / sweep.RESULTS).read_bytes()
    whole = path.read_bytes()
    assert noted(path.parent, 1)
    for damage in DAMAGES:
        path.write_bytes(damage(whole))
        assert noted(path.parent, 1) is None, path.read_bytes()[:1000]
        assert damage(whole) != whole
    sweep.run_sweep(ONE, one)
    assert path.read_bytes() == whole
    assert (one / sweep.RESULTS).read_bytes() == table


@pytest.mark.parametrize("text", ["", "a\n1\n", "garbage\n", "epoch,loss\n1,x\n"])
def test_curves_do_not_depend_on_a_damaged_history(one, text, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib")
    sweep.run_sweep(ONE, one)
    page = (one / sweep.PAGE).read_text()
    assert 'alt="Losses by epoch' in page
    (trial(one, "vae-16-z2-seed0") / run.HISTORY).write_text(text)
    sweep.run_sweep(ONE, one)
    assert (one / sweep.PAGE).read_text() == page


def test_other_errors_reach_the_caller(tmp_path, monkeypatch):
    monkeypatch.setattr(run.Run, "train", lambda *arguments, **options: [][0])
    with pytest.raises(IndexError):
        sweep.run_sweep(ONE, tmp_path)


def test_two_at_once_in_a_folder_are_one_too_many(one):
    before = {path: path.read_bytes() for path in one.rglob("*") if path.is_file()}
    message = f"{one} is in use: another process holds {one / _lock.FILE}"
    with _lock.locked(one, timeout=0.0), pytest.raises(TimeoutError, match=re.escape(message)):
        sweep.run_sweep(replace(ONE, seeds=2), one)
    assert {path: path.read_bytes() for path in one.rglob("*") if path.is_file()} == before
    assert len(sweep.run_sweep(replace(ONE, seeds=2), one)) == 2


def test_missing_data_end_the_sweep_before_it_begins(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="mnist"):
        sweep.run_sweep(replace(ONE, data="mnist"), tmp_path / "out", data_root=str(tmp_path / "empty"))
    assert not (tmp_path / "out").exists()


# ---- workers that die ---------------------------------------------------------------------------------------------


def die_in_training():
    run.Run.train = lambda *arguments, **options: os._exit(9)


def test_a_pool_that_loses_a_worker_leaves_waiting_what_was_not_begun(one):
    """A finished trial stays finished; a mark left in an earlier sweep tells nothing of this one."""
    trial(one, "vae-16-z8-seed1").mkdir()
    (trial(one, "vae-16-z8-seed1") / "trial.begun").touch()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=die_in_training) as pool:
        sweep.run_sweep(replace(ONE, latent=(8, 2), seeds=2), one, pool)
    first, *others = [row["status"] for row in rows(one)]
    assert first.startswith("failed: BrokenProcessPool: A process in the process pool was terminated")
    assert others == ["waiting", "finished", "waiting"]


def test_a_worker_of_the_command_that_dies_is_the_failure_of_its_trial_alone(tmp_path):
    grid = replace(ONE, seeds=3)

    def kill(fn, job):
        dies = job["settings"]["seed"] == 1
        return submit(*((os._exit, 9) if dies else (fn, job)))

    with sweep.worker_pool(2) as pool:
        submit, pool.submit = pool.submit, kill
        sweep.run_sweep(grid, tmp_path, pool)
    died = "failed: ChildProcessError: the worker process died: it was killed, or memory ran out"
    assert [row["status"] for row in rows(tmp_path)] == ["finished", died, "finished"]
    sweep.run_sweep(grid, tmp_path)
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 3
    assert not list(tmp_path.rglob("*.begun"))
