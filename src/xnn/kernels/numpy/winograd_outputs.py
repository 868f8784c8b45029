"""The linear maps of Winograd's algorithm for outputs: Aᵀ m A of each tile, and its adjoint; see `winograd_tiles`.

If pooling follows, each image is pooled while it is in the cache.
"""

from typing import Any

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.padding import spread
from xnn.kernels.numpy.pooling import Pooling, spread_to_largest, take_largest
from xnn.kernels.numpy.products import WIDTH
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.winograd_eight import transform_output, transform_output_adjoint
from xnn.kernels.numpy.winograd_tiles import Tiling, covered, load6, place, store6


@compiled
def planes_to_outputs(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, bias: Any, y: Any
) -> None:
    """Transform back into `count` images of y from `first` on, and add the bias."""
    tiles, (_, width) = t.rows * t.columns, covered(t, t.size)
    for n in range(count):
        _to_image(planes, stride, order[n * tiles : (n + 1) * tiles], t, image)
        start = (first + n) * t.out_height * t.out_width * t.outputs
        for i in range(t.out_height):
            for j in range(t.out_width):
                source = (i * width + j) * t.wide_outputs
                target = start + (i * t.out_width + j) * t.outputs
                line, result = image[source : source + t.outputs], y[target : target + t.outputs]
                for c in range(t.outputs):
                    result[c] = line[c] + bias[c]


@compiled
def outputs_to_planes(
    dy: Any, first: int, count: int, t: Tiling, order: Any, image: Any, planes: Any, stride: int
) -> None:
    """Adjoint of `planes_to_outputs`, without the bias."""
    tiles, (height, width) = t.rows * t.columns, covered(t, t.size)
    for n in range(count):
        spread(dy, (first + n) * t.out_height * t.out_width * t.outputs, t.out_height, t.out_width, t.outputs, 0, 0,
                height, width, t.wide_outputs, image)  # fmt: skip
        _from_image(image, t, planes, stride, order[n * tiles : (n + 1) * tiles], order.size)


@compiled
def planes_to_largest(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, bias: Any,
    pooling: Pooling, y: Any, taps: Any,
) -> None:  # fmt: skip
    """Do what `planes_to_outputs` does, and pool the result into `count` images of y and taps from `first` on."""
    tiles = t.rows * t.columns
    pixels = _pixels(image, t)
    for n in range(count):
        _to_image(planes, stride, order[n * tiles : (n + 1) * tiles], t, image)
        if bias.any():
            for i in range(t.out_height):
                for j in range(t.out_width):
                    for c in range(t.outputs):
                        pixels[0, i, j, c] += bias[c]
        k = first + n
        take_largest(pooling, pixels, y[k : k + 1], taps[k : k + 1])


@compiled
def largest_to_planes(
    dy: Any, taps: Any, first: int, count: int, t: Tiling, order: Any, image: Any, planes: Any, stride: int,
    pooling: Pooling,
) -> None:  # fmt: skip
    """Adjoint of `planes_to_largest`, without the bias."""
    tiles = t.rows * t.columns
    pixels = _pixels(image, t)
    for n in range(count):
        if t.wide_outputs > t.outputs:
            pixels[:] = 0.0
        k = first + n
        spread_to_largest(pooling, dy[k : k + 1], pixels, taps[k : k + 1])
        _from_image(image, t, planes, stride, order[n * tiles : (n + 1) * tiles], order.size)


@compiled
def _pixels(image: Any, t: Tiling) -> Any:
    """Return the working memory as the image of all tiles, (1, rows, columns, channels)."""
    height, width = covered(t, t.size)
    return image[: height * width * t.wide_outputs].reshape((1, height, width, t.wide_outputs))


@inlined
def _to_image(planes: Any, stride: int, order: Any, t: Tiling, image: Any) -> None:
    if t.size == 8:
        transform_output(planes, stride, order, t, image)
    else:
        _transform_output(planes, stride, order, t, image)


@inlined
def _from_image(image: Any, t: Tiling, planes: Any, stride: int, order: Any, tiles: int) -> None:
    if t.size == 8:
        transform_output_adjoint(image, t, planes, stride, order, tiles)
    else:
        _transform_output_adjoint(image, t, planes, stride, order, tiles)


