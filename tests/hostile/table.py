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


def table(tried: Iterable[Tried]) -> str:
    """Return a row for each group: cases, those that ended with code 0, failures, the slowest, the largest memory."""
    groups: dict[str, list[Tried]] = defaultdict(list)
    for case in tried:
        groups[case.group].append(case)
    rows = [_row(name, cases) for name, cases in groups.items()]
    rows.append(_row("all", [case for cases in groups.values() for case in cases]))
    head = ("group", "cases", "taken", "failed", "slowest", "memory")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join(lines)


def _row(name: str, cases: list[Tried]) -> tuple[str, ...]:
    failed = sum(bool(case.faults) for case in cases)
    taken = sum(case.code == 0 for case in cases)
    slowest, largest = max(case.seconds for case in cases), max(case.memory for case in cases)
    return name, f"{len(cases):,}", f"{taken:,}", f"{failed:,}", f"{slowest:.1f} s", f"{largest:,} MiB"


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
