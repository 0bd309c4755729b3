"""Stages of a training as strip and GIF; generated images beside the nearest training images."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import small
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import genmodels as gm
from genmodels.plot import copies


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def picture(ax):
    return np.asarray(ax.images[-1].get_array())


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


class TestEvolution:
    stages = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 4, 1), dtype=np.uint8)

    def test_a_column_a_stage_and_a_row_an_image(self, ax):
        assert gm.plot.evolution(list(self.stages), n=2, ax=ax) is ax
        cells = picture(ax).reshape(2, 4, 3, 4).transpose(2, 0, 1, 3)
        assert np.array_equal(cells, self.stages[:, :2, ..., 0])
        assert labels(ax.xaxis) == ["1", "2", "3"]

    def test_names_of_a_dict_and_titles(self, ax):
        gm.plot.evolution({"first": self.stages[0], "last": self.stages[1] / 255}, ax=ax)
        assert labels(ax.xaxis) == ["first", "last"]
        gm.plot.evolution(self.stages, titles=["a", "b", "c"], ax=ax)
        assert labels(ax.xaxis) == ["a", "b", "c"]

    @pytest.fixture
    def folder(self, tmp_path):
        """A run's folder with 13 pictures of a model that changes."""
        model = small.vae()
        watch = gm.callbacks.Samples(tmp_path / "samples", seed=4, gif=False)
        model.fit(small.images(20), epochs=12, batch_size=20, callbacks=watch, verbose="silent")
        self.last = model.sample(25, seed=4)
        return tmp_path

    def test_ten_pictures_of_a_run(self, folder, ax):
        gm.plot.evolution(folder, n=5, ax=ax)
        epochs = labels(ax.xaxis)
        assert len(epochs) == 10
        assert (epochs[0], epochs[-1], ax.get_xlabel()) == ("0", "12", "epoch")
        side = picture(ax).shape[1] // 10
        last = picture(ax)[:, -side:].reshape(5, side, side)[:, :: side // 8, :: side // 8]
        assert np.array_equal(last, np.rint(self.last[:5, ..., 0] * 255))
        inside = gm.plot.evolution(folder / "samples", ax=Figure().add_subplot())
        assert np.array_equal(picture(ax), picture(inside))

    def test_the_gif_of_a_run_is_that_of_its_callback(self, folder, tmp_path):
        gm.plot.save_evolution(folder, tmp_path / "mine.gif")
        model = small.vae()
        watch = gm.callbacks.Samples(tmp_path / "again", seed=4)
        model.fit(small.images(20), epochs=12, batch_size=20, callbacks=watch, verbose="silent")
        assert (tmp_path / "mine.gif").read_bytes() == (tmp_path / "again" / "samples.gif").read_bytes()

    def test_a_gif_of_arrays(self, tmp_path):
        gm.plot.save_evolution(self.stages[:, :4], tmp_path / "a.gif", frame_seconds=0.1)
        with Image.open(tmp_path / "a.gif") as movie:
            assert movie.n_frames == 3
            durations = []
            for frame, images in enumerate(self.stages[:, :4]):
                movie.seek(frame)
                durations.append(movie.info["duration"])
                shown = np.asarray(movie.convert("L"))
                factor = shown.shape[0] // 8
                expected = gm.plot.tile(images, 2)[..., 0]
                assert np.abs(shown[::factor, ::factor].astype(int) - expected).max() <= 8  # 256 colours
        assert durations == [100, 100, 500]

    def test_refuses_what_does_not_fit_together(self, ax, tmp_path):
        with pytest.raises(ValueError, match=r"one shape.*\(5, 4, 4, 1\), \(5, 3, 4, 1\)"):
            gm.plot.evolution([self.stages[0], self.stages[0][:, :3]], ax=ax)
        with pytest.raises(ValueError, match="there are none"):
            gm.plot.evolution([], ax=ax)
        with pytest.raises(ValueError, match="titles are 1, must be 3"):
            gm.plot.evolution(self.stages, titles=["a"], ax=ax)
        with pytest.raises(TypeError, match="stages must be arrays of images or a folder, not int"):
            gm.plot.evolution(3, ax=ax)
        with pytest.raises(FileNotFoundError, match="holds no pictures"):
            gm.plot.evolution(tmp_path, ax=ax)
        with pytest.raises(ValueError, match=r"frame_seconds is 0\.0"):
            gm.plot.save_evolution(self.stages, tmp_path / "a.gif", frame_seconds=0)
        with pytest.raises(ValueError, match="pictures of one size"):
            gm.plot.save_evolution([], tmp_path / "a.gif")
        assert not list(tmp_path.iterdir())
        assert not ax.images

    def test_a_picture_that_is_no_grid(self, ax, tmp_path):
        Image.new("L", (33, 50)).save(tmp_path / "samples-000.png")
        with pytest.raises(ValueError, match="no grid of 5 x 5"):
            gm.plot.evolution(tmp_path, ax=ax)

    @pytest.mark.parametrize(
        ("length", "most_pixels", "message"),
        [(7, None, "cannot identify"), (300, None, "truncated"), (None, 100, "exceeds limit of 200 pixels")],
    )
    def test_a_damaged_picture_is_named_with_what_is_wrong(
        self, length, most_pixels, message, ax, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most_pixels)
        path = tmp_path / "samples-000.png"
        gm.plot.save_grid(self.stages[0], path)
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=rf"samples-000\.png holds no whole picture: .*{message}"):
            gm.plot.evolution(tmp_path, ax=ax)

    def test_what_pillow_says_of_a_gif_it_cannot_write_is_kept(self, tmp_path, monkeypatch):
        def fail(*arguments, **options):
            raise OSError("encoder error -2")

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(OSError, match=r"^encoder error -2$"):
            gm.plot.save_evolution(self.stages, tmp_path / "a.gif")
        assert not list(tmp_path.iterdir())


