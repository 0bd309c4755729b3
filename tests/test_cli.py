"""The command line, from beginning to end: train, kill, resume, sample, evaluate, info."""

import re
import shutil
import signal
import sys

import numpy as np
import pytest
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
from small_data import tree

import genmodels as gm
from genmodels import _lock, cli, run, settings

pytestmark = pytest.mark.usefixtures("few_strokes", "same_threads")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, few_strokes):
    """A finished run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    assert call("train", *SMALL, "--epochs", 2, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, few_strokes):
    """A run of twelve epochs that nothing broke off."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert call("train", *SMALL, "--epochs", 12, "--out", folder) == 0
    return folder


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


class TestTrain:
    def test_writes_everything_it_names(self, trained):
        assert {file.name for file in trained.iterdir()} == RESULTS
        assert len(gm.load(trained / run.MODEL).history) == 2
        assert [row["epoch"] for row in losses(trained)] == ["1", "2"]
        assert float(losses(trained)[1]["loss"]) < float(losses(trained)[0]["loss"])
        for name in (run.SAMPLES, LOSSES, LATENT, RECONSTRUCTIONS):
            assert min(Image.open(trained / name).size) >= 140

    def test_samples_are_the_models_in_25_equal_cells(self, trained):
        picture = np.asarray(Image.open(trained / run.SAMPLES))
        assert picture.shape == (700, 700)
        cells = picture.reshape(5, 140, 5, 140).swapaxes(1, 2).reshape(25, 140, 140)[:, 2::5, 2::5]
        images = gm.load(trained / run.MODEL).sample(25, seed=0)[..., 0]
        assert np.array_equal(cells, np.rint(images * 255))

    def test_report_stands_alone(self, trained):
        page = (trained / run.REPORT).read_text()
        assert page.count("data:image/png;base64,") == 4
        assert 'src="http' not in page
        assert "vae-keras on strokes" in page
        assert losses(trained)[1]["loss"][:6] in page

    def test_names_picture_and_report_last(self, trained, capsys):
        assert call("train", *SMALL, "--epochs", 2, "--out", trained, "--resume") == 0
        assert capsys.readouterr().out.splitlines()[-2:] == [
            f"picture: {trained / run.SAMPLES}",
            f"report:  {trained / run.REPORT}",
        ]

    def test_test_losses_are_printed(self, tmp_path, capsys):
        assert call("train", *SMALL, "--epochs", 1, "--out", tmp_path / "run") == 0
        (_, _), (x, _) = gm.datasets.load("strokes")
        expected = gm.load(tmp_path / "run" / run.MODEL).evaluate(x)
        printed = capsys.readouterr().out
        assert all(f"test {name}: {value:.3f}\n" in printed for name, value in expected.items())

    def test_limit_takes_the_first_images(self, trained):
        (x, _), (x_test, _) = gm.datasets.load("strokes")
        model = gm.zoo.build("vae-keras")
        model.fit(x[:256], epochs=2, batch_size=32, validation_data=x_test[:256], verbose="silent")
        trained_weights = weights(trained / run.MODEL)
        assert all(np.array_equal(value, trained_weights[name]) for name, value in model.weights.items())

    def test_recipe_serves_what_is_not_given(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            run.Run,
            "train",
            lambda self, *rest, **more: asked.append((self.settings, self.options)) or run.Outcome(1, 0, 0, {}, []),
        )
        choices = [
            ("vae-z10",),
            ("vae-z10", "--recipe"),
            ("vae-z10", "--recipe", "--epochs", 3),
            ("cgan-keras", "--recipe"),
            ("dcgan-tf", "--recipe"),
            ("dcgan-tf", "--recipe", "--checkpoint-every", 2),
        ]
        for number, extra in enumerate(choices):
            assert call("train", *extra, "--out", tmp_path / str(number)) == 0
        assert [(s.data, s.split, s.epochs, s.batch_size, o.checkpoint_every) for s, o in asked] == [
            ("strokes", "train", 10, 128, 1),
            ("mnist", "train", 100, 128, 1),
            ("mnist", "train", 3, 128, 1),
            ("mnist", "train+test", 20, 64, 1),
            ("mnist", "train", 50, 256, 15),
            ("mnist", "train", 50, 256, 2),
        ]

    def test_binarized_images_are_what_it_trains_on_and_is_measured_by(self, tmp_path, capsys):
        assert call("train", *SMALL, "--epochs", 1, "--binarize", "dynamic", "--keep", 1, "--out", tmp_path) == 0
        printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("test ")]
        (x, _), (x_test, _) = gm.datasets.load("strokes")
        model = gm.zoo.build("vae-keras")
        model.fit(x[:256], batch_size=32, binarize="dynamic", verbose="silent")
        model.save(tmp_path / "twin")
        assert same_weights(tmp_path / run.MODEL, tmp_path / "twin")
        scores = model.evaluate(gm.datasets.binarize(x_test, "dynamic", seed=0))
        assert printed == [f"test {name}: {value:.3f}" for name, value in scores.items()]
        for one in (tmp_path, tmp_path / run.MODEL, tmp_path / run.KEPT / "best.safetensors"):
            assert call("evaluate", one) == 0
            assert capsys.readouterr().out.splitlines()[: len(printed)] == printed
        assert call("train", *SMALL, "--epochs", 2, "--binarize", "fixed", "--out", tmp_path, "--resume") == 1
        assert "begun with binarize dynamic, which --resume cannot change to fixed" in capsys.readouterr().err

    def test_learning_rate_and_beta1_are_those_of_the_models_optimizers(self, tmp_path, capsys):
        rates = ("--learning-rate", 5e-4, "--beta1", 0.5)
        assert call("train", *SMALL, "--epochs", 1, *rates, "--out", tmp_path) == 0
        assert gm.load(tmp_path / run.MODEL).optimizer == gm.optimizers.Adam(5e-4, beta1=0.5)
        assert call("train", *SMALL, "--epochs", 2, "--beta1", 0.9, "--out", tmp_path, "--resume") == 1
        assert "begun with beta1 0.5, which --resume cannot change to 0.9" in capsys.readouterr().err

    def test_precision_is_the_models_and_stays(self, tmp_path, capsys):
        assert call("train", *SMALL, "--epochs", 1, "--precision", "bf16", "--out", tmp_path) == 0
        assert gm.load(tmp_path / run.MODEL).precision == "bf16"
        assert call("train", *SMALL, "--epochs", 2, "--precision", "float32", "--out", tmp_path, "--resume") == 1
        assert "begun with precision bf16, which --resume cannot change to float32" in capsys.readouterr().err

    def test_beta1_of_a_model_without_adam_is_refused_before_anything_is_written(self, tmp_path, capsys):
        arguments = ("train", "wgan-16", "--image-size", 16, "--limit", 64, "--beta1", 0.5)
        assert call(*arguments, "--out", tmp_path / "new") == 1
        assert "RMSprop has no beta1, only learning_rate, rho, momentum, epsilon" in capsys.readouterr().err
        assert not (tmp_path / "new").exists()

    def test_conditional_takes_the_labels(self, tmp_path):
        assert call("train", *SMALL, "--epochs", 1, "--conditional", "--out", tmp_path) == 0
        model = gm.load(tmp_path / run.MODEL)
        assert model.num_classes == 10
        picture = np.asarray(Image.open(tmp_path / run.SAMPLES))
        images = model.sample(25, labels=np.arange(25) % 10, seed=0)[..., 0]
        assert np.array_equal(picture[2:140:5, 142:280:5], np.rint(images[1] * 255))
        assert call("train", "vae-keras", "--out", tmp_path, "--resume") == 0

    def test_conditional_knows_classes_that_the_first_images_lack(self, tmp_path):
        few = ("--data", "strokes", "--limit", 3, "--epochs", 1)
        assert call("train", "vae-keras", *few, "--conditional", "--out", tmp_path) == 0
        assert gm.load(tmp_path / run.MODEL).num_classes == 10

    def test_threads_do_not_change_the_result(self, trained, tmp_path):
        assert call("train", *SMALL, "--epochs", 2, "--threads", 3, "--out", tmp_path) == 0
        assert gm.get_num_threads() == 3
        assert same_weights(tmp_path / run.MODEL, trained / run.MODEL)

    def test_without_matplotlib_only_its_pictures_are_missing(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert call("train", *SMALL, "--epochs", 1, "--out", tmp_path) == 0
        assert {file.name for file in tmp_path.iterdir()} == RESULTS - {LOSSES, LATENT, RECONSTRUCTIONS}
        assert "for lack of matplotlib (pip install 'genmodels[plot]'): losses.png" in capsys.readouterr().out


class TestFolder:
    def test_a_full_folder_is_refused_and_left_alone(self, tmp_path, capsys):
        (tmp_path / "thesis.txt").write_text("years of work")
        assert call("train", *SMALL, "--out", tmp_path) == 2
        assert capsys.readouterr().err == (
            f"genmodels: error: {tmp_path} is not empty: --resume goes on with the run there, --overwrite replaces it\n"
        )
        assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]

    def test_overwrite_replaces_the_run_and_nothing_else(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        for seed in (1, 2):
            assert call("train", *SMALL, "--epochs", 1, "--seed", seed, "--overwrite", "--out", tmp_path) == 0
        assert {file.name for file in tmp_path.iterdir()} == {*RESULTS, "thesis.txt"}
        assert gm.load(tmp_path / run.MODEL).seed == 2
        assert len(gm.load(tmp_path / run.MODEL).history) == 1

    def test_failing_before_the_first_step_leaves_no_folder(self, tmp_path, capsys):
        root = tmp_path / "empty"
        root.mkdir()
        (root / "cifar10").mkdir()
        (root / "cifar10" / "cifar-10-batches-py").mkdir()
        assert call("train", "vae-keras", "--data", "cifar10", "--data-root", root, "--out", tmp_path / "run") == 1
        error = capsys.readouterr().err
        assert error.startswith("genmodels: error: ")
        assert error.count("\n") == 1
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("mode", ["--overwrite", "--resume"])
    @pytest.mark.parametrize("fails", ["--keep", "train_step"])
    def test_failing_before_the_first_step_is_done_leaves_the_folder_as_it_was(
        self, fails, mode, trained, tmp_path, monkeypatch, capsys
    ):
        def out_of_memory(*arguments):
            raise MemoryError("cannot allocate 2063999998080 bytes")

        shutil.copytree(trained, tmp_path / "old")
        (tmp_path / "old" / run.KEPT).mkdir()
        (tmp_path / "old" / run.KEPT / "best.safetensors").write_bytes(b"a year of training")
        before = tree(tmp_path)
        if fails == "train_step":
            monkeypatch.setattr(gm.VAE, fails, out_of_memory)
        keep = 99999999999999 if fails == "--keep" else 1
        for folder in ("old", "new"):
            arguments = ("train", *SMALL, "--epochs", 3, "--keep", keep, "--out", tmp_path / folder, mode)
            assert call(*arguments) == 1
            assert "keep is 99999999999999" in (error := capsys.readouterr().err) or "cannot allocate" in error
        assert tree(tmp_path) == before

    def test_failing_after_the_first_step_it_has_replaced_the_run(self, trained, tmp_path, monkeypatch):
        shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
        train_step = gm.VAE.train_step

        def fail(self, *batch):
            if len(self.history.steps) == 1:
                raise MemoryError
            return train_step(self, *batch)

        monkeypatch.setattr(gm.VAE, "train_step", fail)
        assert call("train", *SMALL, "--seed", 1, "--out", tmp_path, "--overwrite") == 1
        assert {path.name for path in tmp_path.iterdir()} == {settings.FILE, run.ON_THE_WAY}
        assert settings.read(tmp_path).seed == 1


class TestResume:
    def test_a_finished_run_is_left_as_it_is(self, trained, capsys):
        before = tree(trained)
        assert call("train", *SMALL, "--epochs", 2, "--out", trained, "--resume") == 0
        assert capsys.readouterr().out.startswith("nothing to do: all 2 epochs are trained\n")
        assert tree(trained) == before

    def test_an_empty_folder_begins_a_run(self, tmp_path, trained):
        assert call("train", *SMALL, "--epochs", 2, "--out", tmp_path, "--resume") == 0
        assert same_weights(tmp_path / run.MODEL, trained / run.MODEL)

    def test_more_epochs_go_on_to_the_same_bits(self, tmp_path, trained):
        assert call("train", *SMALL, "--epochs", 1, "--out", tmp_path) == 0
        assert call("train", "vae-keras", "--epochs", 2, "--out", tmp_path, "--resume") == 0
        assert same_weights(tmp_path / run.MODEL, trained / run.MODEL)
        assert losses(tmp_path) == losses(trained)

    @pytest.mark.parametrize("broken", ["pictures.draw", "write_report"])
    def test_killed_among_its_results_it_writes_all_of_them_again(self, broken, trained, tmp_path, monkeypatch):
        def killed(*arguments, **options):
            raise KeyboardInterrupt

        assert call("train", *SMALL, "--epochs", 1, "--out", tmp_path) == 0
        with monkeypatch.context() as patch:
            patch.setattr(f"genmodels.run.{broken}", killed)
            assert call("train", *SMALL, "--epochs", 2, "--out", tmp_path, "--resume") == 130
        assert call("train", *SMALL, "--epochs", 2, "--out", tmp_path, "--resume") == 0
        assert losses(tmp_path)[1]["loss"][:6] in (tmp_path / run.REPORT).read_text()
        assert (tmp_path / run.SAMPLES).read_bytes() == (trained / run.SAMPLES).read_bytes()
        assert same_weights(tmp_path / run.MODEL, trained / run.MODEL)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (("--seed", 5), "begun with seed 0, which --resume cannot change to 5"),
            (("--limit", 99), "begun with limit 256, which --resume cannot change to 99"),
            (("--epochs", 1), "begun for 2 epochs, which --resume cannot shorten to 1"),
        ],
    )
    def test_other_settings_are_refused(self, trained, capsys, changed, message):
        before = tree(trained)
        assert call("train", "vae-keras", *changed, "--out", trained, "--resume") == 1
        assert message in capsys.readouterr().err
        assert tree(trained) == before

    def test_what_is_left_on_the_way_is_as_it_was_begun_unless_given_anew(self, tmp_path):
        """As after a kill: the epochs are trained by the second command and the third."""
        every = ("--scores-every", 1, "--keep", 1, "--samples-every", 1, "--checkpoint-every", 1)
        assert call("train", *SMALL, "--epochs", 2, *every, "--out", tmp_path, "--budget", "0.001s") == 0
        assert call("train", "vae-keras", "--out", tmp_path, "--resume") == 0
        assert gm.load(tmp_path / run.MODEL).history["fd_epoch"] == [1, 2]
        kept = tmp_path / run.KEPT
        assert {path.name for path in kept.iterdir()} >= {"best.safetensors", "checkpoint-002.safetensors"}
        assert not (kept / "checkpoint-001.safetensors").exists()
        assert call("train", "vae-keras", "--epochs", 3, "--keep", 2, "--out", tmp_path, "--resume") == 0
        assert (kept / "checkpoint-002.safetensors").exists()
        assert settings.read_options(tmp_path) == settings.Options(1, 2, 1, 1)

    def test_runs_from_before_options_were_noted_are_read(self, tmp_path):
        asked = settings.Settings("vae-keras", "strokes", 3, 32, 28)
        settings.write_file(tmp_path / settings.FILE, asked)
        assert (settings.read(tmp_path), settings.read_options(tmp_path)) == (asked, settings.Options())

    def test_a_recipe_is_what_it_was_begun_with_or_refused(self, trained, tmp_path, capsys):
        before = tree(trained)
        assert call("train", "vae-keras", "--recipe", "--out", trained, "--resume") == 1
        assert "begun with data strokes, which --resume cannot change to mnist" in capsys.readouterr().err
        assert tree(trained) == before
        same = ("train", "vae-keras", "--recipe", "--data", "strokes", "--limit", 128, "--epochs", 1, "--out", tmp_path)
        assert call(*same) == 0
        assert call(*same, "--resume") == 0
        assert (
            call("train", "vae-keras", "--recipe", "--data", "strokes", "--batch-size", 32, *same[-2:], "--resume") == 1
        )
        assert "begun with batch_size 128, which --resume cannot change to 32" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            (("gan-fashion", *SMALL[1:]), "its family is 'VAE', not 'GAN'"),
            ((*SMALL, "--seed", 1), "its seed is 0, not 1"),
            ((*SMALL, "--latent-dim", 3), "its latent_dim is 2, not 3"),
            ((*SMALL, "--learning-rate", 0.5), "its optimizer is {'kind': 'Adam', 'learning_rate': 0.001"),
        ],
    )
    def test_a_checkpoint_of_another_model_is_refused(self, asked, message, trained, tmp_path, capsys):
        shutil.copy(trained / run.CHECKPOINT, tmp_path)
        before = tree(tmp_path)
        assert call("train", *asked, "--epochs", 3, "--out", tmp_path, "--resume") == 1
        error = capsys.readouterr().err
        assert f"error: {tmp_path / run.CHECKPOINT} holds another model than the run is of: {message}" in error
        assert error.count("\n") == 1
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("mode", ["--resume", "--overwrite"])
    def test_two_at_once_in_a_folder_are_one_too_many(self, mode, trained, capsys):
        with _lock.locked(trained, timeout=0.0):
            before = tree(trained)
            assert call("train", *SMALL, "--epochs", 3, mode, "--out", trained) == 1
            assert tree(trained) == before
        message = f"{trained} is in use: another process holds {trained / _lock.FILE}"
        assert capsys.readouterr().err == f"genmodels: error: {message}\n"

    def test_a_folder_that_cannot_be_made_is_not_said_to_be_in_use(self, tmp_path, capsys):
        (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
        assert call("train", *SMALL, "--epochs", 1, "--out", tmp_path / "gone" / "run") == 1
        assert capsys.readouterr().err == f"genmodels: error: [Errno 17] File exists: '{tmp_path / 'gone'}'\n"

    def test_the_folder_is_held_while_training_and_free_after_a_kill(self, tmp_path):
        arguments = ("train", *SMALL, "--epochs", 12, "--out", tmp_path)
        victim = process(*arguments)
        wait_for(tmp_path / run.CHECKPOINT, victim)
        assert call(*arguments[:-4], "--seed", 1, *arguments[-4:], "--overwrite") == 1
        victim.kill()
        victim.communicate()
        assert settings.read(tmp_path).seed == 0
        assert call(*arguments, "--resume", "--budget", "0.001s") == 0
        assert not (tmp_path / _lock.FILE).exists()

    def test_damaged_settings_are_named(self, tmp_path, capsys):
        (tmp_path / settings.FILE).write_text('{"model": "vae-keras"}')
        assert call("train", *SMALL, "--out", tmp_path, "--resume") == 1
        assert f"{tmp_path / settings.FILE} does not hold the settings of a run" in capsys.readouterr().err

    def test_budget_ends_in_good_order(self, trained, tmp_path, capsys):
        assert call("train", *SMALL, "--epochs", 2, "--out", tmp_path, "--budget", "0.001s") == 0
        assert "the budget of 0.001 s is spent after 0 of 2 epochs" in capsys.readouterr().out
        assert {file.name for file in tmp_path.iterdir()} == RESULTS
        assert len(gm.load(tmp_path / run.MODEL).history.steps) == 1
        assert call("train", *SMALL, "--epochs", 2, "--out", tmp_path, "--resume") == 0
        assert same_weights(tmp_path / run.MODEL, trained / run.MODEL)
        assert losses(tmp_path) == losses(trained)

    def test_killed_and_resumed_ends_with_the_same_bits(self, undisturbed, tmp_path):
        arguments = ("train", *SMALL, "--epochs", 12, "--out", tmp_path)
        victim = process(*arguments)
        wait_for(tmp_path / run.CHECKPOINT, victim)
        victim.kill()
        victim.communicate()
        assert len(gm.load(tmp_path / run.CHECKPOINT).history) < 12
        assert call(*arguments, "--resume") == 0
        assert same_weights(tmp_path / run.MODEL, undisturbed / run.MODEL)
        assert losses(tmp_path) == losses(undisturbed)

    def test_ctrl_c_saves_and_exits_with_130(self, undisturbed, tmp_path):
        arguments = ("train", *SMALL, "--epochs", 12, "--out", tmp_path)
        victim = process(*arguments)
        wait_for(tmp_path / run.CHECKPOINT, victim)
        victim.send_signal(signal.SIGINT)
        _, error = victim.communicate(timeout=60)
        assert victim.returncode == 130
        assert "--resume goes on" in error
        assert "Traceback" not in error
        assert gm.load(tmp_path / run.CHECKPOINT).interrupted
        assert call(*arguments, "--resume") == 0
        assert same_weights(tmp_path / run.MODEL, undisturbed / run.MODEL)
        assert losses(tmp_path) == losses(undisturbed)


class TestSample:
    def test_draws_from_a_run_and_from_its_file(self, trained, tmp_path, capsys):
        assert call("sample", trained, "--n", 7, "--seed", 3, "--out", tmp_path / "a.png") == 0
        assert capsys.readouterr().out == f"picture: {tmp_path / 'a.png'}\n"
        assert call("sample", trained / run.MODEL, "--n", 7, "--seed", 3, "--out", tmp_path / "b.png") == 0
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        images = gm.load(trained / run.MODEL).sample(7, seed=3)
        gm.plot.save_grid(images, tmp_path / "c.png", rows=3)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()

    @pytest.mark.parametrize("labels", ["1,two", "1.5", "", str(2**70)])
    def test_labels_must_be_integers(self, labels, tmp_path, capsys):
        with pytest.raises(SystemExit) as end:
            call("sample", tmp_path / "m.safetensors", "--labels", labels)
        assert end.value.code == 2
        assert re.search("argument --labels: (must be integers|at least one|no model)", capsys.readouterr().err)

    def test_labels_repeat_in_turn(self, tmp_path):
        model = gm.zoo.build("vae-keras", num_classes=10)
        model.save(tmp_path / "m.safetensors")
        assert call("sample", tmp_path / "m.safetensors", "--n", 4, "--labels", "7,2", "--out", tmp_path / "a.png") == 0
        gm.plot.save_grid(model.sample(4, labels=np.array([7, 2, 7, 2]), seed=0), tmp_path / "b.png", rows=2)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    @pytest.mark.parametrize("name", ["missing", "a_text.safetensors", "empty_folder"])
    def test_no_model_there_is_one_line(self, tmp_path, capsys, name):
        (tmp_path / "a_text.safetensors").write_text("not a model")
        (tmp_path / "empty_folder").mkdir()
        assert call("sample", tmp_path / name, "--out", tmp_path / "a.png") == 1
        error = capsys.readouterr().err
        assert error.startswith("genmodels: error: ")
        assert name in error
        assert error.count("\n") == 1
        assert not (tmp_path / "a.png").exists()


class TestEvaluate:
    def test_prints_the_losses_on_the_test_images(self, trained, capsys):
        assert call("evaluate", trained, "--limit", 100) == 0
        (_, _), (x, _) = gm.datasets.load("strokes")
        expected = gm.load(trained / run.MODEL).evaluate(x[:100])
        losses = "".join(f"test {name}: {value:.3f}\n" for name, value in expected.items())
        assert capsys.readouterr().out.startswith(losses)

    def test_a_lone_file_needs_the_data_named(self, trained, tmp_path, capsys):
        (tmp_path / "m.safetensors").write_bytes((trained / run.MODEL).read_bytes())
        assert call("evaluate", tmp_path / "m.safetensors") == 1
        assert "give --data" in capsys.readouterr().err
        assert call("evaluate", tmp_path / "m.safetensors", "--data", "strokes", "--limit", 10) == 0


class TestInfo:
    def test_names_version_cpu_and_threads(self, capsys):
        assert call("info", "--threads", 2) == 0
        lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
        assert lines["genmodels"].strip() == gm.__version__
        assert lines["numpy"].strip() == np.__version__
        assert lines["threads"].strip() == "2"
        assert lines["kernels chosen"].strip() == gm.cpu_info()["isa"]

    def test_names_what_a_file_holds(self, trained, capsys):
        assert call("info", trained) == 0
        printed = capsys.readouterr().out
        assert "VAE, 2 epochs trained" in printed
        assert "65,089" in printed


class TestUsage:
    def test_wrong_arguments_exit_with_2_and_name_the_choices(self, capsys):
        assert "vae-keras" in usage_error(capsys, "train", "nothing", "--out", "x")
        assert "strokes" in usage_error(capsys, "train", "vae-keras", "--data", "nothing", "--out", "x")
        assert "must be at least 1, not 0" in usage_error(capsys, "train", "vae-keras", "--epochs", 0, "--out", "x")
        assert "a time such as 90s" in usage_error(capsys, "train", "vae-keras", "--budget", "soon", "--out", "x")
        assert "not allowed with" in usage_error(capsys, "train", "vae-keras", "--resume", "--overwrite", "--out", "x")
        assert "--out" in usage_error(capsys, "train", "vae-keras")
        assert "COMMAND" in usage_error(capsys)

    @pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("45", 45), ("1.5m", 90)])
    def test_budget_units(self, text, seconds):
        assert cli._seconds(text) == seconds

    def test_version(self, capsys):
        with pytest.raises(SystemExit) as ended:
            call("--version")
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"genmodels {gm.__version__}\n"
