"""Time each function that has a twin, and compare it with the machine's limits, the reference and PyTorch.

Usage: ``python -m benchmarks.functions [--threads N] [--repeats N] [--seconds S] [--only TEXT] [--json FILE]``.
Prints two Markdown tables: one of products, in GFLOP/s, and one of passes over memory, in GB/s. The pullback is called
for all gradients. Milliseconds are medians; those of the reference, which is slow, are over half as many turns.
PyTorch, if it is installed, has the same threads and the better of its two memory layouts; the last column is the
median of paired ratios, forward and pullback together.

The limit of products is the best product of square matrices of 512 or 1024 by NumPy's BLAS, measured first. Operations
are counted for the plain sum of products, so Winograd's algorithm, which needs fewer, can exceed 100 %.

The limit of a pass is a copy that reads and writes as many bytes, in the same turns and with the same threads: so
arrays that fit into the cache are compared with a copy inside the cache. A pass that reads more than it writes, or
writes to where it has read, as optimizers do, can exceed 100 %: what a copy writes is first fetched, without counting.
"""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.table import (
    circumstances,
    is_installed,
    milliseconds,
    options,
    print_circumstances,
    print_heading,
    print_row,
    write,
)

_STEPS = ("forward", "pullback")


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = options(__doc__, repeats=5, seconds=0.03)

    from benchmarks.function_cases import passes, products

    if is_installed("torch"):
        import torch

        torch.set_num_threads(arguments.threads)
    about = circumstances(arguments)
    print_circumstances(about)
    about["sgemm_gflop_per_s"] = peak(arguments.repeats, arguments.seconds)
    figures = []
    for kind, unit, cases in (("products", "GFLOP/s", products()), ("passes", "GB/s", passes())):
        chosen = [case for case in cases if arguments.only in case.name]
        if chosen:
            print_columns(kind, unit, about["sgemm_gflop_per_s"])
        for case in chosen:
            limit = about["sgemm_gflop_per_s"] if kind == "products" else None
            figures.append({"kind": kind, **measure(case, limit, arguments.repeats, arguments.seconds)})
            print_figures(figures[-1])
    write(arguments.json, about, figures)


def peak(repeats: int, seconds: float) -> float:
    """Return the most GFLOP/s of NumPy's BLAS, with its own threads."""
    import numpy as np

    from benchmarks.timing import alternate

    def square(side: int) -> Callable[[], object]:
        matrix, result = np.full((side, side), 0.5, np.float32), np.empty((side, side), np.float32)
        return lambda: np.matmul(matrix, matrix, out=result)

    sides = {str(side): side for side in (512, 1024)}
    times = alternate({name: square(side) for name, side in sides.items()}, repeats, seconds)
    return max(2e-9 * side**3 / min(times[name]) for name, side in sides.items())


def copy(size: float) -> Callable[[], object]:
    """Return a copy by the twins' threads that reads and writes `size` bytes in all."""
    import numpy as np

    from xnn.kernels.numpy.threads import threads

    # The fewest numbers that are worth waking a thread for in `xnn.kernels.numpy.activations`.
    least = 2**19
    source = np.ones(max(int(size) // (2 * np.dtype(np.float32).itemsize), 1), np.float32)
    target = np.ones_like(source)
    return lambda: threads().spread(lambda a, b: np.copyto(b, a), (source, target), least)


def measure(case: Any, limit: float | None, repeats: int, seconds: float) -> dict[str, Any]:
    """Time one function with its peers, and with copies if there is no limit in GFLOP/s; return the figures."""
    import xnn
    from benchmarks.timing import alternate, median_ratio
    from xnn import kernels

    contenders = case.make()
    if limit is None:
        contenders["copy"] = tuple(copy(size) for size in case.work if size)
    calls = {f"{who} {step}": c for who, both in contenders.items() for step, c in zip(_STEPS, both, strict=False)}
    references = {name: calls.pop(name) for name in list(calls) if name.startswith("reference")}
    # As in a training loop, but the reference's products should use BLAS's own threads.
    with kernels.Computing(xnn.backend("numpy", twins=True), "float32", "float32", {"conv2d"}).entered():
        times = alternate(calls, repeats, seconds)
    times |= alternate(references, (repeats + 1) // 2, seconds)
    medians = {name: statistics.median(some) for name, some in times.items()}
    layout, ratio = against_torch(times, medians)
    figures: dict[str, Any] = {"function": case.name, "torch_layout": layout, "ratio": ratio}
    for step, work in zip(_STEPS, case.work, strict=True):
        for who, name in (("xnn", "xnn"), ("reference", "reference"), ("torch", layout)):
            time = medians.get(f"{name} {step}")
            figures[f"{who}_{step}_ms"] = None if time is None else milliseconds(time)
        if work:
            rate = 1e-9 * work / medians[f"xnn {step}"]
            # Paired with the copy in the same turn.
            share = rate / limit if limit else median_ratio(times[f"copy {step}"], times[f"xnn {step}"])
            figures |= {f"{step}_rate": round(rate, 2), f"{step}_share": round(share, 3)}
    return figures


def against_torch(times: dict[str, list[float]], medians: dict[str, float]) -> tuple[str | None, float | None]:
    """Return PyTorch's better layout, and its time over xnn's, forward and pullback together; None without PyTorch."""
    from benchmarks.function_cases import LAYOUTS
    from benchmarks.timing import median_ratio

    def total(who: str) -> list[float]:
        return [sum(turn) for turn in zip(*(times[f"{who} {s}"] for s in _STEPS if f"{who} {s}" in times), strict=True)]

    layouts = [layout for layout in LAYOUTS if f"{layout} forward" in times]
    if not layouts:
        return None, None
    best = min(layouts, key=lambda layout: sum(medians.get(f"{layout} {step}", 0.0) for step in _STEPS))
    return best, round(median_ratio(total(best), total("xnn")), 2)


def print_columns(kind: str, unit: str, peak: float) -> None:
    """Print the head of a table."""
    limit = f"a product of square matrices, {peak:.0f} {unit}" if kind == "products" else "a copy of as many bytes"
    print(f"\n{kind.capitalize()}; the limit is {limit}.\n")
    ours = [column for step in _STEPS for column in (f"{step}, ms", unit, "of limit")]
    others = [f"{who} {step}, ms" for who in ("reference", "PyTorch") for step in _STEPS]
    print_heading(["function", *ours, *others, "PyTorch / xnn"])


def print_figures(figures: dict[str, Any]) -> None:
    """Print a row; an optimizer's update has no pullback."""
    cells = [figures["function"]]
    for step in _STEPS:
        share = figures.get(f"{step}_share")
        cells += [figures[f"xnn_{step}_ms"], figures.get(f"{step}_rate"), None if share is None else f"{share:.0%}"]
    cells += [figures[f"{who}_{step}_ms"] for who in ("reference", "torch") for step in _STEPS]
    print_row([*cells, figures["ratio"]])


if __name__ == "__main__":
    main()
