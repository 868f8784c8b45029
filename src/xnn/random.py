"""Random numbers that are a pure function of (seed, stream, counter), equal on every backend.

A generator with hidden state has one state per array library, and a run that moves between libraries, or resumes in the
middle of an epoch, cannot be continued exactly. Here each draw is a hash of its position instead (as in J. Salmon et
al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), written in Array API calls, so the whole state is one
counter.

Each draw gets two 32-bit keys from NumPy's `SeedSequence` of (seed, stream, counter). Element i is then
``mix(mix(i ^ key0) ^ key1)``, where ``mix`` is a bijection of 32-bit words: two rounds of xor-shift and
multiplication with the constants of C. Wellons' hash-prospector search (https://github.com/skeeto/hash-prospector,
"lowbias32" family). The arithmetic is done in int64, because PyTorch has no shifts or products of uint32; both
constants are under 2**31, so no product leaves the range.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn._typing import Array, Shape
from xnn.backends import DTYPES, Backend

_MULTIPLIERS = (0x21F0AAAD, 0x735A2D97)
_WORD = 0xFFFFFFFF


class Random:
    """A stream of random numbers on one backend.

    Parameters
    ----------
    backend : Backend
        Where the numbers are made.
    seed : int
        Non-negative.
    stream : str
        A name that keeps this stream apart from others of the same seed, such as ``"dropout"``.
    counter : int
        How many draws have been made; set it to go to any point of the stream.

    Examples
    --------
    >>> import xnn
    >>> from xnn.random import Random
    >>> random = Random(xnn.backend("numpy"), seed=0, stream="dropout")
    >>> first = random.uniform((3,))
    >>> random.counter = 0  # the whole state
    >>> bool((random.uniform((3,)) == first).all())
    True
    """

    def __init__(self, backend: Backend, seed: int, stream: str = "", counter: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed must be a non-negative integer, not {seed}")
        self.backend = backend
        self.seed = seed
        self.stream = stream
        self.counter = counter
        digest = hashlib.sha256(stream.encode()).digest()
        self._stream_key = int.from_bytes(digest[:8], "little")

    def uniform(self, shape: Shape, dtype: str = "float32", *, first: int = 0) -> Array:
        """Return numbers uniform in [0, 1), multiples of 2**-24 so that every dtype gets the same ones.

        With `first` they are those from that position on of a larger draw.
        """
        twin = _twin(self.backend, "uniform") if dtype in DTYPES and not first else None
        if twin is not None:
            return twin(self.next_keys().tolist(), shape, dtype)
        xp = self.backend.xp
        unit = xp.astype(self._words(shape, first) >> 8, self.backend.dtype(dtype))
        return unit * 2.0**-24

    def normal(self, shape: Shape, dtype: str = "float32") -> Array:
        """Return normal numbers of mean 0 and variance 1, by Box and Muller's transform of two draws.

        Logarithm and cosine may differ between libraries in the last place; use one library if equality matters.
        """
        xp = self.backend.xp
        radius = xp.sqrt(-2.0 * xp.log1p(-self.uniform(shape, "float64")))
        angle = 2.0 * math.pi * self.uniform(shape, "float64")
        return xp.astype(radius * xp.cos(angle), self.backend.dtype(dtype), copy=False)

    def integers(self, low: int, high: int, shape: Shape) -> Array:
        """Return int64 numbers uniform in [low, high), by Lemire's multiply-and-shift (bias under 2**-31 * range).

        Raises
        ------
        ValueError
            If the range is empty or wider than 2**31.
        """
        if not 0 < high - low <= 2**31:
            raise ValueError(f"integers needs low < high <= low + 2**31, not low={low}, high={high}")
        twin = _twin(self.backend, "integers")
        if twin is not None:
            return twin(self.next_keys().tolist(), shape, low, high)
        return ((self._words(shape) * (high - low)) >> 32) + low

    def next_keys(self) -> npt.NDArray[Any]:
        """Go to the next draw, and return its two keys."""
        entropy = (self.seed, self._stream_key, self.counter)
        self.counter += 1
        return np.random.SeedSequence(entropy).generate_state(2)

    def _words(self, shape: Shape, first: int = 0) -> Array:
        """Return the next draw: int64 words, uniform in [0, 2**32), from position `first` on."""
        key0, key1 = self.next_keys().tolist()
        xp = self.backend.xp
        index = xp.arange(first, first + math.prod(shape), dtype=xp.int64, device=self.backend.device)
        return xp.reshape(_mix(_mix(index ^ key0) ^ key1), shape)


def find_twins_with(find: Callable[[Backend, str], Any]) -> None:
    """Let ``find(backend, name)`` return the faster twin of a draw of `Random`, or None.

    `xnn.kernels`, which stands above this module, calls this.
    """
    global _twin
    _twin = find


def _no_twin(backend: Backend, name: str) -> Any:
    return None


_twin: Callable[[Backend, str], Any] = _no_twin


def _mix(word: Array) -> Array:
    """Permute the 32-bit words held in an int64 array so that each output bit depends on every input bit."""
    for multiplier, shift in zip(_MULTIPLIERS, (16, 15), strict=True):
        word = word ^ (word >> shift)
        word = (word * multiplier) & _WORD
    return word ^ (word >> 15)
