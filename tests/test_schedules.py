"""Learning-rate schedules: which factor an epoch has, and that resuming goes on with it."""

import math
import os

import numpy as np
import pytest
import small
from stand_in import StandIn, images

import genmodels as gm
from genmodels.callbacks import (
    Callback,
    Checkpoint,
    ConstantRate,
    CosineDecay,
    LinearDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    TimeLimit,
)
from genmodels.training import History

SCHEDULES = {
    "constant": lambda: ConstantRate(0.3),
    "step": lambda: StepDecay(2, 0.5),
    "cosine": lambda: CosineDecay(3, start_epoch=1, floor=0.1),
    "linear": lambda: LinearDecay(4),
    "plateau": lambda: ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1000.0),
}


def factors(schedule, epochs):
    return [schedule.factor_after(n, History()) for n in range(epochs)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ConstantRate(), [1] * 6),
        (ConstantRate(3), [3] * 6),
        (StepDecay(2, 0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (LinearDecay(4), [1, 0.75, 0.5, 0.25, 0, 0]),
        (LinearDecay(2, start_epoch=2, floor=0.2), [1, 1, 1, 0.6, 0.2, 0.2]),
        (CosineDecay(4), [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0, 0]),
        (CosineDecay(2, start_epoch=1, floor=0.5), [1, 1, 0.75, 0.5, 0.5, 0.5]),
    ],
)
def test_factors_by_epoch(schedule, expected):
    assert factors(schedule, 6) == pytest.approx(expected, abs=1e-15)


def plateau(losses, **arguments):
    """The factor after every epoch of these validation losses; None is an epoch without."""
    history, found = History(), []
    schedule = ReduceOnPlateau(**({"factor": 0.5, "patience": 2} | arguments))
    for loss in losses:
        history.append({"loss": 1.0} if loss is None else {"val_loss": loss})
        found.append(schedule.factor_after(len(history), history))
    return found


def test_plateau_waits_for_patience_epochs_in_a_row():
    assert plateau([5, 5, 4, 4, 4, 4, 4, 3]) == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert plateau([5, 5, 6, 6, 6]) == [1, 1, 0.5, 0.5, 0.25]


