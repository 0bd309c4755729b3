"""fit: what it trains on, what it records, how it ends."""

import logging
import os
import signal
import sys
import threading

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import _core
from genmodels.callbacks import Callback, Checkpoint, TimeLimit


class At(Callback):
    """Calls a function after a step (steps are counted from 1), and counts what it sees."""

    def __init__(self, step, function):
        self.step, self.function, self.steps = step, function, 0

    def on_step_end(self, model, step, losses):
        self.steps += 1
        if step == self.step:
            self.function(model)


class Trace(Callback):
    """Notes the name and number of every call."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, model):
        self.calls.append("begin")

    def on_epoch_begin(self, model, epoch):
        self.calls.append(f"epoch {epoch}")

    def on_step_end(self, model, step, losses):
        assert losses["loss"] == model.history.steps["loss"][step - 1]
        self.calls.append(step)

    def on_epoch_end(self, model, epoch, losses):
        assert losses["loss"] == model.history["loss"][epoch - 1]
        self.calls.append(f"end {epoch}")

    def on_train_end(self, model):
        self.calls.append("end")


def interrupt(model):
    signal.raise_signal(signal.SIGINT)


def stop(model):
    model.stop_training = True


# ---- what is trained ----------------------------------------------------------------------------------------------


def test_fit_is_train_step_over_the_published_order():
    x = small.images()
    model, by_hand = small.vae(), small.vae()
    model.fit(x, epochs=2, batch_size=25)
    for epoch in range(2):
        order = _core.permutation(by_hand.seed, epoch, len(x))
        assert sorted(order) == list(range(len(x)))
        for start in range(0, len(x), 25):
            by_hand.train_step(x[order[start : start + 25]])
    assert all(np.array_equal(model.weights[name], by_hand.weights[name]) for name in model.weights)


def test_labels_follow_their_images():
    x, y = small.images(), np.arange(small.TRAINING) % 3
    model, by_hand = small.vae(num_classes=3), small.vae(num_classes=3)
    model.fit(x, y, batch_size=64)
    order = _core.permutation(by_hand.seed, 0, len(x))
    for part in (order[:64], order[64:]):
        by_hand.train_step(x[part], y[part])
    assert all(np.array_equal(model.weights[name], by_hand.weights[name]) for name in model.weights)


def test_two_fits_are_one():
    x = small.images()
    once, twice = small.vae(), small.vae()
    once.fit(x, epochs=3, batch_size=25)
    twice.fit(x, epochs=1, batch_size=25)
    history = twice.fit(x, epochs=2, batch_size=25)
    assert history.epochs == [1, 2, 3]
    assert small.state(once) == small.state(twice)


@pytest.mark.parametrize("transform", [np.asfortranarray, lambda x: x[:, ::1], lambda x: np.repeat(x, 2, axis=0)[::2]])
def test_the_layout_in_memory_does_not_matter(transform):
    x = small.images()
    model, other = small.vae(), small.vae()
    model.fit(x, batch_size=40)
    other.fit(transform(x), batch_size=40)
    assert small.state(model) == small.state(other)


def test_float_images_train_like_their_bytes():
    x = small.images()
    model, other = small.vae(), small.vae()
    model.fit(x, batch_size=40)
    other.fit((x / 255).astype(np.float64), batch_size=40)
    assert np.allclose(model.history.steps["loss"], other.history.steps["loss"], rtol=1e-4)


def test_loss_goes_down():
    model = small.vae(optimizer=gm.optimizers.Adam(1e-2))
    history = model.fit(small.images(), epochs=15, batch_size=32)
    assert history["loss"][-1] < 0.85 * history["loss"][0]


# ---- what is recorded ---------------------------------------------------------------------------------------------


def test_history_of_epochs_is_the_mean_over_images():
    x = small.images()
    model = small.vae()
    history = model.fit(x, epochs=2, batch_size=40)
    assert history is model.history
    sizes = np.array([40, 40, 23])
    for name in ("loss", "reconstruction", "kl"):
        steps = np.array(history.steps[name]).reshape(2, 3)
        assert np.allclose(history[name], steps @ sizes / 103, rtol=1e-14)
    assert all(seconds > 0 for seconds in history["seconds"])
    assert np.allclose(np.multiply(history["seconds"], history["images_per_second"]), 103)


def test_a_batch_larger_than_the_data_is_one_step_an_epoch():
    history = small.vae().fit(small.images(7), epochs=3, batch_size=1000)
    assert len(history.steps) == 3


def test_validation_is_evaluate_after_each_epoch():
    x, held_out = small.images(), small.images(31, seed=1)
    model = small.vae()
    for data in (held_out, (held_out, None)):
        history = model.fit(x, batch_size=40, validation_data=data)
        assert history["val_loss"][-1] == model.evaluate(held_out)["loss"]
        assert history["val_kl"][-1] == model.evaluate(held_out)["kl"]
    assert list(history)[-2:] == ["seconds", "images_per_second"]


def test_validation_does_not_disturb_training():
    x = small.images()
    model, watched = small.vae(), small.vae()
    model.fit(x, epochs=2, batch_size=40)
    watched.fit(x, epochs=2, batch_size=40, validation_data=small.images(31, seed=1))
    assert all(np.array_equal(model.weights[name], watched.weights[name]) for name in model.weights)


def test_callbacks_are_called_in_order():
    trace = Trace()
    model = small.vae()
    model.fit(small.images(50), epochs=2, batch_size=30, callbacks=trace)
    assert trace.calls == ["begin", "epoch 1", 1, 2, "end 1", "epoch 2", 3, 4, "end 2", "end"]
    model.fit(small.images(50), batch_size=50, callbacks=[trace])
    assert trace.calls[10:] == ["begin", "epoch 3", 5, "end 3", "end"]


def test_log_has_a_line_an_epoch(caplog, capfd):
    with caplog.at_level(logging.INFO, logger="genmodels"):
        small.vae().fit(small.images(), epochs=2, batch_size=40, verbose="log")
        small.vae().fit(small.images(), epochs=2, batch_size=40, verbose="silent")
    assert len(caplog.records) == 2
    assert caplog.messages[1].startswith("epoch 2 (2/2): loss ")
    assert capfd.readouterr() == ("", "")


def test_auto_logs_where_nobody_watches(caplog, capfd):
    with caplog.at_level(logging.INFO, logger="genmodels"):
        small.vae().fit(small.images(), batch_size=40)
    assert len(caplog.records) == 1
    assert capfd.readouterr() == ("", "")


def test_progress_bar_on_stderr(capfd):
    small.vae().fit(small.images(), epochs=2, batch_size=40, verbose="progress")
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "6/6" in err
    assert "loss=" in err


def test_auto_draws_the_bar_on_a_terminal(capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    small.vae().fit(small.images(), batch_size=40)
    assert "epoch 1/1" in capfd.readouterr().err


def test_missing_tqdm_is_named_and_auto_does_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model = small.vae()
    with pytest.raises(ImportError, match=r"genmodels\[progress\]"):
        model.fit(small.images(), verbose="progress")
    assert len(model.history.steps) == 0
    model.fit(small.images())
    assert len(model.history) == 1


# ---- how it ends --------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_after_the_step_in_hand(caplog):
    x = small.images()
    model, other = small.vae(), small.vae()
    trace = Trace()
    history = model.fit(x, epochs=3, batch_size=40, callbacks=[At(5, interrupt), trace])
    assert history.interrupted
    assert model.interrupted
    assert len(history) == 1
    assert len(history.steps) == 5
    assert trace.calls[-2:] == [5, "end"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit(x, epochs=3, batch_size=40, resume=True)
    other.fit(x, epochs=3, batch_size=40)
    assert not model.history.interrupted
    assert not model.interrupted
    assert small.state(model) == small.state(other)


def test_ctrl_c_after_the_last_step_changes_nothing():
    model = small.vae()
    history = model.fit(small.images(), epochs=1, batch_size=40, callbacks=At(3, interrupt))
    assert len(history) == 1
    assert not history.interrupted
    assert not model.interrupted


def test_second_ctrl_c_raises():
    model = small.vae()

    def twice(model):
        interrupt(model)
        interrupt(model)

    with pytest.raises(KeyboardInterrupt):
        model.fit(small.images(), epochs=3, batch_size=40, callbacks=At(4, twice))
    assert model.history.interrupted
    assert len(model.history) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_between_a_step_and_its_record_gives_the_fit_up(monkeypatch):
    x = small.images()
    model = small.vae()
    step = model.train_step

    def step_then_interrupt(*arguments):
        step(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "train_step", step_then_interrupt)
    history = model.fit(x, epochs=2, batch_size=40)
    assert history.interrupted
    assert not model.interrupted
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no interrupted fit"):
        model.fit(x, resume=True)


def test_an_interrupt_between_an_epoch_and_its_record_gives_the_fit_up(monkeypatch):
    model = small.vae()

    def interrupt_before(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(model.history, "append", interrupt_before)
    history = model.fit(small.images(), epochs=2, batch_size=40)
    assert history.interrupted
    assert not model.interrupted
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no interrupted fit"):
        model.fit(small.images(), resume=True)


def test_validation_data_may_be_a_list_of_images_and_labels():
    x, y = small.images(), np.arange(small.TRAINING) % 3
    as_tuple, as_list = (
        small.vae(num_classes=3).fit(x, y, batch_size=40, epochs=1, validation_data=kind((x[:31], y[:31])))
        for kind in (tuple, list)
    )
    assert as_tuple["val_loss"] == as_list["val_loss"]


def test_one_fit_at_a_time():
    class Fit(Callback):
        def on_step_end(self, model, step, losses):
            with pytest.raises(ValueError, match="in a fit already"):
                model.fit(small.images())

    model, alone = small.vae(), small.vae()
    model.fit(small.images(), batch_size=40, callbacks=Fit())
    alone.fit(small.images(), batch_size=40)
    assert small.state(model) == small.state(alone)
    model.fit(small.images())


@pytest.mark.parametrize("resume", ["no", 1, None])
def test_resume_must_be_a_bool(resume):
    with pytest.raises(TypeError, match="resume must be True or False"):
        small.vae().fit(small.images(), resume=resume)


def test_a_handler_of_the_program_stays(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        history = small.vae().fit(small.images(), batch_size=40, callbacks=At(1, interrupt))
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]
    assert not history.interrupted


def test_fit_in_a_thread():
    model = small.vae()
    thread = threading.Thread(target=model.fit, args=(small.images(),))
    thread.start()
    thread.join()
    assert len(model.history) == 1


def test_stop_training_ends_in_good_order():
    model = small.vae()
    trace = Trace()
    history = model.fit(small.images(), epochs=3, batch_size=40, callbacks=[At(4, stop), trace])
    assert trace.calls[-2:] == [4, "end"]
    assert history.interrupted
    assert model.fit(small.images(), epochs=1, batch_size=40).epochs == [1, 2]


def test_time_limit():
    model = small.vae()
    history = model.fit(small.images(), epochs=5, batch_size=40, callbacks=TimeLimit(0))
    assert len(history.steps) == 1
    assert model.interrupted
    assert len(small.vae().fit(small.images(), epochs=2, callbacks=TimeLimit(3600))) == 2


def test_an_exception_of_a_callback_passes_and_the_fit_goes_on():
    x = small.images()
    model, other = small.vae(), small.vae()

    def fail(model):
        raise ZeroDivisionError("of the callback")

    with pytest.raises(ZeroDivisionError, match="of the callback"):
        model.fit(x, epochs=2, batch_size=40, callbacks=At(4, fail))
    assert model.interrupted
    model.fit(x, epochs=2, batch_size=40, resume=True)
    other.fit(x, epochs=2, batch_size=40)
    assert small.state(model) == small.state(other)


def test_divergence_keeps_the_last_finite_weights_and_says_where():
    x = small.images()
    model = small.vae(optimizer=gm.optimizers.SGD(1e6))
    with pytest.raises(FloatingPointError, match=r"epoch \d+, step \d+ of 3: "):
        model.fit(x, epochs=500, batch_size=40)
    assert all(np.isfinite(weight).all() for weight in model.weights.values())
    assert len(model.history.steps) >= 1
    assert np.isfinite(model.history.steps["loss"]).all()


# ---- bad input ----------------------------------------------------------------------------------------------------

X = small.images(20)
NAN = np.where(np.arange(20).reshape(20, 1, 1, 1) == 19, np.nan, X / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (ValueError, "epochs", {"x": X, "epochs": 0}),
        (TypeError, "epochs", {"x": X, "epochs": 1.0}),
        (TypeError, "epochs", {"x": X, "epochs": True}),
        (ValueError, "batch_size", {"x": X, "batch_size": -1}),
        (TypeError, "batch_size", {"x": X, "batch_size": "12"}),
        (ValueError, "verbose.*'loud'.*'auto'", {"x": X, "verbose": "loud"}),
        (TypeError, "callbacks", {"x": X, "callbacks": [print]}),
        (TypeError, "callbacks", {"x": X, "callbacks": 3}),
        (ValueError, "shape", {"x": X[..., 0]}),
        (ValueError, "empty", {"x": X[:0]}),
        (ValueError, "nan", {"x": NAN}),
        (ValueError, "labels", {"x": X, "y": np.zeros(20, int)}),
        (ValueError, "validation_data: .*nan", {"x": X, "validation_data": NAN}),
        (ValueError, "validation_data: .*shape", {"x": X, "validation_data": (X[:, :7], None)}),
        (ValueError, "validation_data.* 3", {"x": X, "validation_data": (X, None, None)}),
        (TypeError, "validation_data: ", {"x": X, "validation_data": X.astype(int)}),
        (ValueError, "no interrupted fit", {"x": X, "resume": True}),
    ],
)
def test_bad_input_is_refused_before_the_first_step(kind, message, arguments):
    model = small.vae()
    before = small.state(model)
    with pytest.raises(kind, match=f"(?i){message}"):
        model.fit(**arguments)
    assert small.state(model) == before
    assert not model.interrupted


# ---- checkpoints --------------------------------------------------------------------------------------------------


def test_checkpoint_files_by_epoch_and_step(tmp_path):
    path = tmp_path / "e{epoch:02d}-s{step}.safetensors"
    small.vae().fit(small.images(), epochs=3, batch_size=40, callbacks=Checkpoint(path, every_epochs=2, every_steps=4))
    names = ["e01-s4", "e02-s6", "e02-s8", "e03-s9"]  # every 4th step, every 2nd epoch, and the end
    assert sorted(os.listdir(tmp_path)) == [f"{name}.safetensors" for name in names]
    assert [gm.load(tmp_path / f"{name}.safetensors").interrupted for name in names] == [True, True, True, False]


def test_checkpoint_keeps_the_last(tmp_path):
    (tmp_path / "later-7.safetensors").write_bytes(b"of another run")
    (tmp_path / "later-x.safetensors").write_bytes(b"of another name")
    path = tmp_path / "later-{epoch}.safetensors"
    small.vae().fit(small.images(), epochs=5, callbacks=Checkpoint(path, keep=2))
    names = ["later-4", "later-5", "later-7", "later-x"]
    assert sorted(os.listdir(tmp_path)) == [f"{name}.safetensors" for name in names]


def test_checkpoint_every_few_seconds_and_at_an_interrupt(tmp_path):
    path = tmp_path / "model.safetensors"
    saved = []
    now = Checkpoint(path, every_epochs=None, every_seconds=0)
    small.vae().fit(small.images(), batch_size=40, callbacks=[now, At(2, lambda model: saved.append(gm.load(path)))])
    assert len(saved[0].history.steps) == 2
    never = Checkpoint(path, every_epochs=None)
    small.vae().fit(small.images(), epochs=2, batch_size=40, callbacks=[never, At(5, interrupt)])
    assert len(gm.load(path).history.steps) == 5


@pytest.mark.parametrize(("step", "names"), [(2, []), (5, ["1"]), (6, ["1", "2"])])
def test_a_file_of_an_epoch_holds_the_model_after_it(step, names, tmp_path):
    """Not what an interruption leaves in the midst of the next one."""
    keep = Checkpoint(tmp_path / "{epoch}", every_epochs=1)
    model = small.vae()
    model.fit(small.images(), epochs=3, batch_size=40, callbacks=[keep, At(step, interrupt)])
    assert sorted(os.listdir(tmp_path)) == names
    assert [len(gm.load(tmp_path / name).history.steps) for name in names] == [3 * int(name) for name in names]


def test_a_checkpoint_whose_folder_cannot_be_made_is_refused_before_the_first_step(tmp_path):
    model = small.vae()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        model.fit(small.images(), epochs=2, callbacks=Checkpoint(tmp_path / "file" / "a" / "model.safetensors"))
    assert small.state(model) == small.state(small.vae())


@pytest.mark.parametrize("folder", ["{a}", "{", "{}", "x}{0!r}"])
def test_the_folder_of_checkpoints_is_made_and_its_braces_are_its_own(folder, tmp_path):
    path = tmp_path / folder / "new" / "{epoch}.safetensors"
    small.vae().fit(small.images(), epochs=3, callbacks=Checkpoint(path, keep=2))
    assert sorted(os.listdir(path.parent)) == ["2.safetensors", "3.safetensors"]


def test_a_checkpoint_that_cannot_be_written_ends_the_fit(tmp_path):
    model = small.vae()
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        model.fit(small.images(), epochs=2, callbacks=Checkpoint(tmp_path / "model.safetensors"))
    assert len(model.history) == 1


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (ValueError, "every_epochs", {"every_epochs": 0}),
        (TypeError, "every_steps", {"every_steps": 2.5}),
        (ValueError, "every_seconds", {"every_seconds": -1.0}),
        (ValueError, "keep", {"keep": 2}),
        (ValueError, r"need \{step\} in the path, got '\{epoch\}'", {"path": "{epoch}", "every_steps": 2}),
        (ValueError, r"need \{step\} in the path", {"path": "{epoch}", "every_seconds": 2.0}),
        (ValueError, "loss", {"path": "{loss}.safetensors"}),
        (ValueError, "in the file's name, not in a folder's", {"path": "{epoch}/model.safetensors"}),
        (ValueError, "{step:03d} must be in", {"path": "{step:03d}/{a}/{epoch}.safetensors"}),
        (ValueError, "epoch", {"path": "{epoch}-{epoch}.safetensors"}),
        (ValueError, "format", {"path": "{epoch:>9x}.safetensors"}),
        (ValueError, "format", {"path": "{epoch!r}.safetensors"}),
        (ValueError, "format", {"path": "{epoch:5}.safetensors"}),
        (ValueError, "path", {"path": "{epoch.safetensors"}),
        (ValueError, "path", {"path": ""}),
        (TypeError, "path", {"path": 3}),
    ],
)
def test_bad_arguments_of_checkpoint(kind, message, arguments):
    with pytest.raises(kind, match=message):
        Checkpoint(**({"path": "model.safetensors"} | arguments))
