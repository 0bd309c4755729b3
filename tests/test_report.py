"""The page about runs: what stands in it, and what it refuses."""

import dataclasses
import json
import os
import re
import shutil
from functools import partial

import numpy as np
import pytest
import small
from command import call

import genmodels as gm
from genmodels import metrics, pictures, report, run, settings
from genmodels.run import SCORES

SCORED = {
    **{"fd": 12.5, "kd": 0.0123, "kd_stderr": 0.0045, "is": 7.25, "precision": 0.75, "recall": 0.5, "density": 0.8},
    **{"coverage": 0.6, "fd_floor": 1.5, "fd_ceiling": 300.0, "label_accuracy": None, "class_histogram": [1, 2]},
    **{"data": "strokes", "epochs": 2, "extractor": "strokes-0123", "n_generated": 1000, "n_reference": 500},
}


TRAIN, TEST = ((small.images(n, seed), np.arange(n) % 10) for n, seed in ((64, 1), (40, 2)))


@pytest.fixture(scope="module", autouse=True)
def little_data():
    """A small set of images in place of every other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gm.datasets, "load", lambda *arguments, **options: (TRAIN, TEST))
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """The page goes without its runs' pictures, which take their time."""
    monkeypatch.setattr(pictures, "draw_all", lambda subject: iter(()))


def make_run(folder, model, seed=0, name="vae-keras", keep=False, history=None):
    """The folder of a run of this model over two epochs of strokes, 8 pixels a side."""
    asked = settings.Settings(name, "strokes", epochs=2, batch_size=32, image_size=8, seed=seed)
    folder.mkdir(parents=True)
    settings.write(folder, asked)
    callbacks = [gm.callbacks.Samples(folder / run.ON_THE_WAY, seed=seed)]
    if keep:
        (folder / run.KEPT).mkdir()
        callbacks.append(gm.callbacks.Checkpoint(folder / run.KEPT / "checkpoint-{epoch:03d}.safetensors"))
    model.fit(*run.inputs(model, *TRAIN), epochs=2, batch_size=32, callbacks=callbacks, verbose="silent")
    for row in range(2):
        for key, values in (history or {}).items():
            model.history._columns.setdefault(key, [float("nan")] * 2)[row] = values[row]
    model.save(folder / run.MODEL)
    return folder


