"""Convolution in groups, which uses the twins for one group on some of the channels at a time.

Several narrow groups are computed as one group whose weight is block-diagonal: products with a handful of columns cost
more than multiplying the zeros does. So an infinity or NaN in one group may turn the results of its neighbours into NaN
as well.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from xnn._typing import Array, Gradients, Pullback
from xnn.functional.windows import Windows
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import threads

Convolution: TypeAlias = Callable[[Array, Array, Array | None, Windows], tuple[Array, Pullback]]

_CHANNELS = 16
"""Groups are joined up to this many channels of inputs or outputs, whichever are fewer, and twice as many others."""


class _Bundle:
    """Groups that are computed together: their share of the channels of x, `inputs`, and of y, `outputs`."""

    def __init__(self, groups: range, group_inputs: int, group_outputs: int) -> None:
        self.count = len(groups)
        self.inputs = slice(groups.start * group_inputs, groups.stop * group_inputs)
        self.outputs = slice(groups.start * group_outputs, groups.stop * group_outputs)

    def joined(self, weight: Array) -> Array:
        """Return the weight (kh, kw, inputs, outputs) with which one group computes the same."""
        mine = weight[..., self.outputs]
        if self.count == 1:
            return np.ascontiguousarray(mine)
        result = np.zeros((*mine.shape[:2], self.count * mine.shape[2], mine.shape[3]), np.float32)
        for rows, columns in self._diagonal():
            result[:, :, rows, columns] = mine[..., columns]
        return result

    def write_gradient(self, joined: Array, dweight: Array) -> None:
        """Adjoint of `joined`: write these groups' part of dweight."""
        mine = dweight[..., self.outputs]
        for rows, columns in self._diagonal():
            mine[..., columns] = joined[:, :, rows, columns]

    def _diagonal(self) -> Iterator[tuple[slice, slice]]:
        """Yield the place of each group's weight in the joined one, as (inputs, outputs)."""
        tall, wide = ((share.stop - share.start) // self.count for share in (self.inputs, self.outputs))
        for k in range(self.count):
            yield slice(k * tall, (k + 1) * tall), slice(k * wide, (k + 1) * wide)


def conv2d(
    one_group: Convolution, x: Array, weight: Array, bias: Array | None, windows: Windows, groups: int
) -> tuple[Array, Pullback]:
    """Return (y, pullback) for contiguous float32 arrays; `one_group` is the twin for a single group.

    The pullback holds a copy of x, cut into groups.
    """
    outputs = weight.shape[3]
    bundles = _bundles(groups, weight.shape[2], outputs // groups)
    y = empty((len(x), *windows.output, outputs))
    pullbacks = []
    for bundle in bundles:
        part = None if bias is None else np.ascontiguousarray(bias[bundle.outputs])
        result, pull = one_group(_channels(x, bundle.inputs), bundle.joined(weight), part, windows)
        _copy(result, y[..., bundle.outputs])
        pullbacks.append(pull)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dx = empty(x.shape) if needs[0] else None
        dweight = empty(weight.shape) if needs[1] else None
        dbias = np.empty(outputs, np.float32) if needs[2] and bias is not None else None
        for bundle, pull in zip(bundles, pullbacks, strict=True):
            dx_part, joined, dbias_part = pull(_channels(dy, bundle.outputs), needs)
            if dx is not None:
                _copy(dx_part, dx[..., bundle.inputs])
            if dweight is not None:
                bundle.write_gradient(joined, dweight)
            if dbias is not None:
                dbias[bundle.outputs] = dbias_part
        return dx, dweight, dbias

    return y, pullback


def _bundles(groups: int, group_inputs: int, group_outputs: int) -> list[_Bundle]:
    fewer, more = sorted((group_inputs, group_outputs))
    length = max(min(_CHANNELS // fewer, 2 * _CHANNELS // more), 1)
    ranges = [range(start, min(start + length, groups)) for start in range(0, groups, length)]
    return [_Bundle(some, group_inputs, group_outputs) for some in ranges]


def _channels(x: Array, some: slice) -> Array:
    """Return a contiguous copy of some channels of x (n, h, w, c)."""
    result = empty((*x.shape[:3], some.stop - some.start))
    _copy(x[..., some], result)
    return result


def _copy(source: Array, target: Array) -> None:
    """Copy images, each thread its own."""

    def copy(part: range) -> None:
        target[part.start : part.stop] = source[part.start : part.stop]

    threads().run(copy, threads().parts(len(source)))
