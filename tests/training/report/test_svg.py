"""The small parts of a drawing."""

import itertools
import math
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from training.report import svg


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_equally_spaced_and_inside(low: float, span: float) -> None:
    """Every tick is a whole multiple of a step of 1, 2, 2.5 or 5 times a power of ten."""
    values = svg.ticks(low, low + span)
    assert 1 <= len(values) <= 2 * svg.TICKS
    if len(values) < 2:
        return
    steps = [after - before for before, after in itertools.pairwise(values)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)
    assert low - 1e-6 * span <= values[0]
    assert values[-1] <= low + span * (1 + 1e-6)


def test_ticks_of_a_share_are_the_ones_a_person_would_choose() -> None:
    assert svg.ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert svg.ticks(0.03, 0.47) == [0.1, 0.2, 0.3, 0.4]


def test_an_axis_of_one_value_has_one_tick_in_the_middle() -> None:
    assert svg.ticks(3, 3) == [3]
    assert svg.Scale(3, 3, 0, 100)(3) == 50


def test_values_grow_to_the_right_and_upwards() -> None:
    frame = svg.Frame(400, 300)
    x, y = frame.x(0, 10), frame.y(0, 10)
    assert (x(0), x(10)) == (frame.left, 400 - frame.right)
    assert (y(0), y(10)) == (300 - frame.bottom, frame.top)


def test_a_drawing_is_well_formed_names_itself_and_escapes_what_it_is_told() -> None:
    frame = svg.Frame(400, 300)
    axis = svg.Axis(frame.x(0, 1), "<b> & co", str)
    parts = [svg.axes(frame, axis, svg.Axis(frame.y(0, 1), "up", str)), svg.line([(0, 0), (1, 1)], "model")]
    drawing = svg.drawing("key", "A <title>", 'says "so"', 400, 300, parts)
    assert isinstance(drawing, Markup)
    root = ET.fromstring(drawing)
    assert root.attrib["aria-labelledby"] == "key-title key-desc"
    assert [root.find(tag).text for tag in ("title", "desc")] == ["A <title>", 'says "so"']  # type: ignore[union-attr]
    assert "<b> & co" in [text.text for text in root.iter("text")]
