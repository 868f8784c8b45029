"""Convolution by Winograd's F(4x4, 3x3): a quarter of the multiplications, for 3 x 3 windows that move by one pixel.

F(8x8, 3x3) takes a sixth of them, where larger errors are allowed. With the maps that `winograd_tiles` describes, a
convolution is, for each of the 36 or 100 positions k inside a transformed tile, a product of matrices over all tiles::

    D = inputs_to_planes(x)    U = weight_to_planes(w)    M_k = D_k U_k    y = planes_to_outputs(M)

All steps are linear, so the pullback consists of their adjoints in reverse, and is exact for what forward computed::

    dM = planes_to_outputsᵀ(dy)    dU_k = D_kᵀ dM_k    dD_k = dM_k U_kᵀ
    dw = weight_to_planesᵀ(dU)      dx = inputs_to_planesᵀ(dD)

Blocks of images go through all steps while they are in cache. D is made again in the pullback, not kept. The planes of
U and dM are in panels, as `products` takes them. The products leave out positions that only matter for outputs beyond
the edge of an image. If pooling follows, images are pooled one by one, and y and dy are the pooled ones.
"""

import functools
from typing import Any

import numpy as np

from xnn._typing import Array, Gradients, Pullback
from xnn.functional.windows import Pair, Windows
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.pooling import Pooling
from xnn.kernels.numpy.products import WIDTH, add_transposed, multiply, panels
from xnn.kernels.numpy.simd import LANES
from xnn.kernels.numpy.sums import sum_rows
from xnn.kernels.numpy.threads import scratch, threads
from xnn.kernels.numpy.winograd_eight import HALFWAY
from xnn.kernels.numpy.winograd_inputs import inputs_to_planes, planes_to_inputs
from xnn.kernels.numpy.winograd_outputs import (
    largest_to_planes,
    outputs_to_planes,
    planes_to_largest,
    planes_to_outputs,
)
from xnn.kernels.numpy.winograd_tiles import Tiling, positions, positions_along, tiles_along
from xnn.kernels.numpy.winograd_weights import plane_step, planes_to_weight, weight_to_planes

_PLANE = 2**14
"""Numbers in a block's planes of inputs and outputs together, for one position: few enough for the cache."""

_WEIGHTS = 2**8
"""Weights per tile, at most: a block reads all weights and adds to their gradients, which may not be in any cache."""

_TILES = 256
"""Tiles in a block, at most."""

_PIECE = 2**26
"""Multiplications (about a millisecond) for which handing out a piece of the batch pays."""

_LEAST_VECTORS = 512
_FEWER = 0.9
"""Share of the positions of tiles of four that tiles of eight may have at most, since their maps take longer."""

_NOTHING = np.zeros(0, np.float32)
_NO_TAPS = np.zeros((0, 0, 0, 0), np.uint8)


