"""A command that several processes run together: who speaks, and how they end."""

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xnn.cli.frame import complain
from xnn.distributed.starting import ended, joined, started

if TYPE_CHECKING:
    from xnn.distributed.world import World

_BUG = 1


class Crew:
    """The processes that ``mpiexec`` started together with this one, if it did.

    Attributes
    ----------
    world : World or None
        None until `join`, and for a process alone.
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self.world: World | None = None
        self._found = started()
        # Before they know each other, all see the same of a command line, and one of them is to say it.
        self._speaks = self._found is None or self._found.rank == 0

    @property
    def is_several(self) -> bool:
        """Whether there are others."""
        return self._found is not None

    @property
    def leads(self) -> bool:
        """Whether this is the first rank, which reports and writes."""
        return self._found is None or (self._found if self.world is None else self.world).rank == 0

    @property
    def leads_host(self) -> bool:
        """Whether this is the first rank of its machine."""
        return self._found is None or self._found.local_rank == 0

    def part(self) -> None:
        """Let each process go its own way."""
        self._found, self._speaks = None, True

    def join(self) -> None:
        """Get to know the others.

        Raises
        ------
        SettingError
            They cannot be reached.
        """
        if self._found is not None:
            self._speaks = self.leads_host  # machines may differ in what is installed
            self.world = joined(self._found)
            if not self.leads:
                logging.getLogger("xnn").setLevel(logging.ERROR)

    def end(self, line: object, code: int, *, orderly: bool = True) -> int:
        """Print an error, once for all ranks that end by it, and return its exit code; if others go on, end them too.

        It is `orderly` if no messages between ranks can be under way.
        """
        return self._end(str(line), code, lambda: complain(self.program, line, code), orderly)

    def end_by_bug(self, error: BaseException) -> int:
        """Print the traceback of an error, once for all ranks that end by it, and end all of them."""
        return self._end(str(error), _BUG, lambda: traceback.print_exception(error), orderly=False)

    def _end(self, line: str, code: int, say: Callable[[], Any], orderly: bool) -> int:
        if self.world is None:
            if self._speaks:
                say()
            return code
        try:
            return ended(self.world, line, code, say, orderly=orderly)
        except KeyboardInterrupt:
            self.world.abort(code)
            raise
