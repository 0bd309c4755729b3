"""Pictures of what a model makes: classes, interpolations, stages of the latent space."""

import numpy as np
import pytest
import small
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import genmodels as gm
from genmodels import layers as L
from genmodels.run import KEPT


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def cells(ax, rows, columns):
    """The cells of the picture in ax, row by row: (rows * columns, H, W)."""
    picture = np.asarray(ax.images[-1].get_array())
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    return picture.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(-1, height, width)


def as_bytes(images):
    return np.rint(images[..., 0] * 255)


def conditional(family, **changes):
    """A conditional model after two steps; its drawing layers take two codes and four classes."""
    model = getattr(small, family)(num_classes=4, **changes)
    model.fit(small.images(40), np.arange(40) % 4, batch_size=20, verbose="silent")
    return model


class TestClassGrid:
    def test_a_row_a_class_and_a_column_a_code(self, ax):
        model = conditional("gan")
        assert gm.plot.class_grid(model, n=3, seed=7, ax=ax) is ax
        for k in range(4):
            expected = as_bytes(model.sample(3, labels=[k] * 3, seed=7))
            assert np.array_equal(cells(ax, 4, 3)[3 * k : 3 * k + 3], expected)
        assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2", "3"]

    def test_a_column_a_class_of_those_chosen(self, ax):
        model = conditional("vae")
        gm.plot.class_grid(model, n=2, by="column", labels=[3, 1], ax=ax)
        assert np.array_equal(cells(ax, 2, 2)[[0, 2]], as_bytes(model.sample(2, labels=[3, 3], seed=0)))
        assert np.array_equal(cells(ax, 2, 2)[[1, 3]], as_bytes(model.sample(2, labels=[1, 1], seed=0)))
        assert [text.get_text() for text in ax.get_xticklabels()] == ["3", "1"]

    def test_refuses_what_it_cannot_draw(self, ax):
        with pytest.raises(ValueError, match="VAE is not conditional"):
            gm.plot.class_grid(small.vae(), ax=ax)
        with pytest.raises(TypeError, match="model must be a VAE or a GAN, not int"):
            gm.plot.class_grid(3, ax=ax)
        with pytest.raises(ValueError, match="labels is empty"):
            gm.plot.class_grid(conditional("vae"), labels=[], ax=ax)
        with pytest.raises(ValueError, match=r"labels\[0\] is 4, must be in 0\.\.3"):
            gm.plot.class_grid(conditional("vae"), labels=[4], ax=ax)
        for wrong in ([1.7], ["2"], [True]):
            with pytest.raises(TypeError, match=r"labels have dtype .*, must be integers"):
                gm.plot.class_grid(conditional("vae"), labels=wrong, ax=ax)
        with pytest.raises(ValueError, match="'row', 'column'"):
            gm.plot.class_grid(conditional("vae"), by="class", ax=ax)
        assert not ax.images


class TestBetween:
    def test_lerp_is_a_line(self):
        points = gm.plot.between([0.0, 4.0], [2.0, 0.0], steps=3)
        assert np.allclose(points, [[0, 4], [1, 2], [2, 0]])

    def test_slerp_is_an_arc_of_even_steps(self):
        angles = np.arange(5) * np.pi / 8
        expected = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        assert np.allclose(gm.plot.between([1.0, 0.0], [0.0, 1.0], steps=5, mode="slerp"), expected, atol=1e-12)

    def test_slerp_keeps_the_length_of_gaussian_codes_where_lerp_does_not(self):
        a, b = np.random.default_rng(0).standard_normal((2, 500))
        middle = {mode: gm.plot.between(a, b, 3, mode)[1] for mode in ("lerp", "slerp")}
        assert np.linalg.norm(middle["slerp"]) == pytest.approx(np.sqrt(500), rel=0.05)
        assert np.linalg.norm(middle["lerp"]) == pytest.approx(np.sqrt(250), rel=0.1)

    @pytest.mark.parametrize("mode", ["lerp", "slerp"])
    def test_ends_are_exact(self, mode):
        a, b = np.random.default_rng(1).standard_normal((2, 7))
        points = gm.plot.between(a, b, 4, mode)
        assert np.array_equal(points[0], a)
        assert np.array_equal(points[-1], b)

    def test_slerp_of_one_direction_is_the_line(self):
        assert np.allclose(gm.plot.between([1.0, 1.0], [3.0, 3.0], 3, "slerp"), [[1, 1], [2, 2], [3, 3]])

    def test_slerp_without_an_arc_is_refused(self):
        with pytest.raises(ValueError, match="a code of zeros has no direction"):
            gm.plot.between([0.0, 0.0], [1.0, 0.0], mode="slerp")
        with pytest.raises(ValueError, match="opposite"):
            gm.plot.between([1.0, 2.0], [-2.0, -4.0], mode="slerp")

    @pytest.mark.parametrize(
        ("start", "end", "steps", "mode", "message"),
        [
            ([np.nan], [0.0], 3, "lerp", "start.0. is nan, must be finite"),
            ([0.0], [0.0, 1.0], 3, "lerp", r"start has shape \(1,\) and end \(2,\)"),
            ([0.0], [1.0], 1, "lerp", "steps is 1, must be at least 2"),
            ([0.0], [1.0], 3, "line", "'lerp', 'slerp'"),
        ],
    )
    def test_refuses_bad_ends(self, start, end, steps, mode, message):
        with pytest.raises(ValueError, match=message):
            gm.plot.between(start, end, steps, mode)


