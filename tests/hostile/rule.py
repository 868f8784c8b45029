"""The rule that every command keeps, whatever it is given."""

import re
import unicodedata

from tests.hostile.cases import CODES, Case
from tests.hostile.child import Outcome

BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""These turn the order of what follows on the line."""


def faults_of_outcome(outcome: Outcome, case: Case) -> list[str]:
    """Return how a command broke the rule, a line each; none where it kept it."""
    if outcome.killed:
        return [f"met its limit of {outcome.killed}"]
    tried = [line if line.startswith("to write ") else line.split()[0] for line in outcome.notes.splitlines()]
    faults = [f"tried {what}" for what in tried[:1]]
    if "Traceback (most recent call last)" in outcome.stderr:
        return [*faults, f"traceback: {_last_line(outcome.stderr)}"]
    if outcome.code not in CODES:
        return [*faults, f"exit code {outcome.code}: {_last_line(outcome.stderr)}"]
    if outcome.code not in case.expected:
        faults.append(f"exit code {outcome.code}, not {sorted(case.expected)}: {_last_line(outcome.stderr)}")
    return faults + _faults_of_lines(outcome, case) + _faults_of_signs(outcome)


def _faults_of_lines(outcome: Outcome, case: Case) -> list[str]:
    start = f"xnn-{case.command.program}: "
    starts = (start, case.notes) if case.notes else start
    lines = outcome.stderr.removesuffix("\n").split("\n") if outcome.stderr else []
    errors = [line for line in lines if line.startswith(f"{start}error: ")]
    stray = [line for line in lines if not line.startswith(starts)]
    faults = [f"a stray line on standard error: {line[:200]}" for line in stray[:1]]
    if len(errors) != (outcome.code != 0):
        faults.append(f"{len(errors)} lines of error with exit code {outcome.code}")
    if any(len(line) > 5000 for line in lines):
        faults.append("a line of error of more than 5000 letters")
    return faults


def _faults_of_signs(outcome: Outcome) -> list[str]:
    faults = []
    for name, text in (("output", outcome.stdout), ("error", outcome.stderr)):
        found = sorted({letter for letter in text if _controls(letter)})
        if found:
            faults.append(f"control characters on standard {name}: {found[:5]!r}")
    return faults


def _controls(letter: str) -> bool:
    """Whether a letter does something to a terminal; what is no UTF-8 counts as well."""
    if letter == "\n" or (letter.isascii() and letter.isprintable()):
        return False
    return letter in BIDI or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "nothing said"


def alike(fault: str) -> str:
    """Return a fault without what differs from case to case, so that equal ones can be counted."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", fault)
    plain = re.sub(r"/[^\s:;,]+", "PATH", plain)
    return re.sub(r"\d+", "N", plain)[:160]
