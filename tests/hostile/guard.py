"""Sees what a command must not do: fetch, start a program, unpickle, write elsewhere. It is noted, and refused.

What a library does in C without Python's functions is not seen, nor is the opening of a name within an open folder:
Python tells the name alone. `xnn.files` renames what it has written so, which is seen.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FETCHES = (
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
    *("socket.sendto", "socket.sendmsg"),
)
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
UNPICKLES = ("pickle.find_class",)

VARIABLE = "HOSTILE_NOTES"
"""Names the file with the notes to a real process."""

SMALL = "HOSTILE_SMALL"
"""Tells a real process what CIFAR is shrunk to, see `Case.small`."""

ROOTS = "HOSTILE_ROOTS"
"""The paths, a line each, below which a command may write: what it changes there is compared afterwards."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

CHANGES = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.remove": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
}
"""Of each event: where its arguments have a path that changes, and the open folder that it starts from, or -1."""


def install(notes: str, events: tuple[str, ...] = FETCHES + STARTS + UNPICKLES, *, pycache: bool = False) -> None:
    """Watch this process until its end; a line in the file `notes` for each thing that it should not have tried.

    `pycache` allows it to make folders of that name and to write into them, as Python and Numba do.
    """
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    roots = [os.path.realpath(root) for root in os.environ[ROOTS].splitlines()]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in events:
            refuse(f"{event} {arguments!r:.200}")
        for path in changed(event, arguments):
            if not (allowed(path, roots) or (pycache and "__pycache__" in Path(path).parts[-2:])):
                refuse(f"to write {path!a:.200}")

    def refuse(what: str) -> None:
        os.write(descriptor, f"{what}\n".encode(errors="replace"))
        raise PermissionError(f"the harness refuses {what}")

    sys.addaudithook(watch)


def allowed(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def changed(event: str, arguments: tuple[Any, ...]) -> Iterator[str]:
    """Yield the real paths of what an event is about to change."""
    if event == "open" and not isinstance(arguments[0], int) and arguments[2] & WRITES:
        unfollowed = arguments[2] & (os.O_NOFOLLOW | os.O_EXCL)
        yield _entry(arguments[0]) if unfollowed else os.path.realpath(os.fsdecode(arguments[0]))
    elif event == "os.truncate" and not isinstance(arguments[0], int):
        yield os.path.realpath(os.fsdecode(arguments[0]))
    else:
        for path, folder in CHANGES.get(event, ()):
            yield _entry(arguments[path], arguments[folder])


def _entry(path: Any, folder: int = -1) -> str:
    """Return the real path of an entry of a folder, which may be a link itself."""
    start = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH109, PTH115 - as texts
    above, name = os.path.split(os.path.join(start, os.fsdecode(path)).rstrip("/"))  # noqa: PTH118 - may be no text
    return f"{os.path.realpath(above).rstrip('/')}/{name}"
