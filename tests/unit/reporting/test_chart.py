"""Charts: where a value stands, round ticks, and curves that can be told apart by more than their colour."""

import re
from itertools import pairwise

import pytest

from paring.reporting.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, charts_of, look, round_numbers
from paring.reporting.series import Curve, Figure, Point


def figure(*curves, metric="reward", last_step=10):
    return Figure(metric, "Title", "meaning", {"": tuple(curves)}, 1, {"": last_step})


def curve(means, *, spread=0.0, runs=1, collapses=()):
    points = [Point(step, mean, mean - spread, mean + spread, runs) for step, mean in means.items()]
    return Curve("arm", 0, tuple(points), runs, tuple(collapses))


def numbers(path):
    return [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.-]+ [\d.-]+", path)]


def test_a_value_stands_where_the_ticks_say():
    (chart,) = charts_of(figure(curve({0: 0.0, 5: 1.0, 10: 2.0}))).values()
    (line,) = chart.lines
    places = numbers(line.path)
    assert [x for x, _ in places] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT], abs=0.05)
    heights = {text: place for place, text in chart.upwards}
    assert [y for _, y in places] == pytest.approx([heights["0"], heights["1"], heights["2"]], abs=0.05)
    assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in places) and line.band == ""
    assert [text for _, text in chart.across] == ["0", "5", "10"]


def test_each_setting_has_an_axis_of_its_own_length():
    drawn = Figure(
        "reward", "Title", "", {"a": (curve({0: 1.0, 10: 2.0}),), "b": (curve({0: 1.0, 5: 2.0}),)}, 1, {"a": 10, "b": 5}
    )
    assert {chart.lines[0].end[0] for chart in charts_of(drawn).values()} == {WIDTH - RIGHT}


def test_a_band_goes_along_the_highest_and_back_along_the_lowest():
    (chart,) = charts_of(figure(curve({0: 1.0, 10: 2.0}, spread=0.5, runs=2))).values()
    band, line = numbers(chart.lines[0].band), numbers(chart.lines[0].path)
    assert [x for x, _ in band] == [LEFT, WIDTH - RIGHT, WIDTH - RIGHT, LEFT]
    middles = [(band[0][1] + band[3][1]) / 2, (band[1][1] + band[2][1]) / 2]
    assert middles == pytest.approx([y for _, y in line], abs=0.1)


def test_a_collapse_lies_on_its_line():
    (chart,) = charts_of(figure(curve({0: 1.0, 5: 3.0, 10: 2.0}, collapses=[5.4, 1e6]))).values()
    (near, far) = chart.lines[0].collapses
    assert [near, far] == [pytest.approx(place, abs=0.05) for place in numbers(chart.lines[0].path)[1:]]


def test_a_logarithmic_scale_has_equal_steps_for_equal_factors():
    wide = curve({0: 0.0, 1: 0.01, 2: 0.1, 3: 0.1, 4: 0.1, 10: 100.0})
    drawn = figure(wide, metric="kl")
    (chart,) = charts_of(drawn).values()
    heights = [y for _, y in numbers(chart.lines[0].path)]
    assert drawn.logarithmic and heights[0] == HEIGHT - BOTTOM
    assert (heights[1] - heights[2]) == pytest.approx((heights[2] - heights[5]) / 3, abs=0.1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1.0]),
        (0, 150, [0, 50, 100, 150]),
        (0.31, 0.34, [0.31, 0.32, 0.33, 0.34]),
        (-3, 2, [-2, 0, 2]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round_and_few(low, high, expected):
    assert round_numbers(low, high) == pytest.approx(expected)


def test_a_constant_between_curves_has_a_scale():
    (chart,) = charts_of(figure(curve({0: 0.0, 10: 0.0}))).values()
    assert len(chart.upwards) >= 2


def test_24_curves_differ_in_colour_or_dashes_and_neighbours_in_both():
    looks = [look(style) for style in range(24)]
    assert len(set(looks)) == 24
    assert all(one[0] != other[0] and one[1] != other[1] for one, other in pairwise(looks[:12]))
