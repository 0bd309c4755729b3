"""The command line for every family and size: what is trained on, what an adversarial model's folder holds, and what is
made on the way."""

import csv

import numpy as np
import pytest
import small_data
from command import (
    LATENT,
    LOSSES,
    RECONSTRUCTIONS,
    RESULTS,
    SMALL,
    call,
    losses,
    process,
    same_weights,
    wait_for,
    weights,
)
from PIL import Image

import genmodels as gm
from genmodels import run
from genmodels.training import progress

FEW = ("--limit", "48", "--batch-size", "16", "--image-size", "12", "--epochs", "2")

pytestmark = pytest.mark.usefixtures("few_strokes", "same_threads")


@pytest.fixture(scope="module")
def gan(tmp_path_factory, few_strokes):
    """A finished run of an adversarial model, conditional, of few and small images."""
    folder = tmp_path_factory.mktemp("runs") / "gan"
    assert call("train", "cgan-keras", *FEW, "--out", folder) == 0
    return folder


class TestSizes:
    def test_image_size_is_the_models_or_else_the_datas(self, tmp_path):
        def size(name, data, given=None):
            asked = {"model": name, "data": data, "image_size": given}
            return run.Run.open(tmp_path, {**asked, "epochs": 1, "batch_size": 1}, {}).settings.image_size

        assert size("vae-keras", "mnist") == 28
        assert size("vae-keras", "cifar10") == 32
        assert size("wgan-64", "cifar10") == 64
        assert size("vae-keras", "mnist", 16) == 16

    def test_images_are_resized_to_the_models(self, tmp_path, capsys):
        few = ("--limit", 40, "--epochs", 1, "--batch-size", 20)
        assert call("train", "vae-16", *few, "--latent-dim", 3, "--out", tmp_path) == 0
        (x, _), (x_test, _) = ((gm.datasets.resize(part, 16), labels) for part, labels in gm.datasets.load("strokes"))
        model = gm.zoo.build("vae-16", latent_dim=3)
        model.fit(x[:40], batch_size=20, verbose="silent")
        trained_weights = weights(tmp_path / run.MODEL)
        assert all(np.array_equal(value, trained_weights[name]) for name, value in model.weights.items())
        expected = model.evaluate(x_test)
        capsys.readouterr()
        assert call("evaluate", tmp_path) == 0
        losses = "".join(f"test {name}: {value:.3f}\n" for name, value in expected.items())
        assert capsys.readouterr().out.startswith(losses)

    def test_a_size_that_is_not_the_models_is_refused(self, tmp_path, capsys):
        assert call("train", "gan-16", "--image-size", 32, "--out", tmp_path / "run") == 1
        assert "build 'gan-32'" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()

    def test_train_and_test_together(self, tmp_path, monkeypatch):
        seen = []
        fit = gm.VAE.fit
        monkeypatch.setattr(
            gm.VAE, "fit", lambda self, x, *rest, **more: seen.append(len(x)) or fit(self, x[:64], *rest)
        )
        few = ("--epochs", 1, "--batch-size", 64, "--image-size", 8)
        assert call("train", "vae-keras", *few, "--split", "train+test", "--out", tmp_path) == 0
        (x, _), (x_test, _) = gm.datasets.load("strokes")
        assert seen == [len(x) + len(x_test)]


class TestGAN:
    """The adversarial families: the same folder, without what needs an encoder."""

    def test_writes_everything_it_names(self, gan):
        assert {file.name for file in gan.iterdir()} == RESULTS - {LATENT, RECONSTRUCTIONS}
        model = gm.load(gan / run.MODEL)
        assert (model.family, model.num_classes, model.input_shape) == ("GAN", 10, (12, 12, 1))
        assert list(model.history.steps.keys()) == ["discriminator_loss", "generator_loss"]
        width, height = Image.open(gan / LOSSES).size
        assert width == 2 * height
        page = (gan / run.REPORT).read_text()
        assert "cgan-keras on strokes" in page
        assert "<td>discriminator loss</td>" in page
        assert "losses by step" in page
        assert "nats" not in page

    def test_sample_evaluate_and_info(self, gan, tmp_path, capsys):
        assert call("sample", gan, "--n", 4, "--labels", "7,2", "--out", tmp_path / "a.png") == 0
        model = gm.load(gan / run.MODEL)
        gm.plot.save_grid(model.sample(4, labels=np.array([7, 2, 7, 2]), seed=0), tmp_path / "b.png", rows=2)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        capsys.readouterr()
        assert call("evaluate", gan) == 0
        _, (x, y) = gm.datasets.load("strokes")
        expected = model.evaluate(gm.datasets.resize(x, 12), y)
        losses = "".join(f"test {name}: {value:.3f}\n" for name, value in expected.items())
        assert capsys.readouterr().out.startswith(losses)
        assert call("info", gan) == 0
        assert "GAN, 2 epochs trained" in capsys.readouterr().out

    def test_killed_and_resumed_ends_with_the_same_bits(self, tmp_path):
        few = ("--limit", 300, "--batch-size", 8, "--image-size", 12, "--epochs", 6)
        arguments = ("train", "wgan-mlm", *few, "--conditional", "--keep", 3)
        assert call(*arguments, "--out", tmp_path / "undisturbed") == 0
        disturbed = tmp_path / "disturbed"
        victim = process(*arguments, "--out", disturbed)
        wait_for(disturbed / run.CHECKPOINT, victim)
        victim.kill()
        victim.communicate()
        assert len(gm.load(disturbed / run.CHECKPOINT).history) < 6
        assert call(*arguments, "--out", disturbed, "--resume") == 0
        assert same_weights(disturbed / run.MODEL, tmp_path / "undisturbed" / run.MODEL)
        assert losses(disturbed) == losses(tmp_path / "undisturbed")
        for folder in (run.ON_THE_WAY, run.KEPT):
            names = [
                sorted(path.name for path in (tmp_path / name / folder).iterdir())
                for name in ("undisturbed", "disturbed")
            ]
            assert names[0] == names[1]

    def test_divergence_is_one_line_and_the_last_good_checkpoint_stays(self, tmp_path, monkeypatch, capsys):
        arguments = ("train", "cgan-keras", *FEW, "--out", tmp_path)
        train_step = gm.GAN.train_step

        def diverging(self, *batch):
            if len(self.history.steps) == 4:
                raise FloatingPointError("the loss is nan")
            return train_step(self, *batch)

        monkeypatch.setattr(gm.GAN, "train_step", diverging)
        assert call(*arguments) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("genmodels: error: epoch 2, step 2 of 3: the loss is nan; ")
        assert error.endswith(f"{tmp_path / run.CHECKPOINT} holds the last state saved before it")
        assert len(gm.load(tmp_path / run.CHECKPOINT).history) == 1
        assert not (tmp_path / run.MODEL).exists()

    @pytest.mark.parametrize("bar", [False, True])
    def test_collapse_is_told_at_once_and_noted_in_the_report(self, tmp_path, monkeypatch, capsys, bar):
        monkeypatch.setattr(progress, "watched", lambda: bar)
        monkeypatch.setattr(gm.GAN, "_symptoms", lambda self, losses: ["all images are <the same>"])
        arguments = ("train", "cgan-keras", *FEW, "--out", tmp_path)
        assert call(*arguments) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert told == [f"genmodels: warning: epoch {n}: all images are <the same>" for n in (1, 2)]
        assert call(*arguments, "--overwrite") == 0
        assert (tmp_path / run.WARNINGS).read_text() == "".join(
            f"epoch {n}: all images are <the same>\n" for n in (1, 2)
        )
        assert "<p>epoch 2: all images are &lt;the same&gt;</p>" in (tmp_path / run.REPORT).read_text()


