"""Line charts as SVG, for a page: they use the page's colours, and their text is real text.

Matplotlib's charts would be pictures in one colour scheme; these follow the page from light to dark, can be read
aloud, and take a few kilobytes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xnn.training.plotting import needs_logarithm

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 14, 36
_MOST_MARKERS = 30
_MOST_POINTS = 600
"""Points per line: more points than pixels would only make the page larger."""
_LARGEST = 1e300
"""Numbers further from 0 are not drawn, since their differences may be infinite."""
_SMALLEST = 1e-300


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    label
        What it shows, for the legend.
    style
        A class of the page's style sheet, which gives its colour.
    points
        (x, y) pairs. They are sorted; those that no chart can show (NaN, infinite, x below 0) are left out.
    faint
        Whether to draw the line thin.
    dots
        Whether to mark each point of a short line.
    """

    label: str
    style: str
    points: Sequence[tuple[float, float]]
    faint: bool = False
    dots: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", drawable(self.points))


@dataclass(frozen=True)
class _Scale:
    """A map from values to positions, and the values to mark."""

    low: float
    high: float
    start: float
    stop: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.stop - self.start)


def chart(
    lines: Sequence[Line],
    *,
    title: str,
    unit: str = "",
    below: str = "epochs done",
    whole_x: bool = True,
    from_zero: bool = False,
) -> Markup:
    """Return a chart as an ``svg`` element, 460 by 260, that scales with its surroundings; empty without points.

    Parameters
    ----------
    lines
        Those without points are left out.
    title
        Read aloud instead of the picture, followed by each line's last value.
    unit
        Written after the values of the vertical axis.
    below
        What the horizontal axis shows.
    whole_x
        Mark only whole numbers on the horizontal axis.
    from_zero
        Begin the vertical axis at 0.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    values = [y for line in lines for _, y in line.points]
    x = _horizontal(max(x for line in lines for x, _ in line.points), whole_x)
    y = _vertical(values, from_zero)
    ends = "; ".join(f"{line.label} ends at {_text(line.points[-1][1])}{unit}" for line in lines)
    start = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">')
    return Markup("\n").join(
        [
            start.format(WIDTH, HEIGHT, title, ends),
            *_grid(x, y, unit, below),
            *(_drawn(line, x, y, unit, above=_is_above(line, lines)) for line in lines),
            Markup("</svg>"),
        ]
    )


def legend(lines: Sequence[Line]) -> Markup:
    """Return the names of the lines, each next to a piece of its line."""
    items = [Markup("<li>{}{}</li>").format(key(line), line.label) for line in lines if line.points]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def key(line: Line) -> Markup:
    """Return a piece of a line, to stand before its name."""
    drawn = Markup('<svg class="key" viewBox="0 0 22 10" aria-hidden="true"><path class="{}" d="M1 5H21"/></svg>')
    return drawn.format(_classes(line))


def _classes(line: Line) -> str:
    return f"line {line.style}{' faint' if line.faint else ''}"


def _grid(x: _Scale, y: _Scale, unit: str, title: str) -> list[Markup]:
    floor, edge = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in y.ticks:
        at = _place(y(value))
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, at, edge))
        parts.append(_beside(LEFT - 7, at, f"{_text(value)}{unit}"))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, floor, edge))
    below = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>')
    parts += [below.format(_place(x(value)), floor + 16, _text(value)) for value in x.ticks]
    parts.append(below.format(f"{(LEFT + edge) / 2:g}", HEIGHT - 4, title))
    return parts


def _is_above(line: Line, lines: Sequence[Line]) -> bool:
    """Return whether a line ends above the others, so that what is written there hides none of them."""
    return all(line.points[-1][1] >= other.points[-1][1] for other in lines)


def _drawn(line: Line, x: _Scale, y: _Scale, unit: str, *, above: bool) -> Markup:
    places = [(_place(x(a)), _place(y(b))) for a, b in thinned(line.points)]
    dot = Markup('<circle class="dot {}" cx="{}" cy="{}" r="{}"/>')
    if len(places) == 1:
        # A single point has its value next to it, since no line leads the eye there.
        (a, b), value = places[0], line.points[0][1]
        low = min(max(float(b) + (-13 if above else 13), TOP), HEIGHT - BOTTOM - 8)
        return dot.format(line.style, a, b, 4) + _beside(f"{float(a):g}", f"{low:g}", f"{_text(value)}{unit}")
    drawn = Markup('<path class="{}" d="M{}"/>').format(_classes(line), "L".join(f"{a} {b}" for a, b in places))
    if line.dots and len(places) <= _MOST_MARKERS:
        drawn += Markup("").join(dot.format(line.style, a, b, 3) for a, b in places)
    return drawn


def _beside(x: object, y: object, text: str) -> Markup:
    """Return text that ends at a place."""
    return Markup('<text x="{}" y="{}" dy=".34em" text-anchor="end">{}</text>').format(x, y, text)


def drawable(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that a chart can show, sorted by x, each once."""
    return sorted({(x, y) for x, y in points if 0.0 <= x <= _LARGEST and abs(y) <= _LARGEST})


def thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the points; if there are many, the lowest and highest of each stretch, so that no peak is lost."""
    if len(points) <= _MOST_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / _MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _horizontal(last: float, whole: bool) -> _Scale:
    last = last if last >= _SMALLEST else 0.0
    ticks = nice_ticks(0.0, last, 7)
    if whole and last >= 1:
        ticks = [tick for tick in ticks if tick == round(tick)]
    return _Scale(0.0, last or 1.0, LEFT, WIDTH - RIGHT, ticks)


def _vertical(values: Sequence[float], from_zero: bool) -> _Scale:
    low, high = min(values), max(values)
    floor = HEIGHT - BOTTOM
    if not from_zero and needs_logarithm(values):
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        powers = [10.0**power for power in range(first, last + 1)]
        fine = [factor * power for power in powers for factor in (1, 2, 5)] if len(powers) < 4 else powers
        ticks = [tick for tick in fine if low <= tick <= high]
        return _Scale(low / 1.15, high * 1.15, floor, TOP, ticks, logarithmic=True)
    # Values that are almost equal give no scale.
    if from_zero or high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < _SMALLEST:
        low, high = 0.0, 1.0
    ticks = nice_ticks(low, high, 6)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    low = math.floor(low / step + 1e-9) * step
    high = math.ceil(high / step - 1e-9) * step
    return _Scale(low, high, floor, TOP, nice_ticks(low, high, 6))


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` multiples of 1, 2 or 5 times a power of ten in [low, high], at equal distances."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        factor * power for factor in (1, 2, 5, 10, 20, 50) if (high - low) / (factor * power) <= most - 1 + 1e-9
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _text(value: float) -> str:
    """Return a value in a few characters."""
    if value == 0.0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _place(position: float) -> str:
    return f"{position:.1f}".removesuffix(".0")