@inlined
def _output_line(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    """Aᵀ m, one column."""
    s, d, t, e = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + s + t, d + splat(2.0) * e, s + splat(4.0) * t, d + splat(8.0) * e + m5


@inlined
def _output_line_adjoint(y0: Any, y1: Any, y2: Any, y3: Any) -> Any:
    """A y, one column."""
    even, odd = y0 + y2, y1 + y3
    wide_even, wide_odd = y0 + splat(4.0) * y2, splat(2.0) * y1 + splat(8.0) * y3
    return y0, even + odd, even - odd, wide_even + wide_odd, wide_even - wide_odd, y3


@inlined
def _transform_output(planes: Any, stride: int, order: Any, t: Tiling, image: Any) -> None:
    """Aᵀ m A of each tile, from its row of the planes into the image of all tiles."""
    channels = t.wide_outputs
    line = covered(t, 4)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, _, _ = place(tile, t, line, channels)
        source = order[tile] * channels
        for c in range(0, channels, LANES):
            at = source + c
            # A column of a tile is every sixth plane.
            a = _output_line(*load6(planes, at, 6 * stride))
            b = _output_line(*load6(planes, at + stride, 6 * stride))
            d = _output_line(*load6(planes, at + 2 * stride, 6 * stride))
            e = _output_line(*load6(planes, at + 3 * stride, 6 * stride))
            f = _output_line(*load6(planes, at + 4 * stride, 6 * stride))
            g = _output_line(*load6(planes, at + 5 * stride, 6 * stride))
            to = corner + c
            _store4(image, to, channels, _output_line(a[0], b[0], d[0], e[0], f[0], g[0]))
            _store4(image, to + line, channels, _output_line(a[1], b[1], d[1], e[1], f[1], g[1]))
            _store4(image, to + 2 * line, channels, _output_line(a[2], b[2], d[2], e[2], f[2], g[2]))
            _store4(image, to + 3 * line, channels, _output_line(a[3], b[3], d[3], e[3], f[3], g[3]))


@inlined
def _store4(image: Any, to: int, channels: int, values: Any) -> None:
    store(image, to, values[0])
    store(image, to + channels, values[1])
    store(image, to + 2 * channels, values[2])
    store(image, to + 3 * channels, values[3])


@inlined
def _transform_output_adjoint(image: Any, t: Tiling, planes: Any, stride: int, order: Any, tiles: int) -> None:
    """A dy Aᵀ of each tile, from the image of all tiles into the tile's row, one of `tiles`, of the planes' panels."""
    channels, nothing = t.wide_outputs, splat(0.0)
    line = covered(t, 4)[1] * channels
    for tile in range(t.rows * t.columns):
        # If a tile has three pixels, the fourth belongs to the next tile.
        corner, is_high, is_wide = place(tile, t, line, channels)
        for c in range(0, channels, LANES):
            at = corner + c
            a = _output_column_adjoint(image, at, line, is_high)
            b = _output_column_adjoint(image, at + channels, line, is_high)
            d = _output_column_adjoint(image, at + 2 * channels, line, is_high)
            e = (nothing, nothing, nothing, nothing, nothing, nothing)
            if is_wide:
                e = _output_column_adjoint(image, at + 3 * channels, line, is_high)
            to = (c // WIDTH * tiles + order[tile]) * WIDTH + c % WIDTH
            store6(planes, to, stride, _output_line_adjoint(a[0], b[0], d[0], e[0]))
            store6(planes, to + 6 * stride, stride, _output_line_adjoint(a[1], b[1], d[1], e[1]))
            store6(planes, to + 12 * stride, stride, _output_line_adjoint(a[2], b[2], d[2], e[2]))
            store6(planes, to + 18 * stride, stride, _output_line_adjoint(a[3], b[3], d[3], e[3]))
            store6(planes, to + 24 * stride, stride, _output_line_adjoint(a[4], b[4], d[4], e[4]))
            store6(planes, to + 30 * stride, stride, _output_line_adjoint(a[5], b[5], d[5], e[5]))


@inlined
def _output_column_adjoint(image: Any, at: int, line: int, is_high: bool) -> Any:
    last = load(image, at + 3 * line) if is_high else splat(0.0)
    return _output_line_adjoint(load(image, at), load(image, at + line), load(image, at + 2 * line), last)
