"""The linear maps of Winograd's algorithm for inputs: Bᵀ x B of each tile, and its adjoint; see `winograd_tiles`."""

from typing import Any

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.padding import crop, spread
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.winograd_eight import transform_input, transform_input_adjoint
from xnn.kernels.numpy.winograd_tiles import Tiling, covered, load6, place, store6


@compiled
def inputs_to_planes(
    x: Any, first: int, count: int, t: Tiling, order: Any, image: Any, planes: Any, stride: int, row: int, vector: int
) -> None:
    """Transform `count` images of x from `first` on.

    Parameters
    ----------
    order : (count * rows * columns,)
        Each tile's row in the planes.
    image : (numbers,)
        Working memory for one padded image and, at its end, for `winograd_eight`.
    stride, row, vector
        Numbers from one plane to the next, from one row to the next, and from one vector of channels to the next.
    """
    tiles, (height, width) = t.rows * t.columns, covered(t, t.size + 2)
    for n in range(count):
        spread(x, (first + n) * t.height * t.width * t.inputs, t.height, t.width, t.inputs, t.top, t.left,
                height, width, t.wide_inputs, image)  # fmt: skip
        part = order[n * tiles : (n + 1) * tiles]
        if t.size == 8:
            transform_input(image, t, planes, stride, part, row, vector)
        else:
            _transform_input(image, t, planes, stride, part, row, vector)


@compiled
def planes_to_inputs(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, dx: Any
) -> None:
    """Adjoint of `inputs_to_planes`: write `count` images of dx from `first` on."""
    tiles, (height, width) = t.rows * t.columns, covered(t, t.size + 2)
    for n in range(count):
        image[: height * width * t.wide_inputs] = 0.0
        part = order[n * tiles : (n + 1) * tiles]
        if t.size == 8:
            transform_input_adjoint(planes, stride, part, t, image)
        else:
            _transform_input_adjoint(planes, stride, part, t, image)
        crop(image, height, width, t.wide_inputs, t.top, t.left,
             dx, (first + n) * t.height * t.width * t.inputs, t.height, t.width, t.inputs)  # fmt: skip


@inlined
def _input_line(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> Any:
    """Bᵀ d, one column."""
    two, four, five = splat(2.0), splat(4.0), splat(5.0)
    even, odd = d4 - four * d2, d3 - four * d1
    near, far = d4 - d2, two * (d3 - d1)
    return four * d0 - five * d2 + d4, even + odd, even - odd, near + far, near - far, four * d1 - five * d3 + d5


@inlined
def _input_line_adjoint(r0: Any, r1: Any, r2: Any, r3: Any, r4: Any, r5: Any) -> Any:
    """B r, one column."""
    two, four, five = splat(2.0), splat(4.0), splat(5.0)
    s, d = r1 + r2, r1 - r2
    t, e = r3 + r4, two * (r3 - r4)
    return four * r0, four * (r5 - d) - e, splat(0.0) - five * r0 - four * s - t, d + e - five * r5, r0 + s + t, r5


@inlined
def _transform_input(image: Any, t: Tiling, planes: Any, stride: int, order: Any, row: int, vector: int) -> None:
    """Bᵀ x B of each tile, from the image of all tiles into the tile's row of the planes."""
    channels = t.wide_inputs
    line = covered(t, 6)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, _, _ = place(tile, t, line, channels)
        target = order[tile] * row
        for c in range(0, channels, LANES):
            at = corner + c
            a = _input_line(*load6(image, at, line))
            b = _input_line(*load6(image, at + channels, line))
            d = _input_line(*load6(image, at + 2 * channels, line))
            e = _input_line(*load6(image, at + 3 * channels, line))
            f = _input_line(*load6(image, at + 4 * channels, line))
            g = _input_line(*load6(image, at + 5 * channels, line))
            to = target + c // LANES * vector
            store6(planes, to, stride, _input_line(a[0], b[0], d[0], e[0], f[0], g[0]))
            store6(planes, to + 6 * stride, stride, _input_line(a[1], b[1], d[1], e[1], f[1], g[1]))
            store6(planes, to + 12 * stride, stride, _input_line(a[2], b[2], d[2], e[2], f[2], g[2]))
            store6(planes, to + 18 * stride, stride, _input_line(a[3], b[3], d[3], e[3], f[3], g[3]))
            store6(planes, to + 24 * stride, stride, _input_line(a[4], b[4], d[4], e[4], f[4], g[4]))
            store6(planes, to + 30 * stride, stride, _input_line(a[5], b[5], d[5], e[5], f[5], g[5]))


@inlined
def _transform_input_adjoint(planes: Any, stride: int, order: Any, t: Tiling, image: Any) -> None:
    """B d Bᵀ of each tile, from its row of the planes, added to the image of all tiles."""
    channels = t.wide_inputs
    line = covered(t, 6)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, _, _ = place(tile, t, line, channels)
        source = order[tile] * channels
        for c in range(0, channels, LANES):
            at = source + c
            a = _input_line_adjoint(*load6(planes, at, 6 * stride))
            b = _input_line_adjoint(*load6(planes, at + stride, 6 * stride))
            d = _input_line_adjoint(*load6(planes, at + 2 * stride, 6 * stride))
            e = _input_line_adjoint(*load6(planes, at + 3 * stride, 6 * stride))
            f = _input_line_adjoint(*load6(planes, at + 4 * stride, 6 * stride))
            g = _input_line_adjoint(*load6(planes, at + 5 * stride, 6 * stride))
            to = corner + c
            _add6(image, to, channels, _input_line_adjoint(a[0], b[0], d[0], e[0], f[0], g[0]))
            _add6(image, to + line, channels, _input_line_adjoint(a[1], b[1], d[1], e[1], f[1], g[1]))
            _add6(image, to + 2 * line, channels, _input_line_adjoint(a[2], b[2], d[2], e[2], f[2], g[2]))
            _add6(image, to + 3 * line, channels, _input_line_adjoint(a[3], b[3], d[3], e[3], f[3], g[3]))
            _add6(image, to + 4 * line, channels, _input_line_adjoint(a[4], b[4], d[4], e[4], f[4], g[4]))
            _add6(image, to + 5 * line, channels, _input_line_adjoint(a[5], b[5], d[5], e[5], f[5], g[5]))


@inlined
def _add6(image: Any, to: int, channels: int, values: Any) -> None:
    store(image, to, load(image, to) + values[0])
    store(image, to + channels, load(image, to + channels) + values[1])
    store(image, to + 2 * channels, load(image, to + 2 * channels) + values[2])
    store(image, to + 3 * channels, load(image, to + 3 * channels) + values[3])
    store(image, to + 4 * channels, load(image, to + 4 * channels) + values[4])
    store(image, to + 5 * channels, load(image, to + 5 * channels) + values[5])
