"""Early stopping, the best epoch's model, pictures on the way; warnings of models that fail."""

import os
import sys

import numpy as np
import pytest
import small
from PIL import Image
from stand_in import StandIn, images

import genmodels as gm
from genmodels.callbacks import Callback, Checkpoint, EarlyStopping, Samples

HELD_OUT = images(3)


def fit(model, callbacks, epochs=9, **changes):
    arguments = {"epochs": epochs, "batch_size": 4, "validation_data": HELD_OUT, "callbacks": callbacks}
    return model.fit(images(9), **(arguments | changes))


class At(Callback):
    """Calls a function at one event of one number."""

    def __init__(self, event, number, function):
        self.number, self.function = number, function
        setattr(self, event, self.event)

    def event(self, model, number=0, losses=None):
        if number == self.number:
            self.function(model)


@pytest.mark.parametrize(
    "call",
    [
        "CosineDecay(epochs=3, floor=0.1)",
        "StepDecay(every_epochs=2)",
        "EarlyStopping(monitor='fd', patience=3)",
        "TimeLimit(seconds=60.0)",
        "Callback()",
    ],
)
def test_callbacks_print_as_their_calls(call):
    assert repr(eval(call, vars(gm.callbacks))) == call


# ---- early stopping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "arguments", "epochs"),
    [
        ([5, 4, 4, 5, 1, 1], {"patience": 2}, 4),
        ([5, 4, 4, 3, 3, 3], {"patience": 2}, 6),
        ([5, 4, 3, 2, 1, 0], {"patience": 2}, 6),
        ([5, 4.9, 4.8, 4.7, 4.6], {"patience": 2, "min_delta": 0.5}, 3),
        ([5, 6, 7, 7, 7, 8], {"patience": 2, "mode": "max"}, 5),
    ],
)
def test_early_stopping_waits_for_patience_epochs_in_a_row(losses, arguments, epochs):
    model = StandIn(script=losses)
    history = fit(model, EarlyStopping(**arguments), epochs=len(losses))
    assert len(history) == epochs
    assert not history.interrupted
    assert not model.interrupted


def test_an_early_stopped_fit_is_finished(tmp_path):
    model = StandIn(script=[1, 1, 1] + [0.5] * 9)
    fit(model, EarlyStopping(patience=2))
    model.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    before = small.state(model)
    for each in (model, loaded):
        assert not each.interrupted
        assert len(fit(each, EarlyStopping(patience=2), resume=True)) == 3
        assert small.state(each) == before
    assert len(fit(model, EarlyStopping(patience=2))) == 3 + 3  # another fit: of the second value, and two as good


@pytest.mark.parametrize("first", ["stopping", "checkpoint"])
def test_a_fit_killed_before_it_was_stopped_early_stops_when_gone_on_with(first, tmp_path):
    path = tmp_path / "{epoch}-{step}.safetensors"
    undisturbed = StandIn(script=[3, 2, 2, 2, 2])
    both = [EarlyStopping(patience=2), Checkpoint(path, every_steps=1)]
    fit(undisturbed, both if first == "stopping" else both[::-1])
    for name in os.listdir(tmp_path):
        model = gm.load(tmp_path / name)
        model.script = [3, 2, 2, 2, 2][len(model.history) :]
        fit(model, EarlyStopping(patience=2), resume=True)
        assert small.state(model) == small.state(undisturbed), name


@pytest.mark.parametrize("order", [1, -1])
def test_the_last_checkpoint_of_an_early_stopped_fit_is_of_its_end(order, tmp_path):
    path = tmp_path / "{epoch}.safetensors"
    fit(StandIn(script=[1] * 9), [Checkpoint(path, every_epochs=2), EarlyStopping(patience=2)][::order])
    assert sorted(os.listdir(tmp_path)) == ["2.safetensors", "3.safetensors"]
    assert not gm.load(tmp_path / "3.safetensors").interrupted


