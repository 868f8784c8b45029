"""Threads of the lowest priority that keep the cores from sleeping while work comes in short bursts.

Waking a thread on a sleeping core takes some 100 microseconds on a virtual machine, most of them until the core runs
again. A busy core switches to the woken thread in a few microseconds. So one thread per core spins, and stops after
some two milliseconds without work, as OpenMP's threads do; but these threads are in Linux's class SCHED_IDLE and give
way at once to any other thread of any process.
"""

import os
import platform
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import typeof, types

from xnn._notes import note
from xnn.kernels import threads
from xnn.kernels.compiling import compilations
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.simd import instruction

_PAUSES = 2**16
"""Length of a wait for work: some two milliseconds."""

IS_POSSIBLE = hasattr(os, "SCHED_IDLE") and platform.machine() in ("x86_64", "AMD64")
"""Elsewhere it has not been tried."""


def start(work: Callable[[], None], name: str) -> bool:
    """Start a thread that ends with the process, and return whether the system let us."""
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        note(f"the system refuses to start more threads ({error}); xnn goes on with fewer and may be slower")
        return False
    return True


class Awake:
    """Keeps some cores awake from one `beat` to the next.

    Parameters
    ----------
    count : int
        Threads that work; as many cores stay awake, or all if there are fewer.
    """

    def __init__(self, count: int) -> None:
        self._beats = np.zeros(1, np.int64)
        cores = min(count, threads.cores()) if IS_POSSIBLE and count > 1 else 0
        self._spinners = [_Spinner(self._beats) for _ in range(cores)]

    def beat(self) -> None:
        """Announce work; only one thread at a time may call this."""
        self._beats[0] += 1
        for spinner in self._spinners:
            if spinner.sleeps:
                spinner.wake()


class _Spinner:
    def __init__(self, beats: Any) -> None:
        self._beats = beats
        self._wake = threading.Lock()
        self._wake.acquire()
        # Its thread changes this, if it could be started.
        self.sleeps = False
        start(self._spin, "xnn awake")

    def wake(self) -> None:
        self.sleeps = False
        self._wake.release()

    def _spin(self) -> None:
        # Before the priority falls: a thread that never gets to run would keep the compiler's lock from all others.
        with compilations.beside():
            cast(Any, _watch).compile((typeof(self._beats),))  # type: ignore[no-untyped-call]  # Numba's own
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except OSError:
            # A sandbox may forbid it. With normal priority this thread would slow down those that work.
            return
        while True:
            self.sleeps = True
            self._wake.acquire()
            _watch(self._beats)


@instruction(lambda: types.void())
def _pause(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Let the core rest for a moment, some tens of cycles of an x86 processor."""
    function = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), []))
    builder.call(function, [])
    return context.get_dummy_value()


@instruction(lambda array: types.int64(array))
def _read(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The first number of an int64 array, read from memory each time."""
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.load_atomic(data, "monotonic", 8)


@compiled
def _watch(beats: Any) -> None:
    """Return after a while without a beat."""
    last, pauses = _read(beats), 0
    while pauses < _PAUSES:
        _pause()
        pauses += 1
        now = _read(beats)
        if now != last:
            last, pauses = now, 0
