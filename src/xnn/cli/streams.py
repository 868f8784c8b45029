"""Standard output and error that do not end a command if they are full, closed or of a limited encoding."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class Outlet(io.TextIOBase):
    """A stream that writes to another one as long as that works, and remembers the first failure.

    Every write is tried, since a disk may have room again. A character that the encoding lacks becomes a question mark.

    Parameters
    ----------
    stream
        Where the text goes; None if the process was started without one, as by ``>&-``.

    Attributes
    ----------
    lost : OSError or None
        Why text was lost; None if no text was lost.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self.lost: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """The other stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether text goes to a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the other stream's descriptor."""
        return super().fileno() if self._stream is None else self._stream.fileno()

    def writable(self) -> bool:
        """Return True: text that cannot be written is lost."""
        return True

    def write(self, text: str) -> int:
        """Write what can be written."""

        def write(stream: TextIO) -> None:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(text.encode(self.encoding, "replace").decode(self.encoding))

        self._attempt(write)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written so far."""
        if self._stream is not None:
            self._attempt(lambda stream: stream.flush())

    def settle(self) -> OSError | None:
        """Flush for the last time, and return why text was lost, or None if no text was lost.

        Text that cannot be written even now goes nowhere, so that it causes no error when the interpreter ends.
        """
        first, self.lost = self.lost, None
        self.flush()
        last, self.lost = self.lost, None
        if last is not None and self._stream is not None:
            with contextlib.suppress(OSError):  # a stream without a descriptor
                _send_nowhere(self._stream.fileno())
        return first or last

    def _attempt(self, act: Callable[[TextIO], Any]) -> None:
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            act(self._stream)
        except OSError as error:
            self.lost = self.lost or error


def _send_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextlib.contextmanager
def outlets() -> Iterator[tuple[Outlet, Outlet]]:
    """Put an `Outlet` in front of standard output and another in front of standard error, for a ``with`` block."""
    _occupy_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = ours = Outlet(sys.stdout), Outlet(sys.stderr)
    try:
        yield ours
    finally:
        sys.stdout, sys.stderr = before
        for outlet in ours:
            outlet.settle()


def _occupy_closed() -> None:
    """Open whichever of the descriptors 0, 1 and 2 are closed.

    Otherwise the next file to be opened would get that number, and what a library prints would end up in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
