"""Pictures: what is drawn, where, and that the numbers can be read back."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

import genmodels as gm
from genmodels import layers as L
from genmodels.plot.figure import PALETTE, new_figure


def a_vae(latent_dim=2, num_classes=0):
    return gm.VAE(
        encoder=[L.Flatten(), L.Dense(8), L.ReLU()],
        decoder=[L.Dense(64), L.Reshape((8, 8, 1)), L.Sigmoid()],
        input_shape=(8, 8, 1),
        latent_dim=latent_dim,
        num_classes=num_classes,
    )


class GivenCodes:
    """A VAE to which every image is its own code."""

    latent_dim = 2

    def encode(self, x):
        return x, np.zeros_like(x)


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)


y = np.arange(40) % 10


def picture(ax):
    return np.asarray(ax.images[-1].get_array())


def cells(array, rows, columns):
    height, width = array.shape[0] // rows, array.shape[1] // columns
    return array.reshape(rows, height, columns, width, -1).swapaxes(1, 2).reshape(-1, height, width, array[0, 0].size)


class TestImageGrid:
    def test_shows_the_first_25_images_in_equal_cells_row_by_row(self, x, ax):
        assert gm.plot.image_grid(x, ax=ax) is ax
        assert np.array_equal(cells(picture(ax), 5, 5), x[:25])

    def test_draws_float_and_colour(self, ax):
        x = np.random.default_rng(1).random((6, 4, 5, 3)).astype(np.float32)
        gm.plot.image_grid(x, rows=2, columns=3, ax=ax)
        assert np.array_equal(cells(picture(ax), 2, 3), np.rint(x * 255))

    def test_fewer_images_leave_white_cells(self, x, ax):
        gm.plot.image_grid(x[:3], rows=2, ax=ax)
        assert np.array_equal(cells(picture(ax), 2, 2)[:3], x[:3])
        assert (cells(picture(ax), 2, 2)[3] == 255).all()

    def test_gap_surrounds_every_image(self, x):
        tiled = cells(gm.plot.tile(x, 3, gap=2), 3, 3)
        assert np.array_equal(tiled[:, 2:-2, 2:-2], x[:9])
        assert (tiled[:, :2] == 255).all()
        assert (tiled[:, :, -2:] == 255).all()

    def test_makes_a_figure_of_its_own_without_ax(self, x):
        from matplotlib import pyplot

        ax = gm.plot.image_grid(x)
        assert picture(ax).shape == (40, 40)
        pyplot.close(ax.figure)

    @pytest.mark.parametrize(
        ("bad", "error", "message"),
        [
            (np.zeros((2, 8), np.uint8), ValueError, r"\(2, 8\)"),
            (np.zeros((0, 8, 8, 1), np.uint8), ValueError, r"\(0, 8, 8, 1\)"),
            (np.zeros((2, 8, 8, 2), np.uint8), ValueError, r"\(2, 8, 8, 2\)"),
            (np.zeros((8, 8, 1), np.uint8), ValueError, r"\(8, 8, 1\), which is one image .*: give x\[None\]"),
            (np.zeros((8, 8, 3), np.uint8), ValueError, r"\(8, 8, 3\), which is one image .*: give x\[None\]"),
            (np.zeros((2, 8, 8, 1), np.int64), TypeError, "int64"),
            (np.zeros((2, 8, 8, 1), np.float16), TypeError, "float16"),
            (np.full((2, 8, 8, 1), 1.5), ValueError, r"1\.5"),
            (np.full((2, 8, 8, 1), np.nan), ValueError, "nan"),
        ],
    )
    def test_refuses_what_is_not_images(self, bad, error, message, ax):
        with pytest.raises(error, match=message):
            gm.plot.image_grid(bad, ax=ax)
        assert not ax.images

    @pytest.mark.parametrize("rows", [0, -1])
    def test_refuses_no_rows(self, x, rows):
        with pytest.raises(ValueError, match=f"rows is {rows}, must be at least 1"):
            gm.plot.image_grid(x, rows=rows)
        with pytest.raises(TypeError, match=r"rows must be an int, not 2\.5"):
            gm.plot.image_grid(x, rows=2.5)

    def test_refuses_an_ax_that_is_none(self, x):
        with pytest.raises(TypeError, match="ax must be a matplotlib Axes, not str"):
            gm.plot.image_grid(x, ax="left")


class TestSaveGrid:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_png_holds_the_images_enlarged(self, tmp_path, channels):
        x = np.random.default_rng(2).integers(0, 256, (25, 28, 28, channels), dtype=np.uint8)
        gm.plot.save_grid(x, tmp_path / "grid.png")
        read = np.asarray(Image.open(tmp_path / "grid.png"))
        assert read.shape[:2] == (700, 700)
        assert np.array_equal(cells(read, 5, 5)[:, 2::5, 2::5], x)

    def test_is_never_smaller_than_the_images(self, tmp_path, x):
        gm.plot.save_grid(x, tmp_path / "grid.png", side=1)
        assert Image.open(tmp_path / "grid.png").size == (40, 40)

    def test_name_of_another_kind_is_refused(self, tmp_path, x):
        gm.plot.save_grid(x, tmp_path / "grid")
        assert Image.open(tmp_path / "grid").format == "PNG"
        with pytest.raises(ValueError, match=r"grid\.jpg: pictures are written as PNG, not as \.jpg"):
            gm.plot.save_grid(x, tmp_path / "grid.jpg")
        assert [file.name for file in tmp_path.iterdir()] == ["grid"]

    def test_missing_folder_is_an_oserror(self, tmp_path, x):
        with pytest.raises(OSError, match="folder"):
            gm.plot.save_grid(x, tmp_path / "no" / "grid.png")

    def test_bad_images_leave_the_old_file(self, tmp_path):
        (tmp_path / "grid.png").write_bytes(b"old")
        with pytest.raises(ValueError, match="images must have shape"):
            gm.plot.save_grid(np.zeros(3), tmp_path / "grid.png")
        assert [file.name for file in tmp_path.iterdir()] == ["grid.png"]
        assert (tmp_path / "grid.png").read_bytes() == b"old"


class TestHistory:
    losses = {  # noqa: RUF012
        "loss": [3.0, 2.0, 1.5],
        "kl": [0.1, 0.2, 0.3],
        "val_loss": [3.1, 2.2, 1.8],
        "seconds": [1, 1, 1],
        "images_per_second": [9, 9, 9],
    }

    def test_draws_every_loss_over_the_epochs(self, ax):
        assert gm.plot.history(self.losses, ax=ax) is ax
        lines = {line.get_gid(): line for line in ax.lines}
        assert set(lines) == {"loss", "kl", "val_loss"}
        assert list(lines["kl"].get_xdata()) == [1, 2, 3]
        assert list(lines["kl"].get_ydata()) == [0.1, 0.2, 0.3]
        assert lines["val_loss"].get_color() == lines["loss"].get_color()
        assert lines["val_loss"].get_linestyle() == "--"

    def test_takes_the_history_of_a_fit(self, x, ax):
        history = a_vae().fit(x, epochs=2, batch_size=16, verbose="silent")
        gm.plot.history(history, ax=ax)
        lines = {line.get_gid(): list(line.get_ydata()) for line in ax.lines}
        assert lines == {name: history[name] for name in ("loss", "reconstruction", "kl")}

    def test_one_epoch_has_no_half_beside_it(self, ax):
        gm.plot.history({"loss": [3.0]}, ax=ax)
        assert all(float(tick).is_integer() for tick in ax.get_xticks())

    def test_is_logarithmic_only_where_it_helps_and_can_be(self, ax):
        assert gm.plot.history(self.losses, ax=ax).get_yscale() == "log"
        assert gm.plot.history({"loss": [3.0, 2.0]}).get_yscale() == "linear"
        assert gm.plot.history({"loss": [300.0, -2.0]}).get_yscale() == "linear"

    def test_keys_choose(self, ax):
        gm.plot.history(self.losses, ax=ax, keys=["kl"])
        assert [line.get_gid() for line in ax.lines] == ["kl"]
        with pytest.raises(ValueError, match=r"no 'fd'; it has loss, kl"):
            gm.plot.history(self.losses, keys=["fd"])

    def test_labels_say_what_the_terms_mean(self, ax):
        names = ("kl", "reconstruction", "discriminator_loss", "wasserstein", "val_wasserstein", "my_term")
        gm.plot.history({name: [2.0, 1.0] for name in (*names, "learning_rate", "seconds")}, ax=ax)
        labels = {line.get_gid(): line.get_label() for line in ax.lines}
        assert labels == {
            "kl": "KL divergence (nats)",
            "reconstruction": "reconstruction (nats)",
            "discriminator_loss": "discriminator loss",
            "wasserstein": "critic's estimate of the Wasserstein distance",
            "val_wasserstein": "critic's estimate of the Wasserstein distance, validation",
            "my_term": "my term",
        }
        assert ax.get_ylabel() == "loss"

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            (["kl", "reconstruction"], "nats an image"),
            (["wasserstein"], "distance"),
            (["loss"], "loss"),
            (["my_term"], "my term"),
            (["loss", "kl"], "loss"),
        ],
    )
    def test_the_axis_is_that_of_its_terms(self, keys, expected, ax):
        gm.plot.history({key: [1.0] for key in keys}, ax=ax)
        assert ax.get_ylabel() == expected
        assert ax.get_xlabel() == "epoch"

    def test_by_step(self, x, ax):
        history = a_vae().fit(x, epochs=3, batch_size=16, verbose="silent")
        gm.plot.history(history, ax=ax, keys=["loss"], by="step")
        (line,) = ax.lines
        assert list(line.get_ydata()) == history.steps["loss"]
        assert list(line.get_xdata()) == list(range(1, 10))
        assert ax.get_xlabel() == "step"

    def test_many_steps_are_a_pale_line_under_their_running_mean(self, ax):
        y = np.random.default_rng(0).normal(10, 1, 1000)
        y[500] = np.nan
        gm.plot.history({"loss": y}, ax=ax, by="step")
        raw, mean = ax.lines
        assert (raw.get_gid(), mean.get_gid()) == ("loss", "loss:mean")
        assert np.array_equal(raw.get_ydata(), y, equal_nan=True)
        smooth = mean.get_ydata()
        assert smooth[300] == pytest.approx(y[290:311].mean())
        assert smooth[500] == pytest.approx(np.nanmean(y[490:511]))
        assert smooth[0] == pytest.approx(y[:11].mean())
        assert smooth[-1] == pytest.approx(y[-11:].mean())
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["loss"]

    def test_refuses_other_axes(self):
        with pytest.raises(ValueError, match="'epoch', 'step'"):
            gm.plot.history(self.losses, by="time")
        with pytest.raises(ValueError, match="no step yet"):
            gm.plot.history(a_vae().history, by="step")

    def test_refuses_an_empty_history(self):
        with pytest.raises(ValueError, match="no epoch"):
            gm.plot.history(a_vae().history)


class TestLatent:
    def test_shows_every_mean_under_its_label(self, x, ax):
        vae = a_vae()
        assert gm.plot.latent(vae, x, y, ax=ax) is ax
        mean, _ = vae.encode(x)
        for label, cluster in enumerate(ax.collections):
            assert np.allclose(cluster.get_offsets(), mean[y == label])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [str(label) for label in range(10)]

    def test_without_labels_is_one_cloud(self, x, ax):
        gm.plot.latent(a_vae(), x, ax=ax)
        assert len(ax.collections) == 1
        assert len(ax.collections[0].get_offsets()) == 40
        assert ax.get_legend() is None

    def test_more_axes_are_projected_on_the_principal_ones(self, x, ax):
        vae = a_vae(latent_dim=5)
        gm.plot.latent(vae, x, ax=ax)
        drawn = np.asarray(ax.collections[0].get_offsets())
        values, vectors = np.linalg.eigh(np.cov(vae.encode(x)[0].astype(float).T))
        assert np.allclose(np.var(drawn, axis=0, ddof=1), values[::-1][:2], rtol=1e-5)
        expected = (vae.encode(x)[0] - vae.encode(x)[0].mean(axis=0)) @ vectors[:, ::-1][:, :2]
        assert np.allclose(np.abs(drawn), np.abs(expected), atol=1e-5)
        assert ax.get_xlabel() == f"PC 1 ({100 * values[-1] / values.sum():.1f} % of variance)"
        assert ax.get_ylabel() == f"PC 2 ({100 * values[-2] / values.sum():.1f} % of variance)"

    def test_one_axis_is_a_row_a_class_or_a_histogram(self, x, ax):
        vae = a_vae(latent_dim=1)
        gm.plot.latent(vae, x, y, ax=ax)
        offsets = np.asarray(ax.collections[3].get_offsets())
        assert np.allclose(offsets[:, 0], vae.encode(x)[0][y == 3, 0])
        assert (np.abs(offsets[:, 1] - 3) <= 0.3).all()
        bars = gm.plot.latent(vae, x).patches
        assert sum(bar.get_height() for bar in bars) == 40

    def test_numbers_do_not_cover_each_other(self, x, ax):
        figure = ax.figure
        figure.set_size_inches(7, 6)
        vae = a_vae()
        gm.plot.latent(vae, np.repeat(x[:4], 10, axis=0), np.arange(40) % 10, ax=ax)  # ten classes in one place
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert len(boxes) == 10
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    @pytest.mark.parametrize("corner", [[0, 0], [0, 1], [1, 0], [1, 1]])
    def test_every_number_is_inside_the_axes_where_codes_bunch_in_a_corner(self, ax, corner):
        ax.figure.set_size_inches(7, 6)
        codes = np.tile(np.array(corner, float), (40, 1))
        codes[0] = 1 - codes[0]
        gm.plot.latent(GivenCodes(), codes, y, ax=ax)
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert [text.get_text() for text in ax.texts] == [str(label) for label in range(10)]
        assert all(ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 for box in boxes)
        assert all(ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1 for box in boxes)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    @pytest.mark.parametrize(("classes", "columns"), [(16, 1), (17, 2), (32, 2), (33, None), (200, None)])
    def test_the_legend_leaves_the_points_their_room(self, classes, columns):
        figure = new_figure((7, 6))
        ax = figure.add_subplot()
        codes, labels = np.random.default_rng(0).normal(size=(400, 2)), np.arange(400) % classes
        gm.plot.latent(GivenCodes(), codes, labels, ax=ax)
        figure.canvas.draw()
        assert {text.get_text() for text in ax.texts} == {str(k) for k in range(classes)}
        assert ax.bbox.width > 0.6 * figure.bbox.width
        assert ax.bbox.height > 0.8 * figure.bbox.height
        legend = ax.get_legend()
        assert (legend is None) == (columns is None)
        if legend:
            places = {round(text.get_window_extent().x0) for text in legend.get_texts()}
            assert len(places) == columns
            box = legend.get_window_extent()
            assert box.y0 >= 0
            assert box.y1 <= figure.bbox.y1
            assert box.x1 <= figure.bbox.x1

    def test_conditional_model_needs_the_labels(self, x, ax):
        vae = a_vae(num_classes=10)
        gm.plot.latent(vae, x, y, ax=ax)
        assert np.allclose(ax.collections[0].get_offsets(), vae.encode(x, y)[0][y == 0])
        with pytest.raises(ValueError, match="labels"):
            gm.plot.latent(vae, x)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (y[:3], ValueError, r"y has shape \(3,\), expected \(40,\)"),
            (y * 1.0, TypeError, "y has dtype float64, must be integers"),
        ],
    )
    def test_refuses_labels_that_do_not_fit(self, x, labels, error, message):
        with pytest.raises(error, match=message):
            gm.plot.latent(a_vae(), x, labels)


class TestManifold:
    def test_decodes_the_gaussian_quantiles(self, ax):
        vae = a_vae()
        assert gm.plot.manifold(vae, n=3, ax=ax) is ax
        quantile = 0.967421566101701  # of 5/6, from tables
        z = [(a, b) for b in (quantile, 0, -quantile) for a in (-quantile, 0, quantile)]
        expected = np.rint(vae.decode(np.array(z, np.float32)) * 255)
        assert np.abs(cells(picture(ax), 3, 3).astype(int) - expected).max() <= 1
        assert [text.get_text() for text in ax.get_xticklabels()] == ["-0.97", "0.00", "0.97"]

    def test_takes_one_label_for_all(self, ax):
        vae = a_vae(num_classes=4)
        gm.plot.manifold(vae, n=1, ax=ax, labels=2)
        expected = np.rint(vae.decode(np.zeros((1, 2), np.float32), np.array([2])) * 255)
        assert np.array_equal(cells(picture(ax), 1, 1), expected)

    def test_needs_two_latent_axes(self):
        with pytest.raises(ValueError, match="latent_dim 2, this VAE has 3"):
            gm.plot.manifold(a_vae(latent_dim=3))

    def test_refuses_no_points(self):
        with pytest.raises(ValueError, match="n is 0, must be at least 1"):
            gm.plot.manifold(a_vae(), n=0)


class TestReconstructions:
    def test_puts_originals_above(self, x, ax):
        vae = a_vae()
        assert gm.plot.reconstructions(vae, x, n=4, ax=ax) is ax
        drawn = cells(picture(ax), 2, 4)
        assert np.array_equal(drawn[:4], x[:4])
        assert np.array_equal(drawn[4:], np.rint(vae.reconstruct(x[:4]) * 255))

    def test_few_images_and_labels(self, x, ax):
        vae = a_vae(num_classes=10)
        gm.plot.reconstructions(vae, x[:2], ax=ax, labels=y[:2])
        assert np.array_equal(cells(picture(ax), 2, 2)[2:], np.rint(vae.reconstruct(x[:2], y[:2]) * 255))

    def test_names_the_shape_that_was_given(self, x, ax):
        with pytest.raises(ValueError, match=r"\(8, 8, 1\), which is one image"):
            gm.plot.reconstructions(a_vae(), x[0], n=4, ax=ax)
        with pytest.raises(ValueError, match=r"not \(40, 64\)"):
            gm.plot.reconstructions(a_vae(), x.reshape(40, 64), n=4, ax=ax)


class TestPalette:
    # Linear RGB as full dichromats see it: Machado, Oliveira, Fernandes 2009, table of severity 1.
    eyes = (
        np.eye(3),
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    )

    @staticmethod
    def lab(linear):
        """CIELAB of linear sRGB, white point D65."""
        to_xyz = [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
        xyz = np.clip(linear, 0, 1) @ np.transpose(to_xyz) / [0.95047, 1, 1.08883]
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)

    def colours(self):
        rgb = np.array([to_rgb(colour) for colour in PALETTE])
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)

    def test_colours_are_apart_for_every_eye(self):
        for eye, least in zip(self.eyes, (32, 28, 28, 28), strict=True):
            lab = self.lab(self.colours() @ np.transpose(eye))
            distance = np.linalg.norm(lab[:, None] - lab, axis=-1) + 1000 * np.eye(len(lab))
            assert distance.min() >= least

    def test_colours_are_apart_in_grey(self):
        assert np.diff(self.lab(self.colours())[:, 0]).min() > 7


@pytest.mark.parametrize("vae", [None, "vae", 3, gm.Network([], (2,))])
def test_refuses_what_is_no_vae(vae, x, ax):
    for draw in (gm.plot.latent, gm.plot.reconstructions):
        with pytest.raises(TypeError, match=f"vae must be a VAE, not {type(vae).__name__}"):
            draw(vae, x, ax=ax)
    with pytest.raises(TypeError, match="vae must be a VAE"):
        gm.plot.manifold(vae, ax=ax)


@pytest.mark.parametrize(
    ("h", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "h must be a History or a dict of losses, not list"),
        ({1: [1.0, 2.0]}, TypeError, "names in a history must be strings, not 1"),
        ({"loss": 3.0}, ValueError, r"loss has shape \(\), must be one number an epoch"),
        ({"loss": [[1.0, 2.0]]}, ValueError, r"loss has shape \(1, 2\), must be one number an epoch"),
        ({"loss": [1.0], "val_loss": [[1.0]]}, ValueError, r"val_loss has shape \(1, 1\)"),
        ({"loss": ["low"]}, ValueError, "low"),
    ],
)
def test_refuses_what_is_no_history(h, error, words, ax):
    with pytest.raises(error, match=words):
        gm.plot.history(h, ax=ax)
    assert not ax.lines


@pytest.mark.parametrize("bad", [None, 3, "images"])
def test_reconstructions_refuse_what_is_no_array(bad, x, ax):
    with pytest.raises(ValueError, match="images must have shape"):
        gm.plot.reconstructions(a_vae(), bad, ax=ax)
    with pytest.raises((TypeError, ValueError), match="labels"):
        gm.plot.reconstructions(a_vae(num_classes=10), x, labels=bad or 7, ax=ax)


def test_given_axes_leave_pyplot_alone(tmp_path):
    """Drawing into an ax imports no pyplot, works without a display and draws the same file every time."""
    program = """if True:
        import sys, numpy as np, genmodels as gm
        from genmodels.plot.figure import new_figure, save_figure
        figure = new_figure((4, 4))
        gm.plot.image_grid(np.zeros((25, 8, 8, 1), np.uint8), ax=figure.add_subplot())
        save_figure(figure, sys.argv[1])
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program, tmp_path / "a.png"], check=True, env={"MPLBACKEND": "tkagg"})
    assert Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).size == (480, 480)


def test_missing_matplotlib_names_the_extra(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'genmodels\[plot\]'"):
        gm.plot.image_grid(x)
