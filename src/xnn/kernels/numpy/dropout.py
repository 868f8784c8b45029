"""The twin of dropout, which draws and applies the mask in one pass, and keeps it as one byte per number."""

from typing import Any

import numpy as np
from numba import types

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.replicas import numbers_before
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import threads
from xnn.random import Random

_F = types.float32
_WORD = types.uint32
_LEAST = 2**16
_LEAST_SIMPLE = 2**19
"""Fewest numbers that are worth waking a thread for, with the draw and without."""


def dropout(x: Array, rate: float, random: Random) -> tuple[Array, Pullback]:
    """As `xnn.functional.dropout`, with the same mask."""
    # Positions are 32-bit words below; the reference's are wider.
    first = numbers_before(x)
    plain = x.dtype == np.float32 and x.flags.c_contiguous and 0.0 <= rate < 1.0 and first + x.size < 2**31
    if not plain or random.backend.library != "numpy":
        return F.dropout(x, rate, random)
    scale, least = np.float32(1.0 / (1.0 - rate)), _least_word(rate)
    keys = random.next_keys()
    y, kept = empty(x.shape), empty(x.shape, np.uint8)
    _spread(lambda start, *parts: _draw(*parts, start, *keys, least, scale), (x, y, kept), first)

    def pullback(dy: Array) -> Array:
        if dy.dtype != np.float32 or not dy.flags.c_contiguous:
            return np.where(kept != 0, dy * scale, np.zeros_like(dy))
        dx = empty(dy.shape)
        threads().spread(lambda a, b, c: _apply(a, b, c, scale), (dy, kept, dx), _LEAST_SIMPLE)
        return dx

    return y, pullback


def _spread(kernel: Any, arrays: tuple[Array, ...], first: int) -> None:
    """As `Threads.spread`, for a kernel that gets the position at which its part begins, counted from `first`."""
    flat = [array.reshape(-1) for array in arrays]
    pool = threads()
    parts = pool.parts(flat[0].size, _LEAST)
    pool.run(lambda part: kernel(np.uint32(first + part.start), *(a[part.start : part.stop] for a in flat)), parts)


def _least_word(rate: float) -> np.uint32:
    """Return the least 24-bit word w with ``float32(w 2**-24) >= rate``, compared as `Random.uniform`'s numbers are."""
    # Words of 24 bits are exact in float32, and so is their product with 2**24.
    return np.uint32(np.ceil(np.float64(np.float32(rate)) * 2.0**24))


@inlined
def _mix(word: Any) -> Any:
    """As `xnn.random._mix`; Numba widens words in products and sums, so they are cut back to 32 bits."""
    word = _WORD(word ^ (word >> _WORD(16)))
    word = _WORD(word * _WORD(0x21F0AAAD))
    word = _WORD(word ^ (word >> _WORD(15)))
    word = _WORD(word * _WORD(0x735A2D97))
    return _WORD(word ^ (word >> _WORD(15)))


@compiled
def _draw(x: Any, y: Any, kept: Any, first: Any, key0: Any, key1: Any, least: Any, scale: Any) -> None:
    for i in range(x.size):
        word = _mix(_WORD(_mix(_WORD(_WORD(first + i) ^ key0)) ^ key1))
        keeps = _WORD(word >> _WORD(8)) >= least
        kept[i] = keeps
        y[i] = x[i] * scale if keeps else _F(0.0)


@compiled
def _apply(dy: Any, kept: Any, dx: Any, scale: Any) -> None:
    for i in range(dy.size):
        dx[i] = dy[i] * scale if kept[i] else _F(0.0)
