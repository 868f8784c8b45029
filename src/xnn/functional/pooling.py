"""Pooling of images: the largest or the mean of each window, or of all pixels."""

from collections.abc import Sequence

from xnn._typing import Array, ArrayObject, Pullback, Shape
from xnn.functional._common import check_axes, check_floating, namespace, sum_rows
from xnn.functional.windows import Padding, Windows, scatter, take, windows


def max_pool2d(
    x: ArrayObject, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """Largest value of each window and channel; padding counts as minus infinity.

    y = max_t x_t over the taps t of the window, so ∂y/∂x_t is 1 for the tap that holds the maximum and 0 for the
    others. Of equal taps the first, in row-major order, gets the gradient, so that each dy is routed exactly once::

        dx = Aᵀ [t = t*] dy,   t* = min { t : x_t = y },   Aᵀ adding each tap's piece where the tap was taken

    Parameters
    ----------
    x : (n, h, w, c)
    window, stride : int or pair; stride defaults to the window.
    padding :
        As in `xnn.functional.windows.windows`, each margin smaller than the window.

    Returns
    -------
    y : (n, p, q, c)
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)
    >>> y[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    >>> pullback(np.ones_like(y))[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [0., 1., 0., 1.],
           [0., 0., 0., 0.],
           [0., 1., 0., 1.]])
    """
    geometry = _geometry("max_pool2d", x, window, stride, padding)
    xp = namespace(x)
    first, *others = take(geometry, x, fill=-float("inf"))
    y = xp.asarray(first, copy=True)
    index = xp.zeros(y.shape, dtype=xp.uint8 if geometry.taps <= 256 else xp.int32, device=x.device)
    for number, tap in enumerate(others, start=1):
        # Indexing by a mask would make the host wait: only the device knows how many places the mask selects.
        index = xp.maximum(index, xp.astype(tap > y, index.dtype) * number)
        y = xp.maximum(y, tap)

    def pullback(dy: Array) -> Array:
        zero = xp.zeros_like(dy)
        return scatter(geometry, [xp.where(index == number, dy, zero) for number in range(geometry.taps)])

    return y, pullback


def avg_pool2d(
    x: ArrayObject, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """Mean of each window and channel; padding counts as zeros, which the mean includes.

    With T taps in the window, y = (1/T) Σ_t x_t, so each tap gets dx_t = dy / T, added where the tap was taken.

    Parameters
    ----------
    x : (n, h, w, c)
    window, stride : int or pair; stride defaults to the window.
    padding :
        As in `xnn.functional.windows.windows`, each margin smaller than the window.

    Returns
    -------
    y : (n, p, q, c)
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)
    >>> y[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    >>> np.unique(pullback(np.ones_like(y)))
    array([0.25])
    """
    geometry = _geometry("avg_pool2d", x, window, stride, padding)
    first, *others = take(geometry, x)
    y = first / geometry.taps
    for tap in others:
        y += tap / geometry.taps

    def pullback(dy: Array) -> Array:
        return scatter(geometry, [dy / geometry.taps] * geometry.taps)

    return y, pullback


def global_max_pool2d(x: ArrayObject) -> tuple[Array, Pullback]:
    """Largest value of each channel over all pixels.

    `max_pool2d` with a window as large as the image: dx is dy at the maximum (the first in row-major order, if several
    pixels are equal) and 0 elsewhere.

    Parameters
    ----------
    x : (n, h, w, c)

    Returns
    -------
    y : (n, c)
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.global_max_pool2d(np.arange(8.0).reshape(1, 2, 2, 2))
    >>> y
    array([[6., 7.]])
    >>> pullback(np.ones_like(y))[0, :, :, 1]
    array([[0., 0.],
           [0., 1.]])
    """
    check_floating("global_max_pool2d", x=x)
    check_axes("global_max_pool2d", "x", x, "n, h, w, c")
    xp = namespace(x)
    shape = x.shape
    pixels = xp.reshape(x, (shape[0], shape[1] * shape[2], shape[3]))
    first = xp.argmax(pixels, axis=1, keepdims=True)

    def pullback(dy: Array) -> Array:
        number = xp.arange(shape[1] * shape[2], dtype=first.dtype, device=dy.device)
        dy = dy[:, None, :]
        return xp.reshape(xp.where(number[None, :, None] == first, dy, xp.zeros_like(dy)), shape)

    return xp.max(pixels, axis=1), pullback


def global_avg_pool2d(x: ArrayObject) -> tuple[Array, Pullback]:
    """Mean of each channel over all pixels.

    y_nc = (1 / hw) Σ_pq x_npqc, so dx_npqc = dy_nc / hw.

    Parameters
    ----------
    x : (n, h, w, c)

    Returns
    -------
    y : (n, c)
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.global_avg_pool2d(np.arange(8.0).reshape(1, 2, 2, 2))
    >>> y
    array([[3., 4.]])
    >>> pullback(np.ones_like(y))[0, :, :, 1]
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    check_floating("global_avg_pool2d", x=x)
    check_axes("global_avg_pool2d", "x", x, "n, h, w, c")
    xp = namespace(x)
    shape = x.shape
    pixels = xp.reshape(x, (shape[0], shape[1] * shape[2], shape[3]))
    y = xp.astype(sum_rows(pixels) / pixels.shape[1], x.dtype, copy=False)

    def pullback(dy: Array) -> Array:
        share = dy[:, None, None, :] / (shape[1] * shape[2])
        return xp.asarray(xp.broadcast_to(share, shape), copy=True)

    return y, pullback


def _geometry(
    function: str, x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> Windows:
    check_floating(function, x=x)
    check_axes(function, "x", x, "n, h, w, c")
    return pooling_windows(function, x.shape[1:3], window, stride, padding)


def pooling_windows(
    function: str, size: Shape, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> Windows:
    """Return the windows of a pooling, or raise ValueError if one of them would see no pixel.

    The arguments are those of `xnn.functional.windows.windows`; without a stride, the window is the stride.
    """
    geometry = windows(function, size, window, window if stride is None else stride, padding)
    margins = zip(geometry.kernel * 2, geometry.before + geometry.after, strict=True)
    if any(margin >= kernel for kernel, margin in margins):
        raise ValueError(
            f"{function}: padding {padding!r} leaves windows of {geometry.kernel} that see no pixel; "
            "each margin must be smaller than the window"
        )
    return geometry
