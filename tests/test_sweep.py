"""A sweep: a grid of trials that ends in the same tables however often it was killed, and the page about it."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_sweep import ARGUMENTS, GRID, ONE, make_small, rows, trial

import genmodels as gm
from genmodels import cli, datasets, run, sweep

pytestmark = pytest.mark.usefixtures("small_sweeps", "same_threads")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, small_sweeps):
    """The folder of a sweep that nothing broke off."""
    folder = tmp_path_factory.mktemp("sweeps") / "undisturbed"
    sweep.run_sweep(GRID, folder)
    return folder


def results(folder):
    return (folder / sweep.RESULTS).read_bytes()


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# ---- tables -------------------------------------------------------------------------------------------------------


def test_a_row_a_trial_in_the_grids_order(undisturbed):
    keys = [(row["model"], row["image_size"], row["latent_dim"], row["data"], row["seed"]) for row in rows(undisturbed)]
    expected = [(m, "16", z, "strokes", s) for m in ("vae", "wgan") for z in ("2", "8") for s in ("0", "1")]
    assert keys == expected
    assert {row["status"] for row in rows(undisturbed)} == {"finished"}
    assert [tuple(row.values())[:5] for row in rows(undisturbed, sweep.TIMES)] == expected


def test_numbers_are_the_trials_own_to_the_last_bit(undisturbed):
    _, (x, _) = datasets.load("strokes")
    for row in rows(undisturbed):
        folder = trial(undisturbed, f"{row['model']}-16-z{row['latent_dim']}-seed{row['seed']}")
        model = gm.load(folder / run.MODEL)
        assert model.latent_dim == int(row["latent_dim"])
        assert int(row["parameters"]) == model.parameter_count
        tested = model.evaluate(datasets.resize(x, 16))
        trained = {name: model.history[name][-1] for name in tested}
        found = {name: value for name, value in row.items() if re.match("train_|test_", name) and value}
        expected = {f"train_{k}": v for k, v in trained.items()} | {f"test_{k}": v for k, v in tested.items()}
        assert {name: float(value) for name, value in found.items()} == expected


def test_columns_of_other_families_are_empty(undisturbed):
    vae, *_, wgan = rows(undisturbed)
    assert vae["train_kl"]
    assert vae["train_wasserstein"] == ""
    assert wgan["test_wasserstein"]
    assert wgan["test_kl"] == ""


def test_times_are_in_their_own_table(undisturbed):
    assert not any("second" in name for name in rows(undisturbed)[0])
    for row in rows(undisturbed, sweep.TIMES):
        assert float(row["seconds_per_epoch"]) == float(row["seconds"]) > 0
        assert float(row["images_per_second"]) == pytest.approx(60 / float(row["seconds"]))


# ---- going on -----------------------------------------------------------------------------------------------------


def test_finished_trials_are_skipped(undisturbed, capsys):
    before, table = stamps(undisturbed / "trials"), results(undisturbed)
    assert cli.main([*ARGUMENTS, "--out", str(undisturbed)]) == 0
    assert stamps(undisturbed / "trials") == before
    assert results(undisturbed) == table
    page = undisturbed / sweep.PAGE
    assert capsys.readouterr().out == f"results: {undisturbed / sweep.RESULTS}\npage:    {page}\n"


def test_what_is_not_given_is_that_of_the_sweep_there(undisturbed):
    assert sweep.open_grid(undisturbed, {"seeds": 3, "sizes": None}, {"data": "mnist"}) == replace(GRID, seeds=3)


def test_the_grid_and_the_epochs_may_grow(one):
    weights = gm.load(trial(one, "vae-16-z2-seed0") / run.MODEL).weights["encoder.0.kernel"].tobytes()
    before = stamps(trial(one, "vae-16-z2-seed0"))
    table = sweep.run_sweep(replace(ONE, latent=(8, 2), seeds=2), one)
    assert [(row["latent_dim"], row["seed"]) for row in table] == [(8, 0), (8, 1), (2, 0), (2, 1)]
    assert stamps(trial(one, "vae-16-z2-seed0")) == before
    table = sweep.run_sweep(replace(ONE, latent=(8, 2), seeds=2, epochs=2), one)
    assert {row["epochs"] for row in table} == {2}
    model = gm.load(trial(one, "vae-16-z2-seed0") / run.MODEL)
    assert len(model.history) == 2
    assert model.weights["encoder.0.kernel"].tobytes() != weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("wgan",)}, "has models vae: it may grow, not lose vae"),
        ({"latent": (8, 3)}, "has latent 2: it may grow, not lose 2"),
        ({"epochs": 1}, "has epochs 2, which cannot be lowered to 1"),
        ({"seeds": 1}, "has seeds 2, which cannot be lowered to 1"),
        ({"data": "mnist"}, "begun with data strokes, which cannot be changed to mnist"),
        ({"batch_size": 5}, "begun with batch_size 10, which cannot be changed to 5"),
        ({"limit": None}, "begun with limit 60, which cannot be changed to None"),
        ({"beta1": 0.5}, "begun with beta1 None, which cannot be changed to 0.5"),
        ({"precision": "bf16"}, "begun with precision float32, which cannot be changed to bf16"),
        ({"scores": True}, "begun with scores False, which cannot be changed to True"),
    ],
)
def test_another_sweep_in_the_folder_is_refused(changes, message, tmp_path, monkeypatch):
    grid = replace(ONE, seeds=2, epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "train", lambda self, *rest, **options: run.Outcome(False, True, 0, {}, []))
        with pytest.raises(KeyboardInterrupt):
            sweep.run_sweep(grid, tmp_path)
    before = stamps(tmp_path)
    with pytest.raises(ValueError, match=message):
        sweep.run_sweep(replace(grid, **changes), tmp_path)
    assert stamps(tmp_path) == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert cli.main([*ARGUMENTS, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"genmodels: error: {tmp_path} is not empty and holds no sweep: name another folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": 3}', "\xff", "[" * 100_000])
def test_damaged_settings_are_refused(text, tmp_path):
    (tmp_path / "sweep.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"sweep\.json does not hold the settings of a sweep"):
        sweep.run_sweep(ONE, tmp_path)


# ---- killed, interrupted ------------------------------------------------------------------------------------------

CHILD = """
import os, sys
import small_sweep
from genmodels import cli, run

