"""Curves and bars of scores, and that scores of different extractors never meet."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import genmodels as gm
from genmodels.training.history import History

NAN = float("nan")


@pytest.fixture
def ax():
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def curves(ax):
    return {line.get_gid(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


class TestFid:
    def test_the_epochs_that_were_scored_and_the_best_of_them(self, ax):
        history = History({"loss": [5, 4, 3, 2], "fd": [NAN, 30, NAN, 20], "fd_epoch": [NAN, 2, NAN, 4]})
        assert gm.plot.fid(history, ax=ax) is ax
        assert curves(ax) == {"fd": ([2, 4], [30, 20]), "fd:best": ([4], [20])}
        assert ax.get_ylabel() == "Fréchet distance (lower is better)"
        assert ax.get_legend().get_texts()[0].get_text() == "best 20, epoch 4"

    def test_lists_of_scored_epochs_alone(self, ax):
        gm.plot.fid({"fd": [9.0, 3.0, 3.0], "fd_epoch": [10, 20, 30]}, ax=ax)
        assert curves(ax) == {"fd": ([10, 20, 30], [9, 3, 3]), "fd:best": ([20], [3])}

    def test_without_epochs_they_are_counted(self, ax):
        gm.plot.fid({"fd": [9.0, NAN, 3.0]}, ax=ax)
        assert curves(ax)["fd"] == ([1, 3], [9, 3])

    def test_one_epoch_has_no_half_beside_it(self, ax):
        gm.plot.fid({"fd": [9.0], "fd_epoch": [5]}, ax=ax)
        assert all(float(tick).is_integer() for tick in ax.get_xticks())

    def test_several_runs_differ_without_colour_too(self, ax):
        runs = {f"run {i}": {"fd": [9.0 - i, 5.0 + i]} for i in range(6)}
        gm.plot.fid(runs, ax=ax)
        lines = [line for line in ax.lines if line.get_gid() in runs]
        assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 6
        assert curves(ax)["run 5:best"] == ([1], [4.0])
        assert len(ax.get_legend().get_texts()) == 6

    def test_their_legend_covers_no_curve(self, ax):
        gm.plot.fid({f"run {i}": {"fd": [9.0 - i, 5.0 + i]} for i in range(6)}, ax=ax)
        ax.figure.canvas.draw()
        legend, drawn = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert not legend.overlaps(drawn)
        assert legend.x1 <= ax.figure.bbox.x1

    @pytest.mark.parametrize("said", ["scored-by-a", ["scored-by-a", None], [NAN, "scored-by-a"]])
    def test_names_the_extractor(self, said, ax):
        gm.plot.fid({"fd": [2.0, 1.0], "fd_extractor": said}, ax=ax)
        assert ax.get_ylabel().endswith("\nextractor scored-by-a")

    def test_a_historys_number_is_the_beginning_of_the_hash(self, ax):
        history = History({"fd": [2.0], "fd_extractor": [float(0xF454F3FC5A1B)]})
        gm.plot.fid(history, ax=ax)
        assert ax.get_ylabel().endswith("\nextractor f454f3fc5a1b")

    def test_refuses_different_extractors(self, ax):
        a, b = ({"fd": [2.0, 1.0], "fd_extractor": name} for name in ("first", "second"))
        with pytest.raises(ValueError, match="not comparable: one has first, other has second"):
            gm.plot.fid({"one": a, "other": b}, ax=ax)
        with pytest.raises(ValueError, match=r"different extractors .* fd has first, fd has second"):
            gm.plot.fid({"fd": [2.0, 1.0], "fd_extractor": ["first", "second"]}, ax=ax)
        assert not ax.lines
        gm.plot.fid(a, ax=ax)
        with pytest.raises(ValueError, match="the axes show first, not second"):
            gm.plot.fid(b, ax=ax)
        gm.plot.fid(a, ax=ax)
        assert len(ax.lines) == 4

    @pytest.mark.parametrize(
        ("history", "error", "message"),
        [
            ({"loss": [1.0]}, ValueError, "has no 'fd'; it has loss"),
            (History(), ValueError, "has no 'fd'; it has nothing"),
            ({"fd": [NAN]}, ValueError, "no score yet"),
            ({"fd": [1.0], "fd_epoch": [1, 2]}, ValueError, r"fd has shape \(1,\) and fd_epoch \(2,\)"),
            ({}, ValueError, "empty"),
            ({"a": {"loss": [1.0]}}, ValueError, "a: the history has no 'fd'"),
            ([1.0, 2.0], TypeError, "not list"),
        ],
    )
    def test_refuses_what_has_no_scores(self, history, error, message, ax):
        with pytest.raises(error, match=message):
            gm.plot.fid(history, ax=ax)
        assert not ax.lines

    def test_the_losses_are_drawn_without_the_scores(self, ax):
        gm.plot.history({"loss": [2.0], "fd": [1.0], "fd_epoch": [1], "is": [2.0], "precision": [0.5]}, ax=ax)
        assert list(curves(ax)) == ["loss"]


class TestComparison:
    def test_mean_spread_and_every_seed(self, ax):
        assert gm.plot.comparison({"vae": [1.0, 2.0, 6.0], "gan": 4.0}, ax=ax) is ax
        assert [bar.get_height() for bar in ax.patches] == [3, 4]
        (whisker,) = (bars for bars in ax.collections if bars.get_gid() is None)
        low, high = whisker.get_segments()[0][:, 1]
        assert (low, high) == pytest.approx((3 - np.sqrt(7), 3 + np.sqrt(7)))
        (dots,) = (dots for dots in ax.collections if dots.get_gid() == "vae")
        assert dots.get_offsets()[:, 1].tolist() == [1, 2, 6]
        assert [text.get_text() for text in ax.texts] == ["3.0 ± 2.6", "4"]
        assert [text.get_text() for text in ax.get_xticklabels()] == ["vae", "gan"]

    def test_takes_a_score_of_evaluations(self, ax):
        seeds = [{"fd": 3.0, "is": 2.0, "extractor": "a"}, {"fd": 5.0, "is": 4.0, "extractor": "a"}]
        gm.plot.comparison({"vae": seeds, "gan": seeds[0]}, score="is", ax=ax)
        assert [bar.get_height() for bar in ax.patches] == [3, 2]
        assert ax.get_ylabel() == "Inception Score's form (higher is better)\nextractor a"

    def test_numbers_do_not_cover_each_other_or_the_frame(self, ax):
        gm.plot.comparison({f"model-number-{i}": [20.0 + i, 22.0, 30.0 - i] for i in range(6)}, ax=ax)
        ax.figure.canvas.draw()
        for texts in (ax.texts, ax.get_xticklabels()[:1]):
            boxes = [text.get_window_extent() for text in texts]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert max(text.get_window_extent().y1 for text in ax.texts) < ax.get_window_extent().y1

    def test_refuses_different_extractors(self, ax):
        with pytest.raises(ValueError, match="vae, 1 has a, gan, 1 has b"):
            gm.plot.comparison({"vae": {"fd": 1.0, "extractor": "a"}, "gan": {"fd": 1.0, "extractor": "b"}}, ax=ax)
        assert not ax.patches

    @pytest.mark.parametrize(
        ("values", "error", "message"),
        [
            ({}, ValueError, "empty"),
            ([1.0], TypeError, "not list"),
            ({"vae": []}, ValueError, "vae: a number, or one a seed"),
            ({"vae": "three"}, TypeError, "vae: fd must be a number, not 'three'"),
            ({"vae": [1.0, NAN]}, ValueError, "vae: fd is nan, must be finite"),
            ({"vae": {"kd": 1.0}}, ValueError, "vae has no score 'fd'; it has kd"),
        ],
    )
    def test_refuses_what_is_no_score(self, values, error, message, ax):
        with pytest.raises(error, match=message):
            gm.plot.comparison(values, ax=ax)
        assert not ax.patches
