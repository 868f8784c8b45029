"""Moving images from a data set into a batch in one pass: gathering, augmenting and normalising them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import as_slice, threads

_KINDS = {"mirror": 0, "shift": 1, "reflect": 2, "blank": 3, "window": 4}
_MIRROR, _, _REFLECT, _BLANK, _ = _KINDS.values()
_F = types.float32
# Unsigned, so that Numba need not check whether an index counts from the end.
_PLACE = types.uint64
_MOST_STEPS = 63
"""Each step has a bit of its own in a signed number."""
_LEAST = 2**17
"""Fewest numbers that are worth waking a thread for."""
_SHORT = 64
"""Shorter lines are scaled all at once, since a loop over few numbers is not vectorized."""


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
        May be a mapped file.
    indices : (m,) of int64, optional
        Without them, all images in order.
    draw : callable
        Returns the steps of augmentation in order, each a `xnn.data.augmentation.Step`.
    factors : callable, optional
        Returns by what to multiply a row of so many pixels, and what to subtract after that, (pixels c,) of float32.

    Returns
    -------
    (m, h, w, c) array or None
        None for other images, more steps than a number has bits, or factors of other channels.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or not images.flags.c_contiguous or images.size == 0:
        return None
    steps = draw()
    shapes = _shapes(steps, images.shape[1:])
    shape = shapes[-1]
    line = shape[1] * shape[2]
    scale, shift = (np.full(line, each, np.float32) for each in (1, 0)) if factors is None else factors(shape[1])
    if len(steps) > _MOST_STEPS or len(scale) != line:
        return None
    if indices is None:
        indices = np.arange(len(images))
    # One type of array for the compiler, whether the images are a mapped file or writable.
    flat = np.asarray(images).reshape(len(images), -1)
    flat.flags.writeable = False
    batch = empty((len(indices), math.prod(shape)))
    drawn = _numbers(steps, len(indices))
    if len(scale) < _SHORT:
        scale, shift = np.tile(scale, shape[0]), np.tile(shift, shape[0])
    pool = threads()

    def prepare(part: range) -> None:
        own = as_slice(part)
        if steps:
            changed = _change(flat, indices[own], steps, drawn[own], shapes)
            _scale(changed, np.arange(len(part)), scale, shift, batch[own])
        else:
            _scale(flat, indices[own], scale, shift, batch[own])

    pool.run(prepare, pool.parts(len(indices), _LEAST // max(flat.shape[1], 1) + 1))
    return batch.reshape(-1, *shape)


def _shapes(steps: Sequence[Any], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes (h, w, c) of an image before each step, and after the last one."""
    shapes = [shape]
    for step in steps:
        shapes.append((step.size, step.size, shape[2]) if step.kind == "window" else shapes[-1])
    return shapes


def _numbers(steps: Sequence[Any], count: int) -> Array:
    """Return the numbers of the steps, (images, 2 axes, steps)."""
    numbers = np.zeros((count, 2, len(steps)), np.int64)
    for place, step in enumerate(steps):
        for axis, drawn in enumerate((step.rows, step.columns)):
            numbers[:, axis, place] = 0 if drawn is None else drawn
    return numbers


def _change(
    images: Array, indices: Array, steps: Sequence[Any], numbers: Array, shapes: Sequence[tuple[int, ...]]
) -> Array:
    """Return a copy of the images at `indices` (m, h w c), after all steps."""
    count, line, (height, width, channels) = len(indices), shapes[0][1] * shapes[0][2], shapes[-1]
    rules = np.array(
        [(_KINDS[step.kind], step.size, *before[:2]) for step, before in zip(steps, shapes[:-1], strict=True)]
    )
    traces = empty((count, height + width, 2), np.int64)
    _trace(rules, numbers, height, width, traces)
    changed = empty((count, height * width * channels), np.uint8)
    places, special = np.empty(width * channels, np.uint32), np.empty(width, np.int64)
    _gather(images, indices, traces, line, (height, width, channels), places, special, changed)
    changed.flags.writeable = False
    return changed


@compiled
def _trace(rules: Any, numbers: Any, height: int, width: int, traces: Any) -> None:
    """For each row, then each column, write where it comes from (-1: outside) and which blank squares cross it (bits).

    The steps are traced backwards, the last one first. For each step `rules` have the kind, the size, and the height
    and the width of the image before it.
    """
    for i in range(numbers.shape[0]):
        for j in range(height + width):
            axis = 0 if j < height else 1
            position = j if j < height else j - height
            bits = 0
            for step in range(rules.shape[0] - 1, -1, -1):
                kind, length, number = rules[step, 0], rules[step, 2 + axis], numbers[i, axis, step]
                if kind == _MIRROR:
                    position = length - 1 - position if number else position
                elif kind == _BLANK:
                    if number <= position < number + rules[step, 1]:
                        bits |= 1 << step
                else:
                    position += number
                    if kind == _REFLECT:
                        position = length - 1 - abs(length - 1 - abs(position))
                    elif not 0 <= position < length:
                        position = -1
                        break
            traces[i, j, 0] = position
            traces[i, j, 1] = bits


@compiled
def _gather(
    images: Any, indices: Any, traces: Any, length: int, shape: Any, places: Any, special: Any, changed: Any
) -> None:
    """Gather line by line, then blank pixels where necessary; the columns with such pixels are `special`.

    A line of an image has `length` numbers before the steps; `shape` is that of an image after them.
    """
    height, width, channels = shape
    for i in range(indices.size):
        image, trace, target = images[indices[i]], traces[i], changed[i]
        count = 0
        for k in range(width):
            column = trace[height + k, 0]
            for c in range(channels):
                places[k * channels + c] = (column if column >= 0 else 0) * channels + c
            if column < 0 or trace[height + k, 1]:
                special[count] = k
                count += 1
        for j in range(height):
            row, line = trace[j, 0], _PLACE(j * places.size)
            start = _PLACE(row * length if row >= 0 else 0)
            for k in range(places.size):
                target[line + _PLACE(k)] = image[start + _PLACE(places[k])]
            for m in range(count if row >= 0 else width):
                k = special[m] if row >= 0 else m
                if row < 0 or trace[height + k, 0] < 0 or trace[j, 1] & trace[height + k, 1]:
                    for c in range(channels):
                        target[line + _PLACE(k * channels + c)] = 0


@compiled
def _scale(images: Any, indices: Any, scale: Any, shift: Any, batch: Any) -> None:
    """As `xnn.data.Normalization` computes it: a product and a difference, each rounded."""
    for i in range(indices.size):
        image, target = images[indices[i]], batch[i]
        for start in range(0, target.size, scale.size):
            for k in range(scale.size):
                place = _PLACE(start) + _PLACE(k)
                target[place] = _F(image[place]) * scale[k] - shift[k]
