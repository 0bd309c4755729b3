"""History: the losses by epoch and by step, and the files made of them."""

import csv
import math
import os

import numpy as np
import pytest

from genmodels.training import History


@pytest.fixture
def history():
    history = History()
    for loss in (3.0, 0.1 + 0.2, 1e-300):
        history.steps.append({"loss": loss, "kl": 1.0})
    history.append({"loss": 2.5, "seconds": 1.5})
    history.append({"loss": 1 / 3, "seconds": 2.0, "val_loss": 7.0})
    return history


def test_columns_by_epoch_and_by_step(history):
    assert history["loss"] == [2.5, 1 / 3]
    assert history.steps["loss"] == [3.0, 0.1 + 0.2, 1e-300]
    assert len(history) == 2
    assert history.epochs == [1, 2]
    assert len(history.steps) == 3
    assert list(history) == ["loss", "val_loss", "seconds"]
    assert "val_loss" in history
    assert "nothing" not in history


def test_what_an_epoch_lacks_is_nan(history):
    history.append({"val_loss": 1.0})
    assert math.isnan(history["val_loss"][0])
    assert history["val_loss"][1:] == [7.0, 1.0]
    assert math.isnan(history["loss"][2])


def test_a_column_is_a_copy(history):
    history["loss"].append(1.0)
    assert len(history["loss"]) == 2


def test_an_unknown_column_is_named_together_with_the_known(history):
    with pytest.raises(ValueError, match=r"'accuracy'.*loss, val_loss, seconds"):
        history["accuracy"]


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        History({"loss": [1.0, 2.0], "kl": [1.0]})


def test_repr_tells_what_there_is(history):
    assert repr(history) == "History(2 epochs, 3 steps: loss, val_loss, seconds)"
    history.interrupted = True
    assert "interrupted" in repr(history)
    assert repr(history.steps) == "Table(3 steps: loss, kl)"


def test_csv_reads_back_exactly(history, tmp_path):
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "loss", "val_loss", "seconds"]
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    assert [float(row[1]) for row in rows[1:]] == history["loss"]
    assert rows[1][2] == ""
    history.steps.to_csv(tmp_path / "steps.csv")
    assert (tmp_path / "steps.csv").read_text() == "step,loss,kl\n1,3.0,1.0\n2,0.30000000000000004,1.0\n3,1e-300,1.0\n"
    assert sorted(os.listdir(tmp_path)) == ["history.csv", "steps.csv"]


def test_csv_that_cannot_be_written_is_an_oserror(history, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        history.to_csv(tmp_path / "nowhere" / "history.csv")
    with pytest.raises(TypeError, match="path"):
        history.to_csv(b"history.csv")


def test_pandas_frame(history):
    frame = history.to_pandas()
    assert list(frame.columns) == ["loss", "val_loss", "seconds"]
    assert list(frame.index) == [1, 2]
    assert frame.index.name == "epoch"
    assert np.array_equal(frame["loss"], history["loss"])
    assert frame["val_loss"].isna().tolist() == [True, False]


def test_pandas_is_named_where_it_is_missing(history, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"genmodels\[all\]"):
        history.to_pandas()
