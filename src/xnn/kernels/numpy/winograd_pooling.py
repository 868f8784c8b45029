"""Winograd's way out of the planes, and back into them, where pooling follows: each image is pooled while in cache."""

from typing import Any

from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.pooling import Pooling, spread_to_largest, take_largest
from xnn.kernels.numpy.winograd_transforms import Tiling, transform_output, transform_output_adjoint


@compiled
def planes_to_largest(
    planes: Any, stride: int, first: int, count: int, t: Tiling, order: Any, image: Any, bias: Any,
    pooling: Pooling, y: Any, taps: Any,
) -> None:  # fmt: skip
    """Do what `planes_to_outputs` does, and pool the result into `count` images of y and taps from `first` on."""
    tiles = t.rows * t.columns
    pixels = _pixels(image, t)
    for n in range(count):
        transform_output(planes, stride, order[n * tiles : (n + 1) * tiles], t.rows, t.columns, t.wide_outputs, image)
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
        transform_output_adjoint(
            image, t.rows, t.columns, t.wide_outputs, planes, stride, order[n * tiles : (n + 1) * tiles], order.size
        )


@compiled
def _pixels(image: Any, t: Tiling) -> Any:
    """Return the working memory as one image of all tiles, (1, 4 rows, 4 columns, channels)."""
    size = 16 * t.rows * t.columns * t.wide_outputs
    return image[:size].reshape((1, 4 * t.rows, 4 * t.columns, t.wide_outputs))
