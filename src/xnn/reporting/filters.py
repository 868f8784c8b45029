"""What the first layer of a model looks for, as pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xnn.data.splits import HostArray

ADDS, SUBTRACTS = (37, 110, 190), (222, 110, 30)
"""Blue for positive weights, orange for negative ones: everyone can tell them apart on light and dark pages."""


@dataclass(frozen=True)
class Filters:
    """Pictures of weights.

    Attributes
    ----------
    name
        The parameter's.
    shape
        Height, width and channels of one filter.
    total
        How many filters the layer has; `tiles` may have fewer.
    colour
        Whether the tiles show the weights for red, green and blue, with grey for 0; else they are blue and orange.
    tiles
        One (h, w, 3 or 4) array of uint8 each.
    """

    name: str
    shape: tuple[int, int, int]
    total: int
    colour: bool
    tiles: list[HostArray]


def first_filters(parameters: Mapping[str, Any], image_shape: tuple[int, int, int], most: int = 48) -> Filters | None:
    """Return the filters of the first layer with weights: those with the largest norms, in the layer's order.

    Parameters
    ----------
    parameters : mapping of name to array
        In the model's order. The first that is a filter bank (kh, kw, c, o) or a matrix (h w c, o) for whole images is
        shown.
    image_shape : tuple of int
        Of the model's images.
    most : int
        How many at most.

    Returns
    -------
    Filters or None
        None if the first weights are of neither kind, or are not all finite.
    """
    for name, array in parameters.items():
        weight = np.asarray(array, np.float64)
        if weight.ndim < 2:
            continue
        if weight.ndim == 2 and len(weight) == int(np.prod(image_shape)):
            weight = weight.reshape(*image_shape, -1)
        if weight.ndim != 4 or not np.isfinite(weight).all():
            return None
        return _tiles(name, np.moveaxis(weight, -1, 0), most)
    return None


def _tiles(name: str, weights: HostArray, most: int) -> Filters:
    weights = weights / (np.abs(weights).max() or 1.0)  # the squares of huge ones would overflow
    norms = np.sqrt(np.sum(weights**2, axis=(1, 2, 3)))
    chosen = np.sort(np.argsort(-norms, kind="stable")[:most])
    colour = weights.shape[3] == 3
    tiles = [_in_colour(weights[i]) if colour else _by_sign(weights[i].mean(axis=-1)) for i in chosen]
    height, width, channels = weights.shape[1:]
    return Filters(name, (height, width, channels), len(weights), colour, tiles)


def _in_colour(weight: HostArray) -> HostArray:
    largest = np.abs(weight).max() or 1.0
    return np.rint(127.5 + 127.5 * weight / largest).astype(np.uint8)


def _by_sign(weight: HostArray) -> HostArray:
    """Return colours by sign and opacity by size, so that 0 shows the colour of the page."""
    largest = np.abs(weight).max() or 1.0
    tile = np.empty((*weight.shape, 4), np.uint8)
    tile[..., :3] = np.where(weight[..., None] >= 0.0, ADDS, SUBTRACTS)
    tile[..., 3] = np.rint(255 * np.abs(weight) / largest)
    return tile
