"""The tables of docs/results.md and the README are those of the records, by benchmarks/quality/results.py."""

import json
import runpy
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(HOUSE / "benchmarks" / "quality" / "results.py"))
RECORDS = HOUSE / "docs" / "results"


def record(**changes):
    scores = {"fd": 1.5, "fd_floor": 0.025, "fd_ceiling": 243.0, "kd": 0.0123, "precision": 0.7, "recall": 0.6}
    scores |= {"class_histogram": [300, 100, 600], "label_accuracy": None}
    one = {"model": "gan-16", "framework": "genmodels", "recommended": False, "seed": 0}
    one |= {"command": "genmodels train", "precision": "bf16", "conditional": False}
    one |= {"processor": "a", "batch_size": 64, "learning_rate": None, "beta1": 0.5, "parameters": [1000, 20]}
    one |= {"epochs": 2.25, "epochs_asked": 50, "seconds": 61.2, "curve": {"1": 2.5, "2": 1.25}, "sure": 0.875}
    one |= {"real": {"sure": 0.975, "class_histogram": [330, 340, 330]}}
    return {**one, "losses": {"discriminator_loss": 1.0}, "scores": scores, **changes}


def test_pages_show_their_records():
    records, trials = SCRIPT["read"](RECORDS), SCRIPT["read_trials"](RECORDS)
    assert records
    assert trials
    text = (HOUSE / "docs" / "results.md").read_text(encoding="utf-8")
    assert SCRIPT["page"](text, records, trials) == text, "results.md: run python benchmarks/quality/results.py"
    text = (HOUSE / "README.md").read_text(encoding="utf-8")
    assert SCRIPT["readme"](text, records) == text, "README.md: run python benchmarks/quality/results.py"


def test_every_record_names_its_command_and_what_it_was_scored_by():
    for path in RECORDS.glob("*.json"):
        one = json.loads(path.read_bytes())
        assert one["model"] in one["command"], path.name
        assert sum(one["scores"]["class_histogram"]) == one["scores"]["n_generated"] == 10000, path.name
        assert len(one["scores"]["extractor"]) > 64, path.name


def test_a_row():
    line = SCRIPT["scores"]([record()]).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("`gan-16`", "2.25 of 50, batch 64, beta1 0.5", "1 min 01 s", "1.5 (0.025, 243)", "2 (1.25)", "0.0123"),
        *("0.70", "0.60", "87.5 % (97.5 %)", "1: 10.0 % (34.0 %)", "", ""),
    ]
    line = SCRIPT["scores"]([record(framework="pytorch", seed=2, curve={})]).splitlines()[2]
    assert line.startswith("| PyTorch, seed 2 |")
    line = SCRIPT["scores"]([record(recommended=True, seed=1, conditional=True)]).splitlines()[2]
    assert line.startswith("| `gan-16`, recommended, seed 1 | 2.25 of 50, batch 64, conditional, beta1 0.5 |")


def test_only_autoencoders_have_a_reconstruction():
    vae = record(
        model="vae-16", reconstruction_error=0.0123, losses={"loss": 30.123, "kl": 5.0, "reconstruction": 25.0}
    )
    lines = SCRIPT["autoencoders"]([record(), vae]).splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("| loss 30.12, reconstruction 25, KL 5 | 0.0123 |")


def test_records_stand_by_model_then_ours_then_theirs_then_what_is_recommended(tmp_path):
    several = ({"recommended": True}, {"framework": "pytorch"}, {"seed": 1}, {"model": "cgan"}, {})
    for k, changes in enumerate(several):
        (tmp_path / f"{k}.json").write_text(json.dumps(record(**changes)))
    found = [(one["model"], one["framework"], one["seed"], one["recommended"]) for one in SCRIPT["read"](tmp_path)]
    ours = [("gan-16", "genmodels", 0, False), ("gan-16", "genmodels", 1, False)]
    theirs = ("gan-16", "pytorch", 0, False)
    assert found == [("cgan", "genmodels", 0, False), *ours, theirs, ("gan-16", "genmodels", 0, True)]


def test_the_readme_shows_what_is_recommended(tmp_path):
    ours = {"recommended": True, "batch_size": 32}
    for k, changes in enumerate((ours, {}, {"seed": 1}, {**ours, "seed": 1, "batch_size": 16})):
        (tmp_path / f"{k}.json").write_text(json.dumps(record(**changes)))
    records = SCRIPT["read"](tmp_path)
    order = [(False, 0, 64), (False, 1, 64), (True, 0, 32), (True, 1, 16)]
    assert [(one["recommended"], one["seed"], one["batch_size"]) for one in records] == order
    text = SCRIPT["readme"]("| `gan-16` | | docs/images/zoo/gan-16.png |\n", records)
    assert "2.25 of 50, batch 32, beta1 0.5, bf16" in text
    assert text.count("gan-16.png") == 1


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="no place for the table 'scores'"):
        SCRIPT["page"]("Results\n", [record()], [])


def test_a_trial_of_a_study():
    one = {"data": "mnist", "model": "vae", "image_size": "16", "latent_dim": "2", "parameters": "559717"}
    one |= {"test_loss": "38.63304", "test_reconstruction": "34.0599", "test_kl": "4.57313", "test_wasserstein": ""}
    one |= {"score_fd": "15.4517", "score_fd_floor": "0.017025", "score_fd_ceiling": "86.7135"}
    line = SCRIPT["study"]([one | {"score_precision": "0.1373", "score_recall": "0.0016"}]).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("mnist", "vae", "16 x 16", "2", "559,717", "15.5 (0.017, 86.7)", "0.14", "0.00"),
        "loss 38.63, reconstruction 34.06, KL 4.573",
    ]


def test_the_readme_keeps_what_is_no_row_of_a_record():
    text = "| `gan-16` | recipe |\n| `gan-16` | old | docs/images/zoo/gan-16.png |\n| `gan-32` | docs/images/zoo/ |\n"
    lines = SCRIPT["readme"](text, [record(), record(seed=1)]).splitlines()
    assert (lines[0], lines[2]) == ("| `gan-16` | recipe |", "| `gan-32` | docs/images/zoo/ |")
    assert lines[1].startswith("| `gan-16` | 1,000 + 20 | 2.25 of 50, batch 64, beta1 0.5, bf16 | 61 | 1.5 (")
