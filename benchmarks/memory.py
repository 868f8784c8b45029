"""Measure the peak memory of a training step of the speed net, on xnn and on PyTorch.

Usage: ``python -m benchmarks.memory [--batches N ...] [--threads N] [--json FILE]``. Linux only: it reads
``/proc/self/status``. Each measurement has its own process. It builds the network and does one step with two images, so
that all code is loaded; then it measures the peak during three steps, minus what was resident before them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import cores, pin

VARIANTS = ("xnn", "torch, channels first", "torch, channels last")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 250, 500], help="images a batch")
    parser.add_argument("--threads", type=int, default=cores(), help="threads for both libraries (default: all)")
    parser.add_argument("--json", type=Path, help="also write the figures, in MiB, to this file")
    parser.add_argument("--measure", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        parser.error("/proc/self/clear_refs is missing: expected Linux; run this benchmark there")
    if arguments.measure:
        print(measure(arguments.measure, arguments.batches[0]))
        return
    pin(arguments.threads)
    print("| batch | xnn, MiB | PyTorch channels first, MiB | PyTorch channels last, MiB | xnn / better PyTorch |")
    print("|---|---|---|---|---|")
    figures = []
    for batch in arguments.batches:
        row = {variant: in_process(variant, batch) for variant in VARIANTS}
        ratio = row["xnn"] / min(row[variant] for variant in VARIANTS[1:])
        cells = " | ".join(f"{row[variant]:.0f}" for variant in VARIANTS)
        print(f"| {batch} | {cells} | {ratio:.2f} |", flush=True)
        figures.append({"batch": batch, **row, "ratio": ratio})
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def in_process(variant: str, batch: int) -> float:
    """Return what `measure` finds in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--measure", variant, "--batches", str(batch)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(variant: str, batch: int) -> float:
    """Return by how many MiB the resident memory of this process grows, at its peak, in training steps."""
    from benchmarks.networks import NETWORKS
    from benchmarks.peers_torch import torch_step
    from benchmarks.peers_xnn import xnn_step

    def step_with(images: int) -> Callable[[], object]:
        if variant == "xnn":
            return xnn_step(NETWORKS["speed"], images)
        return torch_step(NETWORKS["speed"], images, channels_last=variant.endswith("last"))

    step_with(2)()
    step = step_with(batch)
    # Reset the peak to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    for _ in range(3):
        step()
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """Return a field of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
