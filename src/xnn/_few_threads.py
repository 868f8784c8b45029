"""What to do if the system limits how many threads a user may start.

OpenBLAS starts its threads when NumPy is imported, and again after a fork. If it cannot, it sends the process the
signal that Ctrl-C sends, unless it was told in advance to use one thread.
"""

import os
import sys
import threading
from collections.abc import Container

from xnn._notes import note

_PLENTY = 1024
"""OpenBLAS never reaches a limit this high; 4096 is common, and not worth a trial at each start."""


def spare_blas(loaded: Container[str] = sys.modules) -> None:
    """Give OpenBLAS one thread if the user may start hardly any threads; call this before NumPy is `loaded`."""
    if sys.platform != "linux" or "numpy" in loaded or "OPENBLAS_NUM_THREADS" in os.environ:
        return  # elsewhere the limit is on processes, or there is none
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # For each core a thread of OpenBLAS, one of xnn and one that keeps it awake, and some for the progress bar.
    wanted = 3 * len(os.sched_getaffinity(0)) + 4
    if limit == resource.RLIM_INFINITY or limit > _PLENTY or can_start(wanted):
        return
    note(f"this user may start fewer than {wanted} more threads (ulimit -u {limit}), so BLAS gets one")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def can_start(count: int) -> bool:
    """Whether this many threads can run at once."""
    leave = threading.Event()
    threads = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=leave.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        return False
    finally:
        leave.set()
        for thread in threads:
            thread.join()
    return True
