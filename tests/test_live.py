"""The live plot of a notebook: one picture, drawn anew, that leaves the training as it is."""

import io
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small
from matplotlib import pyplot
from PIL import Image
from stand_in import StandIn, images

import genmodels as gm
from genmodels._watched import watched
from genmodels.callbacks import LivePlot
from genmodels.training import live


class Notebook:
    """In IPython's place: notes what is displayed, and what takes its place."""

    def __init__(self):
        self.shown, self.updates = [], []
        self.display = SimpleNamespace(display=self._display)

    def get_ipython(self):
        return self

    def _display(self, bundle, raw, display_id):
        assert raw is display_id is True
        self.shown.append(bundle)
        return SimpleNamespace(update=self._update)

    def _update(self, bundle, raw):
        assert raw is True
        self.updates.append(bundle)

    @property
    def last(self):
        return (self.updates or self.shown)[-1]


@pytest.fixture
def notebook(monkeypatch):
    found = Notebook()
    monkeypatch.setattr(live, "_ipython", lambda: found)
    return found


@pytest.fixture
def clock(monkeypatch):
    """A second passes between any two looks at the clock."""
    ticks = itertools.count()
    monkeypatch.setattr(live.time, "monotonic", lambda: float(next(ticks)))


def test_a_kernel_is_watched_and_not_what_has_imported_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    shells = {"none": None, "terminal": SimpleNamespace(), "kernel": SimpleNamespace(kernel=object())}
    for name, shell in shells.items():
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert watched() == (name == "kernel")
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.delitem(sys.modules, "IPython")
    assert watched()


def fit(model, callback, epochs=2, **changes):
    return model.fit(images(9), epochs=epochs, batch_size=4, callbacks=callback, **changes)  # 3 steps an epoch


@pytest.mark.usefixtures("clock")
def test_one_picture_is_drawn_anew_and_once_more_at_the_end(notebook):
    pyplot.close("all")  # what other tests left open
    fit(StandIn(), LivePlot(every_seconds=1), epochs=10)
    # A drawing takes a second by this clock, and a step another: it rests for nine of them.
    assert [bundle["text/plain"] for bundle in notebook.shown] == ["epochs: 0, steps: 1"]
    steps = ["epochs: 3, steps: 10", "epochs: 6, steps: 19", "epochs: 9, steps: 28", "epochs: 10, steps: 30"]
    assert [bundle["text/plain"] for bundle in notebook.updates] == steps
    assert not pyplot.get_fignums()


def test_it_is_not_drawn_more_often_than_asked_for(notebook):
    fit(StandIn(), LivePlot(every_seconds=3600), epochs=10)
    assert len(notebook.shown) == 1
    assert len(notebook.updates) == 1


def test_it_is_a_picture_of_the_size_asked_for(notebook):
    fit(StandIn(), LivePlot(dpi=50))
    picture = Image.open(io.BytesIO(notebook.last["image/png"]))
    assert picture.size == (450, 200)
    assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_it_shows_losses_and_the_newest_samples(notebook, monkeypatch):
    drawn = []
    monkeypatch.setattr(live, "figure_png", lambda figure, dpi: drawn.append(figure) or b"")
    model = StandIn()
    model.num_classes = 3
    fit(model, LivePlot(n=7), epochs=6)
    curves, grid = drawn[-1].axes
    (line,) = curves.lines
    assert line.get_gid() == "loss"
    assert np.array_equal(line.get_ydata(), model.history["loss"])
    assert len(drawn[0].axes[0].lines[0].get_ydata()) == 1
    picture = np.asarray(grid.images[0].get_array())
    assert picture.shape == (12, 12)
    made = model.sample(7, np.arange(7) % 3)
    assert np.array_equal(picture[:4, 8:], np.rint(made[2, ..., 0] * 255))
    assert np.array_equal(picture[8:, :4], np.rint(made[6, ..., 0] * 255))