class TestInterpolation:
    @pytest.mark.parametrize("mode", ["lerp", "slerp"])
    def test_between_codes(self, mode, ax):
        gan = small.gan()
        a, b = np.random.default_rng(0).standard_normal((2, 2))
        assert gm.plot.interpolation(gan, a, b, steps=6, mode=mode, ax=ax) is ax
        assert np.array_equal(cells(ax, 1, 6), as_bytes(gan.generate(gm.plot.between(a, b, 6, mode))))
        assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]

    def test_between_images_goes_through_their_codes(self, ax):
        vae, x = small.vae(), small.images(2)
        gm.plot.interpolation(vae, x[0], x[1], steps=3, ax=ax)
        expected = as_bytes(vae.decode(gm.plot.between(*vae.encode(x)[0], 3)))
        assert np.array_equal(cells(ax, 1, 3), expected)
        gm.plot.interpolation(vae, x[0, ..., 0], x[1, ..., 0] / 255, steps=3, ax=ax)
        assert np.abs(cells(ax, 1, 3) - expected).max() <= 1

    @pytest.mark.parametrize(
        ("family", "changes"),
        [("gan", {}), ("gan", {"ema": 0.0}), ("vae", {})],
        ids=["average", "generator", "decoder"],
    )
    def test_between_classes_mixes_the_labels_at_one_code(self, family, changes, ax):
        """The ends are what the model draws of the classes: in the range of a Tanh and of a Sigmoid alike."""
        model = conditional(family, **changes)
        gm.plot.interpolation(model, 1, 3, steps=5, seed=9, ax=ax)
        drawn = cells(ax, 1, 5)
        ends = as_bytes(np.concatenate([model.sample(1, labels=[k], seed=9) for k in (1, 3)]))
        assert np.abs(drawn[[0, 4]] - ends).max() <= 1
        assert not np.array_equal(drawn[2], drawn[0])
        assert ax.get_xlabel() == "lerp from class 1 (0) to class 3 (1)"

    def test_the_middle_is_half_of_each_class(self, ax):
        """A decoder without layers to hide behind: the image is the one-hot label itself."""
        vae = gm.VAE(
            encoder=[L.Flatten(), L.Dense(2)],
            decoder=[L.Dense(4, use_bias=False), L.Reshape((2, 2, 1))],
            input_shape=(2, 2, 1),
            latent_dim=1,
            num_classes=4,
            reconstruction="mse",
        )
        vae.weights["decoder.0.kernel"][...] = np.concatenate([np.zeros((1, 4)), np.eye(4)])
        gm.plot.interpolation(vae, 0, 3, steps=3, ax=ax)
        assert cells(ax, 1, 3).reshape(3, 4).tolist() == [[255, 0, 0, 0], [128, 0, 0, 128], [0, 0, 0, 255]]
        gm.plot.interpolation(vae, 0, 3, steps=3, mode="slerp", ax=ax)
        assert cells(ax, 1, 3)[1].ravel().tolist() == [180, 0, 0, 180]  # 255 / sqrt(2)

    def test_conditional_codes_and_images_take_labels(self, ax):
        vae, x = conditional("vae"), small.images(2)
        codes = vae.encode(x, [1, 2])[0]
        gm.plot.interpolation(vae, *codes, steps=4, labels=3, ax=ax)
        assert np.array_equal(cells(ax, 1, 4), as_bytes(vae.decode(gm.plot.between(*codes, 4), [3] * 4)))
        gm.plot.interpolation(vae, *x, steps=2, labels=(1, 2), ax=ax)
        assert np.abs(cells(ax, 1, 2) - as_bytes(vae.reconstruct(x, [1, 2]))).max() <= 1
        with pytest.raises(ValueError, match="labels are needed"):
            gm.plot.interpolation(vae, *codes, ax=ax)

    def test_leaves_the_models_streams_alone(self, ax):
        model = conditional("gan")
        before = small.state(model)
        gm.plot.interpolation(model, 0, 1, ax=ax)
        assert small.state(model) == before

    @pytest.mark.parametrize(
        ("start", "end", "message"),
        [
            (
                np.zeros(3),
                np.zeros(3),
                r"shape \(3,\), must be a code \(2,\), an image \(8, 8, 1\) or a class",
            ),
            (np.zeros(2), np.zeros((8, 8, 1)), "start is code and end is image"),
            (0, np.zeros(2), "start is class and end is code"),
            (np.array([np.nan, 0]), np.zeros(2), "finite"),
            (np.zeros((8, 8, 1)), np.zeros((8, 8, 1)), "a GAN finds no codes of images"),
            (0, 1, "labels were given, but the model has none"),
        ],
    )
    def test_refuses_ends_that_do_not_fit(self, start, end, message, ax):
        with pytest.raises(ValueError, match=message):
            gm.plot.interpolation(small.gan(), start, end, ax=ax)
        assert not ax.images

    def test_refuses_other_kinds(self, ax):
        with pytest.raises(TypeError, match="model must be a VAE or a GAN, not NoneType"):
            gm.plot.interpolation(None, np.zeros(2), np.ones(2), ax=ax)
        with pytest.raises(TypeError, match="int64"):
            gm.plot.interpolation(small.gan(), np.array([1, 2]), np.array([1, 3]), ax=ax)
        with pytest.raises(ValueError, match=r"labels\[1\] is 4"):
            gm.plot.interpolation(conditional("gan"), 0, 4, ax=ax)
        with pytest.raises(ValueError, match="classes already"):
            gm.plot.interpolation(conditional("gan"), 0, 1, labels=2, ax=ax)


