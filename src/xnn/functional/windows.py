"""Where a window meets an image: the geometry that convolution and pooling share.

A window of kh x kw taps slides over an image of h x w pixels, padded by a margin. Output pixel (p, q) sees, through
tap (i, j), the padded pixel ``(p * stride + i * dilation, q * stride + j * dilation)``. Taking one tap for all
output pixels is therefore a strided slice, and both directions need nothing else: `take` slices, and its adjoint
`scatter` adds slices back.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xnn._checks import is_size
from xnn._typing import Array, Shape
from xnn.functional._common import namespace

Pair = tuple[int, int]
Padding = int | Sequence[int] | Sequence[Sequence[int]] | str


@dataclass(frozen=True)
class Windows:
    """The windows of one geometry; axes are (height, width).

    Attributes
    ----------
    size : image height and width, without padding
    kernel, stride, dilation : of the window
    before, after : rows and columns of padding (above, left) and (below, right)
    output : number of windows along each axis
    """

    size: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair
    output: Pair

    @property
    def taps(self) -> int:
        """Pixels in a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def padded(self) -> Pair:
        """Image height and width with padding."""
        (h, w), (top, left), (bottom, right) = self.size, self.before, self.after
        return top + h + bottom, left + w + right

    @property
    def is_padded(self) -> bool:
        """Whether there is any padding."""
        return self.padded != self.size

    @functools.cached_property
    def slices(self) -> list[tuple[slice, slice]]:
        """The (rows, columns) of the padded image that each tap sees, in row-major order of the taps."""
        return [(self._slice(0, i), self._slice(1, j)) for i in range(self.kernel[0]) for j in range(self.kernel[1])]

    def _slice(self, axis: int, tap: int) -> slice:
        start = tap * self.dilation[axis]
        return slice(start, start + (self.output[axis] - 1) * self.stride[axis] + 1, self.stride[axis])


def take(windows: Windows, x: Array, fill: float = 0.0) -> list[Array]:
    """Return one array (n, *output, c) per tap: what that tap sees of x (n, *size, c), padded with `fill`."""
    padded = _pad(windows, x, fill) if windows.is_padded else x
    return [padded[:, r, c, :] for r, c in windows.slices]


def scatter(windows: Windows, pieces: Sequence[Array]) -> Array:
    """Adjoint of `take`: add each tap's piece (n, *output, c) where the tap saw it, to give (n, *size, c)."""
    n, _, _, channels = pieces[0].shape
    dx = namespace(pieces[0]).zeros((n, *windows.padded, channels), dtype=pieces[0].dtype, device=pieces[0].device)
    for (r, c), piece in zip(windows.slices, pieces, strict=True):
        dx[:, r, c, :] += piece
    return dx[:, *_interior(windows), :] if windows.is_padded else dx


def _pad(windows: Windows, x: Array, fill: float) -> Array:
    n, _, _, channels = x.shape
    padded = namespace(x).full((n, *windows.padded, channels), fill, dtype=x.dtype, device=x.device)
    padded[:, *_interior(windows), :] = x
    return padded


def _interior(windows: Windows) -> tuple[slice, slice]:
    (h, w), (top, left) = windows.size, windows.before
    return slice(top, top + h), slice(left, left + w)


def windows(
    function: str,
    size: Shape,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
) -> Windows:
    """Return the windows of a geometry.

    Parameters
    ----------
    function : str
        The caller's name, for error messages.
    size : (h, w)
        Of the image, without padding.
    kernel, stride, dilation : int or pair
        Of the window along height and width.
    padding : int, pair, pair of pairs, "same" or "valid"
        Margin on all sides; (vertical, horizontal); ((above, below), (left, right)). ``"valid"`` is none.
        ``"same"`` makes ceil(size / stride) windows; an odd pixel goes below and to the right, as in TensorFlow
        and, at stride 1, PyTorch.

    Raises
    ------
    ValueError
        If a number is out of range or no window fits the padded image.
    """
    return _windows(
        function,
        (int(size[0]), int(size[1])),
        pair(function, "kernel", kernel),
        pair(function, "stride", stride),
        _margins(function, padding),
        pair(function, "dilation", dilation),
    )


@functools.lru_cache(maxsize=1024)
def _windows(
    function: str, size: Pair, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair] | None, dilation: Pair
) -> Windows:
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding is None:
        vertical, horizontal = map(_same_margin, size, extents, stride)
    else:
        vertical, horizontal = padding
    output = []
    for axis, margin, name in ((0, vertical, "height"), (1, horizontal, "width")):
        length = size[axis] + sum(margin)
        if length < extents[axis]:
            raise ValueError(
                f"{function}: a window that spans {extents[axis]} pixels does not fit the image's padded "
                f"{name} of {length}; use a smaller window or dilation, or more padding"
            )
        output.append((length - extents[axis]) // stride[axis] + 1)
    before, after = zip(vertical, horizontal, strict=True)
    return Windows(size, kernel, stride, dilation, before, after, (output[0], output[1]))


def _same_margin(size: int, extent: int, stride: int) -> Pair:
    """Return the padding before and after that makes ceil(size / stride) windows."""
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def _margins(function: str, padding: Padding) -> tuple[Pair, Pair] | None:
    """Return ((above, below), (left, right)), or None for "same"."""
    if padding == "same":
        return None
    if padding == "valid":
        return (0, 0), (0, 0)
    sides = padding if isinstance(padding, list | tuple) else (padding, padding)
    margins: list[Any] = [side if isinstance(side, list | tuple) else (side, side) for side in sides]
    if [len(margin) for margin in margins] != [2, 2] or not all(is_size(m, 0) for margin in margins for m in margin):
        raise ValueError(
            f"{function}: padding must be 'same', 'valid', a non-negative integer, a pair, "
            f"or ((above, below), (left, right)), not {padding!r}"
        )
    (top, bottom), (left, right) = margins
    return (top, bottom), (left, right)


def pair(function: str, name: str, value: int | Sequence[int]) -> Pair:
    """Return `value` as (vertical, horizontal), both positive integers."""
    both: Sequence[Any] = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    first, second = both
    if not is_size(first, 1) or not is_size(second, 1):
        raise ValueError(f"{function}: {name} must be a positive integer or a pair of them, not {value!r}")
    return first, second