def conv2d(
    x: Array, weight: Array, bias: Array | None, windows: Windows, pool: Pair | None = None, *, large: bool = False
) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays and a 3 x 3 window with stride and dilation 1.

    `pool` is the window of a pooling that follows, of no more than 255 taps and no larger than the result. `large`
    allows tiles of eight outputs where they take fewer multiplications, with errors some ten times as large.
    """
    tiling, pooling = _tiling(windows, weight.shape[2], weight.shape[3], pool or (1, 1), large)
    shift = np.zeros(tiling.outputs, dtype=np.float32) if bias is None else bias
    y = empty((len(x), pooling.out_height, pooling.out_width, tiling.outputs))
    taps = _NO_TAPS if pool is None else empty(y.shape, np.uint8)
    kernel = _transformed(weight, tiling.wide_inputs, tiling)
    block = max(_length(tiling) // (tiling.rows * tiling.columns), 1)

    def forward(part: range) -> None:
        image, inputs, outputs = _working_memory(tiling, block)
        _forward(
            x.reshape(-1), part.start, part.stop, block, tiling, image, inputs, outputs, kernel, shift,
            pooling, y, taps,
        )  # fmt: skip

    multiplications = positions(tiling.size) * tiling.rows * tiling.columns * tiling.inputs * tiling.outputs
    threads().run(forward, threads().pieces(len(x), -(-_PIECE // multiplications)))

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy = np.ascontiguousarray(dy)
        dx = empty(x.shape) if needs[0] else None
        adjoint = _transformed(weight, tiling.wide_outputs, tiling, adjoint=True) if needs[0] else _NOTHING

        def backward(part: range) -> Array:
            step = plane_step(tiling.wide_inputs, tiling.outputs)
            total = empty((positions(tiling.size) * step,)) if needs[1] else _NOTHING
            image, inputs, outputs = _working_memory(tiling, block)
            _backward(
                x.reshape(-1), dy, taps, part.start, part.stop, block, tiling, pooling, image, inputs, outputs,
                adjoint, _NOTHING if dx is None else dx.reshape(-1), total,
            )  # fmt: skip
            return total

        totals = threads().run(backward, threads().parts(len(x))) if needs[0] or needs[1] else []
        dweight = _weight_gradient(totals, tiling) if needs[1] else None
        return dx, dweight, sum_rows(dy.reshape(-1, tiling.outputs)) if needs[2] and bias is not None else None

    return y, pullback


def _length(t: Tiling) -> int:
    """Return roughly how many tiles a block has."""
    cached: int = positions(4) * _PLANE // (positions(t.size) * (t.inputs + t.outputs))
    return min(max(cached, t.inputs * t.outputs // _WEIGHTS), _TILES)


@functools.lru_cache(maxsize=1024)
def _tiling(windows: Windows, inputs: int, outputs: int, pool: Pair, large: bool) -> tuple[Tiling, Pooling]:
    """Return how images are cut into tiles, and pooled; (1, 1) stands for no pooling.

    The last rows and columns are not computed if they are too few for a window of the pooling.
    """
    (height, width), (top, left) = windows.size, windows.before
    down, across = (length // window for length, window in zip(windows.output, pool, strict=True))
    out_height, out_width = down * pool[0], across * pool[1]
    size = _size(out_height, out_width) if large else 4
    (rows, whole_rows), (columns, whole_columns) = tiles_along(out_height, size), tiles_along(out_width, size)
    wide_inputs, wide_outputs = -(-inputs // LANES) * LANES, panels(outputs) * WIDTH
    tiling = Tiling(
        height, width, inputs, top, left, out_height, out_width, outputs,
        rows, columns, whole_rows, whole_columns, wide_inputs, wide_outputs, size,
    )  # fmt: skip
    return tiling, Pooling(out_height, out_width, outputs, *pool, down, across)


def _size(height: int, width: int) -> int:
    """Return how many outputs a tile should have along an axis."""
    return 8 if _all_positions(height, width, 8) <= _FEWER * _all_positions(height, width, 4) else 4


def _all_positions(height: int, width: int, size: int) -> int:
    """Return the number of positions in all tiles of an image, that is, of products per pair of channels."""
    return positions_along(*tiles_along(height, size), size) * positions_along(*tiles_along(width, size), size)


def _working_memory(tiling: Tiling, images: int) -> tuple[Array, Array, Array]:
    """Return room for a padded image and a tile, and for the planes of a block."""
    pixels = (tiling.size * tiling.rows + 2) * (tiling.size * tiling.columns + 2)
    image = scratch("image", pixels * max(tiling.wide_inputs, tiling.wide_outputs) + HALFWAY)
    planes, count = positions(tiling.size), images * tiling.rows * tiling.columns
    inputs = scratch("inputs", planes * _distance(count, tiling.wide_inputs))
    return image, inputs, scratch("outputs", planes * _distance(count, tiling.wide_outputs))


def _transformed(weight: Array, rows: int, t: Tiling, adjoint: bool = False) -> Array:
    """G w Gᵀ, or with each tap of w transposed; each position is in panels of `rows` rows."""
    inputs, outputs = weight.shape[2:]
    # Rows, the distance between them, columns, and the distance between those.
    shape = (outputs, 1, inputs, outputs) if adjoint else (inputs, outputs, outputs, 1)
    planes = empty((positions(t.size) * plane_step(rows, shape[2]),))
    threads().run(
        lambda part: weight_to_planes(
            weight.reshape(-1), inputs * outputs, *shape, rows, part.start, part.stop, planes, t
        ),
        threads().parts(panels(shape[2]) * WIDTH * rows // LANES, _LEAST_VECTORS),
    )
    return planes


def _weight_gradient(totals: list[Array], t: Tiling) -> Array:
    """Gᵀ dU G for the sum of the threads' dU."""
    wide = empty((3, 3, t.wide_inputs, t.wide_outputs))
    step, tap = plane_step(t.wide_inputs, t.outputs), t.wide_inputs * t.wide_outputs

    def add(part: range) -> None:
        for number, total in enumerate(totals):
            start, stop = part.start * LANES, part.stop * LANES
            planes_to_weight(total, step, start, stop, t, wide.reshape(-1), tap, number == 0)

    threads().run(add, threads().parts(tap // LANES, _LEAST_VECTORS))
    return wide[:, :, : t.inputs, : t.outputs]


@compiled
def _distance(tiles: int, channels: int) -> int:
    """Numbers from one plane to the next."""
    # Planes that begin a power of two apart would all fall on the same few cache lines.
    return tiles * channels + 2 * LANES


@compiled
def _steps(count: int, step: int) -> Any:
    return np.arange(count) * step


@compiled
def _channels(count: int, tiles: int) -> Any:
    """Where each channel begins in a plane that holds one vector of channels for all tiles, then the next vector."""
    channels = np.arange(count)
    return channels // LANES * (tiles * LANES) + channels % LANES


@compiled
def _order(images: int, t: Tiling) -> Any:
    """Return each tile's row in a plane, (images * rows * columns,), and where the last three of four parts begin.

    The last of six positions contributes only to the last of four outputs, which tiles of three do not have. The tiles
    that use a position must always be in one piece. So tiles with three columns come first, then whole ones, those with
    three rows, and those with three of both.
    """
    high, wide = t.whole_rows, t.whole_columns
    whole = images * high * (t.columns - wide)
    low = whole + images * high * wide
    corner = low + images * (t.rows - high) * wide
    free = np.array([whole, 0, low, corner])
    order = np.empty(images * t.rows * t.columns, np.int64)
    for tile in range(order.size):
        row, column = tile // t.columns % t.rows, tile % t.columns
        part = 2 * int(row >= high) + int(column >= wide)
        order[tile] = free[part]
        free[part] += 1
    return order, (whole, low, corner)


@compiled
def _used(position: int, parts: Any, tiles: int, size: int) -> Any:
    """Return the first row of a plane whose tile uses that position, and the end of such rows."""
    whole, low, corner = parts
    last = size + 1
    is_last_row, is_last_column = position // (size + 2) == last, position % (size + 2) == last
    return whole if is_last_column else 0, low if is_last_row else corner if is_last_column else tiles


@compiled
def _forward(
    x: Any, first: int, stop: int, block: int, t: Tiling, image: Any, inputs: Any, outputs: Any,
    kernel: Any, bias: Any, pooling: Pooling, y: Any, taps: Any,
) -> None:  # fmt: skip
    """Write y or, if there are taps, which means that pooling follows, the pooled y and the taps."""
    step = plane_step(t.wide_inputs, t.outputs)
    start, nothing = np.zeros(1, np.int64), np.zeros(t.wide_outputs, np.float32)
    for n in range(first, stop, block):
        images = min(block, stop - n)
        order, parts = _order(images, t)
        input_step, output_step = _distance(order.size, t.wide_inputs), _distance(order.size, t.wide_outputs)
        at, to = _steps(order.size, t.wide_inputs), _steps(order.size, t.wide_outputs)
        inputs_to_planes(x, n, images, t, order, image, inputs, input_step, t.wide_inputs, np.int64(LANES))
        for k in range(positions(t.size)):
            top, end = _used(k, parts, order.size, t.size)
            multiply(
                inputs, k * input_step, at[top:end], start, t.wide_inputs, kernel[k * step : (k + 1) * step], nothing,
                outputs, k * output_step, to[top:end], t.wide_outputs,
            )  # fmt: skip
        if taps.size > 0:
            planes_to_largest(outputs, output_step, n, images, t, order, image, bias, pooling, y, taps)
        else:
            planes_to_outputs(outputs, output_step, n, images, t, order, image, bias, y.reshape(-1))


@compiled
def _backward(
    x: Any, dy: Any, taps: Any, first: int, stop: int, block: int, t: Tiling, pooling: Pooling,
    image: Any, inputs: Any, outputs: Any, adjoint: Any, dx: Any, total: Any,
) -> None:  # fmt: skip
    """Write dU to `total`, and dx, leaving out either if its array is empty."""
    step, adjoint_step = plane_step(t.wide_inputs, t.outputs), plane_step(t.wide_outputs, t.inputs)
    row_places = _steps(t.wide_inputs, t.wide_outputs)
    nothing = np.zeros(-(-t.wide_inputs // WIDTH) * WIDTH, np.float32)
    for n in range(first, stop, block):
        images = min(block, stop - n)
        order, parts = _order(images, t)
        tiles = order.size
        input_step, output_step = _distance(tiles, t.wide_inputs), _distance(tiles, t.wide_outputs)
        if taps.size > 0:
            largest_to_planes(dy, taps, n, images, t, order, image, outputs, output_step, pooling)
        else:
            outputs_to_planes(dy.reshape(-1), n, images, t, order, image, outputs, output_step)
        if total.size > 0:
            tile_places, channels = _steps(tiles, LANES), _channels(t.wide_inputs, tiles)
            inputs_to_planes(x, n, images, t, order, image, inputs, input_step, np.int64(LANES), tiles * LANES)
            for k in range(positions(t.size)):
                top, end = _used(k, parts, tiles, t.size)
                add_transposed(
                    inputs, k * input_step, channels, tile_places[top:end],
                    outputs[k * output_step + top * WIDTH : (k + 1) * output_step], tiles, t.outputs,
                    total, k * step, row_places, n == first,
                )  # fmt: skip
        if dx.size > 0:
            places, panel_places = _steps(tiles, t.wide_inputs), _steps(tiles, WIDTH)
            panel_starts = _steps(t.wide_outputs // WIDTH, tiles * WIDTH)
            for k in range(positions(t.size)):
                top, end = _used(k, parts, tiles, t.size)
                plane = inputs[k * input_step : k * input_step + tiles * t.wide_inputs]
                if t.size == 4:
                    plane[: top * t.wide_inputs] = 0.0
                    plane[end * t.wide_inputs :] = 0.0
                multiply(
                    outputs, k * output_step, panel_places[top:end], panel_starts, np.int64(WIDTH),
                    adjoint[k * adjoint_step : (k + 1) * adjoint_step], nothing,
                    inputs, k * input_step, places[top:end], t.wide_inputs,
                )  # fmt: skip
            planes_to_inputs(inputs, input_step, n, images, t, order, image, dx)
