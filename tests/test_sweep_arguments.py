"""What a sweep takes: grids, commands and options, and what it refuses before anything is done."""

from dataclasses import replace

import pytest
from small_sweep import ARGUMENTS, GRID

from genmodels import cli, sweep


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"models": ("vae", "pixelcnn")}, ValueError, "models is 'pixelcnn', must be one of"),
        ({"models": ("vae-16",)}, ValueError, "models is 'vae-16', must be one of"),
        ({"models": "vae"}, TypeError, "models must be a list, not 'vae'"),
        ({"models": ()}, ValueError, "models is empty"),
        ({"models": ("vae", "vae")}, ValueError, "models has vae twice"),
        ({"sizes": (16, 48)}, ValueError, "the zoo has no vae-48; vae comes in 16, 32, 64"),
        ({"sizes": (16, 32, 16)}, ValueError, "sizes has 16 twice"),
        ({"sizes": (16.0,)}, TypeError, "sizes must be an int"),
        ({"latent": []}, ValueError, "latent is empty"),
        ({"latent": (0,)}, ValueError, "latent is 0, must be at least 1"),
        ({"latent": 2}, TypeError, "latent must be a list, not 2"),
        ({"seeds": 0}, ValueError, "seeds is 0, must be at least 1"),
        ({"epochs": True}, TypeError, "epochs must be an int"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"limit": 0}, ValueError, "limit is 0"),
        ({"beta1": 1.0}, ValueError, "beta1 is 1"),
        ({"models": ("wgan",), "beta1": 0.5}, ValueError, "beta1 is 0.5, but of wgan none has an Adam optimizer"),
        ({"precision": "half"}, ValueError, "precision is 'half', must be one of"),
        ({"scores": 1}, TypeError, "scores must be True or False, not 1"),
        ({"data": "imagenet"}, ValueError, "unknown data set 'imagenet'; there are mnist"),
    ],
)
def test_bad_grids(changes, error, message):
    with pytest.raises(error, match=message):
        replace(GRID, **changes)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--models", "vae,foo"], 1),
        (["--models", ","], 1),
        (["--sizes", "16,17"], 1),
        (["--sizes", "16,x"], 2),
        (["--latent", "2,2"], 1),
        (["--seeds", "0"], 2),
        (["--models", "wgan", "--beta1", "0.5"], 1),
        (["--workers", "0"], 2),
        (["--data", "imagenet"], 2),
    ],
)
def test_bad_commands(arguments, code, tmp_path, capsys):
    try:
        found = cli.main([*ARGUMENTS, *arguments, "--out", str(tmp_path / "out")])
    except SystemExit as end:
        found = end.code
    assert found == code
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_lists_of_numbers_are_asked_for_in_words(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main([*ARGUMENTS, "--sizes", "16,x", "--out", str(tmp_path / "out")])
    assert "--sizes: must be integers with commas between, not '16,x'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"threads": 0}, {"checkpoint_every": 0}])
def test_bad_options(options, tmp_path):
    with pytest.raises(ValueError, match="must be at least 1"):
        sweep.run_sweep(GRID, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_seeds_are_counted_from_0_and_trials_named():
    names = [trial.name for trial in GRID.trials()]
    assert names[:3] == ["vae-16-z2-seed0", "vae-16-z2-seed1", "vae-16-z8-seed0"]
    assert len(set(names)) == 8
