"""The twin of convolution: columns made by a kernel, their product with the weight by cuBLAS, and the way back."""

import functools
import math
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import cupy
import numpy as np

from xnn import functional as F
from xnn._checks import is_size
from xnn._typing import Array, Pullback
from xnn.functional._common import rows
from xnn.functional.windows import Padding, Windows, windows
from xnn.kernels.cupy import depthwise
from xnn.kernels.cupy.geometry import as_argument, most_images
from xnn.kernels.cupy.gradients import exact_gradient
from xnn.kernels.cupy.launching import is_plain
from xnn.kernels.cupy.linear import add_bias
from xnn.kernels.cupy.products import multiply, multiply_stack
from xnn.kernels.cupy.sums import sum_rows
from xnn.kernels.cupy.vectors import of_vectors, over_rows, vector_length
from xnn.kernels.pending import Computed

_IM2COL = of_vectors("conv", "im2col")
_COL2IM = of_vectors("conv", "col2im")

WORKSPACE = 2**29
"""Bytes of columns that are made at once.

The largest of the recipe ``speed`` take 0.4 GB in float16, at its batch of 1,000 images. Larger products would be no
faster, and smaller devices need their memory for other things.
"""

_KEPT_SHARE = 16
"""The columns kept for pullbacks take at most one in so many bytes of a device's memory."""


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.conv2d`; the weight's gradient is pending, and is added up in float32.

    Columns that fit the workspace all at once are kept for the weight's gradient while there is memory; others are made
    again.
    """
    if not _is_plain(x, weight, bias, groups):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    geometry = windows("conv2d", x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    if groups == x.shape[3] > 1 and len(x) <= most_images(geometry, weight.size):
        return depthwise.conv2d(x, weight, bias, geometry)
    plan = _plan(geometry, x.shape[3], groups, x.itemsize, WORKSPACE)
    if plan.most_images == 0:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    images, matrix = len(x), rows(weight)
    y_shape = (images, *geometry.output, weight.shape[3])
    y = cupy.empty(y_shape, x.dtype)
    y_rows, workspace = rows(y), plan.workspace(x)
    for chunk, pixels in plan.chunks(images):
        _multiply(plan.columns(x[chunk], workspace), matrix, y_rows[pixels], groups)
    if bias is not None:
        add_bias(y, bias)
    kept = _kept(workspace) if images <= plan.most_images else None
    source: Any = None if kept is not None else x

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        dy_rows = rows(exact_gradient("conv2d", dy, y_shape, matrix.dtype))

        def dx() -> Array:
            dx = cupy.empty((images, *geometry.size, plan.channels), matrix.dtype)
            workspace = plan.workspace(dx)
            for chunk, pixels in plan.chunks(images):
                columns = plan.place(dx[chunk], workspace)
                _multiply(dy_rows[pixels], matrix, columns, groups, turn_b=True)
                plan.scatter(columns, dx[chunk])
            return dx

        def dweight(place: Array | None) -> Array:
            result = cupy.empty(weight.shape, np.float32) if place is None else place
            workspace = plan.workspace(source) if kept is None else None
            for chunk, pixels in plan.chunks(images):
                columns = plan.columns(source[chunk], workspace) if kept is None else kept
                added = 0.0 if pixels.start == 0 else 1.0
                _multiply(columns, dy_rows[pixels], rows(result), groups, turn_a=True, beta=added)
            return result

        return (
            dx() if needs[0] else None,
            Computed(dweight) if needs[1] else None,
            sum_rows(dy_rows) if needs[2] and bias is not None else None,
        )

    return y, pullback


class _Plan:
    """How the columns of images of one geometry are made and undone, and of how many at once.

    Attributes
    ----------
    channels : int
    length : int
        Of a row of columns, which are (n p q, groups taps c / groups).
    most_images : int
        At once, so that the columns take at most `workspace` bytes, or those of one image; 0 if the kernels cannot
        count in 32 bits what there is to count.
    """

    def __init__(self, geometry: Windows, channels: int, groups: int, itemsize: int, workspace: int) -> None:
        self.channels, self.length = channels, geometry.taps * channels
        self._geometry, self._groups = geometry, groups
        self._outputs, self._pixels = math.prod(geometry.output), math.prod(geometry.size)
        # Then the columns are the pixels.
        self._is_trivial = geometry.taps == 1 and geometry.stride == (1, 1) and not geometry.is_padded
        most = most_images(geometry, self.length)
        fitting = workspace // (self._outputs * self.length * itemsize)
        self.most_images = most if self._is_trivial else min(most, max(fitting, 1))

    def chunks(self, images: int) -> Iterator[tuple[slice, slice]]:
        """Cut a batch into slices of images, with the slices of their output pixels."""
        for start in range(0, images, self.most_images):
            stop = min(start + self.most_images, images)
            yield slice(start, stop), slice(start * self._outputs, stop * self._outputs)

    def workspace(self, x: Array) -> Array | None:
        """Return memory for the columns of as many images of x as are processed at once; None if it takes none."""
        if self._is_trivial:
            return None
        return cupy.empty((min(len(x), self.most_images) * self._outputs, self.length), x.dtype)

    def place(self, x: Array, workspace: Array | None) -> Array:
        """Return where the columns of x are, or go."""
        return rows(x) if workspace is None else workspace[: len(x) * self._outputs]

    def columns(self, x: Array, workspace: Array | None) -> Array:
        """Return the columns of x, written to a workspace."""
        columns = self.place(x, workspace)
        if workspace is not None:
            pixels, (length, geometry) = len(columns), self._form(x)
            grid, block = over_rows(pixels, self.length // int(length))
            _IM2COL[x.dtype.char].launch((x.dtype.char, length), grid, block, (x,), (columns,), (pixels, geometry))
        return columns

    def scatter(self, columns: Array, dx: Array) -> None:
        """Add up in dx the columns' numbers where `columns` had taken them."""
        if not self._is_trivial:
            pixels, (length, geometry) = len(dx) * self._pixels, self._form(dx)
            grid, block = over_rows(pixels, self.channels // int(length))
            _COL2IM[dx.dtype.char].launch((dx.dtype.char, length), grid, block, (columns,), (dx,), (pixels, geometry))

    def _form(self, x: Array) -> tuple[str, Any]:
        """Return the length of the vectors of x that a kernel takes, and the geometry in these."""
        channels = self.channels // self._groups
        length = vector_length(channels, x)
        return length, as_argument(self._geometry, self._groups, channels // int(length))


@functools.lru_cache(maxsize=1024)
def _plan(geometry: Windows, channels: int, groups: int, itemsize: int, workspace: int) -> _Plan:
    return _Plan(geometry, channels, groups, itemsize, workspace)


def _multiply(
    a: Array, b: Array, out: Array, groups: int, *, turn_a: bool = False, turn_b: bool = False, beta: float = 0.0
) -> None:
    """Multiply matrices, for each group the part of their columns that is its own; or their transposes."""
    if groups > 1:
        a, b, out = (each.reshape(len(each), groups, -1).swapaxes(0, 1) for each in (a, b, out))
    a, b = a.swapaxes(-2, -1) if turn_a else a, b.swapaxes(-2, -1) if turn_b else b
    if groups > 1:
        multiply_stack(a, b, out, beta=beta)
    else:
        multiply(a, b, out, beta)


def _kept(columns: Array | None) -> Array | None:
    """Return the columns if there is memory to keep them for the pullback, else None."""
    if columns is None:
        return None
    device = columns.device.id
    held = sum(each.nbytes for each in _held.values() if each.device.id == device)
    if held + columns.nbytes > _memory(device) // _KEPT_SHARE:
        return None
    _held[columns.data.ptr] = columns
    return columns


_held: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()
"""All columns that pullbacks keep, by their place."""


@functools.cache
def _memory(device: int) -> int:
    with cupy.cuda.Device(device):
        return int(cupy.cuda.runtime.memGetInfo()[1])


def _is_plain(x: Array, weight: Array, bias: Array | None, groups: int) -> bool:
    """Whether the twin covers the arguments; about wrong ones the reference says what is wrong."""
    arrays = (x, weight) if bias is None else (x, weight, bias)
    if not is_plain(*arrays) or x.ndim != 4 or weight.ndim != 4 or not is_size(groups, 1):
        return False
    fits = x.shape[3] == weight.shape[2] * groups and weight.shape[3] % groups == 0
    return fits and (bias is None or bias.shape == weight.shape[3:])
