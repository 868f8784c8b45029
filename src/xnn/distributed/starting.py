"""Whether several processes were started together, what they share of a machine, and how they all end.

The environment tells who started a process, so a process that was started alone never loads MPI.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from xnn.distributed.world import World
from xnn.errors import SettingError

_STARTERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
    ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
    # Of one step: a batch script has SLURM_NTASKS and SLURM_PROCID too, but runs alone.
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)
"""Variables with the number of processes, the process's own number, and that among those of its machine, of Open MPI,
MVAPICH, MPICH and its relatives, and Slurm."""

_MOST_CORES = 2**13
_PATIENCE = 3.0
"""Seconds in which ranks that fail alike have failed."""


@dataclass(frozen=True)
class Started:
    """What the environment tells of processes that were started together.

    Attributes
    ----------
    size, rank, local_rank : int
        How many there are, and this one's number among all of them and among those of its machine.
    """

    size: int
    rank: int
    local_rank: int


def started(environment: Mapping[str, str] = os.environ) -> Started | None:
    """Return what ``mpiexec`` or ``srun`` says of this process; None if it was started alone."""
    for names in _STARTERS:
        size, rank, local = (_number(environment.get(name)) for name in names)
        if size is not None and size > 1 and rank is not None:
            return Started(size, rank, rank if local is None else local)
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else None


def joined(found: Started) -> World:
    """Return the world of the processes that were started together.

    Raises
    ------
    SettingError
        mpi4py is not installed, or its MPI knows nothing of the other processes.
    """
    from xnn.distributed.mpi_world import MPIWorld  # starts MPI; who joins takes care of errors too, so not by `mpi()`

    world = MPIWorld()
    if world.size != found.size:
        raise SettingError(
            f"{found.size} processes were started together, but mpi4py's MPI sees {world.size}: start them with the "
            "mpiexec of the MPI that mpi4py uses (python -m mpi4py --mpi-library names it), or give --ranks 1"
        )
    return world


def share_of_cores(world: World, usable: Iterable[int] | None = None) -> int:
    """Return how many threads this rank may have: its share of the cores of its machine, at least 1.

    A core that several ranks may use counts for each of them with its share, so it does not matter whether they are
    bound to cores of their own.

    Parameters
    ----------
    world : World
    usable : iterable of int, optional
        The cores that this rank may use; by default the system says.
    """
    if usable is None:
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    own = np.zeros(_MOST_CORES, np.uint8)
    own[[core for core in usable if core < _MOST_CORES]] = 1
    hosts = world.gathered(np.array([world.host]))[:, 0]
    users = world.gathered(own)[hosts == world.host].sum(axis=0, dtype=np.int64)
    mine = own > 0
    return max(int((1.0 / users[mine]).sum() + 1e-9), 1)


def ended(world: World, line: str, code: int, say: Callable[[], object], *, orderly: bool) -> int:
    """Say why a rank ends, once for all that end alike, and return its exit code; if others go on, end all of them.

    Parameters
    ----------
    world : World
    line : str
        Why.
    code : int
        The exit code.
    say : callable
        Prints the reason.
    orderly : bool
        Whether no messages are under way if all ranks end alike, so that they can end one by one.
    """
    own = code.to_bytes(2, "little") + sha256(line.encode(errors="replace")).digest()
    if world.rank == 0:
        say()  # before the others know: they may end all
    words = world.last_words(own, _PATIENCE)
    first = words.index(own)
    if world.rank == first and first > 0:
        say()
    if orderly and None not in words:
        return code
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if world.rank != first:
        time.sleep(_PATIENCE)  # the first does it, once it has spoken
    world.abort(code)
    return code
