"""Training by several processes, on one machine or many: each takes its share of every batch.

`mpi` returns the world of the processes that ``mpiexec`` started together; give it to a `xnn.Trainer`.
"""

import atexit
import os
import sys
from types import TracebackType
from typing import Any

from xnn.distributed.world import World

__all__ = ["World", "mpi"]


def mpi(communicator: Any = None) -> World:
    """Return the processes that were started together, by MPI.

    From then on, an error that a rank's program does not catch ends all ranks once it is printed: the others would wait
    for that rank forever. Where a rank's program ends otherwise, as by `sys.exit`, those that wait for it raise a
    `RuntimeError`.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        By default all of them.

    Raises
    ------
    SettingError
        mpi4py is not installed, or its MPI cannot be used by several threads.
    """
    from xnn.distributed.mpi_world import MPIWorld  # mpi4py starts MPI when it is imported

    world = MPIWorld(communicator)
    end_all_by_errors(world)
    if world.size > 1:
        atexit.register(_leave, world, os.getpid())
    return world


def _leave(world: Any, process: int) -> None:
    """Leave a world; a child that a rank has forked inherits this, and its end is not the rank's."""
    if os.getpid() == process:
        world.leave()


def end_all_by_errors(world: World) -> None:
    """End all ranks of a world, with exit code 1, by an error that nobody catches; not by one of a forked child."""
    if world.size == 1:
        return
    before, process = sys.excepthook, os.getpid()

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        try:
            before(kind, error, trace)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        finally:
            if os.getpid() == process:
                world.abort(1)

    sys.excepthook = end
