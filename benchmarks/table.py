"""What the benchmarks that print tables share: their options, rows of Markdown, and JSON.

Nothing here imports NumPy or PyTorch, since they read the number of threads only once, when they are imported.
"""

import argparse
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine


def options(description: str | None, repeats: int, seconds: float) -> argparse.Namespace:
    """Parse the command line, and give libraries imported from now on the number of threads that it names."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=count, default=machine.cores(), help="threads for all (default: all cores)")
    parser.add_argument("--repeats", type=count, default=repeats, help=f"turns of each (default: {repeats})")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"length of a turn (default: {seconds})")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only what has this text in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    arguments = parser.parse_args()
    machine.pin(arguments.threads)
    return arguments


def count(text: str) -> int:
    """Return the positive integer that an option's value stands for."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text!r}")
    return int(text)


def circumstances(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return when, on what machine and with which settings the figures are measured."""
    packages = ("xnn-array", *(name for name in ("numpy", "numba", "torch") if is_installed(name)))
    settings = {"repeats": arguments.repeats, "seconds": arguments.seconds}
    return machine.describe(arguments.threads, packages) | settings


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def print_circumstances(about: Mapping[str, Any]) -> None:
    """Print the circumstances as one line."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    threads = f"{about['threads']} {'thread' if about['threads'] == 1 else 'threads'}"
    machine = f"{about['date']}, {about['processor']}, {threads} on {about['cores']} cores, {about['blas']}"
    print(f"{machine}, {versions}\n", flush=True)


def print_heading(columns: Sequence[str]) -> None:
    """Print the head of a Markdown table."""
    print_row(columns)
    print("|" + "---|" * len(columns), flush=True)


def print_row(cells: Iterable[object]) -> None:
    """Print a row of a Markdown table, with a dash for None."""
    print(f"| {' | '.join('-' if cell is None else str(cell) for cell in cells)} |", flush=True)


def milliseconds(seconds: float) -> float:
    """Return milliseconds to four digits, since a timing is no more exact than that."""
    return float(f"{1e3 * seconds:.4g}")


def write(path: Path | None, about: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> None:
    """Write all figures as JSON, if there is a path for them."""
    if path is not None:
        path.write_text(json.dumps({**about, "figures": figures}, indent=2) + "\n")