@pytest.mark.usefixtures("clock", "notebook")
@pytest.mark.parametrize("make", [small.vae, small.gan, lambda: small.vae(num_classes=3), lambda: small.gan(ema=0.0)])
def test_training_has_the_same_bits_with_and_without_it(make):
    with_it, without = make(), make()
    labels = np.arange(small.TRAINING) % 3 if with_it.num_classes else None
    for model, callbacks in ((with_it, [LivePlot(every_seconds=1, n=3)]), (without, [])):
        model.fit(small.images(), labels, epochs=2, batch_size=20, callbacks=callbacks)
    assert small.state(with_it) == small.state(without)
    some = None if labels is None else labels[:3]
    assert with_it.sample(3, some).tobytes() == without.sample(3, some).tobytes()


def test_of_a_model_that_draws_nothing_it_shows_the_losses(notebook, monkeypatch):
    drawn = []
    monkeypatch.setattr(live, "figure_png", lambda figure, dpi: drawn.append(figure) or b"")
    monkeypatch.setattr(StandIn, "generative", False)
    fit(StandIn(), LivePlot())
    assert len(notebook.shown) == 1
    (curves,) = drawn[-1].axes
    assert curves.lines


def test_every_fit_has_its_own_picture(notebook):
    model, callback = StandIn(), LivePlot()
    fit(model, callback)
    fit(model, callback)
    assert len(notebook.shown) == 2
    fit(model, callback, resume=True, epochs=1)  # nothing to do: shows what there is
    assert notebook.last["text/plain"] == "epochs: 4, steps: 12"


def test_the_last_picture_stays_where_the_fit_fails(notebook):
    model = small.vae(optimizer=gm.optimizers.SGD(1e6))
    with pytest.raises(FloatingPointError):
        model.fit(small.images(), batch_size=10, callbacks=LivePlot(n=1))
    assert len(notebook.shown) == 1


def test_outside_a_notebook_it_says_what_to_use(notebook, monkeypatch):
    monkeypatch.setattr(notebook, "get_ipython", lambda: None)
    model = StandIn()
    with pytest.raises(ValueError, match=r"no notebook is running here; callbacks\.Samples"):
        fit(model, LivePlot())
    assert not model.history.steps


@pytest.mark.parametrize("missing", ["IPython", "matplotlib"])
def test_the_extra_is_named(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'genmodels\[notebook\]'"):
        LivePlot()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every_seconds": 0.5}, ValueError, "every_seconds is 0.5"),
        ({"n": 0}, ValueError, "n is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"keys": "loss"}, TypeError, "keys must be a list"),
        ({"dpi": 10}, ValueError, "dpi is 10"),
    ],
)
@pytest.mark.usefixtures("notebook")
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        LivePlot(**arguments)


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize(
    ("arguments", "message"), [({"keys": ["fd"]}, "no 'fd'"), ({"labels": [0, 0]}, "labels were given")]
)
def test_what_does_not_fit_the_model_ends_the_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        small.vae().fit(small.images(), callbacks=LivePlot(**arguments))


# ---- in a kernel ----------------------------------------------------------------------------------------------------

BEGIN = """
import sys
sys.path.insert(0, {tests!r})
import small
model = small.vae()
history = model.fit(small.images(), epochs=1_000_000, batch_size=10, callbacks=small.gm.callbacks.LivePlot(1.0))
"""
CHECK = """
from matplotlib import pyplot
assert len(history.steps) and history.interrupted and model.interrupted and not pyplot.get_fignums()
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    from jupyter_client.manager import start_new_kernel

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_an_interrupted_kernel_leaves_the_last_picture(kernel):
    manager, client = kernel
    pictures = []

    def heard(message):
        if "image/png" in message["content"].get("data", {}):
            pictures.append(message)
            if len(pictures) == 1:
                manager.interrupt_kernel()

    code = BEGIN.format(tests=str(Path(__file__).parent))
    reply = client.execute_interactive(code, output_hook=heard, timeout=120, allow_stdin=False)
    assert reply["content"]["status"] == "ok", reply["content"]
    assert [message["msg_type"] for message in pictures] == ["display_data", "update_display_data"]
    assert len({message["content"]["transient"]["display_id"] for message in pictures}) == 1
    assert client.execute_interactive(CHECK, timeout=120)["content"]["status"] == "ok"
