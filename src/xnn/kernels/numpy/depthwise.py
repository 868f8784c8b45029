"""Depthwise convolution: each channel is convolved on its own, so the loops run over pixels, channels side by side.

With X the padded image, m output channels to an input channel, and the taps t = (i, j)::

    y[p, q, o]  = Σ_t X[p s + i d, q s + j d, o // m] w[t, o] + b[o]
    dX[r, u, o] = Σ_t dy[(r - i d) / s, (u - j d) / s, o] w[t, o]     where both are whole, then summed over each m
    dw[t, o]    = Σ_npq dy[p, q, o] X[p s + i d, q s + j d, o // m]

The first two are one loop, `correlate`, which looks at a padded image, of x or of dy, through a list of taps. For dX
the list depends on the pixel's phase, its remainders by the stride; forward has a single phase. There are only a few
multiplications for each number read, so it is important to read each number once: a piece of an image, some of its
lines, is padded into memory that stays in cache, with each channel m times.
"""

import functools
import itertools
from typing import Any, TypeAlias

import numpy as np

from xnn._typing import Array, Gradients, Pullback
from xnn.functional.windows import Pair, Windows
from xnn.kernels.numpy.depthwise_loops import SPARE, Image, Result, Taps, correlate, weight_gradient
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.simd import LANES
from xnn.kernels.numpy.sums import sum_rows
from xnn.kernels.numpy.threads import as_slice, scratch, threads

Plan: TypeAlias = tuple[Image, Result, Taps]

_PIECE_NUMBERS = 2**16
"""Numbers in a piece, roughly: a quarter of a megabyte."""

_LEAST_PRODUCTS = 2**17
"""Fewest multiplications that are worth waking a thread for."""


