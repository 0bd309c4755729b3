"""A run that was stopped, saved, killed and gone on with ends in the bits of a run left alone."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels.callbacks import Callback, Checkpoint

EPOCHS = 3
STEPS = 5  # an epoch
BATCH_SIZE = 25
# Of small's models; a step of the GAN takes five batches.
BATCH_SIZES = {"vae": BATCH_SIZE, "gan": 5, "classifier": BATCH_SIZE}


def held_out(model):
    return small.images(17, seed=1), small.labels(model, 17)


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, model, step, losses):
        model.stop_training = step == self.step


def fitted(kind, callbacks=()):
    model = getattr(small, kind)()
    model.fit(small.images(), small.labels(model), EPOCHS, BATCH_SIZES[kind], held_out(model), callbacks)
    return model


def undisturbed(kind="vae"):
    return fitted(kind)


def stopped(step, kind="vae"):
    return fitted(kind, StopAt(step))


def resume(model, **changes):
    arguments = {
        "x": small.images(),
        "y": small.labels(model),
        "validation_data": held_out(model),
        "resume": True,
    }
    return model.fit(**(arguments | changes))


@pytest.mark.parametrize("kind", BATCH_SIZES)
@pytest.mark.parametrize("step", [1, 4, 5, 6, 9, 10, 14])
def test_a_saved_fit_goes_on_to_the_same_bits(step, kind, tmp_path):
    path = tmp_path / "model.safetensors"
    stopped(step, kind).save(path)
    model = gm.load(path)
    assert model.interrupted
    assert len(model.history.steps) == step
    history = resume(model)
    assert history.epochs == [1, 2, 3]
    assert not model.interrupted
    assert small.state(model) == small.state(undisturbed(kind))


@pytest.mark.parametrize("kind", BATCH_SIZES)
def test_every_checkpoint_goes_on_to_the_same_bits(kind, tmp_path):
    """Also those written after the last step of an epoch, before its end, and after it."""
    keep = Checkpoint(tmp_path / "{epoch}-{step}.safetensors", every_steps=1)
    expected = small.state(fitted(kind, keep))
    names = sorted(os.listdir(tmp_path))
    assert len(names) == (STEPS + 1) * EPOCHS
    for name in names:
        model = gm.load(tmp_path / name)
        resume(model)
        assert small.state(model) == expected, name


@pytest.mark.parametrize("kind", BATCH_SIZES)
def test_the_number_of_threads_may_change_in_between(kind, tmp_path, threads):
    threads(3)
    stopped(7, kind).save(tmp_path / "model.safetensors")
    threads(1)
    model = gm.load(tmp_path / "model.safetensors")
    resume(model)
    assert small.state(model) == small.state(undisturbed(kind))


@pytest.mark.parametrize(
    "optimizer", [gm.optimizers.SGD(1e-3, momentum=0.9), gm.optimizers.RMSprop(1e-3, momentum=0.5)]
)
def test_other_optimizers_and_labels(optimizer, tmp_path):
    x, y = small.images(), np.arange(small.TRAINING) % 3
    model = small.vae(optimizer=optimizer, num_classes=3)
    model.fit(x, y, epochs=2, batch_size=40)
    part = small.vae(optimizer=optimizer, num_classes=3)
    part.fit(x, y, epochs=2, batch_size=40, callbacks=StopAt(4))
    part.save(tmp_path / "model.safetensors")
    rest = gm.load(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="differ"):
        rest.fit(x, (y + 1) % 3, resume=True)
    rest.fit(x, y, resume=True)
    assert small.state(rest) == small.state(model)


def test_another_epoch_after_loading_is_another_epoch(tmp_path):
    model = undisturbed()
    model.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    for each in (model, loaded):
        each.fit(small.images(), epochs=1, batch_size=BATCH_SIZE)
        each.sample(3)
    assert loaded.history.epochs == [1, 2, 3, 4]
    assert small.state(loaded) == small.state(model)


def test_resume_of_a_finished_fit_returns_at_once():
    model = undisturbed()
    before = small.state(model)
    assert resume(model, epochs=EPOCHS) is model.history
    assert small.state(model) == before


def test_arguments_may_be_repeated():
    model = stopped(7)
    resume(model, epochs=EPOCHS, batch_size=BATCH_SIZE)
    assert small.state(model) == small.state(undisturbed())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 5}, "3 epochs, got epochs=5"),
        ({"batch_size": 32}, "batch_size=25, got batch_size=32"),
        ({"x": small.images(seed=2)}, "103 images, SHA-256"),
        ({"x": small.images()[:50]}, "these are 50 images"),
        ({"x": (small.images() / 255).astype(np.float32)}, "differ"),
        ({"validation_data": None}, "validation_data"),
    ],
)
def test_another_fit_than_the_interrupted_one_is_refused(changes, message):
    model = stopped(7)
    before = small.state(model)
    with pytest.raises(ValueError, match=message):
        resume(model, **changes)
    assert small.state(model) == before
    assert model.interrupted


def test_fit_without_resume_gives_the_interrupted_one_up():
    model = stopped(7)
    history = model.fit(small.images(), epochs=2, batch_size=50)
    assert history.epochs == [1, 2, 3]
    assert len(history.steps) == 7 + 2 * 3
    assert not model.interrupted


# ---- SIGKILL ------------------------------------------------------------------------------------------------------

CHILD = """
import os, sys
import genmodels as gm
import small
from genmodels.callbacks import Callback, Checkpoint

