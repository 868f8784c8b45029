"""Commands that do what none should, to see that the harness notices each.

``python -m tests.hostile.fakes FOLDER`` starts them all, in forks, and prints what was found.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.hostile import child
from tests.hostile.cases import CODES, PAGE, Case, Command
from tests.hostile.child import Limits
from tests.hostile.trial import judged
from tests.hostile.world import Place, World

LIMITS = Limits(seconds=2, memory=400)

ELSEWHERE = "/nowhere-that-a-command-may-write"


def behaves(arguments: list[str]) -> int:
    print("all is well")
    Path("run/report.html").write_text(PAGE_TEXT)
    return 0


def refuses(arguments: list[str]) -> int:
    print("xnn-report: passed over: a file\nxnn-report: error: it is no run", file=sys.stderr)
    return 2


def raises(arguments: list[str]) -> int:
    raise KeyError("a name")


def is_killed(arguments: list[str]) -> int:
    os.kill(os.getpid(), signal.SIGABRT)
    return 0


def leaves_oddly(arguments: list[str]) -> int:
    print("xnn-report: error: it is no run", file=sys.stderr)
    return 4


def says_nothing(arguments: list[str]) -> int:
    return 2


def says_too_much(arguments: list[str]) -> int:
    print("xnn-report: error: one\nxnn-report: error: two", file=sys.stderr)
    return 2


def warns(arguments: list[str]) -> int:
    print("file.py:3: RuntimeWarning: overflow", file=sys.stderr)
    return 0


def colours(arguments: list[str]) -> int:
    print("\x1b[31mred")
    return 0


def writes_outside(arguments: list[str]) -> int:
    Path("../outside/authorized_keys").write_text("a key of mine")
    return 0


def writes_a_new_file(arguments: list[str]) -> int:
    Path("run/other.html").write_text("")
    return 0


def writes_elsewhere(arguments: list[str]) -> int:
    return _refused(lambda: Path(ELSEWHERE).write_text("a key of mine"))


def moves_elsewhere(arguments: list[str]) -> int:
    root = os.open("/", os.O_RDONLY)
    return _refused(lambda: os.rename("run/report.html", ELSEWHERE.removeprefix("/"), dst_dir_fd=root))


def removes_elsewhere(arguments: list[str]) -> int:
    return _refused(lambda: Path(ELSEWHERE).unlink())


def follows_a_link(arguments: list[str]) -> int:
    Path("run/link").symlink_to("/dev/full")
    Path("run/link").rename("run/report.html")
    return _refused(lambda: Path("run/report.html").write_text(""))


def _refused(harm: Callable[[], object]) -> int:
    try:
        harm()
    except OSError:
        print("xnn-report: error: it cannot be written", file=sys.stderr)
    return 2


def fetches(arguments: list[str]) -> int:
    try:
        socket.create_connection(("127.0.0.1", 9))
    except OSError:
        print("xnn-report: error: no network", file=sys.stderr)
    return 2


def starts_a_program(arguments: list[str]) -> int:
    try:
        subprocess.run(["gs"], check=False)
    except OSError:
        print("xnn-report: error: no Ghostscript", file=sys.stderr)
    return 2


def computes(arguments: list[str]) -> int:
    while True:
        pass


def sleeps(arguments: list[str]) -> int:
    time.sleep(60)
    return 0


def hoards(arguments: list[str]) -> int:
    hoard = b"x" * 500 * 2**20
    return hoard[0] * 0


def hoards_for_a_while(arguments: list[str]) -> int:
    hoard = b"x" * 500 * 2**20
    time.sleep(60)
    return hoard[0] * 0


def writes_no_page(arguments: list[str]) -> int:
    Path("run/report.html").unlink()
    return 0


def writes_markup(arguments: list[str]) -> int:
    Path("run/report.html").write_text(PAGE_TEXT.replace("</body>", "<script>alert(1)</script></body>"))
    return 0


PAGE_TEXT = (
    '<!DOCTYPE html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    "<title>a run</title></head><body><p>a run</p></body></html>"
)

MODULES = {
    "fetching": 'import socket\nsocket.create_connection(("127.0.0.1", 9))\n',
    "writing": f'open("{ELSEWHERE}", "w")\n',
}

FAKES = (
    *(behaves, refuses, raises, is_killed, leaves_oddly, says_nothing, says_too_much, warns, colours),
    *(writes_outside, writes_a_new_file, writes_elsewhere, moves_elsewhere, removes_elsewhere, follows_a_link),
    *(fetches, starts_a_program),
    *(computes, sleeps, hoards, hoards_for_a_while, writes_no_page, writes_markup),
)


def start_all(folder: Path) -> dict[str, list[str]]:
    """Return the faults that are found in each."""
    found = {}
    for fake in FAKES:
        found[fake.__name__] = _faults(folder / fake.__name__, functools.partial(child.forked, fake))
    for name in MODULES:
        found[f"a real process, {name}"] = _faults(folder / name, functools.partial(child.real, name))
    return found


def _faults(folder: Path, start) -> list[str]:
    place = Place(folder / "case", World(folder))
    (place.work / "run").mkdir()
    (place.work / "run" / "report.html").write_text(PAGE_TEXT)
    for name, text in MODULES.items():
        (place.work / f"{name}.py").write_text(text)
    command = Command("report", (), (PAGE, "work/__pycache__/"))
    _, faults = judged(Case("nothing", command, CODES), place, start, folder / "logs", LIMITS)
    return faults


if __name__ == "__main__":
    print(json.dumps(start_all(Path(sys.argv[1]))))
