"""What a run's folder says it was asked for: nothing is taken from it that no command could have asked."""

import json

import pytest
from command import call

from genmodels import settings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model", "vae-kera", "model is 'vae-kera', must be one of"),
        ("data", 3, "the name of a data set must be a string or a path, not int"),
        ("epochs", "2", "epochs must be an int, not '2'"),
        ("image_size", 0, "image_size is 0, must be at least 1"),
        ("latent_dim", 2.5, "latent_dim must be an int, not 2.5"),
        ("seed", -1, "seed is -1, must be at least 0"),
        ("conditional", 1, "conditional must be True or False, not 1"),
        ("binarize", "grey", "binarize is 'grey', must be one of"),
        ("learning_rate", "fast", "Adam: learning_rate must be a number, not 'fast'"),
        ("precision", "half", "precision is 'half', must be one of"),
        ("keep", -1, "keep is -1, must be at least 0"),
    ],
)
def test_settings_of_a_wrong_value_are_named(tmp_path, capsys, name, value, message):
    asked = {"model": "vae-keras", "data": "strokes", "epochs": 1, "batch_size": 32, "image_size": 28}
    (tmp_path / settings.FILE).write_text(json.dumps({**asked, name: value}))
    before = (tmp_path / settings.FILE).read_bytes()
    assert call("train", "vae-keras", "--out", tmp_path, "--resume") == 1
    expected = f"{tmp_path / settings.FILE} does not hold the settings of a run: {message}"
    assert expected in capsys.readouterr().err
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before]
