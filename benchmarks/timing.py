"""Timing of several functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial


def alternate(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    seconds: float,
    steps: Mapping[str, int] | None = None,
    while_near: Callable[[Callable[[], float]], float] = lambda timed: timed(),
) -> dict[str, list[float]]:
    """Time each function in turn, `repeats` times, and return a list of the seconds of one step for each function.

    The machine's speed drifts, and so does a library's own state; if the functions take turns, the drift affects all of
    them alike. Each repeat begins with another function, so that none always follows the same one. A turn calls its
    function as often as fits in `seconds`, at least once. Calls before that do not count: a twentieth as many, at least
    one, while caches fill and the threads of the previous function go to sleep.

    Parameters
    ----------
    steps
        How many steps a call does, for functions that do several; for functions not named here, one.
    while_near
        Takes a turn and returns its seconds, as `benchmarks.core_distance.Cores.while_near` does.
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
            seconds_of_a_call = while_near(partial(turn, functions[name], calls[name]))
            times[name].append(seconds_of_a_call / steps.get(name, 1))
    return times


def calls_in(function: Callable[[], object], seconds: float) -> int:
    """Return how many calls fit in that many seconds, judging by the fastest of three (or fewer, if they are slow)."""
    # The first call compiles and allocates.
    function()
    durations: list[float] = []
    while len(durations) < 3 and sum(durations) < seconds:
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return max(int(seconds / min(durations)), 1)


def turn(function: Callable[[], object], calls: int) -> float:
    """Return the average seconds of one call, after a twentieth as many calls that do not count."""
    for _ in range(max(calls // 20, 1)):
        function()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over turns of slow / fast, where each pair was measured in the same repeat."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))
