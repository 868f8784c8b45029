"""The linear maps of Winograd's F(4x4, 3x3) for images, applied tile by tile, compiled by Numba.

For a 4 x 4 tile y of outputs and the 6 x 6 tile x of inputs that it sees (A. Lavin, S. Gray, "Fast algorithms for
convolutional neural networks", 2015)::

    y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A

Each function below takes one of the maps over all tiles of one image. Images come padded: with a margin, rounded up
to whole tiles, and with channels rounded up to a multiple of eight, so that no tile is an exception. The transformed
tiles lie in 36 planes, one for each position inside a tile, of one row a tile, in an order that the caller says; those
of the adjoint of outputs in panels of 16 channels, as a right matrix of `products` does.
"""

from typing import Any, NamedTuple

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.images import crop, spread
from xnn.kernels.numpy.products import WIDTH
from xnn.kernels.numpy.simd import LANES, load, splat, store


class Tiling(NamedTuple):
    """How an image is cut into tiles.

    Attributes
    ----------
    height, width, inputs : of the image
    top, left : its margin
    out_height, out_width, outputs : of the result
    rows, columns : of tiles
    wide_inputs, wide_outputs : channels, rounded up to a multiple of 8 and of 16
    """

    height: int
    width: int
    inputs: int
    top: int
    left: int
    out_height: int
    out_width: int
    outputs: int
    rows: int
    columns: int
    wide_inputs: int
    wide_outputs: int


@compiled
def inputs_to_planes(
    x: Any, first: int, count: int, t: Tiling, order: Any, image: Any, planes: Any, stride: int, row: int, vector: int
) -> None:
    """Transform `count` images of x from `first` on.

    Parameters
    ----------
    order : (count * rows * columns,)
        Which row of the planes is each tile's.
    image : (numbers,)
        Working memory for one padded image.
    stride, row, vector
        Numbers from a plane to the next, from a row to the next, and from eight channels to the next eight.
    """
    tiles = t.rows * t.columns
    for n in range(count):
        spread(x, (first + n) * t.height * t.width * t.inputs, t.height, t.width, t.inputs, t.top, t.left,
                4 * t.rows + 2, 4 * t.columns + 2, t.wide_inputs, image)  # fmt: skip
        transform_input(
            image, t.rows, t.columns, t.wide_inputs, planes, stride, order[n * tiles : (n + 1) * tiles], row, vector
        )


@compiled
def planes_to_outputs(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, bias: Any, y: Any
) -> None:
    """Transform back into `count` images of y from `first` on, and add the bias."""
    tiles = t.rows * t.columns
    for n in range(count):
        transform_output(
            planes, stride, order[n * tiles : (n + 1) * tiles], t.rows, t.columns, t.wide_outputs, image
        )  # fmt: skip
        start = (first + n) * t.out_height * t.out_width * t.outputs
        for i in range(t.out_height):
            for j in range(t.out_width):
                source = (i * 4 * t.columns + j) * t.wide_outputs
                target = start + (i * t.out_width + j) * t.outputs
                line, result = image[source : source + t.outputs], y[target : target + t.outputs]
                for c in range(t.outputs):
                    result[c] = line[c] + bias[c]


@compiled
def outputs_to_planes(
    dy: Any, first: int, count: int, t: Tiling, order: Any, image: Any, planes: Any, stride: int
) -> None:
    """Adjoint of `planes_to_outputs`, without the bias."""
    tiles = t.rows * t.columns
    for n in range(count):
        spread(dy, (first + n) * t.out_height * t.out_width * t.outputs, t.out_height, t.out_width, t.outputs, 0, 0,
                4 * t.rows, 4 * t.columns, t.wide_outputs, image)  # fmt: skip
        transform_output_adjoint(
            image, t.rows, t.columns, t.wide_outputs, planes, stride, order[n * tiles : (n + 1) * tiles], order.size
        )


