"""Hypothesis strategies for the inputs of neural networks: shapes, arrays, labels, geometries, networks.

If there are few values, they are drawn one by one, so that a failure shrinks to readable numbers; if there are many,
they come from a seed, so that no example is slow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn.errors import to_install

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"xnn.testing.strategies needs Hypothesis, which is not installed: {to_install('testing')}",
        name=error.name,
    ) from None

from xnn._typing import Shape
from xnn.testing.networks import networks

__all__ = [
    "ConvGeometry",
    "PoolGeometry",
    "arrays",
    "conv_geometries",
    "labels",
    "networks",
    "pool_geometries",
    "shapes",
]

Float64 = npt.NDArray[np.float64]

GRID = 8
"""Values are halfway between multiples of 1 / GRID, so 1 / (2 GRID) from every kink at such a multiple."""
LIMIT = 24
"""Values are within LIMIT / GRID of zero."""
DRAWN_ONE_BY_ONE = 24
"""Arrays with more elements come from a seed."""


def shapes(min_dims: int = 1, max_dims: int = 4, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Draw shapes."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(draw: st.DrawFn, shape: Shape, *, at: Sequence[float] = (), distinct: bool = False) -> Float64:
    """Draw float64 arrays of that shape with values between -3 and 3.

    All values are 1/16 away from every multiple of 1/8, and so from the kinks of most functions.

    Parameters
    ----------
    shape : tuple of int
    at : sequence of float
        Values to aim at: about half of the elements are one of these. For properties that must hold on a kink or at
        the ends of a range.
    distinct : bool
        No two elements are equal or closer than 1/8: for functions that compare elements. With more than 48 elements,
        values exceed the range.
    """
    size = math.prod(shape)
    if distinct:
        order = _seeded(draw).permutation(size)
        return np.asarray((order - size // 2 + 0.5) / GRID).reshape(shape)
    if size <= DRAWN_ONE_BY_ONE:
        element: st.SearchStrategy[float] = st.integers(-LIMIT, LIMIT - 1).map(lambda k: (k + 0.5) / GRID)
        if at:
            element = st.sampled_from(list(at)) | element
        return np.asarray(draw(st.lists(element, min_size=size, max_size=size)), dtype=np.float64).reshape(shape)
    random = _seeded(draw)
    values = (random.integers(-LIMIT, LIMIT, shape) + 0.5) / GRID
    if at:
        values = np.where(random.random(shape) < 0.5, random.choice(np.asarray(at, dtype=np.float64), shape), values)
    return np.asarray(values)


def labels(count: int, classes: int, dtype: str = "int64") -> st.SearchStrategy[npt.NDArray[Any]]:
    """Draw class indices, (count,) integers in [0, classes)."""
    index = st.integers(0, classes - 1)
    return st.lists(index, min_size=count, max_size=count).map(lambda row: np.asarray(row, dtype=dtype))


@dataclass(frozen=True)
class ConvGeometry:
    """Shapes and options of a convolution that fit each other.

    Attributes
    ----------
    x, weight : tuple of int
        Shapes (n, h, w, c) and (kh, kw, c / groups, o).
    options : dict
        ``stride``, ``padding``, ``dilation`` and ``groups``, as `xnn.functional.conv2d` takes them.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from xnn import functional as F
    >>> from xnn.testing import strategies
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(strategies.conv_geometries())
    ... def test_conv2d_keeps_the_batch(geometry):
    ...     y, pullback = F.conv2d(np.zeros(geometry.x), np.zeros(geometry.weight), **geometry.options)
    ...     assert y.shape[0] == geometry.x[0]
    >>> test_conv2d_keeps_the_batch()
    """

    x: Shape
    weight: Shape
    options: dict[str, Any]


@dataclass(frozen=True)
class PoolGeometry:
    """Shape and options of a pooling that fit each other.

    Attributes
    ----------
    x : tuple of int
        Shape (n, h, w, c).
    options : dict
        ``window``, ``stride`` and ``padding``, as `xnn.functional.max_pool2d` takes them.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from xnn import functional as F
    >>> from xnn.testing import strategies
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(strategies.pool_geometries())
    ... def test_pooling_keeps_the_channels(geometry):
    ...     y, pullback = F.max_pool2d(np.zeros(geometry.x), **geometry.options)
    ...     assert y.shape[-1] == geometry.x[-1]
    >>> test_pooling_keeps_the_channels()
    """

    x: Shape
    options: dict[str, Any]


@st.composite
def conv_geometries(
    draw: st.DrawFn,
    max_batch: int = 3,
    max_side: int = 6,
    max_kernel: int = 3,
    max_channels: int = 2,
    max_groups: int = 3,
) -> ConvGeometry:
    """Draw geometries of convolutions: kernels, strides, dilations, groups, and every form of padding."""
    groups = draw(st.integers(1, max_groups))
    inputs, outputs = draw(st.integers(1, max_channels)), draw(st.integers(1, max_channels)) * groups
    kernel, stride, dilation = draw(_pairs(1, max_kernel)), draw(_pairs(1, 3)), draw(_pairs(1, 2))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = draw(st.sampled_from(["same", "valid"]) | _paddings((2, 2)))
    sides = [draw(_side(axis, extent[axis], padding, max_side)) for axis in (0, 1)]
    options = {"stride": draw(_plain(stride)), "padding": padding, "dilation": draw(_plain(dilation)), "groups": groups}
    batch = draw(st.integers(1, max_batch))
    return ConvGeometry((batch, *sides, inputs * groups), (*kernel, inputs, outputs), options)


@st.composite
def pool_geometries(
    draw: st.DrawFn, max_batch: int = 3, max_side: int = 6, max_window: int = 3, max_channels: int = 3
) -> PoolGeometry:
    """Draw geometries of poolings in which every window sees a pixel."""
    window = draw(_pairs(1, max_window))
    stride = draw(st.none() | _pairs(1, 3))
    padding = draw(st.sampled_from(["same", "valid"]) | _paddings((window[0] - 1, window[1] - 1)))
    sides = [draw(_side(axis, window[axis], padding, max_side)) for axis in (0, 1)]
    shape = (draw(st.integers(1, max_batch)), *sides, draw(st.integers(1, max_channels)))
    options = {"window": draw(_plain(window)), "stride": stride and draw(_plain(stride)), "padding": padding}
    return PoolGeometry(shape, options)


def _pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


def _plain(pair: tuple[int, int]) -> st.SearchStrategy[Any]:
    """Draw a pair as it is or, if both numbers are equal, as one number."""
    return st.sampled_from([pair[0], pair]) if pair[0] == pair[1] else st.just(pair)


def _paddings(most: tuple[int, int]) -> st.SearchStrategy[Any]:
    """Draw an integer, a pair, or a pair of pairs."""
    vertical, horizontal = st.integers(0, most[0]), st.integers(0, most[1])
    return (
        st.integers(0, min(most))
        | st.tuples(vertical, horizontal)
        | st.tuples(st.tuples(vertical, vertical), st.tuples(horizontal, horizontal))
    )


def _side(axis: int, extent: int, padding: Any, most: int) -> st.SearchStrategy[int]:
    """Draw a length for a side of the image so that a window of that extent fits."""
    margin = 0
    if padding == "same":
        margin = extent
    elif padding != "valid":
        one = padding if isinstance(padding, int) else padding[axis]
        margin = 2 * one if isinstance(one, int) else sum(one)
    least = max(extent - margin, 1)
    return st.integers(least, max(most, least))


def _seeded(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
