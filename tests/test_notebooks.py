"""The notebooks as they are kept: whole, executed from the top, without errors, small, and of no machine in particular.
`make notebooks` runs them."""

import importlib
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from genmodels import zoo

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000
MOST_MINUTES = 15

# Places on a machine: of files, and of cells in a kernel.
PLACE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|work|usr|opt|var|mnt|Users|build)/\w|[A-Z]:\\\\Users|ipykernel_\d+")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def source(path):
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


def test_there_is_a_tour_and_a_notebook_for_each_report():
    names = [path.stem for path in NOTEBOOKS]
    assert "ten_minute_tour" in names
    assert [name[:8] for name in names if name.startswith("report_")] == [f"report_{number}" for number in range(1, 6)]


def test_every_reference_model_is_in_one_of_them():
    reports = "".join(source(path) for path in NOTEBOOKS if path.stem.startswith("report_"))
    sizes = {f"{family}-{size}" for family in ("vae", "gan", "wgan") for size in (16, 32, 64)}
    assert '("vae", "gan", "wgan"), (16, 32, 64)' in reports  # built in a loop
    assert not [name for name in zoo.names() if name not in sizes and f'"{name}"' not in reports]


@every_notebook
def test_it_is_valid_and_was_executed_from_the_top(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@every_notebook
def test_it_holds_pictures_and_no_errors(path):
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr" and "Traceback" in output.text]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= 3


@every_notebook
def test_it_is_small(path):
    assert path.stat().st_size < MOST_BYTES


def strings(value):
    """All texts in a notebook but the pictures."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, item in value.items() if not key.startswith("image/") for text in strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings(item))


@every_notebook
def test_it_names_no_place_on_a_machine(path):
    assert not [text for text in strings(nbformat.read(path, as_version=4)) if PLACE.search(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/home/ann/genmodels/vae.py:3: UserWarning", True),
        ("/tmp/ipykernel_17/4.py:1", True),
        ("ipykernel_17", True),
        ("C:\\\\Users\\\\ann", True),
        ("genmodels/vae.py:3: UserWarning", False),
        ("https://example.org/home/ann", False),
        ("runs/tmp/x", False),
    ],
)
def test_the_search_for_places_can_fail(text, found):
    assert bool(PLACE.search(text)) is found


@every_notebook
def test_it_says_what_it_costs_and_has_a_short_form(path):
    text = source(path)
    minutes = [int(number) for number in re.findall(r"(\d+) minutes in all", text)]
    assert len(minutes) == 1 or "takes about ten minutes" in text
    assert all(number <= MOST_MINUTES for number in minutes)
    assert 'os.environ.get("GENMODELS_NOTEBOOKS") == "short"' in text
    assert text.count("TimeLimit(") >= 1


def test_the_pictures_of_the_readme_are_theirs(monkeypatch):
    monkeypatch.syspath_prepend(str(NOTEBOOKS[0].parent))
    execute = importlib.import_module("execute")
    root = NOTEBOOKS[0].parent.parent
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    pictures = dict(picture for notebook in notebooks for picture in execute.named_pictures(notebook))
    shown = re.findall(r"docs/images/reports/([\w-]+)\.png", (root / "README.md").read_text())
    assert {name[:8] for name in shown} == {f"report-{number}" for number in range(1, 6)}
    for name in shown:
        assert (root / "docs" / "images" / "reports" / f"{name}.png").read_bytes() == pictures[name], name


@pytest.mark.parametrize(
    ("channels", "opaque", "mode"), [(1, True, "L"), (3, True, "RGB"), (1, False, "RGBA"), (3, False, "RGBA")]
)
def test_pictures_are_kept_in_fewer_bytes_with_the_same_pixels(monkeypatch, channels, opaque, mode):
    monkeypatch.syspath_prepend(str(NOTEBOOKS[0].parent))
    execute = importlib.import_module("execute")
    pixels = np.full((40, 60, 4), 255, np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 255, (40, 60, channels))
    pixels[0, 0, 3] = 255 if opaque else 254
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", compress_level=0)
    small = execute.smallest(file.getvalue())
    picture = Image.open(io.BytesIO(small))
    assert picture.mode == mode
    np.testing.assert_array_equal(picture.convert("RGBA"), pixels)
    assert len(small) < len(file.getvalue())
    assert execute.smallest(small) == small


def test_running_them_keeps_outputs_names_no_place_and_fails_on_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.syspath_prepend(str(NOTEBOOKS[0].parent))
    execute = importlib.import_module("execute")
    cells = {"good": 'import warnings\nwarnings.warn("beware")\n6 * 7', "bad": "1 / 0"}
    paths = {name: tmp_path / f"{name}.ipynb" for name in cells}
    for name, code in cells.items():
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), paths[name])
    before = paths["bad"].read_bytes()
    monkeypatch.setattr("sys.argv", ["execute.py", "--write", *map(str, paths.values())])
    assert execute.main() == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert paths["bad"].read_bytes() == before
    (cell,) = nbformat.read(paths["good"], as_version=4).cells
    assert [output.get("text") for output in cell.outputs if output.output_type == "stream"] == [
        'cell:2: UserWarning: beware\n  warnings.warn("beware")\n'
    ]
    assert cell.outputs[-1].data["text/plain"] == "42"
    assert cell.metadata == {}
