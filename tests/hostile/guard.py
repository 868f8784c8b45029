"""Sees what a command must not do: reach for the network, start a program, unpickle. It is noted, and refused."""

import os
import sys

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


def install(notes: str, events: tuple[str, ...] = FETCHES + STARTS + UNPICKLES) -> None:
    """Watch this process until its end; a line in the file `notes` for each thing that it should not have tried."""
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in events:
            os.write(descriptor, f"{event} {arguments!r:.200}\n".encode(errors="replace"))
            raise PermissionError(f"the harness refuses {event}")

    sys.addaudithook(watch)
