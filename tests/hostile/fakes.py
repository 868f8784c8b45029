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
from tests.hostile.child import Limits, Main
from tests.hostile.trial import judged
from tests.hostile.world import Place, World

LIMITS = Limits(seconds=2, memory=400)

ELSEWHERE = "/nowhere-that-a-command-may-write"


PAGE_TEXT = (
    '<!DOCTYPE html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    "<title>a run</title></head><body><p>a run</p></body></html>"
)

MODULES = {
    "fetching": 'import socket\nsocket.create_connection(("127.0.0.1", 9))\n',
    "writing": f'open("{ELSEWHERE}", "w")\n',
}


def _does(act: Callable[[], object]) -> Main:
    """Return a command that does something and says that all is well."""

    def main(arguments: list[str]) -> int:
        act()
        print("all is well")
        return 0

    return main


def _is_refused(harm: Callable[[], object]) -> Main:
    """Return a command that does what the guard refuses, and ends as it should then."""

    def main(arguments: list[str]) -> int:
        try:
            harm()
        except OSError:
            print("xnn-report: error: it is refused", file=sys.stderr)
        return 2

    return main


def _says(code: int, error: str = "") -> Main:
    def main(arguments: list[str]) -> int:
        sys.stderr.write(error)
        return code

    return main


def _raise() -> None:
    raise KeyError("a name")


def _compute() -> None:
    while True:
        pass


def _hoard(seconds: float) -> None:
    hoard = b"x" * 500 * 2**20
    time.sleep(seconds * (hoard[0] > 0))


def _move() -> None:
    os.rename("run/report.html", ELSEWHERE.removeprefix("/"), dst_dir_fd=os.open("/", os.O_RDONLY))


def _follow_a_link() -> None:
    Path("run/link").symlink_to("/dev/full")
    Path("run/link").rename("run/report.html")
    Path("run/report.html").write_text("")


def _writes(path: str, text: str = "") -> Callable[[], object]:
    return lambda: Path(path).write_text(text)


FAKES: dict[str, Main] = {
    "behaves": _does(_writes("run/report.html", PAGE_TEXT)),
    "refuses": _says(2, "xnn-report: passed over: a file\nxnn-report: error: it is no run\n"),
    "raises": _does(_raise),
    "is_killed": _does(lambda: os.kill(os.getpid(), signal.SIGABRT)),
    "leaves_oddly": _says(4, "xnn-report: error: it is no run\n"),
    "says_nothing": _says(2),
    "says_too_much": _says(2, "xnn-report: error: one\nxnn-report: error: two\n"),
    "warns": _says(0, "file.py:3: RuntimeWarning: overflow\n"),
    "colours": _does(lambda: print("\x1b[31mred")),
    "writes_outside": _does(_writes("../outside/authorized_keys", "a key of mine")),
    "writes_a_new_file": _does(_writes("run/other.html")),
    "writes_elsewhere": _is_refused(_writes(ELSEWHERE, "a key of mine")),
    "moves_elsewhere": _is_refused(_move),
    "removes_elsewhere": _is_refused(Path(ELSEWHERE).unlink),
    "follows_a_link": _is_refused(_follow_a_link),
    "fetches": _is_refused(lambda: socket.create_connection(("127.0.0.1", 9))),
    "starts_a_program": _is_refused(lambda: subprocess.run(["gs"], check=False)),
    "computes": _does(_compute),
    "sleeps": _does(lambda: time.sleep(60)),
    "hoards": _does(lambda: _hoard(0)),
    "hoards_for_a_while": _does(lambda: _hoard(60)),
    "writes_no_page": _does(Path("run/report.html").unlink),
    "writes_markup": _does(_writes("run/report.html", PAGE_TEXT.replace("</body>", "<script></script></body>"))),
}


def start_all(folder: Path) -> dict[str, list[str]]:
    """Return the faults that are found in each."""
    found = {}
    for name, fake in FAKES.items():
        found[name] = _faults(folder / name, functools.partial(child.forked, fake))
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
