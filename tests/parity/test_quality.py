"""The model that benchmarks/quality/pytorch.py trains in PyTorch and then scores as the library's."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import genmodels as gm

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality" / "pytorch.py"


@pytest.mark.parametrize("name", ["vae-keras", "vae-lstm", "cgan-keras", "gan-16", "wgan-mlm"])
def test_the_weights_of_a_trained_twin_come_back(name):
    script = runpy.run_path(str(SCRIPT))
    model = gm.zoo.build(name, seed=1)
    trained = script["twin"](model, 1)
    rng = np.random.default_rng(2)
    x = rng.integers(0, 256, (model.recipe["batch_size"], *model.input_shape), np.uint8)[:8]
    labels = np.arange(8) if model.num_classes else None
    before = {key: value.copy() for key, value in model.weights.items()}
    for _ in range(2):
        trained.iterate(*trained.batch(x, labels))
    script["write_back"](trained, model)
    assert all(np.abs(model.weights[key] - before[key]).max() > 0 for key in before if key.endswith("kernel"))
    for part, network in model.networks.items():
        z = rng.standard_normal((3, *network.input_shape)).astype(np.float32)
        with torch.no_grad():
            images = z.ndim == 4
            y = trained.networks[part].eval()(torch.from_numpy(z.transpose(0, 3, 1, 2) if images else z))
        y = (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy()
        np.testing.assert_allclose(network.forward(z), y, atol=2e-4 * max(1.0, np.abs(y).max()), err_msg=part)


def test_a_training_gone_on_with_is_the_one_not_stopped(tmp_path):
    """With random pixels in MNIST's place: the data set is named by the recipe."""
    run = f"""
import sys, numpy as np, genmodels as gm, runpy
pixels = np.random.default_rng(0).integers(0, 256, (600, 28, 28, 1), np.uint8)
labels = (np.arange(600) % 10).astype(np.uint8)
gm.datasets.load = lambda name, root=None, verify=True: ((pixels, labels), (pixels[:100], labels[:100]))
gm.metrics.evaluate = lambda *a, **k: dict.fromkeys(("fd", "kd"), 1.0)
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    histories = []
    for folder, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for count in epochs:
            arguments = ["vae-keras", "--epochs", str(count), "--limit", "256", "--out", str(tmp_path / folder)]
            subprocess.run([sys.executable, "-c", run, *arguments], check=True, capture_output=True)
        lines = (tmp_path / folder / "history.csv").read_text().splitlines()
        seconds = lines[0].split(",").index("seconds")
        histories.append([[cell for k, cell in enumerate(line.split(",")) if k != seconds] for line in lines])
        assert gm.load(tmp_path / folder / "model.safetensors").parameter_count == 134_165
    assert histories[0] == histories[1]
    assert len(histories[0]) == 3