class TestLatentStages:
    @pytest.fixture
    def folder(self, tmp_path):
        """A run's folder that kept the checkpoints of epochs 1, 2 and 3."""
        (tmp_path / KEPT).mkdir()
        path = tmp_path / KEPT / "checkpoint-{epoch:03d}.safetensors"
        small.vae().fit(
            small.images(), epochs=3, batch_size=50, callbacks=gm.callbacks.Checkpoint(path), verbose="silent"
        )
        return tmp_path

    @staticmethod
    def drawn(ax):
        return np.concatenate([np.asarray(cluster.get_offsets()) for cluster in ax.collections])

    def test_chosen_epochs_of_a_run_side_by_side(self, folder):
        x, axes = small.images(30, seed=1), Figure().subplots(1, 2)
        assert gm.plot.latent_stages(folder, x, axes=axes, epochs=(3, 1)) == list(axes)
        for ax, epoch in zip(axes, (3, 1), strict=True):
            vae = gm.load(folder / KEPT / f"checkpoint-00{epoch}.safetensors")
            assert np.allclose(self.drawn(ax), vae.encode(x)[0])
            assert ax.get_title() == f"epoch {epoch}"

    def test_the_first_the_middle_and_the_last_by_default(self, folder):
        axes = gm.plot.latent_stages(folder, small.images(30), np.arange(30) % 3)
        assert [ax.get_title() for ax in axes] == ["epoch 1", "epoch 2", "epoch 3"]
        assert [ax.get_legend() is not None for ax in axes] == [False, False, True]

    def test_models_and_files_with_titles(self, folder):
        vae = small.vae(latent_dim=5)
        file = folder / KEPT / "checkpoint-001.safetensors"
        axes = gm.plot.latent_stages([vae, file], small.images(30), titles=["before", "after"])
        assert [ax.get_title() for ax in axes] == ["before", "after"]
        assert axes[0].get_xlabel().startswith("PC 1 (")
        assert axes[1].get_xlabel() == "z1"

    def test_refuses_what_is_no_stage(self, folder, tmp_path):
        x = small.images(30)
        with pytest.raises(ValueError, match=r"epoch 9 was not kept in .*; there are 1, 2, 3"):
            gm.plot.latent_stages(folder, x, epochs=[9])
        with pytest.raises(FileNotFoundError, match="no kept checkpoints"):
            gm.plot.latent_stages(tmp_path / "none", x)
        with pytest.raises(TypeError, match="vae must be a VAE, not GAN"):
            gm.plot.latent_stages([small.gan()], x)
        with pytest.raises(TypeError, match="not VAE"):
            gm.plot.latent_stages(small.vae(), x)
        with pytest.raises(ValueError, match="models is empty"):
            gm.plot.latent_stages([], x)
        with pytest.raises(ValueError, match="axes are 1, must be 2"):
            gm.plot.latent_stages([small.vae(), small.vae()], x, axes=[Figure().subplots()])
        with pytest.raises(TypeError, match="axes must be matplotlib Axes, not int"):
            gm.plot.latent_stages([small.vae()], x, axes=[3])
        with pytest.raises(ValueError, match="titles are 1, must be 2"):
            gm.plot.latent_stages([small.vae(), small.vae()], x, titles=["one"])
        with pytest.raises(ValueError, match="epochs choose among"):
            gm.plot.latent_stages([small.vae()], x, epochs=[1])