def test_plateau_min_delta_mode_floor_and_cooldown():
    assert plateau([5, 4.5, 4.4, 3.9], min_delta=1.0) == [1, 1, 0.5, 0.5]
    assert plateau([5, 6, 6, 6], mode="max") == [1, 1, 1, 0.5]
    assert plateau([5] * 9, floor=0.3) == [1, 1, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert plateau([5] * 9, cooldown=2) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_counts_from_the_first_value_and_a_missing_one_is_no_better():
    assert plateau([None, None, None, 5, None, None]) == [1, 1, 1, 1, 1, 0.5]
    assert plateau([None] * 5) == [1] * 5


def test_rates_are_set_by_epoch_and_back_afterwards():
    model = StandIn()
    model.fit(images(9), epochs=3, batch_size=4, callbacks=StepDecay(1, 0.5))
    assert model.rates == [1, 1, 0.5, 0.25, 1]
    model.fit(images(9), epochs=2, callbacks=StepDecay(1, 0.5))  # the model's epochs 4 and 5
    assert model.rates[5:] == [1, 0.125, 0.0625, 1]


def test_rates_are_back_after_an_exception():
    class Fails(Callback):
        def on_step_end(self, model, step, losses):
            assert model.factor == 0.5
            raise OSError("disk full")

    model = StandIn()
    with pytest.raises(OSError, match="disk full"):
        model.fit(images(9), callbacks=[ConstantRate(0.5), Fails()])
    assert model.rates == [1, 0.5, 1]


def test_the_factor_reaches_the_training():
    models = [StandIn(), StandIn()]
    models[0].fit(images(9), epochs=2, callbacks=ConstantRate(0.5))
    models[1].fit(images(9), epochs=2)
    assert not np.array_equal(models[0].weights["only.0.kernel"], models[1].weights["only.0.kernel"])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("build", [StandIn, small.vae])
def test_resumed_at_any_step_the_bits_are_the_same(name, build, tmp_path):
    x = images(17) if build is StandIn else small.images(17)
    undisturbed = build()
    keep = Checkpoint(tmp_path / "{step}-{epoch}.safetensors", every_steps=1)
    undisturbed.fit(x, epochs=4, batch_size=6, callbacks=[keep, SCHEDULES[name]()])
    names = os.listdir(tmp_path)
    assert len(names) == 4 * (3 + 1)
    for file in names:
        model = gm.load(tmp_path / file)
        model.fit(x, resume=True, callbacks=SCHEDULES[name]())
        assert small.state(model) == small.state(undisturbed), file
        if build is StandIn:
            assert undisturbed.rates[:1] + undisturbed.rates[-len(model.rates) + 1 :] == model.rates


def test_several_fits_are_one():
    x = images(17)
    once, thrice = StandIn(), StandIn()
    once.fit(x, epochs=3, batch_size=6, callbacks=CosineDecay(3))
    for _ in range(3):
        thrice.fit(x, epochs=1, batch_size=6, callbacks=CosineDecay(3))
    assert small.state(thrice) == small.state(once)


@pytest.mark.parametrize("kind", [CosineDecay, LinearDecay])
def test_a_fit_at_rate_0_from_its_first_epoch_is_refused(kind):
    x, model = images(17), StandIn()
    model.fit(x, epochs=3, callbacks=kind(3))
    before = small.state(model)
    with pytest.raises(ValueError, match=r"epochs=3.*epoch 4.*start_epoch=len\(model.history\)"):
        model.fit(x, epochs=3, callbacks=kind(3))
    with pytest.raises(ValueError, match=r"start_epoch=1.*epoch 4 of"):
        model.fit(x, callbacks=kind(2, start_epoch=1))
    assert small.state(model) == before
    model.fit(x, callbacks=kind(3, floor=0.01))
    model.fit(x, epochs=3, callbacks=kind(3, start_epoch=len(model.history)))
    assert len(model.history) == 7


@pytest.mark.parametrize("kind", [CosineDecay, LinearDecay])
def test_a_fit_that_began_before_the_end_of_the_fall_is_resumed_behind_it(kind, tmp_path):
    x, model = images(17), StandIn()
    model.fit(x, epochs=4, callbacks=[kind(2), Checkpoint(tmp_path / "{epoch}.safetensors")])
    for epoch in (2, 3, 4):
        resumed = gm.load(tmp_path / f"{epoch}.safetensors")
        resumed.fit(x, resume=True, callbacks=kind(2))
        assert small.state(resumed) == small.state(model)


def test_an_unknown_column_is_named_after_the_first_epoch():
    model = StandIn()
    with pytest.raises(ValueError, match=r"'val_los'.*loss, val_loss"):
        model.fit(images(9), validation_data=images(3), epochs=5, callbacks=ReduceOnPlateau("val_los"))
    assert len(model.history) == 1


def test_a_schedule_of_ones_own():
    class Halved(Schedule):
        def factor_after(self, epochs, history):
            return 1.0 if epochs == 0 else history["loss"][-1] / 1000

    model = StandIn()
    history = model.fit(images(9), epochs=2, callbacks=[Halved(), TimeLimit(3600)])
    assert model.rates == [1, 1, history["loss"][0] / 1000, 1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ConstantRate(-1.0), ValueError, "factor"),
        (lambda: ConstantRate("1"), TypeError, "factor"),
        (lambda: StepDecay(0), ValueError, "every_epochs is 0, must be at least 1"),
        (lambda: StepDecay(2, 1.5), ValueError, "factor is 1.5"),
        (lambda: CosineDecay(2.5), TypeError, "epochs must be an int"),
        (lambda: CosineDecay(3, floor=2.0), ValueError, "floor"),
        (lambda: LinearDecay(3, start_epoch=-1), ValueError, "start_epoch"),
        (lambda: ReduceOnPlateau(3), TypeError, "monitor must be the name"),
        (lambda: ReduceOnPlateau(patience=0), ValueError, "patience"),
        (lambda: ReduceOnPlateau(min_delta=-1.0), ValueError, "min_delta"),
        (lambda: ReduceOnPlateau(cooldown=-1), ValueError, "cooldown"),
        (lambda: ReduceOnPlateau(factor=math.nan), ValueError, "factor is nan"),
        (lambda: ReduceOnPlateau(mode="least"), ValueError, "'min', 'max'"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
