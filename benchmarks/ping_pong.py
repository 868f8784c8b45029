"""How long a message between two cores takes."""

import os
import threading
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_ROUNDS = 2000
_SAMPLES = 10


def distance(one: int, other: int) -> float:
    """Return the nanoseconds of a message from one core to another and back, the least of several tries."""
    return min(_ping_pong(one, other) for _ in range(_SAMPLES))


def _ping_pong(one: int, other: int) -> float:
    ball, seconds = np.zeros(16, np.int64), []

    def play(core: int, first: int) -> None:
        os.sched_setaffinity(0, {core})
        start = time.perf_counter()
        _play(ball, first)
        seconds.append(time.perf_counter() - start)

    players = [threading.Thread(target=play, args=arguments) for arguments in ((one, 0), (other, 1))]
    for player in players:
        player.start()
    for player in players:
        player.join()
    return 1e9 * min(seconds) / _ROUNDS


@intrinsic
def _load(context: Any, array: Any) -> Any:
    """The first number, as it is in memory now."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(array), generate


@intrinsic
def _store(context: Any, array: Any, number: Any) -> Any:
    """Write the first number to memory now."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[1], data, "release", 8)
        return ir.Constant(ir.IntType(1), 0)

    return types.boolean(array, types.int64), generate


@njit("void(int64[::1], int64)", nogil=True)
def _play(ball: Any, first: int) -> None:
    """Count up in turns with the other player, who has the odd numbers."""
    for number in range(first, 2 * _ROUNDS, 2):
        while _load(ball) != number:
            pass
        _store(ball, number + 1)
