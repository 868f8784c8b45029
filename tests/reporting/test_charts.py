"""Charts keep to their frame and lose no peak."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.reporting.charts import HEIGHT, WIDTH, Line, chart, legend, nice_ticks, thinned

values = st.floats(0, 1e9, allow_subnormal=False) | st.floats(1e-8, 1.0)
columns = st.lists(values, min_size=1, max_size=50)


@given(st.lists(columns, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_all_that_is_drawn_lies_in_the_frame(columns, from_zero, whole):
    lines = [Line(f"line {i}", "train", list(enumerate(column, 1))) for i, column in enumerate(columns)]
    drawn = chart(lines, title="values", from_zero=from_zero, whole_x=whole)
    assert "nan" not in drawn
    assert "inf" not in drawn
    points = re.findall(r'(?<=[ML])([-\d.]+) ([-\d.]+)|cx="([-\d.]+)" cy="([-\d.]+)"', drawn)
    assert points
    for point in points:
        x, y = [float(number) for number in point if number]
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


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
