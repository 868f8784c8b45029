"""What came of all cases, as a table and a list."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.hostile.rule import alike


@dataclass(frozen=True)
class Tried:
    """What came of one case."""

    group: str
    number: int
    told: str
    faults: tuple[str, ...]
    code: int
    seconds: float
    memory: int
    real: bool
    """Whether it was a process of its own, not a fork."""


def table(tried: list[Tried]) -> str:
    """Return a row for each group: cases, those that ended with code 0, failures, the slowest, the largest memory."""
    rows = [f"{'group':>14} {'cases':>7} {'taken':>7} {'failed':>7} {'slowest':>9} {'memory':>10}"]
    for name in [*dict.fromkeys(case.group for case in tried), "all"]:
        cases = [case for case in tried if name in (case.group, "all")]
        failed, taken = sum(bool(case.faults) for case in cases), sum(case.code == 0 for case in cases)
        slowest, largest = max(case.seconds for case in cases), max(case.memory for case in cases)
        rows.append(f"{name:>14} {len(cases):>7,} {taken:>7,} {failed:>7,} {slowest:>7.1f} s {largest:>6,} MiB")
    return "\n".join(rows)


def failures(tried: Iterable[Tried], seed: int) -> str:
    """Return the kinds of failure, each with how often it came, and the command that shows the first."""
    kinds: dict[tuple[str, str], list[tuple[Tried, str]]] = defaultdict(list)
    for case in tried:
        for fault in case.faults:
            kinds[case.group, alike(fault)].append((case, fault))
    blocks = []
    for (group, _), found in kinds.items():
        case, fault = min(found, key=lambda pair: len(pair[0].told))
        blocks.append(
            f"{group}, {len(found)} times: {fault}\n"
            f"    {case.told[:200]!a}\n"
            f"    python -m tests.hostile --group {group} --case {case.number} --seed {seed}"
        )
    return "\n".join(blocks)