class TestNeighbours:
    reference = small.images(300, seed=1)

    @pytest.mark.parametrize("block", [100, 2**22])
    def test_finds_what_comparing_all_pairs_finds(self, block, monkeypatch):
        monkeypatch.setattr(copies, "_BLOCK", block)
        monkeypatch.setattr(copies, "_ROWS", 7)
        x = np.random.default_rng(2).random((20, 8, 8, 1)).astype(np.float32)
        index, distance = gm.plot.nearest(x, self.reference)
        pairs = x.reshape(20, 1, -1).astype(float) - self.reference.reshape(300, -1) / 255
        expected = np.linalg.norm(pairs, axis=2)
        assert np.array_equal(index, expected.argmin(axis=1))
        assert np.allclose(distance, expected.min(axis=1), rtol=1e-12)

    def test_a_copy_is_found_at_distance_zero_and_the_first_of_equals(self):
        twice = np.concatenate([self.reference, self.reference])
        index, distance = gm.plot.nearest(self.reference[[5, 250]], twice)
        assert index.tolist() == [5, 250]
        assert distance.tolist() == [0, 0]
        assert gm.plot.nearest(self.reference[[5]] / 255, self.reference)[0].tolist() == [5]

    def test_needs_no_memory_of_the_size_of_all_pairs(self):
        x = np.zeros((1000, 4, 4), np.uint8)
        reference = np.zeros((20_000, 4, 4), np.uint8)
        tracemalloc.start()
        gm.plot.nearest(x, reference)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 110e6  # all pairs would be 160 MB, and twice for their sums

    def test_draws_them_below_with_their_distance(self, ax):
        x = small.images(12, seed=3)
        assert gm.plot.neighbours(x, self.reference, n=4, ax=ax) is ax
        index, distance = gm.plot.nearest(x[:4], self.reference)
        cells = picture(ax).reshape(2, 8, 4, 8).swapaxes(1, 2)
        assert np.array_equal(cells[0], x[:4, ..., 0])
        assert np.array_equal(cells[1], self.reference[index, ..., 0])
        assert labels(ax.xaxis) == [f"{value:.2f}" for value in distance]

    @pytest.mark.parametrize(
        ("x", "reference", "error", "message"),
        [
            (np.zeros((2, 8, 7), np.uint8), reference, ValueError, r"x has images of \(8, 7, 1\), the reference of"),
            (np.zeros((2, 8, 8)) + np.nan, reference, ValueError, "nan"),
            (reference, np.zeros((0, 8, 8, 1), np.uint8), ValueError, r"\(0, 8, 8, 1\)"),
            (reference, reference.astype(int), TypeError, "int64"),
            (None, reference, ValueError, "images must have shape"),
        ],
    )
    def test_refuses_what_is_not_images_of_one_shape(self, x, reference, error, message, ax):
        with pytest.raises(error, match=message):
            gm.plot.neighbours(x, reference, ax=ax)
        assert not ax.images


def test_given_axes_leave_pyplot_alone_and_what_is_there_in_place():
    program = """if True:
        import sys, numpy as np, genmodels as gm, small
        from genmodels.plot.figure import new_figure
        x, vae = small.images(10), small.vae(num_classes=2)
        scores = {"a": [1.0, 2.0], "b": [3.0]}
        for draw in (
            lambda ax: gm.plot.class_grid(vae, ax=ax),
            lambda ax: gm.plot.interpolation(vae, 0, 1, ax=ax),
            lambda ax: gm.plot.evolution([x, x], ax=ax),
            lambda ax: gm.plot.neighbours(x, x, ax=ax),
            lambda ax: gm.plot.fid({"fd": [2.0, 1.0]}, ax=ax),
            lambda ax: gm.plot.comparison(scores, ax=ax),
            lambda ax: gm.plot.latent_stages([small.vae()], x, axes=[ax])[0],
        ):
            ax = new_figure((4, 4)).add_subplot()
            mine = ax.plot([0, 1], [0, 1])[0]
            assert draw(ax) is ax
            assert mine in ax.lines
            ax.figure.canvas.draw()
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True, cwd="tests", env={"MPLBACKEND": "tkagg"})
