"""Timing of several functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    seconds: float,
    steps: Mapping[str, int] | None = None,
) -> dict[str, list[float]]:
    """Time each function in turn, `repeats` times over, and return the seconds of one step, a list for each.

    The machine's speed drifts, and so does a library's own state: taking turns puts the drift on all alike. Each
    repeat begins with another function, so that none always follows the same one. A turn calls its function as often
    as fits in `seconds`, at least once, after calls that do not count: a twentieth as many, at least one, while caches
    fill and the threads of the function before it go to sleep.

    Parameters
    ----------
    steps
        How many steps a call does, for functions that do several; one where a function is not named.
    """
    steps = steps or {}
    calls = {}
    for name, function in functions.items():
        calls[name] = calls_in(function, seconds)
    times: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(turn(functions[name], calls[name]) / steps.get(name, 1))
    return times


def calls_in(function: Callable[[], object], seconds: float) -> int:
    """Return how many calls fit in so many seconds, by the fastest of three, or of those that were over by then."""
    # What is compiled or allocated at a first call.
    function()
    durations: list[float] = []
    while len(durations) < 3 and sum(durations) < seconds:
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return max(int(seconds / min(durations)), 1)


def turn(function: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call, on average, after a twentieth as many that do not count."""
    for _ in range(max(calls // 20, 1)):
        function()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over turns of slow / fast, each pair measured in the same repeat."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))
