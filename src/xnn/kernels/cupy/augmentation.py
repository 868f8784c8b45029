"""Moving images from a data set into a batch in one pass: gathering, augmenting and normalising them."""

from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy.launching import INT_MAX, Kernel
from xnn.kernels.cupy.pixels import are_bytes, grid_of

_PREPARE = Kernel("augmentation", "prepare_images", ("f", "B"))

_KINDS = {"mirror": 0, "shift": 1, "reflect": 2, "blank": 3, "window": 4}
_MOST_STEPS = 32
_STEP = [("rows", "u8"), ("columns", "u8"), ("kind", "i4"), ("size", "i4"), ("height", "i4"), ("width", "i4")]
_STEPS = np.dtype([("count", "i4"), ("step", np.dtype(_STEP, align=True), _MOST_STEPS)], align=True)
"""The kernel's structures; the first two numbers of a step are addresses."""


def prepare_images(
    images: Array,
    indices: Array | None,
    draw: Callable[[], Sequence[Any]],
    factors: Callable[[int], tuple[Array, Array]] | None,
) -> Array | None:
    """Return the images at `indices`, changed by what is drawn and normalised, as float32.

    Parameters
    ----------
    images : (n, h, w, c) of uint8, contiguous
    indices : (m,) of int64, optional
        Without them, all images in order.
    draw : callable
        Returns the steps of augmentation in order, each a `xnn.data.augmentation.Step`.
    factors : callable, optional
        Returns by what to multiply a row of so many pixels, and what to subtract after that, (pixels c,) of float32.

    Returns
    -------
    (m, h, w, c) array or None
        None for other images or steps, too many steps, or factors of other channels.
    """
    if not are_bytes(images):
        return None
    scale, shift = (None, None) if factors is None else factors(1)
    if scale is not None and len(scale) != images.shape[3]:
        return None
    return _prepared(images, indices, draw(), scale, shift, "f")


def change_images(images: Array, step: Any) -> Array | None:
    """Return images (n, h, w, c) of uint8 after one step of augmentation; None for other images or steps."""
    return _prepared(images, None, [step], None, None, "B") if are_bytes(images) else None


def _prepared(
    images: Array, indices: Array | None, steps: Sequence[Any], scale: Array | None, shift: Array | None, kind: str
) -> Array | None:
    count = len(images) if indices is None else len(indices)
    packed, (height, width, channels) = _packed(steps, images.shape[1:], count)
    if packed is None:
        return None
    batch = cupy.empty((count, height, width, channels), kind)
    pixels, line = height * width, images.shape[2]
    numbers: tuple[Any, ...] = (count, pixels, width, channels, images.shape[1] * line, line, packed)
    # Of the images only those in the batch are read.
    drawn = sum(array is not None for step in steps for array in (step.rows, step.columns))
    moved = batch.size + batch.nbytes + 8 * count * (drawn + (indices is not None))
    moved += 0 if scale is None else 8 * channels
    reads = images, indices, scale, shift
    _PREPARE.launch((kind,), *grid_of(count, pixels), reads, (batch,), numbers, moved=moved)
    return batch


def _packed(steps: Sequence[Any], shape: tuple[int, ...], count: int) -> tuple[Any, tuple[int, ...]]:
    """Return the kernel's structure of the steps, or None if it has no place for one; and the shape after them all."""
    packed = np.zeros(1, _STEPS)
    if len(steps) > _MOST_STEPS:
        return None, shape
    for place, step in enumerate(steps):
        addresses = [0 if drawn is None else _address(drawn, count) for drawn in (step.rows, step.columns)]
        if None in addresses or step.kind not in _KINDS or step.size > INT_MAX:
            return None, shape
        packed["step"][0, place] = (*addresses, _KINDS[step.kind], step.size, *shape[:2])
        if step.kind == "window":
            shape = (step.size, step.size, shape[2])
    packed["count"] = len(steps)
    return packed[0], shape


def _address(drawn: Array, count: int) -> int | None:
    """Return where a number for each image is in memory, or None for other arrays."""
    plain = drawn.shape == (count,) and drawn.dtype == np.int64 and drawn.flags.c_contiguous
    return drawn.data.ptr if plain else None
