"""Convolution of images."""

import math
from collections.abc import Iterator, Sequence

from xnn._checks import is_size
from xnn._typing import Array, ArrayObject, Gradients, Pullback
from xnn.functional._common import check_axes, check_floating, check_shape, namespace, rows, sum_dtype, sum_rows
from xnn.functional.windows import Padding, Windows, scatter, take, windows

_BLOCK_ELEMENTS = 2**20
"""Images are processed in blocks whose columns hold about this many numbers, so that they stay in cache."""


def conv2d(
    x: ArrayObject,
    weight: ArrayObject,
    bias: ArrayObject | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """Two-dimensional convolution (cross-correlation, as the field calls it).

    With X the padded image, s the stride and d the dilation, and one group::

        y[n, p, q, o] = Σ_ijc X[n, p s + i d, q s + j d, c] w[i, j, c, o] + b[o]

    Write C for the matrix of *columns*: a row per output pixel (n, p, q), holding what its window sees, (i, j, c)
    flattened. Then Y = C W + b is a linear map, and with A the linear map that takes X to C (slicing; see
    `windows`)::

        dW = Cᵀ dY      db = Σ_npq dY      dC = dY Wᵀ      dX = Aᵀ dC   (each entry of dC is added where it was taken)

    Group g maps the input channels [g c/G, (g + 1) c/G) to the output channels [g o/G, (g + 1) o/G), each by a
    product of its own. C is as large as x times the number of taps, so it is made block by block and made again in
    the pullback, never kept.

    Parameters
    ----------
    x : (n, h, w, c)
    weight : (kh, kw, c / groups, o)
    bias : (o,) or None
    stride, padding, dilation :
        As in `xnn.functional.windows.windows`: integers, pairs, and for padding also ``"same"`` and ``"valid"``.
    groups : int
        Divides both c and o; ``groups=c`` is a depthwise convolution.

    Returns
    -------
    y : (n, p, q, o)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
        As sums over the batch, dweight and dbias are computed and returned in float32 if x has a narrower type.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, for the geometry;
    K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document processing",
    2006, for the product with columns.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> x, weight = np.ones((1, 5, 5, 3)), np.ones((3, 3, 3, 2))
    >>> y, pullback = F.conv2d(x, weight, padding="same")
    >>> y[0, :, :, 0]  # a corner sees four pixels of three channels
    array([[12., 18., 18., 18., 12.],
           [18., 27., 27., 27., 18.],
           [18., 27., 27., 27., 18.],
           [18., 27., 27., 27., 18.],
           [12., 18., 18., 18., 12.]])
    >>> dx, dweight, dbias = pullback(np.ones_like(y))
    >>> dx.shape, dweight.shape, dbias
    ((1, 5, 5, 3), (3, 3, 3, 2), None)
    """
    _check(x, weight, bias, groups)
    xp = namespace(x)
    geometry = windows("conv2d", x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    outputs = weight.shape[3]
    matrix = _grouped(weight, groups)
    blocks = list(_blocks(x.shape[0], geometry, x.shape[3]))

    def forward(block: slice) -> Array:
        product = _products(_columns(geometry, x[block, ...], groups), matrix)
        return _ungrouped(product, (block.stop - block.start, *geometry.output, outputs))

    y = _joined([forward(block) for block in blocks])
    if bias is not None:
        y += bias

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dx, dmatrix = [], xp.zeros_like(matrix, dtype=sum_dtype(matrix))
        for block in blocks:
            drows = _grouped(dy[block, ...], groups)
            if needs[0]:
                dx.append(_scattered(geometry, _products(drows, xp.matrix_transpose(matrix)), weight.shape[2] * groups))
            if needs[1]:
                dmatrix += _products(xp.matrix_transpose(_columns(geometry, x[block, ...], groups)), drows)
        return (
            _joined(dx) if needs[0] else None,
            _ungrouped(dmatrix, weight.shape) if needs[1] else None,
            sum_rows(rows(dy)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _check(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    check_floating("conv2d", x=x, weight=weight, bias=bias)
    check_axes("conv2d", "x", x, "n, h, w, c")
    check_axes("conv2d", "weight", weight, "kh, kw, c / groups, o")
    channels, inputs, outputs = x.shape[3], weight.shape[2], weight.shape[3]
    if not is_size(groups, 1) or channels != inputs * groups or outputs % groups:
        raise ValueError(
            f"conv2d: x with {channels} channels does not fit weight {tuple(weight.shape)} (kh, kw, c / groups, o) "
            f"in groups={groups}: need c = {inputs} * groups, and groups must divide o = {outputs}"
        )
    check_shape("conv2d", "bias", bias, (outputs,), "weight's output channels")


def _blocks(images: int, geometry: Windows, channels: int) -> Iterator[slice]:
    """Cut the batch into slices of images: at least one, so that an empty batch takes the same path."""
    per_image = math.prod(geometry.output) * geometry.taps * channels
    length = max(_BLOCK_ELEMENTS // max(per_image, 1), 1)
    for start in range(0, max(images, 1), length):
        yield slice(start, min(start + length, images))


def _columns(geometry: Windows, x: Array, groups: int) -> Array:
    """(n, h, w, c) -> (groups, n * p * q, taps * c / groups): what each window sees."""
    xp = namespace(x)
    taps = xp.stack(take(geometry, x), axis=3)
    pixels = math.prod(taps.shape[:3])
    taps = xp.reshape(taps, (pixels, geometry.taps, groups, x.shape[3] // groups))
    return xp.reshape(xp.permute_dims(taps, (2, 0, 1, 3)), (groups, pixels, geometry.taps * x.shape[3] // groups))


def _scattered(geometry: Windows, columns: Array, channels: int) -> Array:
    """Adjoint of `_columns`: (groups, n * p * q, taps * c / groups) -> (n, h, w, c)."""
    xp = namespace(columns)
    groups, pixels, _ = columns.shape
    taps = xp.reshape(columns, (groups, pixels, geometry.taps, channels // groups))
    taps = xp.reshape(
        xp.permute_dims(taps, (1, 2, 0, 3)),
        (pixels // math.prod(geometry.output), *geometry.output, geometry.taps, channels),
    )
    return scatter(geometry, [taps[:, :, :, tap, :] for tap in range(geometry.taps)])


def _products(a: Array, b: Array) -> Array:
    """(groups, i, j), (groups, j, k) -> (groups, i, k): the product of each group's matrices.

    CuPy multiplies in TF32 and float16, and without copying transposed operands, only where these have two axes.
    """
    return (a[0, ...] @ b[0, ...])[None, ...] if a.shape[0] == 1 else a @ b


def _grouped(y: Array, groups: int) -> Array:
    """(n, p, q, o) -> (groups, n * p * q, o / groups); a weight (kh, kw, c / groups, o) is treated the same way."""
    xp = namespace(y)
    pixels = math.prod(y.shape[:3])
    return xp.permute_dims(xp.reshape(y, (pixels, groups, y.shape[3] // groups)), (1, 0, 2))


def _ungrouped(product: Array, shape: tuple[int, ...]) -> Array:
    """Inverse of `_grouped`."""
    xp = namespace(product)
    return xp.reshape(xp.permute_dims(product, (1, 0, 2)), shape)


def _joined(blocks: list[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else namespace(blocks[0]).concat(blocks)
