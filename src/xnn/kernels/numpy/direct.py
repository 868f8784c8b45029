"""Convolution as a product whose left matrix, what each window sees, is read directly from the image.

With C the matrix of columns, (pixels, taps * channels), the mathematics is that of `xnn.functional.conv2d`:
Y = C W + b, dW = Cᵀ dY, dC = dY Wᵀ. C is never made: each of its rows consists of the same few runs of numbers, counted
from some place in the image. dX, the adjoint of reading C, is such a product again: with stride s, the pixels of X fall
into s x s phases, and the same taps reach all pixels of a phase, so each phase is a convolution of dY with those taps.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from xnn._typing import Array, Gradients, Pullback
from xnn.functional.windows import Windows
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.padding import spread
from xnn.kernels.numpy.products import WIDTH, add_transposed, multiply, pack, panels
from xnn.kernels.numpy.sums import sum_rows
from xnn.kernels.numpy.threads import scratch, threads
from xnn.memory import aligned

_BLOCK_PIXELS = 256
"""Least number of pixels in a product: several smaller images are taken together."""

_LEAST_PRODUCT = 2**20
"""Fewest multiplications that are worth waking a thread for."""


class Frame(NamedTuple):
    """An image and its place in a larger one, (rows, line, channels), which is zero elsewhere."""

    height: int
    width: int
    channels: int
    top: int
    left: int
    rows: int
    line: int
    is_padded: bool


class Plan(NamedTuple):
    """A product: which numbers of a framed image make up each row, and where the row's result goes.

    Attributes
    ----------
    frame : Frame
    images : images in a block
    at : (images * pixels,) where each row begins in the block's framed images
    runs, length : where each run begins from there, and how long it is
    to : (images * pixels,) where each row of the result goes in the block's results
    taps : (i, j) of each group of `channels` terms, in order
    """

    frame: Frame
    images: int
    at: Array
    runs: Array
    length: int
    to: Array
    taps: tuple[tuple[int, int], ...]


def conv2d(x: Array, weight: Array, bias: Array | None, windows: Windows) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays, in one group."""
    inputs, outputs = weight.shape[2:]
    plan = _forward_plan(windows, inputs, outputs)
    y = empty((len(x), *windows.output, outputs))
    _product(x, plan, weight.reshape(-1, outputs), bias, y)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy = np.ascontiguousarray(dy)
        dx = empty(x.shape) if needs[0] else None
        if dx is not None:
            for phase in _phases(windows, inputs, outputs):
                taps = [weight[tap].T for tap in phase.taps] or [np.zeros((0, inputs), np.float32)]
                _product(dy, phase, np.concatenate(taps), None, dx)
        return (
            dx,
            _weight_gradient(x, dy, plan).reshape(weight.shape) if needs[1] else None,
            sum_rows(dy.reshape(-1, outputs)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _product(x: Array, plan: Plan, matrix: Array, bias: Array | None, y: Array) -> None:
    """Write the rows of y that a plan describes."""
    rows, columns = matrix.shape
    shift = np.zeros(panels(columns) * WIDTH, np.float32)
    if bias is not None:
        shift[:columns] = bias
    pool = threads()

    def multiply_some(images: range, some: range, packed: Array) -> None:
        first = some.start * WIDTH
        _multiply_images(
            x.reshape(-1), images.start, images.stop, plan.frame, plan.images, scratch("image", _size(plan)), plan.at,
            plan.runs, plan.length, packed, shift[first:], y.reshape(-1)[first:], y[0].size, plan.to,
            min(some.stop * WIDTH, columns) - first,
        )  # fmt: skip

    if len(x) >= pool.count:
        all_panels = range(panels(columns))
        packed = _packed(matrix, all_panels)
        pool.run(lambda images: multiply_some(images, all_panels, packed), pool.parts(len(x)))
    else:
        # Too few images to give each thread one: the threads share the panels.
        least = _LEAST_PRODUCT // max(len(plan.to) // plan.images * len(x) * rows * WIDTH, 1) + 1
        parts = pool.parts(panels(columns), least)
        pool.run(lambda some: multiply_some(range(len(x)), some, _packed(matrix, some)), parts)


def _weight_gradient(x: Array, dy: Array, plan: Plan) -> Array:
    """dW = Cᵀ dY, (taps * channels, outputs)."""
    outputs = dy.shape[3]
    wide = panels(outputs) * WIDTH
    rows = (plan.runs[:, None] + np.arange(plan.length)).reshape(-1)
    to = np.arange(len(rows)) * wide

    def gradient(part: range) -> Array:
        total = np.empty((len(rows), wide), np.float32)
        _add_gradients(
            x.reshape(-1), part.start, part.stop, plan.frame, plan.images, scratch("image", _size(plan)), rows, plan.at,
            dy.reshape(-1), scratch("panels", len(plan.at) * wide), outputs, total.reshape(-1), to,
        )  # fmt: skip
        return total

    return functools.reduce(np.add, threads().run(gradient, threads().parts(len(x))))[:, :outputs]


def _packed(matrix: Array, some: range) -> Array:
    """Return some of the panels of a matrix."""
    rows, columns = matrix.shape
    first = some.start * WIDTH
    packed = aligned(4 * len(some) * WIDTH * rows).view(np.float32)
    pack(matrix.reshape(-1), first, columns, rows, min(some.stop * WIDTH, columns) - first, packed)
    return packed


def _size(plan: Plan) -> int:
    return plan.images * plan.frame.rows * plan.frame.line * plan.frame.channels


@functools.lru_cache(maxsize=1024)
def _forward_plan(windows: Windows, inputs: int, outputs: int) -> Plan:
    (height, width), (top, left), (rows, line) = windows.size, windows.before, windows.padded
    frame = Frame(height, width, inputs, top, left, rows, line, windows.is_padded)
    p, q = (np.arange(length) * step for length, step in zip(windows.output, windows.stride, strict=True))
    i, j = (np.arange(length) * step for length, step in zip(windows.kernel, windows.dilation, strict=True))
    at = (p[:, None] * line + q).reshape(-1) * inputs
    taps = tuple(np.ndindex(windows.kernel))
    if windows.dilation[1] == 1:
        runs, length = i * line * inputs, windows.kernel[1] * inputs
    else:
        runs, length = (i[:, None] * line + j).reshape(-1) * inputs, inputs
    to = np.arange(len(at)) * outputs
    return _for_blocks(frame, at, runs, length, to, len(at) * outputs, taps)


@functools.lru_cache(maxsize=1024)
def _phases(windows: Windows, inputs: int, outputs: int) -> list[Plan]:
    """Return the plans of dX, from dY."""
    vertical, horizontal = (_axis_phases(windows, axis) for axis in (0, 1))
    return [
        _phase(windows, inputs, outputs, down, right)
        for down in vertical
        for right in horizontal
        if len(down.pixels) and len(right.pixels)
    ]


class _AxisPhase(NamedTuple):
    """Pixels of x along an axis that the same taps reach: tap k takes pixel n from dy's ``origin[n] + shifts[k]``."""

    pixels: Array
    origin: Array
    taps: Array
    shifts: Array


def _axis_phases(windows: Windows, axis: int) -> list[_AxisPhase]:
    stride, dilation, before = windows.stride[axis], windows.dilation[axis], windows.before[axis]
    pixels, taps = np.arange(windows.size[axis]), np.arange(windows.kernel[axis])
    phases = []
    for phase in range(stride):
        here = pixels[(pixels + before) % stride == phase]
        reached = taps[(phase - taps * dilation) % stride == 0][::-1]
        phases.append(_AxisPhase(here, (here + before) // stride, reached, (phase - reached * dilation) // stride))
    return phases


def _phase(windows: Windows, inputs: int, outputs: int, down: _AxisPhase, right: _AxisPhase) -> Plan:
    (height, width), x_width = windows.output, windows.size[1]
    (top, rows), (left, line) = _margin(down), _margin(right)
    frame = Frame(height, width, outputs, top, left, rows, line, True)
    at = ((down.origin[:, None] + top) * line + right.origin + left).reshape(-1) * outputs
    taps = tuple((int(i), int(j)) for i in down.taps for j in right.taps)
    # Taps that are neighbours make one run over neighbouring pixels of dy.
    joined = len(right.shifts) if len(right.shifts) and (np.diff(right.shifts) == 1).all() else 1
    shifts = right.shifts[::joined] if joined else right.shifts
    runs = (down.shifts[:, None] * line + shifts).reshape(-1) * outputs
    to = (down.pixels[:, None] * x_width + right.pixels).reshape(-1) * inputs
    return _for_blocks(frame, at, runs, joined * outputs, to, windows.size[0] * x_width * inputs, taps)


def _margin(phase: _AxisPhase) -> tuple[int, int]:
    """Return the padding before dy along an axis, and the length with it."""
    if len(phase.shifts) == 0:
        return 0, int(phase.origin.max()) + 1
    before = max(-int(phase.origin.min() + phase.shifts.min()), 0)
    return before, before + int(phase.origin.max() + max(phase.shifts.max(), 0)) + 1


def _for_blocks(
    frame: Frame, at: Array, runs: Array, length: int, to: Array, step: int, taps: tuple[tuple[int, int], ...]
) -> Plan:
    """Return the plan for enough images at a time to make a product long enough; results are `step` numbers apart."""
    images = -(-_BLOCK_PIXELS // len(at))
    image = np.arange(images)[:, None]
    size = frame.rows * frame.line * frame.channels
    return Plan(frame, images, (image * size + at).reshape(-1), runs, length, (image * step + to).reshape(-1), taps)


@compiled
def _multiply_images(
    x: Any, first: int, stop: int, frame: Frame, block: int, image: Any, at: Any, runs: Any, length: int,
    packed: Any, bias: Any, y: Any, y_step: int, to: Any, columns: int,
) -> None:  # fmt: skip
    """Write the results of images [first, stop) of x."""
    size, pixels, zero = frame.height * frame.width * frame.channels, at.size // block, np.int64(0)
    for n in range(first, stop, block):
        rows = min(block, stop - n) * pixels
        if frame.is_padded:
            _spread_images(x, n, min(n + block, stop), frame, image)
            multiply(image, zero, at[:rows], runs, length, packed, bias, y, n * y_step, to[:rows], columns)
        else:
            multiply(x, n * size, at[:rows], runs, length, packed, bias, y, n * y_step, to[:rows], columns)


@compiled
def _add_gradients(
    x: Any, first: int, stop: int, frame: Frame, block: int, image: Any, rows: Any, at: Any,
    dy: Any, packed: Any, columns: int, total: Any, to: Any,
) -> None:  # fmt: skip
    """Write Cᵀ dY of images [first, stop), at least one, to `total`, whose rows are whole panels."""
    size, pixels, zero = frame.height * frame.width * frame.channels, at.size // block, np.int64(0)
    for n in range(first, stop, block):
        count = min(block, stop - n) * pixels
        pack(dy, n * pixels * columns, columns, count, columns, packed)
        if frame.is_padded:
            _spread_images(x, n, min(n + block, stop), frame, image)
            add_transposed(image, zero, rows, at[:count], packed, count, columns, total, zero, to, n == first)
        else:
            add_transposed(x, n * size, rows, at[:count], packed, count, columns, total, zero, to, n == first)


@compiled
def _spread_images(x: Any, first: int, stop: int, frame: Frame, image: Any) -> None:
    size, framed = frame.height * frame.width * frame.channels, frame.rows * frame.line * frame.channels
    for n in range(first, stop):
        start = (n - first) * framed
        spread(
            x, n * size, frame.height, frame.width, frame.channels, frame.top, frame.left, frame.rows, frame.line,
            frame.channels, image[start : start + framed],
        )  # fmt: skip
