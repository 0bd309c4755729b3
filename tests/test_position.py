"""The place of a fit: what it says and what is read back. Whole files are tested in test_checkpoint.py."""

import json

import pytest

import genmodels as gm
from genmodels.training.position import Position


def place(**changes):
    return Position(**({"epochs": 3, "batch_size": 5, "images": 38, "fingerprint": "f"} | changes))


@pytest.mark.parametrize(
    "changes", [{}, {"critic_steps": 3, "step": 2}, {"augmentation": gm.Augmentation(1, True)}, {"ended": True}]
)
def test_it_reads_back_from_json(changes):
    assert Position.from_dict(json.loads(json.dumps(place(**changes).to_dict()))) == place(**changes)


def test_it_reads_what_was_saved_before_it_could_hold_more():
    values = place(epoch=1).to_dict()
    for name in ("critic_steps", "augmentation", "ended"):
        del values[name]
    assert Position.from_dict(values) == place(epoch=1)


def test_an_ended_fit_is_finished_between_two_epochs():
    assert place(epoch=1, ended=True).finished
    assert not place(epoch=1, step=2, ended=True).finished
    assert not place(epoch=1).finished
    assert place(epoch=3).finished


@pytest.mark.parametrize(
    "change",
    [
        {"critic_steps": 0},
        {"critic_steps": 3, "step": 4},
        {"ended": 1},
        {"augmentation": 2},
        {"augmentation": {"shift": -1}},
        {"augmentation": {"flip": 1}},
        {"augmentation": {"shift": 1, "turn": True}},
        {"fingerprint": None},
    ],
)
def test_what_no_fit_could_have_left_is_refused(change):
    with pytest.raises((ValueError, TypeError)):
        Position.from_dict(place().to_dict() | change)
