"""What notebooks show of models, networks and histories."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
import small

import genmodels as gm
from genmodels import _html
from genmodels import layers as L
from genmodels.training import History


def tree(html):
    """The pieces of HTML as one tree; an error unless every tag is closed and all text escaped."""
    return ElementTree.fromstring(f"<div>{html}</div>")


def rows(html):
    """The texts of a table's rows."""
    return [["".join(cell.itertext()) for cell in row] for row in tree(html).iter("tr")]


def check_plain(html):
    """No script, no address, no colours: nothing that a page must allow, or that a dark page would hide."""
    for element in tree(html).iter():
        assert element.tag in {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"} | {
            "svg",
            "polyline",
        }
        assert not {"style", "color", "bgcolor", "onclick", "href", "src"} & element.attrib.keys()
        assert element.attrib.get("stroke", "currentColor") == "currentColor"
        assert element.attrib.get("fill", "none") == "none"


def test_a_network_is_a_table_of_its_layers():
    network = gm.Network([L.Conv2D(4, 3, padding="same"), L.Flatten(), L.Dense(2)], (8, 8, 1))
    html = network._repr_html_()
    check_plain(html)
    assert "(8, 8, 1) to (2,), 554 parameters" in html
    assert rows(html) == [
        ["layer", "output shape", "parameters"],
        ["input", "(8, 8, 1)", ""],
        ["0 Conv2D(4, 3, padding='same')", "(8, 8, 4)", "40"],
        ["1 Flatten()", "(256,)", "0"],
        ["2 Dense(2)", "(2,)", "514"],
    ]


def test_of_many_layers_the_first_and_the_last_are_shown():
    network = gm.Network([layer for units in range(1, 21) for layer in (L.Dense(units), L.ReLU())], (3,))
    html = network._repr_html_()
    shown = rows(html)
    assert len(shown) == 1 + _html.MOST_ROWS + 1
    assert shown[8][0] == "6 Dense(4)"
    assert shown[9] == ["... 25 more layers: see summary()", "", ""]
    assert shown[10][0] == "32 Dense(17)"
    assert len(html) < 2500


@pytest.mark.parametrize("count", [_html.MOST_ROWS, _html.MOST_ROWS + 1, _html.MOST_ROWS + 2])
def test_a_note_never_stands_for_a_single_row(count):
    shortened = _html.shortened([(str(row),) for row in range(count)], "rows", "there")
    left_out = [row for row in shortened if row[0].startswith("...")]
    assert left_out == ([["... 2 more rows: there"]] if count == _html.MOST_ROWS + 2 else [])


@pytest.mark.parametrize("model", [small.vae(), small.gan()], ids=["vae", "gan"])
def test_a_model_is_its_networks_and_folded_their_layers(model):
    html = model._repr_html_()
    check_plain(html)
    assert f"{model.parameter_count:,} parameters, not trained yet" in html
    table = rows(html)[: 1 + len(model.networks)]
    assert [row[0] for row in table[1:]] == list(model.networks)
    assert sum(int(row[-1].replace(",", "")) for row in table[1:]) == model.parameter_count
    folded = [next(iter(element)).text for element in tree(html).iter("details")]
    assert folded == [f"layers of {name}" for name in model.networks]
    model.fit(small.images(), epochs=2)
    assert "2 epochs trained" in model._repr_html_()


def test_models_of_forty_layers_stay_short():
    many = [layer for _ in range(20) for layer in (L.Dense(4), L.LeakyReLU(0.2))]
    html = small.gan(generator=[*many, L.Dense(64), L.Reshape((8, 8, 1)), L.Tanh()])._repr_html_()
    check_plain(html)
    assert len(html) < 6000


# ---- histories ------------------------------------------------------------------------------------------------------


def history(epochs):
    made = History()
    for epoch in range(epochs):
        made.steps.append({"loss": 1.0})
        made.append({"loss": 100 / (epoch + 1), "kl": epoch % 7, "seconds": 1.5, "val_loss": math.nan})
    return made


def test_a_history_is_its_courses_and_its_last_ten_epochs():
    html = history(22)._repr_html_()
    check_plain(html)
    shown = rows(html)
    assert "22 epochs, 22 steps" in html
    assert shown[0] == ["epoch", "loss", "kl", "val_loss", "seconds"]
    assert [row[0] for row in shown[1:]] == ["course", *map(str, range(13, 23))]
    assert shown[-1] == ["22", f"{100 / 22:.6g}", "0", "", "1.5"]
    assert len(list(tree(html).iter("polyline"))) == 3  # nothing to draw of a column without values


def test_a_thousand_epochs_stay_short():
    html = history(1000)._repr_html_()
    check_plain(html)
    assert len(html) < 6000


def test_names_are_escaped():
    made = History({"<script>alert(1)</script>": [1.0, 2.0], "a&b": [1.0, 2.0]})
    check_plain(made._repr_html_())
    assert rows(made._repr_html_())[0] == ["epoch", "<script>alert(1)</script>", "a&b"]


def test_an_empty_and_an_interrupted_history():
    made = History()
    assert rows(made._repr_html_()) == []
    made.interrupted = True
    assert "0 epochs, 0 steps, interrupted" in made._repr_html_()


def test_steps_have_a_table_too():
    html = history(12).steps._repr_html_()
    assert "Table</b> 12 steps" in html
    assert rows(html)[0] == ["step", "loss"]


# ---- the course -----------------------------------------------------------------------------------------------------


def points(values):
    (line,) = tree(_html.sparkline(values)).iter("polyline")
    return [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]


def test_a_course_goes_from_left_to_right_and_upwards():
    x, y = zip(*points([1, 2, 4]), strict=True)
    assert x == (1, 45, 89)
    assert y == (20, 14, 2)


def test_a_flat_course_lies_in_the_middle():
    assert points([3, 3]) == [(1, 11), (89, 11)]


def test_gaps_are_left_out():
    assert points([1, math.nan, 2]) == [(1, 20), (89, 2)]
    assert points([math.inf, 1, 2, -math.inf])[0][0] > 1


def test_huge_values_stay_inside():
    assert [y for _, y in points([-1.7e308, 0, 1.7e308])] == [20, 11, 2]


def test_many_values_are_means_over_equal_stretches():
    many = points([0] * 500 + [1] * 500)
    assert len(many) == 60
    assert [y for _, y in many] == [20] * 30 + [2] * 30


@pytest.mark.parametrize("values", [[], [1], [math.nan, 1], [math.nan] * 5])
def test_a_single_value_has_no_course(values):
    assert _html.sparkline(values) == ""