def test_a_value_that_is_missing_is_no_better():
    model = StandIn()
    fit(model, [], epochs=2)
    history = fit(model, EarlyStopping(patience=3), validation_data=None)
    assert len(history) == 2 + 3


@pytest.mark.parametrize("callback", [EarlyStopping, lambda name: Checkpoint("x", monitor=name, best="y")])
@pytest.mark.parametrize(
    ("name", "need"),
    [
        ("acc", ""),
        ("val_acc", r"; val_ losses need fit\(validation_data=\.\.\.\)"),
        ("fd", r"; scores need callbacks\.Scores, in front of this callback"),
    ],
)
def test_an_unknown_column_is_named_after_the_first_epoch(callback, name, need, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = StandIn()
    message = f"monitor: the history has no '{name}'; it has loss, val_loss, .*images_per_second{need}$"
    with pytest.raises(ValueError, match=message):
        fit(model, callback(name))
    assert len(model.history) == 1


@pytest.mark.parametrize(
    ("event", "number", "epochs", "steps"),
    [("on_train_begin", 0, 0, 0), ("on_epoch_begin", 2, 1, 3), ("on_step_end", 4, 2, 6), ("on_epoch_end", 2, 2, 6)],
)
def test_finish_training_ends_with_the_epoch_in_hand(event, number, epochs, steps):
    model = StandIn()
    history = fit(model, At(event, number, lambda model: model.finish_training()))
    assert (len(history), len(history.steps)) == (epochs, steps)
    assert not model.interrupted
    assert not history.interrupted
    with pytest.raises(ValueError, match="no fit is running"):
        model.finish_training()


def test_interrupted_in_its_last_epoch_it_goes_on_to_its_end():
    def both(model):
        model.finish_training()
        model.stop_training = True

    model, undisturbed = StandIn(), StandIn()
    assert fit(model, At("on_step_end", 4, both)).interrupted
    assert len(fit(model, [], resume=True)) == 2
    fit(undisturbed, [], epochs=2)
    assert small.state(model) == small.state(undisturbed)


# ---- the best -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "mode", "best"), [([4, 2, 3, 2, 5], "min", 2), ([4, 2, 3, 1, 5], "max", 5), ([1, 2, 3], "min", 1)]
)
def test_the_best_epochs_model_is_kept(losses, mode, best, tmp_path):
    keep = Checkpoint(tmp_path / "last", monitor="val_loss", mode=mode, best=tmp_path / "best")
    fit(StandIn(script=losses), keep, epochs=len(losses))
    assert len(gm.load(tmp_path / "best").history) == best
    assert len(gm.load(tmp_path / "last").history) == len(losses)


def test_the_best_is_known_after_a_resume(tmp_path):
    """Wherever the fit was killed, between the best epoch's end and the callback too."""
    losses = [4, 2, 3, 1, 5, 6]
    states = Checkpoint(tmp_path / "{epoch}-{step}", every_steps=1)
    undisturbed = StandIn(script=losses)
    fit(undisturbed, states, epochs=len(losses))
    best = small.state(gm.load(tmp_path / "4-12"))
    for step in range(1, 13):
        name = f"{step // 3}-{step}"
        (tmp_path / "best").unlink(missing_ok=True)
        model = gm.load(tmp_path / name)
        model.script = losses[len(model.history) :]
        keep = Checkpoint(tmp_path / "last", monitor="val_loss", best=tmp_path / "best")
        fit(model, keep, epochs=len(losses), resume=True)
        assert small.state(gm.load(tmp_path / "best")) == best, name


def test_another_fit_leaves_a_better_one(tmp_path):
    model = StandIn(script=[4, 2, 3, 3, 3, 1])
    keep = Checkpoint(tmp_path / "last", monitor="val_loss", best=tmp_path / "best")
    for epochs, best in ((2, 2), (2, 2), (2, 6)):
        fit(model, keep, epochs=epochs)
        assert len(gm.load(tmp_path / "best").history) == best


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"monitor": "val_loss"}, ValueError, "go together"),
        ({"best": "best"}, ValueError, "go together"),
        ({"monitor": 3, "best": "best"}, TypeError, "monitor must be the name"),
        ({"monitor": "loss", "best": "last"}, ValueError, "path and best are both 'last'"),
        ({"monitor": "loss", "best": "best", "mode": "low"}, ValueError, "'min', 'max'"),
        ({"monitor": "loss", "best": ""}, ValueError, "path"),
    ],
)
def test_bad_arguments_of_keep_best(arguments, error, message):
    with pytest.raises(error, match=message):
        Checkpoint("last", **arguments)


