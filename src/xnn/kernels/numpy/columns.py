"""Convolution as a product with columns, made for a few images at a time so that they stay in cache.

The mathematics is that of `xnn.functional.conv2d`: with C the matrix of columns, Y = C W + b, dW = Cᵀ dY and
dC = dY Wᵀ. What differs is that each thread makes the columns of its own images, by copies of contiguous runs. A run
is what a line of the window sees, all its channels. With few channels it would be short; then C is written transposed,
from an image of one plane a channel, where a run is what one tap sees from a whole line of windows. A 1 x 1 window
with stride 1 needs no columns, x being its own.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from xnn._typing import Array, Pullback
from xnn.functional.windows import Windows
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.images import add, crop, spread
from xnn.kernels.numpy.linear import product
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.simd import copy
from xnn.kernels.numpy.sums import sum_rows
from xnn.kernels.numpy.threads import blocks_of, scratch, threads

_COLUMN_NUMBERS = 2**17
"""Numbers in the columns of a block, about: half a megabyte."""


_FEW_CHANNELS = 4
"""Channels up to which C is written transposed."""


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
    blocks = functools.partial(blocks_of, length=max(_COLUMN_NUMBERS // (pixels * len(matrix)), 1))
    columns = functools.partial(_columns, x, geometry, windows.taps == 1 and windows.output == windows.size)

    def forward(part: range) -> None:
        for first, count in blocks(part):
            rows = y_rows[first * pixels : (first + count) * pixels]
            np.matmul(columns(first, count), matrix, out=rows)
            if bias is not None:
                rows += bias

    if images < threads().count:
        # Too few images to give each thread one: the threads share the product instead.
        for first in range(images):
            product(columns(first, 1), matrix, y_rows[first * pixels : (first + 1) * pixels])
        if bias is not None:
            y_rows += bias
    else:
        threads().run(forward, parts)

    def pullback(
        dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Array | None, Array | None, Array | None]:
        dy_rows = np.ascontiguousarray(dy).reshape(-1, outputs)
        dx = empty(x.shape) if needs[0] else None

        def backward(part: range) -> Array | None:
            total = np.zeros_like(matrix) if needs[1] else None
            partial = scratch("product", matrix.size).reshape(matrix.shape)
            for first, count in blocks(part):
                rows = dy_rows[first * pixels : (first + count) * pixels]
                if total is not None:
                    np.matmul(columns(first, count).T, rows, out=partial)
                    total += partial
                if dx is not None:
                    _add_columns(rows, matrix, geometry, first, count, dx)
            return total

        totals = threads().run(backward, parts) if needs[0] or needs[1] else []
        dweight = functools.reduce(np.add, totals).reshape(weight.shape) if needs[1] else None
        return dx, dweight, sum_rows(dy_rows) if needs[2] and bias is not None else None

    return y, pullback


@functools.lru_cache(maxsize=1024)
def _geometry(windows: Windows, channels: int) -> Geometry:
    return Geometry(
        *windows.size, channels, *windows.before, *windows.padded, *windows.kernel, *windows.stride, *windows.dilation,
        *windows.output,
    )  # fmt: skip


def _columns(x: Array, geometry: Geometry, is_itself: bool, first: int, count: int) -> Array:
    """Return (pixels of the images, taps * channels): what each window sees."""
    if is_itself:
        return x[first : first + count].reshape(-1, geometry.channels)
    pixels = count * geometry.out_height * geometry.out_width
    width = geometry.kernel_height * geometry.kernel_width * geometry.channels
    flat = scratch("columns", pixels * width)
    image = scratch("image", geometry.rows * geometry.line * geometry.channels)
    if _has_few_channels(geometry):
        gather_lines(x.reshape(-1), first, count, geometry, image, flat)
        return flat.reshape(width, pixels).T
    gather_columns(x.reshape(-1), first, count, geometry, image, flat)
    return flat.reshape(pixels, width)


def _add_columns(rows: Array, matrix: Array, geometry: Geometry, first: int, count: int, dx: Array) -> None:
    """Write the images of dx from dC = rows matrixᵀ."""
    image = scratch("image", geometry.rows * geometry.line * geometry.channels)
    flat = scratch("columns", len(rows) * len(matrix))
    if _has_few_channels(geometry):
        np.matmul(matrix, rows.T, out=flat.reshape(len(matrix), len(rows)))
        scatter_lines(flat, first, count, geometry, image, dx.reshape(-1))
    else:
        np.matmul(rows, matrix.T, out=flat.reshape(len(rows), len(matrix)))
        scatter_columns(flat, first, count, geometry, image, dx.reshape(-1))


def _has_few_channels(geometry: Geometry) -> bool:
    return geometry.stride_right == 1 and geometry.channels <= _FEW_CHANNELS


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
        copy(image, row * g.channels, columns, to, run)
        return to + run
    for j in range(g.kernel_width):
        copy(image, (row + j * g.dilation_right) * g.channels, columns, to, g.channels)
        to += g.channels
    return to


@inlined
def _add_taps(columns: Any, at: int, row: int, g: Geometry, image: Any) -> int:
    if g.dilation_right == 1:
        run = g.kernel_width * g.channels
        add(columns, at, image, row * g.channels, run)
        return at + run
    for j in range(g.kernel_width):
        add(columns, at, image, (row + j * g.dilation_right) * g.channels, g.channels)
        at += g.channels
    return at


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
                    at = _add_taps(columns, at, row, g, image)
        crop(image, g.line, g.channels, g.top, g.left, dx, n * g.height * g.width * g.channels,
             g.height, g.width, g.channels)  # fmt: skip


@compiled
def gather_lines(x: Any, first: int, count: int, g: Geometry, image: Any, columns: Any) -> None:
    """As `gather_columns`, with the columns transposed: a line a tap and channel, of all pixels of all images."""
    pixels = g.out_height * g.out_width
    for n in range(count):
        image[: g.rows * g.line * g.channels] = 0.0
        start = (first + n) * g.height * g.width * g.channels
        for i in range(min(g.height, g.rows - g.top)):
            for j in range(min(g.width, g.line - g.left)):
                for c in range(g.channels):
                    at = (c * g.rows + i + g.top) * g.line + j + g.left
                    image[at] = x[start + (i * g.width + j) * g.channels + c]
        for k in range(g.kernel_height * g.kernel_width * g.channels):
            at, to = _first_seen(k, g), (k * count + n) * pixels
            for p in range(g.out_height):
                copy(image, at + p * g.stride_down * g.line, columns, to + p * g.out_width, g.out_width)


@compiled
def scatter_lines(columns: Any, first: int, count: int, g: Geometry, image: Any, dx: Any) -> None:
    """Adjoint of `gather_lines`."""
    pixels = g.out_height * g.out_width
    for n in range(count):
        image[: g.rows * g.line * g.channels] = 0.0
        for k in range(g.kernel_height * g.kernel_width * g.channels):
            at, to = (k * count + n) * pixels, _first_seen(k, g)
            for p in range(g.out_height):
                add(columns, at + p * g.out_width, image, to + p * g.stride_down * g.line, g.out_width)
        start = (first + n) * g.height * g.width * g.channels
        for i in range(g.height):
            for j in range(g.width):
                for c in range(g.channels):
                    at = (c * g.rows + i + g.top) * g.line + j + g.left
                    dx[start + (i * g.width + j) * g.channels + c] = image[at]


@inlined
def _first_seen(k: int, g: Geometry) -> int:
    """Return what tap and channel k of the first window see in an image of one plane a channel."""
    tap, c = k // g.channels, k % g.channels
    i, j = tap // g.kernel_width, tap % g.kernel_width
    return (c * g.rows + i * g.dilation_down) * g.line + j * g.dilation_right
