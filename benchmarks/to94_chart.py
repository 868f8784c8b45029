"""Draw the curves of ``python -m benchmarks.to94``: test accuracy against seconds of training.

The picture has its own background, light or dark to match the reader's system, so it suits any page.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 58, 690, 84, 310
GOAL = 0.94
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3000)
"""Seconds that may be between two marks on the axis."""
STYLE = """
    .card { fill: #ffffff; stroke: #d5dae1; }
    text { fill: #1c2733; } .note { fill: #55606d; font-size: 12px; }
    .middle { text-anchor: middle; } .end { text-anchor: end; } .name { font-weight: 600; }
    .grid { stroke: #d5dae1; } .goal { stroke: #55606d; stroke-dasharray: 5 4; }
    .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; } .point { fill: #ffffff; stroke-width: 2; }
    .xnn { stroke: #2a6fbb; } .torch { stroke: #c2611f; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #171c22; stroke: #3a444f; }
      text { fill: #e4e9ee; } .note { fill: #a3aebb; }
      .grid { stroke: #3a444f; } .goal { stroke: #a3aebb; } .point { fill: #171c22; }
      .xnn { stroke: #6aa9ec; } .torch { stroke: #e8935a; }
    }
"""


def chart(figures: Mapping[str, Any]) -> str:
    """Return the picture of all programs in `figures`."""
    rows = [row for each in figures.values() for row in each["epochs"]]
    longest = max(row["seconds"] for row in rows)
    step = next((step for step in STEPS if longest <= 8 * step), STEPS[-1])
    last = step * math.ceil(longest / step)
    floor = min(math.floor(10 * min(row["accuracy"] for row in rows)) / 10, 0.9)

    def x(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * seconds / last

    def y(accuracy: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (accuracy - floor) / (1 - floor)

    parts = [
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>',
        f'<text class="name" x="{LEFT}" y="30">Test accuracy on CIFAR-10 after each epoch, and the time it took</text>',
    ]
    for tenth in range(round(10 * floor), 11):
        height = f"{y(tenth / 10):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{height}" x2="{RIGHT}" y2="{height}"/>')
        parts.append(f'<text class="note end" x="{LEFT - 8}" y="{float(height) + 4:.1f}">{10 * tenth} %</text>')
    for mark in range(0, last + 1, step):
        shown = f"{mark / 60:g} min" if step >= 30 else f"{mark} s"
        parts.append(f'<text class="note middle" x="{x(mark):.1f}" y="{BOTTOM + 20}">{shown}</text>')
    parts.append(f'<line class="goal" x1="{LEFT}" y1="{y(GOAL):.1f}" x2="{RIGHT}" y2="{y(GOAL):.1f}"/>')
    parts.append(f'<text class="note end" x="{LEFT - 8}" y="{y(GOAL) + 4:.1f}">{100 * GOAL:.0f} %</text>')
    for place, (name, each) in enumerate(figures.items()):
        points = [(x(row["seconds"]), y(row["accuracy"])) for row in each["epochs"]]
        parts.append(f'<polyline class="line {name}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
        parts += [f'<circle class="point {name}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>' for a, b in points]
        left = LEFT + 290 * place
        parts.append(f'<line class="line {name}" x1="{left}" y1="54" x2="{left + 22}" y2="54"/>')
        parts.append(f'<text x="{left + 30}" y="58">{escape(summary(each))}</text>')
    about = next(iter(figures.values()))
    circumstances = f"{about['processor']}, {about['threads']} threads, {about['date'][:10]}; six views of each image"
    parts.append(f'<text class="note" x="{LEFT}" y="{HEIGHT - 20}">{escape(circumstances)}</text>')
    told = escape("; ".join(summary(each) for each in figures.values()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="13" role="img"'
        " font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\""
        f' aria-label="Test accuracy on CIFAR-10 against seconds of training. {told}">\n'
        f"  <style>{STYLE}  </style>\n" + "".join(f"  {part}\n" for part in parts) + "</svg>\n"
    )


def summary(each: Mapping[str, Any]) -> str:
    """Return what a program reached in the end, and in how long."""
    end = each["epochs"][-1]
    return f"{each['title']}: {100 * end['accuracy']:.2f} % in {end['seconds']:,.0f} s"