class TestOnTheWay:
    def test_pictures_and_a_gif(self, tmp_path):
        assert call("train", *SMALL, "--epochs", 5, "--samples-every", 2, "--out", tmp_path) == 0
        names = {path.name for path in (tmp_path / run.ON_THE_WAY).iterdir()}
        assert names == {"samples.gif", *(f"samples-00{epoch}.png" for epoch in (0, 2, 4, 5))}
        assert Image.open(tmp_path / run.ON_THE_WAY / "samples.gif").n_frames == 4
        assert (tmp_path / run.ON_THE_WAY / "samples-005.png").read_bytes() == (tmp_path / run.SAMPLES).read_bytes()

    def test_about_ten_pictures_of_a_long_run(self, tmp_path):
        few = ("--limit", 8, "--batch-size", 8, "--image-size", 4)
        assert call("train", "vae-keras", *few, "--epochs", 12, "--out", tmp_path) == 0
        assert len(list((tmp_path / run.ON_THE_WAY).glob("*.png"))) == 7  # before, and after 2, 4, ... 12 epochs

    def test_the_last_checkpoints_and_the_best_are_kept(self, tmp_path):
        assert call("train", *SMALL, "--epochs", 4, "--keep", 2, "--out", tmp_path) == 0
        kept = {path.name: len(gm.load(path).history) for path in (tmp_path / run.KEPT).iterdir()}
        best = 1 + int(np.argmin(gm.load(tmp_path / run.MODEL).history["val_loss"]))
        names = {"checkpoint-003.safetensors": 3, "checkpoint-004.safetensors": 4, "best.safetensors": best}
        assert kept == names

    def test_braces_in_the_folders_name_are_its_own(self, tmp_path):
        folder = tmp_path / "r_{a}{"
        assert call("train", *SMALL, "--epochs", 2, "--keep", 1, "--out", folder) == 0
        assert (folder / run.KEPT / "checkpoint-002.safetensors").exists()
        assert call("report", folder) == 0

    def test_overwrite_removes_them_and_nothing_else(self, tmp_path):
        begin = ("train", *SMALL, "--epochs", 2, "--keep", 2, "--out", tmp_path)
        assert call(*begin) == 0
        (tmp_path / run.ON_THE_WAY / "mine.png").write_text("mine")
        assert call("train", *SMALL, "--epochs", 1, "--overwrite", "--out", tmp_path) == 0
        assert not (tmp_path / run.KEPT).exists()
        names = {path.name for path in (tmp_path / run.ON_THE_WAY).iterdir()}
        assert names == {"mine.png", "samples.gif", "samples-000.png", "samples-001.png"}


def test_files_that_are_not_the_published_ones_are_taken_on_demand(tmp_path, capsys):
    root, folder, study = tmp_path / "data", tmp_path / "run", tmp_path / "study"
    root.mkdir()
    for name, content in small_data.idx_contents().items():
        (root / name).write_bytes(content)
    data, small = ("--data-root", root), ("--data", "mnist", "--batch-size", 10, "--epochs", 1)
    for made, *command in (
        (folder, "train", "vae-16", *small, "--out", folder),
        (study, "sweep", "--models", "vae", "--sizes", 16, "--latent", 2, "--seeds", 1, *small, "--out", study),
        (folder / run.SCORES, "evaluate", folder, "--n", 20),
        (tmp_path / "page.html", "report", folder, "--out", tmp_path / "page.html"),
    ):
        assert call(*command, *data) == 1
        assert "--no-verify) takes it all the same" in capsys.readouterr().err
        assert not made.exists()
        assert call(*command, *data, "--no-verify") == 0
        assert made.exists()
    with (study / "results.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"]