def test_a_folder_for_the_best_is_made_or_told_of_before_the_first_step(tmp_path):
    model = StandIn()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file"):
        fit(model, Checkpoint(tmp_path / "last", monitor="loss", best=tmp_path / "file" / "best"))
    assert model.seen == []
    fit(model, Checkpoint(tmp_path / "last", monitor="loss", best=tmp_path / "new" / "best"))
    assert (tmp_path / "new" / "best").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"patience": 0}, ValueError),
        ({"patience": 2.5}, TypeError),
        ({"mode": None}, TypeError),
        ({"monitor": None}, TypeError),
    ],
)
def test_bad_arguments_of_early_stopping(arguments, error):
    with pytest.raises(error):
        EarlyStopping(**arguments)


# ---- pictures -----------------------------------------------------------------------------------------------------


def frames(path):
    with Image.open(path) as movie:
        count = movie.n_frames
        durations = []
        for index in range(count):
            movie.seek(index)
            durations.append(movie.info["duration"])
        return movie.size, durations


def test_pictures_every_few_epochs_and_a_gif(tmp_path):
    folder = tmp_path / "new" / "pictures"
    model = small.vae()
    model.fit(small.images(30), epochs=5, batch_size=16, callbacks=Samples(folder, 2, n=6, seed=7))
    assert sorted(os.listdir(folder)) == [*(f"samples-00{epoch}.png" for epoch in (0, 2, 4, 5)), "samples.gif"]
    last = np.asarray(Image.open(folder / "samples-005.png"))
    gm.plot.save_grid(model.sample(6, seed=7), tmp_path / "expected.png", rows=2, columns=3)
    assert np.array_equal(last, np.asarray(Image.open(tmp_path / "expected.png")))
    assert frames(folder / "samples.gif") == ((696, 464), [250, 250, 250, 1250])


def test_pictures_do_not_disturb_training(tmp_path):
    models = [small.vae(), small.vae()]
    for model, watchers in zip(models, ([], [Samples(tmp_path)]), strict=True):
        model.fit(small.images(), epochs=2, batch_size=40, callbacks=watchers)
    assert small.state(models[0]) == small.state(models[1])


def test_a_resumed_fit_has_all_pictures(tmp_path):
    undisturbed = small.vae()
    keep = Checkpoint(tmp_path / "{epoch}-{step}", every_steps=1)
    undisturbed.fit(small.images(), epochs=3, batch_size=40, callbacks=[keep, Samples(tmp_path / "once")])
    expected = {path.name: path.read_bytes() for path in (tmp_path / "once").iterdir()}
    assert len(expected) == 5
    for name in ("0-1", "0-3", "1-3", "1-4", "2-6"):
        folder = tmp_path / f"from-{name}"
        folder.mkdir()
        for epoch in range(int(name[0]) if name in ("1-3", "2-6") else int(name[0]) + 1):  # killed before its picture
            (folder / f"samples-00{epoch}.png").write_bytes(expected[f"samples-00{epoch}.png"])
        gm.load(tmp_path / name).fit(small.images(), callbacks=Samples(folder), resume=True)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected, name


def test_pictures_of_another_run_are_no_frames(tmp_path):
    for name, side in (("samples-000.png", 12), ("samples-009.png", 696), ("samples-x.png", 696)):
        Image.new("L", (side, side)).save(tmp_path / name)
    model = StandIn()
    fit(model, [], epochs=1)
    fit(model, Samples(tmp_path, n=1), epochs=2)
    assert frames(tmp_path / "samples.gif")[1] == [250, 250, 1250]


