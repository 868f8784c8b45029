"""Count what a step asks of a CUDA device: operations, waits, bytes and products, and the host's time.

Usage: ``XNN_CUDA_EMULATOR=FOLDER python -m benchmarks.device [--only TEXT] [--json FILE]``, in a virtual environment
with CuPy. FOLDER has an emulated device: its program ``run`` logs what the device is asked to do, and its ``report.py``
sums that up.

Nothing is computed and no GPU is needed, so the figures say how much work there is, not how long it takes. The time of
the device is modelled, and the model has never been compared with one: it serves only to compare two versions of the
code.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.device_steps import CASES
from benchmarks.table import print_heading, print_row

VARIABLE = "XNN_CUDA_EMULATOR"
COLUMNS = ("a step of", "operations", "waits", "MB moved", "GFLOP", "in low precision", "host, ms", "modelled, ms")
LOW = ("f16", "tf32")
MODELLED = "h200"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="count only what has this text in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    arguments = parser.parse_args()
    if VARIABLE not in os.environ:
        parser.error(f"${VARIABLE} is not set: expected the folder of an emulated CUDA device, with its program run")
    emulator = Path(os.environ[VARIABLE])
    about = machine.describe(1, ("xnn-array", "numpy"))
    print(f"{about['date']}, host times on {about['processor']}, device times modelled for {MODELLED}\n")
    print_heading(COLUMNS)
    figures = []
    for number, case in enumerate(CASES):
        if arguments.only in case.title:
            figures.append({"case": case.title, **counted(emulator, number)})
            print_row(cells(figures[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "figures": figures}, indent=2) + "\n")


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    share = f"{100 * row['low_flops'] / row['flops']:.2f} %" if row["flops"] else "-"
    counts = [f"{row[name]:.1f}" for name in ("operations", "waits")]
    work = [f"{row['bytes'] / 1e6:.1f}", f"{row['flops'] / 1e9:.2f}", share]
    return [row["case"], *counts, *work, f"{1e3 * row['host']:.2f}", f"{1e3 * row['modelled']:.3f}"]


def counted(emulator: Path, number: int) -> dict[str, float]:
    """Return a case's figures, each for one step."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        steps = run(emulator, number, "--log", str(log))["steps"]
        declared = Path(folder) / "declared"
        declared.write_text("\n".join(with_declared_bytes(log.read_text(errors="replace").splitlines())) + "\n")
        sums = summed(emulator, declared)
    timed = run(emulator, number)
    work = [entry for kind in ("kernels", "products") for entry in sums[kind].values()]
    moving = {name: entry for name, entry in sums["other"].items() if name.split()[0] in ("copy", "set")}
    in_all = [*work, *moving.values()]
    return {
        "operations": sum(entry["count"] for entry in in_all) / steps,
        "waits": sum(entry["count"] for entry in sums["waits"].values()) / steps,
        "bytes": sum(entry["bytes"] for entry in in_all) / steps,
        "flops": sum(entry["flops"] for entry in sums["products"].values()) / steps,
        "low_flops": sum(entry["flops"] for units, entry in sums["products"].items() if units in LOW) / steps,
        "host": timed["seconds"] / timed["steps"],
        "modelled": sum(entry["time"] for entry in in_all) / steps,
    }


def run(emulator: Path, number: int, *options: str) -> dict[str, float]:
    """Run a case with the emulated device counting only, and return what it prints."""
    command = [emulator / "run", "--count", *options, "python", "-m", "benchmarks.device_steps", str(number)]
    result = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit(f"{CASES[number].title}: the program failed with code {result.returncode}; its error stands above")
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def summed(emulator: Path, log: Path) -> Any:
    """Return what the emulator's report makes of the measured steps in a log."""
    marks = ["--begin", "begin", "--end", "end", "--device", MODELLED, "--json"]
    command = [sys.executable, str(emulator / "report.py"), str(log), *marks]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def with_declared_bytes(lines: Iterable[str]) -> Iterator[str]:
    """Return the lines of a log with the bytes that xnn's kernels declare, in marks after their launches.

    Raises
    ------
    ValueError
        A kernel with bare pointers declares nothing: the sum would be too small.
    """
    launch = None
    for line in lines:
        if launch is not None:
            moved = line.partition("\ttext=moved ")[2]
            if not moved:
                raise ValueError(f"a kernel does not say how many bytes it moves: {launch}")
            yield launch.replace("\tbytes=0", f"\tbytes={moved}")
            launch = None
        elif line.startswith("launch\t") and line.endswith("\tarrays="):
            launch = line
        else:
            yield line
    if launch is not None:
        raise ValueError(f"a kernel does not say how many bytes it moves: {launch}")


if __name__ == "__main__":
    main()
