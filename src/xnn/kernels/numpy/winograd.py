"""Convolution by Winograd's F(4x4, 3x3): a quarter of the multiplications, for 3 x 3 windows that move by one pixel.

With the maps of `winograd_transforms` a convolution is, for each of the 36 positions k inside a transformed tile, a
product of matrices over all tiles t::

    D = inputs_to_planes(x)    U = weight_to_planes(w)    M_k = D_k U_k    y = planes_to_outputs(M)

All steps are linear, so the pullback is their adjoints in reverse, and exact for what was computed forward::

    dM = planes_to_outputsᵀ(dy)    dU_k = D_kᵀ dM_k    dD_k = dM_k U_kᵀ
    dw = weight_to_planesᵀ(dU)      dx = inputs_to_planesᵀ(dD)

Blocks of images go through all steps while they are in cache. D is made again in the pullback, not kept.
"""

import functools
import math

import numpy as np

from xnn._typing import Array, Pullback
from xnn.functional.windows import Windows
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.simd import LANES
from xnn.kernels.numpy.sums import sum_rows
from xnn.kernels.numpy.threads import blocks_of, scratch, threads
from xnn.kernels.numpy.winograd_transforms import (
    Tiling,
    inputs_to_planes,
    outputs_to_planes,
    planes_to_inputs,
    planes_to_outputs,
    planes_to_weight,
    weight_to_planes,
)

_TILES = 128
"""Tiles in a block, about: enough rows for BLAS, few enough for the cache."""

_PRODUCT_NUMBERS = 2**16
"""Numbers of the weight's planes that are multiplied before they are added, about."""

_LEAST_VECTORS = 512
_POSITIONS = 36


def conv2d(x: Array, weight: Array, bias: Array | None, windows: Windows) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays and a 3 x 3 window with stride and dilation 1."""
    tiling = _tiling(windows, weight.shape[2], weight.shape[3])
    images = x.shape[0]
    y = empty((images, *windows.output, tiling.outputs))
    shift = np.zeros(tiling.outputs, dtype=np.float32) if bias is None else bias
    kernel = _widened(weight, tiling)
    parts = threads().parts(images)
    length = max(_TILES // tiles(windows), 1)
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)

    def forward(part: range) -> None:
        for first, count in blocks_of(part, length):
            block = _Block(tiling, count)
            inputs_to_planes(x_flat, first, count, tiling, block.image, block.inputs, block.input_stride)
            np.matmul(block.input_planes, kernel, out=block.output_planes)
            planes_to_outputs(block.outputs, block.output_stride, first, count, tiling, block.image, shift, y_flat)

    threads().run(forward, parts)

    def pullback(
        dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Array | None, Array | None, Array | None]:
        dy = np.ascontiguousarray(dy)
        dx = empty(x.shape) if needs[0] else None
        dy_flat, dx_flat = dy.reshape(-1), None if dx is None else dx.reshape(-1)

        def backward(part: range) -> Array | None:
            total = empty(kernel.shape) if needs[1] else None
            if total is not None:
                total.fill(0.0)
            for first, count in blocks_of(part, length):
                block = _Block(tiling, count)
                outputs_to_planes(dy_flat, first, count, tiling, block.image, block.outputs, block.output_stride)
                if total is not None:
                    inputs_to_planes(x_flat, first, count, tiling, block.image, block.inputs, block.input_stride)
                    _add_products(block.input_planes, block.output_planes, total)
                if dx_flat is not None:
                    np.matmul(block.output_planes, kernel.transpose(0, 2, 1), out=block.input_planes)
                    planes_to_inputs(block.inputs, block.input_stride, first, count, tiling, block.image, dx_flat)
            return total

        totals = threads().run(backward, parts) if needs[0] or needs[1] else []
        dweight = _narrowed(totals, weight) if needs[1] else None
        return dx, dweight, sum_rows(dy.reshape(-1, tiling.outputs)) if needs[2] and bias is not None else None

    return y, pullback


def tiles(windows: Windows) -> int:
    """Return the number of tiles of an image."""
    return math.prod(-(-length // 4) for length in windows.output)


class _Block:
    """Working memory for a block of images: their padded copy, one at a time, and their planes."""

    def __init__(self, tiling: Tiling, images: int) -> None:
        tiles = images * tiling.rows * tiling.columns
        height, width = 4 * tiling.rows + 2, 4 * tiling.columns + 2
        self.image = scratch("image", height * width * max(tiling.wide_inputs, tiling.wide_outputs))
        self.inputs, self.input_stride, self.input_planes = _planes("inputs", tiles, tiling.wide_inputs)
        self.outputs, self.output_stride, self.output_planes = _planes("outputs", tiles, tiling.wide_outputs)


def _planes(name: str, tiles: int, channels: int) -> tuple[Array, int, Array]:
    """Return the planes as a vector, the distance between two of them, and a view (36, tiles, channels)."""
    # Planes that begin a power of two apart would all fall on the same few lines of the cache.
    stride = tiles * channels + 2 * LANES
    flat = scratch(name, _POSITIONS * stride)
    view = flat.reshape(_POSITIONS, stride)[:, : tiles * channels].reshape(_POSITIONS, tiles, channels)
    return flat, stride, view


def _add_products(inputs: Array, outputs: Array, total: Array) -> None:
    """total_k += inputs_kᵀ outputs_k, a few positions at a time so that the products are still in cache when added."""
    shape = total.shape[1:]
    length = max(_PRODUCT_NUMBERS // math.prod(shape), 1)
    for start in range(0, _POSITIONS, length):
        some = slice(start, min(start + length, _POSITIONS))
        product = scratch("product", math.prod(total[some].shape)).reshape(total[some].shape)
        np.matmul(inputs[some].transpose(0, 2, 1), outputs[some], out=product)
        total[some] += product


@functools.lru_cache(maxsize=1024)
def _tiling(windows: Windows, inputs: int, outputs: int) -> Tiling:
    (height, width), (out_height, out_width), (top, left) = windows.size, windows.output, windows.before
    rows, columns = -(-out_height // 4), -(-out_width // 4)
    wide = [-(-channels // LANES) * LANES for channels in (inputs, outputs)]
    return Tiling(height, width, inputs, top, left, out_height, out_width, outputs, rows, columns, *wide)


def _widened(weight: Array, tiling: Tiling) -> Array:
    """G w Gᵀ, (36, wide inputs, wide outputs)."""
    missing = (tiling.wide_inputs - weight.shape[2], tiling.wide_outputs - weight.shape[3])
    if any(missing):
        weight = np.pad(weight, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
    planes = empty((_POSITIONS, *weight.shape[2:]))
    numbers, step = weight.reshape(-1), planes[0].size
    threads().run(
        lambda part: weight_to_planes(numbers, step, part.start * LANES, part.stop * LANES, planes.reshape(-1)),
        threads().parts(step // LANES, _LEAST_VECTORS),
    )
    return planes


def _narrowed(totals: list[Array], weight: Array) -> Array:
    """Adjoint of `_widened`, of the sum of what the threads found."""
    wide = np.zeros((3, 3, *totals[0].shape[1:]), dtype=np.float32)
    numbers, step = wide.reshape(-1), totals[0][0].size

    def add(part: range) -> None:
        for total in totals:
            planes_to_weight(total.reshape(-1), step, part.start * LANES, part.stop * LANES, numbers)

    threads().run(add, threads().parts(step // LANES, _LEAST_VECTORS))
    return wide[:, :, : weight.shape[2], : weight.shape[3]]
