"""The report's drawings show the figures that they were given."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from training.report import Plane, charts, distribution


def dots(drawing: str) -> int:
    return drawing.count("h0")


def test_every_customer_in_the_frame_is_a_dot_of_its_segments_colour() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([5, 9], [300, 100])
    data = Plane(random.uniform(-1, 1, (400, 2)) + labels[:, None], labels, (0.4, 0.1))
    drawing, left_out = charts.plane("plane", data, (5, 9), ("Five", "Nine"))
    assert dots(drawing) == 400
    assert left_out == ""
    paths = {path.get("class"): path.get("d", "") for path in ET.fromstring(drawing).iter("path")}
    assert (dots(paths["dot s0"]), dots(paths["dot s1"])) == (300, 100)
    assert "Five: 300 customers; Nine: 100 customers" in drawing
    assert "First component (40\N{NO-BREAK SPACE}% of the variance)" in drawing


def test_customers_beyond_the_frame_and_those_not_drawn_are_counted_in_words() -> None:
    random = np.random.default_rng(0)
    points = np.vstack([random.uniform(-1, 1, (6000, 2)), [[1e6, 0.0]]])
    drawing, left_out = charts.plane("plane", Plane(points, np.zeros(6001, dtype=np.int64), (0.4, 0.1)), (0,), ("All",))
    assert dots(drawing) == 4000
    assert left_out == "4,000 of 6,000 customers are drawn, chosen by chance. 1 customer lies beyond the frame."


def test_more_segments_than_colours_are_told_apart_by_their_badges() -> None:
    labels = np.arange(13)
    drawing, _ = charts.plane(
        "p", Plane(np.c_[labels, labels], labels, (1.0, 0.0)), range(13), [str(n) for n in labels]
    )
    assert [text.text for text in ET.fromstring(drawing).iter("text") if "badge-text" in text.get("class", "")] == [
        str(place) for place in range(1, 14)
    ]


def test_a_segment_without_customers_and_a_plane_without_any_are_drawn() -> None:
    assert (
        "Nobody: 0 customers"
        in charts.plane("p", Plane(np.zeros((2, 2)), np.zeros(2, dtype=np.int64), (1, 0)), (0, 1), ("A", "Nobody"))[0]
    )
    charts.plane("p", Plane(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), (1, 0)), (0,), ("A",))


def test_lift_says_what_a_fifth_of_the_customers_holds() -> None:
    contacted = np.linspace(0, 1, 1001)
    model, chance = (contacted, np.sqrt(contacted)), (contacted, contacted)
    assert charts.reached_at(*model, 0.25) == pytest.approx(0.5)
    drawing = charts.gains("g", "Lift", model, chance, 0.25)
    percent = "\N{NO-BREAK SPACE}%"
    assert f"Contacting 25{percent} reaches 50{percent} of the positives by the model, 25{percent}" in drawing
    line = next(path.get("d", "") for path in ET.fromstring(drawing).iter("path") if path.get("class") == "model")
    heights = [float(pair.split()[1]) for pair in re.split("[ML]", line)[1:]]
    assert len(heights) == 200, "a thousand points are thinned"
    assert heights == sorted(heights, reverse=True), "it rises all the way"


def test_calibration_draws_a_dot_a_bin_within_the_frame() -> None:
    predicted, observed = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.6, 1.0])
    drawing = charts.calibration("c", "Calibration", predicted, observed, np.array([400, 25, 4]))
    circles = list(ET.fromstring(drawing).iter("circle"))
    radii = [float(circle.get("r", 0)) for circle in circles]
    assert radii[0] > radii[1] >= radii[2], "more customers, larger dot"
    for path in ET.fromstring(drawing).iter("path"):
        numbers = [float(part) for part in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
        assert all(-1 <= number <= 560 for number in numbers)


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    lower, upper = charts.wilson(np.array([81 / 263, 0.0]), np.array([263, 20]))
    np.testing.assert_allclose(lower, [0.2553, 0.0], atol=1e-4)
    np.testing.assert_allclose(upper, [0.3662, 0.1611], atol=1e-4)


def test_a_histograms_highest_bar_reaches_the_top_and_an_empty_bin_lies_on_the_ground() -> None:
    drawing = charts.histogram("h", distribution("rfm", "frequency", np.array([0.0, 0.0, 0.0, 10.0])))
    assert re.findall(r"V(\d+)", ET.fromstring(drawing)[2].get("d", ""))[:2] == ["1", "48"]
    assert "4 customers between 0 and 10" in drawing
