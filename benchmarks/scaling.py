"""Time training by several ranks against one process with as many threads, on this machine.

Usage: ``python -m benchmarks.scaling [--ranks N] [--repeats N] [--only TEXT] [--wire LATENCY BYTES_PER_SECOND]
[--json FILE]``, where mpi4py and ``mpiexec`` are installed. One process with N threads and N ranks of one thread each
take turns; the table has the medians.

With ``--wire`` the ranks' messages go over a wire with that latency, in seconds, and so many bytes a second, as in
`benchmarks.scaling_model`: then what counts is the share of the gradients' time which the backward pass hides.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.table import print_circumstances, print_heading, print_row
from xnn.errors import to_install

COLUMNS = (
    "recipe",
    "batch",
    "threads, images/s",
    "ranks, images/s",
    "ratio",
    "sent / parameters",
    "sums, ms",
    "hidden",
)
STEPS = {"cnn": (500, 12), "speed": (1000, 4), "mlp": (512, 40)}
"""The batch of each recipe, and how many steps take a few seconds."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only recipes with this text in their names")
    parser.add_argument("--wire", nargs=2, metavar=("LATENCY", "BYTES_PER_SECOND"), default=[], help="see above")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every turn to this file")
    arguments = parser.parse_args()
    as_ranks(arguments.ranks, [])  # or there is no mpiexec
    about = machine.describe(arguments.ranks, ("xnn-array", "numpy", "mpi4py"))
    print_circumstances(about)
    print_heading(COLUMNS)
    figures = []
    for recipe, (batch, steps) in STEPS.items():
        if arguments.only not in recipe:
            continue
        child = [sys.executable, "-m", "benchmarks.scaling_steps", recipe, str(batch), str(steps), *arguments.wire]
        turns: dict[str, list[Any]] = {"threads": [], "ranks": []}
        for _ in range(arguments.repeats):
            turns["threads"].append(run(child, arguments.ranks))
            turns["ranks"].append(run(as_ranks(arguments.ranks, child), 1))
        figures.append({"recipe": recipe, "batch": batch, **turns})
        print_row(cells(figures[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "wire": arguments.wire, "figures": figures}, indent=2) + "\n")


def as_ranks(ranks: int, command: list[str]) -> list[str]:
    """Return the command that starts so many ranks; one needs no ``mpiexec``."""
    program = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None and ranks > 1:
        sys.exit(f"there is no mpiexec: {to_install('mpi')}")
    return [program, "-n", str(ranks), *command] if program is not None and ranks > 1 else command


def run(command: list[str], threads: int) -> Any:
    """Run a program with so many threads a process, and return the JSON that it prints."""
    environment = os.environ | {variable: str(threads) for variable in machine.VARIABLES}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed with code {result.returncode}; its error stands above")
    return json.loads(result.stdout.splitlines()[-1])


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    rates = {name: [turn["images"] / turn["seconds"] for turn in row[name]] for name in ("threads", "ranks")}
    ratio = statistics.median(b / a for a, b in zip(rates["threads"], rates["ranks"], strict=True))
    sent, sums, waited = (
        statistics.median(turn[name] for turn in row["ranks"]) for name in ("sent", "gradients", "waited")
    )
    medians = [f"{statistics.median(rates[name]):,.0f}" for name in ("threads", "ranks")]
    share = sent / (4 * row["ranks"][0]["parameters"])
    hidden = f"{100 * (1 - waited / sums):.0f} %" if sums else "-"
    return [row["recipe"], str(row["batch"]), *medians, f"{ratio:.3f}", f"{share:.2f}", f"{1e3 * sums:.1f}", hidden]


if __name__ == "__main__":
    main()