def score(folder, **changes):
    (folder / SCORES).write_text(json.dumps(SCORED | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs: of a VAE with all that can be had, of a conditional VAE with ten classes, of a GAN."""
    folder = tmp_path_factory.mktemp("runs")
    fd = {"fd": [30.0, 20.0], "fd_epoch": [1.0, 2.0]}
    make_run(folder / "vae", small.vae(), keep=True, history=fd)
    make_run(folder / "cvae", small.vae(num_classes=10))
    make_run(folder / "gan", small.gan(), name="dcgan-tf")
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """The three in a folder of the test's own, which is the working one."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def captions(page):
    return re.findall("<figcaption>(.*?)</figcaption>", page)


def rows(page, number=0):
    """The cells of a table, line by line."""
    table = re.findall("<table>(.*?)</table>", page, re.DOTALL)[number]
    return [re.findall("<t[hd]>(.*?)</t[hd]>", line) for line in re.findall("<tr>(.*?)</tr>", table)]


def test_a_lone_run_has_all_its_pictures_in_its_own_folder(runs):
    assert gm.plot.report("vae") == run.Path("vae") / run.REPORT
    page = (runs / "vae" / run.REPORT).read_text()
    assert captions(page) == [
        "Fréchet distance in the course of the training, with the best epoch marked",
        "25 images the model draws from noise",
        "25 test images",
        "the same codes in the course of the training, as a film",
        "from one random code to another on the arc between their directions",
        "what the latent plane decodes to, evenly spaced in the prior&#x27;s probability",
        "the same codes in the course of the training",
        "losses by epoch",
        "losses by step",
        "generated images above the training images nearest to them",
        "test images above their reconstructions",
        "test images in the latent space",
        "test images in the latent space in the course of the training",
        "from one test image to another on the line between their codes",
    ]
    assert page.count("data:image/gif;base64,R0lG") == 1
    assert re.findall("<h2>(.*?)</h2>", page) == ["Scores", "Test losses", "Epochs", "Settings", "Model"]


@pytest.mark.parametrize("seed", range(3))
def test_one_latent_axis_has_a_line_between_two_codes(seed, tmp_path):
    make_run(tmp_path / "vae", small.vae(latent_dim=1), seed=seed)
    page = gm.plot.report(tmp_path / "vae").read_text()
    assert "from one random code to another on the line between them" in captions(page)


def test_several_runs_are_one_page_here(runs):
    score(runs / "gan")
    assert gm.plot.report("gan", runs / "cvae") == run.Path(run.REPORT)
    page = (runs / run.REPORT).read_text()
    assert "<h1>dcgan-tf, vae-keras on strokes</h1>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # it stands alone
    assert not re.search("<script|<link", page)
    assert re.findall("<h2>(.*?)</h2>", page) == ["Scores", "gan", str(runs / "cvae")]
    head, gan, vae = rows(page)
    assert head[-3:] == ["fd", "is", "reconstruction error"]
    assert gan[:5] == ["gan", "dcgan-tf", "strokes", f"{small.gan().parameter_count:,}", "2"]
    assert re.fullmatch(r"\d+ s", gan[5])
    assert gan[6:] == ["12.500 (1.500 to 300)", "7.250", "–"]  # noqa: RUF001
    assert vae[6:8] == [f"not scored: genmodels evaluate {runs / 'cvae'}"] * 2
    assert rows(page, 1) == [
        ["run", "kd", "precision", "recall", "density", "coverage"],
        ["gan", "0.0123 ± 0.0045", "0.750", "0.500", "0.800", "0.600"],
    ]
    assert "extractor strokes-0123; 1000 generated against 500 real images of strokes" in page
    assert "a row a class, with the same codes in every row" in captions(page)
    assert "from one class to another, at one code" in captions(page)


def test_reconstruction_error_is_the_mean_square_a_pixel(runs, undrawn):
    vae = gm.load("vae/model.safetensors")
    x = TEST[0] / np.float32(255)
    expected = np.mean((vae.reconstruct(x) - x) ** 2)
    assert float(rows(gm.plot.report("vae").read_text())[1][-1]) == pytest.approx(expected, abs=6e-5)


def test_seeds_of_one_configuration_are_one_bar(runs, undrawn, monkeypatch):
    make_run(runs / "gan1", small.gan(), seed=1, name="dcgan-tf")
    for place, name in enumerate(("gan", "gan1", "vae")):
        score(runs / name, fd=float(place))
    drawn = []
    monkeypatch.setattr(gm.plot, "comparison", lambda values, name, ax: drawn.append((name, values)))
    page = gm.plot.report("gan", "gan1", "vae").read_text()
    assert "scores against strokes: mean over the seeds, one sample standard deviation to either side" in captions(page)
    assert [name for name, _ in drawn] == ["fd", "is"]
    assert {model: [s["fd"] for s in seeds] for model, seeds in drawn[0][1].items()} == {
        "dcgan-tf": [0, 1],
        "vae-keras": [2],
    }


@pytest.fixture
def bars(monkeypatch):
    """The bars that pages have, by score: their names."""
    drawn = []
    monkeypatch.setattr(gm.plot, "comparison", lambda values, name, ax: drawn.append((name, list(values))))
    return drawn


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"epochs": 1}, "scored after epoch 1"),
        ({"data": "mnist"}, "scored against mnist"),
        ({"epochs": 1, "data": "mnist"}, "scored after epoch 1 against mnist"),
    ],
)
def test_scores_of_another_epoch_or_data_set_say_so_and_have_no_bar(changes, remark, runs, undrawn, bars):
    for name in ("gan", "cvae", "vae"):
        score(runs / name)
    settings.write(runs / "vae", dataclasses.replace(settings.read(runs / "vae"), model="vae-z10"))
    score(runs / "gan", **changes)
    page = gm.plot.report("gan", "cvae", "vae").read_text()
    for table in (0, 1):
        assert [line[0] for line in rows(page, table)[1:]] == [f"gan ({remark})", "cvae", "vae"]
    assert f"against 500 real images of {changes.get('data', 'strokes')}" in page
    assert bars == [("fd", ["vae-keras", "vae-z10"]), ("is", ["vae-keras", "vae-z10"])]


def test_runs_on_different_data_sets_share_no_bars(runs, undrawn, bars):
    for name, data in (("gan", "strokes"), ("cvae", "mnist"), ("vae", "mnist")):
        model = {"gan": "dcgan-tf", "cvae": "vae-keras", "vae": "vae-z10"}[name]
        settings.write(runs / name, dataclasses.replace(settings.read(runs / name), data=data, model=model))
        score(runs / name, data=data)
    page = gm.plot.report("gan", "cvae", "vae").read_text()
    assert [line[2] for line in rows(page)[1:]] == ["strokes", "mnist", "mnist"]
    assert bars == [("fd", ["vae-keras", "vae-z10"]), ("is", ["vae-keras", "vae-z10"])]
    drawn = [caption.partition(":")[0] for caption in captions(page) if caption.startswith("scores")]
    assert drawn == ["scores against mnist"]


def test_different_extractors_are_refused_and_nothing_is_written(runs):
    score(runs / "gan")
    score(runs / "vae", extractor="other-4567")
    with pytest.raises(ValueError, match="not comparable: gan has strokes-0123, vae has other-4567"):
        gm.plot.report("gan", "cvae", "vae", out="page.html")
    assert not (runs / "page.html").exists()


