"""What a measurement ran on, and how many threads it may use.

Libraries that compute are imported as late as possible, so that `pin` can run before NumPy and its peers are loaded.
"""

import datetime
import os
import platform
import sys
from importlib import metadata
from typing import Any

HOLDING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that make OpenBLAS assume another processor than this one."""
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XNN_NUM_THREADS")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin(threads: int) -> None:
    """Give every library this many threads; call this before any of them is imported, since they check only once.

    Most read a variable. JAX takes one thread for each core that the process may use, so the process is also limited to
    that many cores if the system can do so (Linux). If the environment slows down NumPy's products, the process starts
    again without the variables that do so.
    """
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    release()


def release() -> None:
    """Restart this command without `HOLDING` if they make NumPy's products slower than the processor, and say so."""
    if HOLDING[0] not in os.environ:
        return
    # The number of threads is set, so NumPy may be imported, which shows how OpenBLAS interprets the variable.
    import xnn
    from xnn import kernels

    line = kernels.held_back(xnn.backend("numpy"))
    if line is None:
        return
    print(f"{line}. The benchmark starts anew without {' and '.join(HOLDING)}", file=sys.stderr, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in HOLDING}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def describe(threads: int, packages: tuple[str, ...]) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: machine, how busy it was, BLAS, threads, versions and date.

    Parameters
    ----------
    packages
        Names of installed distributions, whose versions are given beside Python's.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        # Over the last minute; None if the system does not tell, near zero on an idle machine.
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "blas": blas(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in packages},
    }


def blas() -> str:
    """Return which library computes NumPy's products, and for which processor."""
    import xnn
    from xnn import kernels

    return kernels.products(xnn.backend("numpy")).get("BLAS", "unknown BLAS")


def _processor() -> str:
    from xnn.runs.machine import processor

    return processor()