def conv2d(x: Array, weight: Array, bias: Array | None, windows: Windows) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays, weight (kh, kw, 1, channels * multiplier)."""
    (images, _, _, channels), outputs = x.shape, weight.shape[3]
    packed = _pack(weight.reshape(-1, outputs))
    y = empty((images, *windows.output, outputs))
    shift = _pack(np.zeros((1, outputs), np.float32) if bias is None else bias.reshape(1, outputs))
    _run(correlate, images, windows, _forward_plan(windows, channels, outputs), x, packed, shift, y)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy = np.ascontiguousarray(dy)
        return (
            _input_gradient(dy, packed, windows, channels) if needs[0] else None,
            _weight_gradient(x, dy, windows).reshape(weight.shape) if needs[1] else None,
            sum_rows(dy.reshape(-1, outputs)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _input_gradient(dy: Array, packed: Array, windows: Windows, channels: int) -> Array:
    images, outputs = len(dy), dy.shape[3]
    each = empty((images, *windows.size, outputs))
    shift = np.zeros_like(packed[:, 0])
    _run(correlate, images, windows, _backward_plan(windows, outputs), dy, packed, shift, each)
    if outputs == channels:
        return each
    dx, each = empty((images, *windows.size, channels)), each.reshape(images, *windows.size, channels, -1)

    def add(part: range) -> None:
        some = as_slice(part)
        dx[some] = each[some, ..., 0]
        for k in range(1, each.shape[-1]):
            dx[some] += each[some, ..., k]

    threads().run(add, threads().parts(images))
    return dx


def _weight_gradient(x: Array, dy: Array, windows: Windows) -> Array:
    """Return (taps, outputs)."""
    images, outputs = len(dy), dy.shape[3]
    plan = _forward_plan(windows, x.shape[3], outputs)
    if outputs % LANES:
        # The last vector of channels extends beyond the last number.
        longer = empty((dy.size + LANES,))
        longer[: dy.size] = dy.reshape(-1)
        longer[dy.size :] = 0.0
        dy = longer
    totals = _run(weight_gradient, images, windows, plan, x, dy)
    return _unpack(functools.reduce(np.add, totals), outputs)


def _run(kernel: Any, images: int, windows: Windows, plan: Plan, source: Array, *arrays: Array) -> list[Any]:
    """Run a kernel over all pieces of all images, each thread its own."""
    image, result, taps = plan
    numbers = image.rows * image.line * image.wide
    flat = [array.reshape(-1) for array in arrays]

    def task(part: range) -> Any:
        piece = scratch("image", numbers + SPARE)
        piece.fill(0.0)
        return kernel(part.start, part.stop, source.reshape(-1), image, piece, *flat, result, taps)

    least = -(-_LEAST_PRODUCTS // (windows.taps * numbers))
    return threads().run(task, threads().parts(images * result.pieces, least))


def _pack(matrix: Array) -> Array:
    """(taps, outputs) -> (vectors, taps, LANES), with zeros for missing channels."""
    missing = -matrix.shape[1] % LANES
    if missing:
        matrix = np.pad(matrix, ((0, 0), (0, missing)))
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1, LANES).transpose(1, 0, 2))


def _unpack(packed: Array, outputs: int) -> Array:
    """Inverse of `_pack`, of a vector."""
    vectors = -(-outputs // LANES)
    matrix = packed.reshape(vectors, -1, LANES).transpose(1, 0, 2)
    return np.ascontiguousarray(matrix.reshape(-1, vectors * LANES)[:, :outputs])


@functools.lru_cache(maxsize=1024)
def _forward_plan(windows: Windows, channels: int, outputs: int) -> Plan:
    (kernel_height, kernel_width), (down, right) = windows.kernel, windows.dilation
    taps = [(i * down, j * right) for i in range(kernel_height) for j in range(kernel_width)]
    result = Result(*windows.output, outputs, 1, 1, *windows.stride, 0, 0)
    return _plan((*windows.size, channels), result, windows.before, windows.padded[1], [list(enumerate(taps))])


@functools.lru_cache(maxsize=1024)
def _backward_plan(windows: Windows, outputs: int) -> Plan:
    vertical, horizontal = (_phases(windows, axis) for axis in (0, 1))
    # Lines and columns of zeros before dy and, in a line, after it, so that every tap of every phase sees something.
    top, left = (max(0, *(-place for phase in phases for _, place in phase)) for phases in (vertical, horizontal))
    seen = (windows.size[1] - 1 + windows.before[1]) // windows.stride[1] + 1
    phases = [
        [(i * windows.kernel[1] + j, (row + top, column + left)) for i, row in phase_down for j, column in phase_right]
        for phase_down in vertical
        for phase_right in horizontal
    ]
    result = Result(*windows.size, outputs, *windows.stride, 1, 1, 0, 0)
    return _plan((*windows.output, outputs), result, (top, left), left + max(windows.output[1], seen), phases)


def _plan(
    size: tuple[int, int, int], result: Result, margin: Pair, line: int, phases: list[list[tuple[int, Pair]]]
) -> Plan:
    """Return the plan for images of that size, with a margin before them and `line` pixels in a whole line.

    A phase is a list of taps: (number, (line, column) that the tap sees for the phase's first pixel).
    """
    repeat = result.channels // size[2]
    wide = -(-result.channels // LANES) * LANES
    reach = max(row for phase in phases for _, (row, _) in phase) + 1
    most = (_PIECE_NUMBERS // (line * wide) - reach) // result.by_rows + 1
    lines = min(max(most, 1), -(-result.height // result.down))
    image = Image(*size, repeat, *margin, (lines - 1) * result.by_rows + reach, line, wide)
    pieces = -(-result.height // (result.down * lines))
    tap = [number for phase in phases for number, _ in phase]
    at = [(row * line + column) * wide for phase in phases for _, (row, column) in phase]
    bounds = list(itertools.accumulate(map(len, phases), initial=0))
    return image, result._replace(lines=lines, pieces=pieces), Taps(*map(np.asarray, (tap, at, bounds)))


def _phases(windows: Windows, axis: int) -> list[list[tuple[int, int]]]:
    """Return the taps (i, p) of each phase along an axis: tap i of window p sees the phase's first pixel."""
    stride, dilation, before = windows.stride[axis], windows.dilation[axis], windows.before[axis]
    places = [[(i, phase + before - i * dilation) for i in range(windows.kernel[axis])] for phase in range(stride)]
    return [[(i, place // stride) for i, place in phase if place % stride == 0] for phase in places]
