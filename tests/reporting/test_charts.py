"""Charts keep to their frame and lose no peak."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.reporting.charts import HEIGHT, WIDTH, Line, chart, legend, nice_ticks, thinned

values = st.floats(0, 1e9, allow_subnormal=False) | st.floats(1e-8, 1.0)
columns = st.lists(values, min_size=1, max_size=50)
# Of damaged files: NaN, infinities, the largest and the smallest numbers, and nearly equal ones.
odd = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1e-310, 1.7e308, -1.7e308, 1.0, math.nextafter(1.0, 2.0), -7.0])
scattered = st.lists(st.tuples(odd, odd), max_size=50)


def assert_in_frame(lines, from_zero, whole):
    drawn = chart(lines, title="values", from_zero=from_zero, whole_x=whole)
    if not any(line.points for line in lines):
        assert drawn == ""
        return
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert len(re.findall("<text", drawn)) < 30
    points = re.findall(r'(?<=[ML])([-\d.]+) ([-\d.]+)|cx="([-\d.]+)" cy="([-\d.]+)"', drawn)
    assert points
    for point in points:
        x, y = [float(number) for number in point if number]
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


@given(st.lists(columns, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_all_that_is_drawn_lies_in_the_frame(columns, from_zero, whole):
    lines = [Line(f"line {i}", "train", list(enumerate(column, 1))) for i, column in enumerate(columns)]
    assert_in_frame(lines, from_zero, whole)


@settings(max_examples=60)
@given(st.lists(scattered, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_no_number_is_too_odd(columns, from_zero, whole):
    assert_in_frame([Line("line", "train", points) for points in columns], from_zero, whole)


@pytest.mark.parametrize(
    "column",
    [[-5.0, -5.0], [0.0, 0.0], [1e308, -1e308, 1.0], [5e-324, 1.0], [5e-324, 2e-322], [1e16, 1e16 + 2], [1e-300] * 2],
    ids=str,
)
def test_scales_of_odd_ranges(column):
    for from_zero in (False, True):
        assert_in_frame([Line("line", "train", list(enumerate(column)))], from_zero, True)


def test_points_that_cannot_be_drawn_are_left_out_and_the_others_put_in_order():
    points = [(2, 1.0), (1, math.nan), (math.inf, 1.0), (-1, 1.0), (1, -math.inf), (1, 3.0), (2, 1.0), (3, 1e301)]
    assert Line("line", "train", points).points == [(1, 3.0), (2, 1.0)]


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-6, 1e6), most=st.integers(3, 9))
def test_ticks_are_few_even_and_inside(low, width, most):
    ticks = nice_ticks(low, low + width, most)
    assert len(ticks) <= most
    slack = 1e-6 * width + 1e-9 * abs(low)
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)
    steps = [b - a for a, b in pairwise(ticks)]
    assert all(step == pytest.approx(steps[0], rel=1e-3, abs=1e-9 * abs(low)) for step in steps)


@given(length=st.integers(1, 5000), seed=st.integers(0, 99))
def test_thinning_keeps_the_ends_of_the_range(length, seed):
    column = np.random.default_rng(seed).standard_normal(length).tolist()
    points = list(enumerate(column))
    kept = thinned(points)
    assert len(kept) <= 602
    assert set(kept) <= set(points)
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert {max(column), min(column)} <= {y for _, y in kept}


def test_a_chart_says_what_it_shows():
    lines = [Line("<training>", "train", [(1, 0.5), (2, 0.25)]), Line("test", "held-out", [])]
    drawn = chart(lines, title="Loss")
    assert 'role="img" aria-label="Loss: &lt;training&gt; ends at 0.25"' in drawn
    assert "&lt;training&gt;" in legend(lines)
    assert "test" not in legend(lines)


def test_a_loss_that_falls_far_has_a_logarithmic_axis():
    marks = re.findall(r'text-anchor="end">([^<]*)<', chart([Line("a", "train", [(1, 1.0), (2, 1e-3)])], title=""))
    assert marks == ["0.001", "0.01", "0.1", "1"]


def test_one_point_has_its_value_beside_it():
    drawn = chart([Line("a", "train", [(1, 87.55)])], title="", unit="%")
    assert ">87.55%<" in drawn
    assert '<path class="line' not in drawn