kind, batch_size, checkpoint, final = sys.argv[1:]

class Tell(Callback):
    def on_step_end(self, model, step, losses):
        os.write(1, b".")
        os.read(0, 1)  # as far as the parent allows

watchers = [Tell(), Checkpoint(checkpoint, every_steps=2)]
if os.path.exists(checkpoint):
    model = gm.load(checkpoint)
    held_out = small.images(17, seed=1), small.labels(model, 17)
    model.fit(small.images(), small.labels(model), validation_data=held_out, callbacks=watchers, resume=True)
else:
    model = getattr(small, kind)()
    held_out = small.images(17, seed=1), small.labels(model, 17)
    model.fit(small.images(), small.labels(model), 60, int(batch_size), held_out, watchers)
model.save(final)
"""
KILLS, MOST_STEPS, SLACK = 10, 20, 8  # of 420 steps and more: no run can end before it is killed


def child(arguments, **streams):
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **streams)


def run_and_kill(arguments, moments):
    """Kill a run some steps and some fraction of the next ones after its beginning."""
    steps = moments.randrange(1, MOST_STEPS)
    with child(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"." * (steps + SLACK))
        process.stdin.flush()
        assert len(process.stdout.read(steps)) == steps
        time.sleep(moments.random() * 0.005)
        process.kill()
    assert process.returncode == -9


@pytest.mark.parametrize(("kind", "batch_size"), [("vae", 13), ("gan", 3), ("classifier", 13)])
def test_a_run_killed_ten_times_ends_in_the_same_bits(kind, batch_size, tmp_path):
    checkpoint, final = str(tmp_path / "checkpoint.safetensors"), str(tmp_path / "final.safetensors")
    arguments = [kind, str(batch_size), checkpoint, final]
    moments = random.Random(7)
    for _ in range(KILLS):
        run_and_kill(arguments, moments)
        assert not os.path.exists(checkpoint) or gm.load(checkpoint).interrupted
    assert len(gm.load(checkpoint).history.steps), "the killed runs got nowhere"
    assert child(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).wait(timeout=120) == 0
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "final.safetensors"]

    model = getattr(small, kind)()
    model.fit(small.images(), small.labels(model), 60, batch_size, held_out(model))
    assert small.state(gm.load(final)) == small.state(model)
