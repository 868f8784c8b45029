"""Timing of several functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(functions: Mapping[str, Callable[[], object]], repeats: int, seconds: float) -> dict[str, list[float]]:
    """Time each function in turn, `repeats` times over, and return the seconds of one call, a list for each.

    The machine's speed drifts, and so does a library's own state: taking turns puts the drift on all alike. One turn
    calls its function as often as fits in `seconds`, at least once, after a warm-up of two calls.
    """
    calls = {}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(int(seconds / (time.perf_counter() - start)), 1)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            times[name].append((time.perf_counter() - start) / calls[name])
    return times


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over turns of slow / fast, each pair measured next to each other."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))