@compiled
def planes_to_inputs(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, dx: Any
) -> None:
    """Adjoint of `inputs_to_planes`: `count` images of dx from `first` on."""
    tiles, line = t.rows * t.columns, 4 * t.columns + 2
    for n in range(count):
        image[: (4 * t.rows + 2) * line * t.wide_inputs] = 0.0
        transform_input_adjoint(
            planes, stride, order[n * tiles : (n + 1) * tiles], t.rows, t.columns, t.wide_inputs, image
        )  # fmt: skip
        crop(image, 4 * t.rows + 2, line, t.wide_inputs, t.top, t.left,
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
def transform_input(
    image: Any, rows: int, columns: int, channels: int, planes: Any, stride: int, order: Any, row: int, vector: int
) -> None:
    """Bᵀ x B of each tile of image (4 rows + 2, 4 columns + 2, channels), into its row of the planes."""
    line = (4 * columns + 2) * channels
    for tile in range(rows * columns):
        corner = (tile // columns) * 4 * line + (tile % columns) * 4 * channels
        target = order[tile] * row
        for c in range(0, channels, LANES):
            at = corner + c
            a = _input_column(image, at, line)
            b = _input_column(image, at + channels, line)
            d = _input_column(image, at + 2 * channels, line)
            e = _input_column(image, at + 3 * channels, line)
            f = _input_column(image, at + 4 * channels, line)
            g = _input_column(image, at + 5 * channels, line)
            to = target + c // LANES * vector
            _store_input_row(planes, to, stride, a[0], b[0], d[0], e[0], f[0], g[0])
            _store_input_row(planes, to + 6 * stride, stride, a[1], b[1], d[1], e[1], f[1], g[1])
            _store_input_row(planes, to + 12 * stride, stride, a[2], b[2], d[2], e[2], f[2], g[2])
            _store_input_row(planes, to + 18 * stride, stride, a[3], b[3], d[3], e[3], f[3], g[3])
            _store_input_row(planes, to + 24 * stride, stride, a[4], b[4], d[4], e[4], f[4], g[4])
            _store_input_row(planes, to + 30 * stride, stride, a[5], b[5], d[5], e[5], f[5], g[5])


@inlined
def _input_column(image: Any, at: int, line: int) -> Any:
    return _input_line(
        load(image, at),
        load(image, at + line),
        load(image, at + 2 * line),
        load(image, at + 3 * line),
        load(image, at + 4 * line),
        load(image, at + 5 * line),
    )


@inlined
def _store_input_row(planes: Any, to: int, stride: int, a: Any, b: Any, d: Any, e: Any, f: Any, g: Any) -> None:
    store6(planes, to, stride, _input_line(a, b, d, e, f, g))


@inlined
def store6(planes: Any, to: int, stride: int, values: Any) -> None:
    """Write six vectors, `stride` numbers apart."""
    store(planes, to, values[0])
    store(planes, to + stride, values[1])
    store(planes, to + 2 * stride, values[2])
    store(planes, to + 3 * stride, values[3])
    store(planes, to + 4 * stride, values[4])
    store(planes, to + 5 * stride, values[5])


@inlined
def load6(planes: Any, at: int, step: int) -> Any:
    """Return six vectors, `step` numbers apart."""
    return (
        load(planes, at),
        load(planes, at + step),
        load(planes, at + 2 * step),
        load(planes, at + 3 * step),
        load(planes, at + 4 * step),
        load(planes, at + 5 * step),
    )


@inlined
def transform_output(planes: Any, stride: int, order: Any, rows: int, columns: int, channels: int, image: Any) -> None:
    """Aᵀ m A of each tile, from its row of the planes into image (4 rows, 4 columns, channels)."""
    line = 4 * columns * channels
    for tile in range(rows * columns):
        corner = (tile // columns) * 4 * line + (tile % columns) * 4 * channels
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
def transform_output_adjoint(
    image: Any, rows: int, columns: int, channels: int, planes: Any, stride: int, order: Any, tiles: int
) -> None:
    """A dy Aᵀ of each tile of image (4 rows, 4 columns, channels), into its row, of `tiles`, of the planes' panels."""
    line = 4 * columns * channels
    for tile in range(rows * columns):
        corner = (tile // columns) * 4 * line + (tile % columns) * 4 * channels
        for c in range(0, channels, LANES):
            at = corner + c
            a = _output_column_adjoint(image, at, line)
            b = _output_column_adjoint(image, at + channels, line)
            d = _output_column_adjoint(image, at + 2 * channels, line)
            e = _output_column_adjoint(image, at + 3 * channels, line)
            to = (c // WIDTH * tiles + order[tile]) * WIDTH + c % WIDTH
            store6(planes, to, stride, _output_line_adjoint(a[0], b[0], d[0], e[0]))
            store6(planes, to + 6 * stride, stride, _output_line_adjoint(a[1], b[1], d[1], e[1]))
            store6(planes, to + 12 * stride, stride, _output_line_adjoint(a[2], b[2], d[2], e[2]))
            store6(planes, to + 18 * stride, stride, _output_line_adjoint(a[3], b[3], d[3], e[3]))
            store6(planes, to + 24 * stride, stride, _output_line_adjoint(a[4], b[4], d[4], e[4]))
            store6(planes, to + 30 * stride, stride, _output_line_adjoint(a[5], b[5], d[5], e[5]))


@inlined
def _output_column_adjoint(image: Any, at: int, line: int) -> Any:
    return _output_line_adjoint(
        load(image, at), load(image, at + line), load(image, at + 2 * line), load(image, at + 3 * line)
    )


@inlined
def transform_input_adjoint(
    planes: Any, stride: int, order: Any, rows: int, columns: int, channels: int, image: Any
) -> None:
    """B d Bᵀ of each tile, from its row of the planes, added to image (4 rows + 2, 4 columns + 2, channels)."""
    line = (4 * columns + 2) * channels
    for tile in range(rows * columns):
        corner = (tile // columns) * 4 * line + (tile % columns) * 4 * channels
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
