"""Draw how fast xnn is compared with PyTorch, from the output of ``python -m benchmarks.peers --json FILE``.

Usage: ``python -m benchmarks.chart FILE PICTURE.svg``. Each row is a bar from 1 to PyTorch's best time over xnn's, on a
logarithmic scale: to the right of 1, xnn is faster. The picture has its own background, light or dark to match the
reader's system, so it suits any page.
"""

import argparse
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

ROW = 24
TOP = 64
NAMES, TASKS, LEFT, RIGHT, WIDTH = 24, 280, 490, 740, 800
STYLE = """
    .card { fill: #ffffff; stroke: #d5dae1; }
    text { fill: #1c2733; } .note { fill: #55606d; font-size: 12px; }
    .middle { text-anchor: middle; } .end { text-anchor: end; } .name { font-weight: 600; }
    .grid { stroke: #d5dae1; } .one { stroke: #55606d; stroke-width: 1.5; }
    .number { paint-order: stroke; stroke: #ffffff; stroke-width: 4; }
    .faster { fill: #2a6fbb; } .slower { fill: #c2611f; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #171c22; stroke: #3a444f; }
      text { fill: #e4e9ee; } .note { fill: #a3aebb; }
      .grid { stroke: #3a444f; } .one { stroke: #a3aebb; }
      .number { stroke: #171c22; }
      .faster { fill: #6aa9ec; } .slower { fill: #e8935a; }
    }
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, metavar="FILE", help="the JSON that benchmarks.peers has written")
    parser.add_argument("picture", type=Path, metavar="PICTURE.svg", help="the file to write")
    arguments = parser.parse_args(argv)
    record = json.loads(arguments.figures.read_text(encoding="utf-8"))
    if all(row["ratio"] is None for row in record["rows"]):
        parser.error(f"{arguments.figures}: no row has a ratio; run benchmarks.peers with torch among its --peers")
    arguments.picture.write_text(chart(record), encoding="utf-8")


def chart(record: dict[str, Any]) -> str:
    """Return the picture of all rows that were timed together with PyTorch."""
    rows = [row for row in record["rows"] if row["ratio"] is not None]
    # Whole powers of two, with 1 between them, so that both sides are visible.
    low = min(-1, math.floor(math.log2(min(row["ratio"] for row in rows))))
    high = max(1, math.ceil(math.log2(max(row["ratio"] for row in rows))))

    def x(ratio: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log2(ratio) - low) / (high - low)

    bottom = TOP + ROW * len(rows)
    parts = [
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + 39}" rx="10"/>',
        f'<text class="name" x="{NAMES}" y="30">PyTorch\'s time / xnn\'s</text>',
        f'<text class="note" x="{NAMES}" y="48">right of 1: xnn is faster</text>',
    ]
    for power in range(low, high + 1):
        at = f"{x(2.0**power):.1f}"
        kind = "grid" if power else "one"
        parts.append(f'<line class="{kind}" x1="{at}" y1="{TOP - 8}" x2="{at}" y2="{bottom}"/>')
        parts.append(f'<text class="note middle" x="{at}" y="{TOP - 16}">{2.0**power:g}</text>')
    before = None
    for index, row in enumerate(rows):
        middle = TOP + ROW * index + ROW // 2
        if row["network"] != before:
            parts.append(f'<text class="name" x="{NAMES}" y="{middle + 4}">{escape(row["network"])}</text>')
        before = row["network"]
        task = f"{row.get('what', row['kind'])}, {row['batch']}"
        parts.append(f'<text x="{TASKS}" y="{middle + 4}">{escape(task)}</text>')
        parts += bar(row["ratio"], x(1.0), x(row["ratio"]), middle)
    about = f"{record['processor']}, {record['threads']} threads, {record['date'][:10]}; number: batch size"
    parts.append(f'<text class="note" x="{NAMES}" y="{bottom + 24}">{escape(about)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" font-size="13" role="img"'
        " font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\""
        f' aria-label="How fast xnn is beside PyTorch, for {len(rows)} tasks">\n'
        f"  <style>{STYLE}  </style>\n" + "".join(f"  {part}\n" for part in parts) + "</svg>\n"
    )


def bar(ratio: float, one: float, end: float, middle: int) -> list[str]:
    """Return a row's bar from 1 to its ratio, and the number at the bar's end."""
    faster = ratio >= 1
    rectangle = f'x="{min(one, end):.1f}" y="{middle - 7}" width="{abs(end - one):.1f}" height="14" rx="2"'
    place = f'class="number" x="{end + 6:.1f}"' if faster else f'class="number end" x="{end - 6:.1f}"'
    return [
        f'<rect class="{"faster" if faster else "slower"}" {rectangle}/>',
        f'<text {place} y="{middle + 4}">{ratio:.2f}</text>',
    ]


if __name__ == "__main__":
    main()
