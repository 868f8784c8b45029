"""How many threads a process may use that joblib has started, as for ``n_jobs=2``."""

import multiprocessing
import os

from xnn import kernels
from xnn.kernels import threads

_SHARE = "NUMBA_NUM_THREADS"
"""The variable in which joblib tells compiled code how many threads are its share; BLAS gets others."""


def keep_to_the_share() -> None:
    """In a process that joblib has started, use no more threads than it says, unless ``$XNN_NUM_THREADS`` is set.

    Otherwise each of n processes would use all cores, and all would wait for each other.
    """
    share = os.environ.get(_SHARE, "")
    if multiprocessing.parent_process() is None or threads.is_set() or not share.isdecimal():
        return
    kernels.set_threads(max(min(int(share), threads.cores()), 1))