class Tell(run.Checkpoint):
    def __init__(self, path, **options):
        super().__init__(path, **{**options, "every_seconds": 0.0})

    def on_step_end(self, model, step, losses):
        super().on_step_end(model, step, losses)
        os.write(1, b".")
        os.read(0, 1)  # as far as the parent allows

small_sweep.make_small()
run.Checkpoint = Tell
sys.exit(cli.main(sys.argv[1:]))
"""


def start(command, *arguments, **streams):
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL} | streams,
    )


def child(folder, **streams):
    return start(["-c", CHILD], *ARGUMENTS, "--out", folder, **streams)


def run_until(folder, step, number):
    """Sends the signal after this step of the sweep, whose checkpoint is written; returns the child's exit code."""
    with child(folder, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"." * (step - 1))
        process.stdin.flush()
        assert len(process.stdout.read(step)) == step
        process.send_signal(number)
        process.stdin.close()
        return process.wait(timeout=120)


def unfinished(folder):
    return [path.parent for path in folder.glob("trials/*/checkpoint.*") if gm.load(path).interrupted]


def test_a_sweep_killed_twice_ends_in_the_same_table(undisturbed, tmp_path):
    for step in (9, 18):  # within the second trial, and within one of the other model
        assert run_until(tmp_path, step, signal.SIGKILL) == -signal.SIGKILL
        (broken,) = unfinished(tmp_path)
        assert not (broken / run.MODEL).exists()
    assert broken.name.startswith("wgan")
    with child(tmp_path, stdin=subprocess.DEVNULL) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert results(tmp_path) == results(undisturbed)


def test_ctrl_c_ends_in_good_order_and_the_command_goes_on(undisturbed, tmp_path):
    assert run_until(tmp_path, 9, signal.SIGINT) == 130
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "interrupted"] + ["waiting"] * 6
    assert "8 trials: 1 finished, 1 interrupted, 6 waiting" in (tmp_path / sweep.PAGE).read_text()
    assert [path.name for path in unfinished(tmp_path)] == ["vae-16-z2-seed1"]
    sweep.run_sweep(GRID, tmp_path)
    assert results(tmp_path) == results(undisturbed)


