"""A directive that draws which packages import which, from the code as it is.

::

    ```{imports} xnn
    cli: flags, signals, exit codes
    nn: layers, containers, losses
    ```

Each line names a package or module to draw, and a note. An arrow that others imply is left out: where a imports b and
c, and b imports c, there is none from a to c.
"""

import ast
import importlib.util
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

WIDTH, HEIGHT, GAP, ROW = 205, 48, 20, 84
STYLE = """
.card { fill: #ffffff; stroke: #d5dae1 } .box { fill: #eaf1fa; stroke: #2a6fbb; stroke-width: 1.4 }
.name { fill: #14385f; font-weight: 600; text-anchor: middle }
.note { fill: #55606d; font-size: 11.5px; text-anchor: middle }
.arrow { stroke: #6b7785; stroke-width: 1.5; fill: none; marker-end: url(#head) }
"""
HEAD = (
    '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L10 5 L0 10 z" fill="#6b7785"/></marker>'
)


def imports(root: Path, parts: list[str]) -> dict[str, set[str]]:
    """Return which of the other parts each part imports, type checkers' imports aside."""
    found: dict[str, set[str]] = {}
    for part in parts:
        files = sorted((root / part).rglob("*.py")) if (root / part).is_dir() else [root / f"{part}.py"]
        names = {name for file in files for name in _names(file)}
        found[part] = {other for other in parts if other != part and f"{root.name}.{other}" in names}
    return found


def _names(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = set()
    nodes = [*ast.walk(tree)]
    ifs = [node for node in nodes if isinstance(node, ast.If)]
    for_types = [node for node in ifs if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"]
    passed_over = {id(inner) for node in for_types for inner in ast.walk(node)}
    for node in nodes:
        if id(node) in passed_over:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                names.add(".".join(name.split(".")[:2]))
        elif isinstance(node, ast.Import):
            names |= {".".join(alias.name.split(".")[:2]) for alias in node.names}
    return names


def levels(edges: dict[str, set[str]]) -> dict[str, int]:
    """Return how many steps down it goes from each part; a circle raises RecursionError."""
    known: dict[str, int] = {}

    def level(part: str) -> int:
        if part not in known:
            known[part] = 1 + max((level(other) for other in edges[part]), default=-1)
        return known[part]

    for part in edges:
        level(part)
    return known


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the edges that no path of others implies."""

    def reached(part: str) -> set[str]:
        return edges[part].union(*(reached(other) for other in edges[part]))

    return {part: others - set().union(*(reached(other) for other in others)) for part, others in edges.items()}


def picture(edges: dict[str, set[str]], notes: dict[str, str]) -> str:
    """Return the picture as SVG: what is imported lies below."""
    level = levels(edges)
    rows = [[part for part in edges if level[part] == number] for number in range(max(level.values()), -1, -1)]
    width = max(len(row) for row in rows) * (WIDTH + GAP) + GAP
    place = {
        part: (width / 2 + (column - (len(row) - 1) / 2) * (WIDTH + GAP), GAP + HEIGHT / 2 + number * ROW)
        for number, row in enumerate(rows)
        for column, part in enumerate(row)
    }
    height = len(rows) * ROW - (ROW - HEIGHT) + 2 * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" viewBox="0 0 {width} {height}" role="img" '
        'font-size="15" font-family="system-ui, -apple-system, sans-serif" aria-label="Which package imports which">',
        f"<style>{STYLE}</style><defs>{HEAD}</defs>",
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>',
    ]
    for part, others in reduced(edges).items():
        x, y = place[part]
        for other in sorted(others):
            to_x, to_y = place[other]
            lines.append(f'<path class="arrow" d="M{x} {y + HEIGHT / 2} L{to_x} {to_y - HEIGHT / 2 - 1}"/>')
    for part, (x, y) in place.items():
        lines.append(
            f'<rect class="box" x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
            f'<text class="name" x="{x}" y="{y - 3}">{escape(part)}</text>'
            f'<text class="note" x="{x}" y="{y + 14}">{escape(notes[part])}</text>'
        )
    return "\n".join([*lines, "</svg>"])


class Imports(Directive):
    """Draws the imports among parts of a package."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        spec = importlib.util.find_spec(self.arguments[0])
        notes = dict(line.split(": ", 1) for line in self.content if line.strip())
        root = Path(spec.origin).parent
        return [nodes.raw("", picture(imports(root, list(notes)), notes), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("imports", Imports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