def test_all_classes_in_turn_or_those_asked_for(tmp_path):
    model = StandIn()
    model.num_classes = 3
    fit(model, Samples(tmp_path, n=4, gif=False), epochs=1)
    columns = np.asarray(Image.open(tmp_path / "samples-000.png"))[::88, ::88].reshape(2, 4, 2, 4).any(axis=1)
    assert columns.reshape(4, 4).argmax(axis=1).tolist() == [0, 1, 2, 0]
    fit(model, Samples(tmp_path, n=2, labels=[3, 3], gif=False), epochs=1)
    assert "samples.gif" not in os.listdir(tmp_path)
    assert (np.asarray(Image.open(tmp_path / "samples-001.png"))[:, -1] == 255).all()


def test_missing_pillow_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"genmodels\[plot\]"):
        Samples(tmp_path)
    fit(StandIn(), Samples(tmp_path, gif=False), epochs=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"folder": ""}, ValueError, "path"),
        ({"every_epochs": 0}, ValueError, "every_epochs"),
        ({"n": 0}, ValueError, "n is 0"),
        ({"seed": -1}, ValueError, "seed"),
        ({"gif": 1}, TypeError, "gif"),
        ({"frame_seconds": 0}, ValueError, "frame_seconds"),
    ],
)
def test_bad_arguments_of_samples(arguments, error, message):
    with pytest.raises(error, match=message):
        Samples(**({"folder": "pictures"} | arguments))


def test_unfit_labels_are_told_before_the_first_step(tmp_path):
    model = small.vae(num_classes=3)
    with pytest.raises(ValueError, match=r"labels have shape \(2,\), expected \(5,\)"):
        model.fit(small.images(), np.zeros(small.TRAINING, int), callbacks=Samples(tmp_path, n=5, labels=[0, 1]))
    assert len(model.history.steps) == 0


# ---- models that fail -----------------------------------------------------------------------------------------------


class Failing(StandIn):
    family = "Failing"

    def _symptoms(self, losses):
        return ["one thing", "another"] if len(self.history) == 2 else []


def test_symptoms_are_warned_of_by_epoch_before_the_callbacks():
    model, seen = Failing(), []
    with pytest.warns(gm.CollapseWarning) as caught:
        fit(model, At("on_epoch_end", 2, lambda model: seen.append(len(caught))), epochs=3)
    assert [str(warning.message) for warning in caught] == ["epoch 2: one thing", "epoch 2: another"]
    assert {warning.filename for warning in caught} == {__file__}
    assert seen == [2]


@pytest.mark.filterwarnings("error::genmodels.CollapseWarning")
def test_the_last_good_checkpoint_stays_where_warnings_are_errors(tmp_path):
    model = Failing()
    with pytest.raises(gm.CollapseWarning, match="epoch 2: one thing"):
        fit(model, Checkpoint(tmp_path / "last"))
    assert len(gm.load(tmp_path / "last").history) == 1
    assert len(fit(model, [], resume=True)) == 9


def test_a_step_that_is_not_finite_names_its_place_and_what_to_try():
    model = small.vae(optimizer=gm.optimizers.SGD(1e6))
    with pytest.raises(FloatingPointError, match=r"epoch 1, step \d of 3: .*lower learning rate"):
        model.fit(small.images(), batch_size=40)
    assert all(np.isfinite(weight).all() for weight in model.weights.values())
    assert all(np.isfinite(model.history.steps[name]).all() for name in model.history.steps)


def test_validation_that_is_not_finite_is_told_and_not_recorded():
    model = StandIn(script=[1.0, float("nan"), 2.0])
    with pytest.raises(FloatingPointError, match=r"epoch 2: val_loss of the validation data is nan; try a lower"):
        fit(model, [], epochs=2)
    assert model.history["val_loss"] == [1.0]
    assert fit(model, [], epochs=2, resume=True)["val_loss"] == [1.0, 2.0]