def test_a_sweep_that_grows_keeps_what_is_finished_when_it_is_interrupted(one, monkeypatch):
    (before,), (times,) = rows(one), rows(one, sweep.TIMES)
    monkeypatch.setattr(run.Run, "train", lambda self, *rest, **options: run.Outcome(False, True, 0, {}, []))
    with pytest.raises(KeyboardInterrupt):
        sweep.run_sweep(replace(ONE, latent=(8, 2), seeds=2), one)
    assert [row["status"] for row in rows(one)] == ["interrupted", "waiting", "finished", "waiting"]
    assert (rows(one)[2], rows(one, sweep.TIMES)[2]) == (before, times)
    page = (one / sweep.PAGE).read_text()
    assert "4 trials: 1 interrupted, 2 waiting, 1 finished" in page
    assert "<h3>Losses on the test images</h3>" in page
    with pytest.raises(KeyboardInterrupt):
        sweep.run_sweep(replace(ONE, latent=(8, 2), seeds=2, epochs=2), one)
    assert [row["status"] for row in rows(one)] == ["interrupted", "waiting", "waiting", "waiting"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(number, tmp_path):
    """In good order where it can ask them to; the pipe is closed when the last of them has ended."""
    long = ["--epochs", "100000", "--workers", "2", "--threads", "2", "--out", tmp_path]
    with start(["-m", "genmodels"], *ARGUMENTS, *long) as process:
        while not all((tmp_path / "trials" / f"vae-16-z2-seed{k}" / run.CHECKPOINT).exists() for k in (0, 1)):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert len(unfinished(tmp_path)) == 2


# ---- executors ----------------------------------------------------------------------------------------------------


def test_threads_give_the_same_table(undisturbed, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        sweep.run_sweep(GRID, tmp_path, pool)
    assert results(tmp_path) == results(undisturbed)


def test_processes_give_the_same_table(undisturbed, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=make_small) as pool:
        sweep.run_sweep(GRID, tmp_path, pool, threads=1)
    assert results(tmp_path) == results(undisturbed)


def test_the_commands_own_workers(tmp_path):
    few = ["--models", "vae", "--latent", "2", "--seeds", "1", "--workers", "2"]
    assert cli.main([*ARGUMENTS, *few, "--out", str(tmp_path)]) == 0
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


# ---- the page -----------------------------------------------------------------------------------------------------


def pictures(page):
    """The alternative texts of the page's pictures."""
    return re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,', page)


def test_page_stands_alone(undisturbed):
    page = (undisturbed / sweep.PAGE).read_text()
    assert "8 trials: 8 finished" in page
    assert not re.search(r"<script|<link|<iframe|@import|url\(|https?:", page)
    assert page.count(" src=") == page.count('src="data:image/png;base64,')
    assert pictures(page).count("real images") == 4  # beside what each model draws at each latent size


def test_table_has_mean_and_sample_deviation_over_the_seeds(undisturbed):
    page = (undisturbed / sweep.PAGE).read_text()
    losses = [float(row["test_kl"]) for row in rows(undisturbed)[:2]]
    mean, spread = np.mean(losses), np.std(losses, ddof=1)
    found = [re.fullmatch(r"([\d.]+) ± ([\d.]+)", cell) for cell in re.findall("<td>(.*?)</td>", page)]
    near = [(float(m[1]), float(m[2])) for m in found if m and abs(float(m[1]) - mean) <= spread and float(m[2]) != 0]
    assert any(m == pytest.approx(mean, abs=0.06 * spread) and s == pytest.approx(spread, rel=0.06) for m, s in near)


def test_scores_and_settings_reach_every_trial(tmp_path):
    grid = replace(ONE, seeds=2, beta1=0.25, precision="bf16", scores=True)
    written = sweep.run_sweep(grid, tmp_path)
    assert sweep.run_sweep(grid, tmp_path) == written, "what is done is read back"
    train, (x, _) = datasets.load("strokes")
    for row, kept in zip(rows(tmp_path), written, strict=True):
        model = gm.load(trial(tmp_path, f"vae-16-z2-seed{row['seed']}") / run.MODEL)
        assert (model.precision, model.optimizer.beta1) == ("bf16", 0.25)
        small, real = (datasets.resize(images, 16) for images in (x, train[0][:100]))  # as `evaluate` does
        found = gm.metrics.evaluate(model, small, 100, extractor="strokes", reference_train=real)
        names = ("fd", "fd_floor", "fd_ceiling", "kd", "precision", "recall")
        assert {name: float(row[f"score_{name}"]) for name in names} == {name: found[name] for name in names}
        assert row["score_extractor"] == found["extractor"] == kept["score_extractor"]
    page = (tmp_path / sweep.PAGE).read_text()
    assert "<h3>Scores</h3>" in page
    assert found["extractor"] in page
    assert "all images" not in page
    assert "the models' own" not in page


def test_beta1_is_for_the_models_with_adam(tmp_path):
    sweep.run_sweep(replace(ONE, models=("vae", "wgan"), beta1=0.25), tmp_path)
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 2
    assert gm.load(trial(tmp_path, "vae-16-z2-seed0") / run.MODEL).optimizer.beta1 == 0.25
    assert "<td>0.25 of vae</td>" in (tmp_path / sweep.PAGE).read_text()


def test_page_without_matplotlib_says_so(undisturbed):
    page = (undisturbed / sweep.PAGE).read_text()
    assert page.count("pip install 'genmodels[plot]'") == 2
    assert not any(text.startswith("Losses by epoch") for text in pictures(page))


def test_colour_images_curves_and_chosen_epochs(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    monkeypatch.setattr(datasets, "load", lambda *arguments, **options: ((x, x[:, 0, 0, 0] % 10),) * 2)
    grid = replace(ONE, data="cifar10", seeds=2, epochs=4)
    sweep.run_sweep(grid, tmp_path)
    samples = trial(tmp_path, "vae-16-z2-seed0") / "samples"
    samples.mkdir(exist_ok=True)
    for epoch in range(5):
        shutil.copy(samples.parent / run.SAMPLES, samples / f"samples-{epoch:03d}.png")
    sweep.run_sweep(grid, tmp_path)
    curves, *drawn = pictures((tmp_path / sweep.PAGE).read_text())
    assert curves.startswith("Losses by epoch")
    assert drawn == ["after 1 epoch", "after 3 epochs", "after 4 epochs", "real images"]