def test_curves_of_different_extractors_are_refused(runs):
    for name in ("a", "b"):
        make_run(runs / name, small.vae(), history={"fd": [2.0, 1.0], "fd_extractor": [len(name), ord(name)]})
    with pytest.raises(ValueError, match="different extractors"):
        gm.plot.report("a", "b", out="page.html")
    assert not (runs / "page.html").exists()


def test_without_the_data_set_the_page_says_so(runs, monkeypatch):
    def missing(*arguments, **options):
        raise FileNotFoundError("no strokes here")

    monkeypatch.setattr(gm.datasets, "load", missing)
    page = gm.plot.report("vae", out=runs / "page.html").read_text()
    assert "<p>Without test images, for the data set cannot be had: no strokes here</p>" in page
    assert "what the latent plane decodes to" in page
    assert "test images above their reconstructions" not in captions(page)
    assert "<h2>Test losses</h2>" not in page


def test_epochs_without_scores_have_empty_cells_and_the_extractor_is_named_once(runs, undrawn):
    nothing, extractor = float("nan"), metrics.extractor_number("mnist:0123456789abcdef")
    scored = {"fd": [nothing, 2.5], "fd_epoch": [nothing, 2.0], "fd_extractor": [nothing, float(extractor)]}
    page = gm.plot.report(make_run(runs / "scored", small.vae(), history=scored)).read_text()
    head, first, second = next(found for found in map(partial(rows, page), range(4)) if found[0][0] == "epoch")
    assert [name for name in head if name.startswith("fd")] == ["fd"]
    assert (first[head.index("fd")], second[head.index("fd")]) == ("", "2.500")
    assert "nan" not in [*first, *second]
    assert page.count("0123456789ab") == 1
    assert "<p>The scores are on features of the extractor 0123456789ab.</p>" in page


def test_warnings_stand_in_the_page(runs, undrawn):
    (runs / "gan" / run.WARNINGS).write_text("epoch 1: all images are <the same>\n")
    assert "<p>epoch 1: all images are &lt;the same&gt;</p>" in gm.plot.report("gan").read_text()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], ValueError, "at least one run"),
        (["vae", "./vae"], ValueError, "vae is named twice"),
        (["none"], FileNotFoundError, "none is no folder of a run"),
        (["vae/samples"], FileNotFoundError, r"vae/samples holds no run\.json"),
        ([3], TypeError, "int"),
    ],
)
def test_refuses_what_is_no_run(arguments, error, message, runs):
    with pytest.raises(error, match=message):
        gm.plot.report(*arguments)


@pytest.mark.parametrize("content", ["{", "[1]", b"\xff", "[" * 100_000])
def test_damaged_scores_are_named(content, runs):
    (runs / "gan" / SCORES).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"gan/scores\.json holds no scores"):
        gm.plot.report("gan")


def test_a_damaged_picture_on_the_way_is_named_and_nothing_is_written(runs):
    picture = runs / "vae" / run.ON_THE_WAY / "samples-001.png"
    picture.write_bytes(picture.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"vae/samples/samples-001\.png holds no whole picture: .*truncated"):
        gm.plot.report("vae", out="page.html")
    assert not (runs / "page.html").exists()


def test_a_folder_whose_name_is_not_text_is_shown_with_escapes(runs, undrawn):
    names = [os.fsdecode(b"vae-%c" % byte) for byte in (0xE8, 0xE9)]
    for batch_size, name in enumerate(names, 32):
        shutil.copytree("gan", name)
        settings.write(runs / name, dataclasses.replace(settings.read(runs / name), batch_size=batch_size))
        score(runs / name)
    page = gm.plot.report(*names).read_text()
    assert [line[0] for line in rows(page)[1:]] == [r"vae-\udce8", r"vae-\udce9"]
    assert any(caption.startswith("scores") for caption in captions(page))


def test_the_command_names_the_page(runs, undrawn, capsys):
    assert call("report", "gan", "--out", "mine.html") == 0
    assert capsys.readouterr().out == "report: mine.html\n"
    assert (runs / "mine.html").exists()
    assert call("report", "none") == 1
    assert capsys.readouterr().err == "genmodels: error: none is no folder of a run\n"


def test_pieces_escape_what_they_are_given():
    assert report.heading(2, "<a>") == "<h2>&lt;a&gt;</h2>"
    assert report.table(["<b>"], [["<c>"]]).count("&lt;") == 2
    assert 'alt="&lt;d&gt;"' in report.figure("<d>", b"")


def test_a_page_escapes_what_no_encoding_has(tmp_path):
    report.write_page(tmp_path / "page.html", "of", [report.paragraph("no data in \udce9")])
    assert r"<p>no data in \udce9</p>" in (tmp_path / "page.html").read_text()
