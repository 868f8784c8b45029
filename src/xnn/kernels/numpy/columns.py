"""Convolution as a product with columns, made for a few images at a time so that they stay in cache.

The mathematics is that of `xnn.functional.conv2d`: with C the matrix of columns, Y = C W + b, dW = Cᵀ dY and
dC = dY Wᵀ. What differs is that each thread makes the columns of its own images, a run of neighbouring pixels at a
time, and that a 1 x 1 window with stride 1 needs no columns, x being its own.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from xnn._typing import Array, Pullback
from xnn.functional.windows import Windows
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.images import crop, spread
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import scratch, threads

_COLUMN_NUMBERS = 2**17
"""Numbers in the columns of a block, about: half a megabyte."""


class Geometry(NamedTuple):
    """What compiled code needs to know of the windows; `rows` and `line` are the padded image's height and width."""

    height: int
    width: int
    channels: int
    top: int
    left: int
    rows: int
    line: int
    kernel_height: int
    kernel_width: int
    stride_down: int
    stride_right: int
    dilation_down: int
    dilation_right: int
    out_height: int
    out_width: int


def conv2d(x: Array, weight: Array, bias: Array | None, windows: Windows) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays, in one group."""
    geometry = _geometry(windows, x.shape[3])
    images, pixels, outputs = x.shape[0], math.prod(windows.output), weight.shape[3]
    matrix = weight.reshape(-1, outputs)
    y = empty((images, *windows.output, outputs))
    y_rows = y.reshape(-1, outputs)
    parts = threads().parts(images)
    blocks = functools.partial(_blocks, length=max(_COLUMN_NUMBERS // (pixels * len(matrix)), 1))
    columns = functools.partial(_columns, x, geometry, windows.taps == 1 and windows.output == windows.size)

    def forward(part: range) -> None:
        for first, count in blocks(part):
            rows = y_rows[first * pixels : (first + count) * pixels]
            np.matmul(columns(first, count), matrix, out=rows)
            if bias is not None:
                rows += bias

    threads().run(forward, parts)

    def pullback(
        dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Array | None, Array | None, Array | None]:
        dy_rows = np.ascontiguousarray(dy).reshape(-1, outputs)
        dx = empty(x.shape) if needs[0] else None

        def backward(part: range) -> Array | None:
            total = np.zeros_like(matrix) if needs[1] else None
            product = scratch("product", matrix.size).reshape(matrix.shape)
            for first, count in blocks(part):
                rows = dy_rows[first * pixels : (first + count) * pixels]
                if total is not None:
                    np.matmul(columns(first, count).T, rows, out=product)
                    total += product
                if dx is not None:
                    dcolumns = scratch("columns", len(rows) * len(matrix)).reshape(len(rows), len(matrix))
                    np.matmul(rows, matrix.T, out=dcolumns)
                    image = scratch("image", geometry.rows * geometry.line * geometry.channels)
                    scatter_columns(dcolumns.reshape(-1), first, count, geometry, image, dx.reshape(-1))
            return total

        totals = threads().run(backward, parts) if needs[0] or needs[1] else []
        dweight = functools.reduce(np.add, totals).reshape(weight.shape) if needs[1] else None
        return dx, dweight, dy_rows.sum(axis=0) if needs[2] and bias is not None else None

    return y, pullback


@functools.lru_cache(maxsize=1024)
def _geometry(windows: Windows, channels: int) -> Geometry:
    return Geometry(
        *windows.size, channels, *windows.before, *windows.padded, *windows.kernel, *windows.stride, *windows.dilation,
        *windows.output,
    )  # fmt: skip


def _blocks(part: range, length: int) -> Any:
    """Yield (first image, images) of each block."""
    for first in range(part.start, part.stop, length):
        yield first, min(length, part.stop - first)


def _columns(x: Array, geometry: Geometry, is_itself: bool, first: int, count: int) -> Array:
    """Return (pixels of the images, taps * channels): what each window sees."""
    if is_itself:
        return x[first : first + count].reshape(-1, geometry.channels)
    pixels = count * geometry.out_height * geometry.out_width
    width = geometry.kernel_height * geometry.kernel_width * geometry.channels
    flat = scratch("columns", pixels * width)
    image = scratch("image", geometry.rows * geometry.line * geometry.channels)
    gather_columns(x.reshape(-1), first, count, geometry, image, flat)
    return flat.reshape(pixels, width)


@compiled
def gather_columns(x: Any, first: int, count: int, g: Geometry, image: Any, columns: Any) -> None:
    """Write the columns of `count` images of x from `first` on; `image` is working memory for one padded image."""
    to = 0
    for n in range(first, first + count):
        spread(x, n * g.height * g.width * g.channels, g.height, g.width, g.channels, g.top, g.left,
               g.rows, g.line, g.channels, image)  # fmt: skip
        for p in range(g.out_height):
            for q in range(g.out_width):
                for i in range(g.kernel_height):
                    row = (p * g.stride_down + i * g.dilation_down) * g.line + q * g.stride_right
                    to = _copy_taps(image, row, g, columns, to)


@inlined
def _copy_taps(image: Any, row: int, g: Geometry, columns: Any, to: int) -> int:
    if g.dilation_right == 1:
        run = g.kernel_width * g.channels
        source = row * g.channels
        for k in range(run):
            columns[to + k] = image[source + k]
        return to + run
    for j in range(g.kernel_width):
        source = (row + j * g.dilation_right) * g.channels
        for c in range(g.channels):
            columns[to + c] = image[source + c]
        to += g.channels
    return to


@compiled
def scatter_columns(columns: Any, first: int, count: int, g: Geometry, image: Any, dx: Any) -> None:
    """Adjoint of `gather_columns`: write `count` images of dx from `first` on."""
    at = 0
    for n in range(first, first + count):
        image[: g.rows * g.line * g.channels] = 0.0
        for p in range(g.out_height):
            for q in range(g.out_width):
                for i in range(g.kernel_height):
                    row = (p * g.stride_down + i * g.dilation_down) * g.line + q * g.stride_right
                    for j in range(g.kernel_width):
                        target = (row + j * g.dilation_right) * g.channels
                        for c in range(g.channels):
                            image[target + c] += columns[at + c]
                        at += g.channels
        crop(image, g.line, g.channels, g.top, g.left, dx, n * g.height * g.width * g.channels,
             g.height, g.width, g.channels)  # fmt: skip
