"""Mixing the images of a batch with one another, and their labels in the same shares.

Each takes images (n, h, w, c), labels (n, classes) that are distributions over the classes, and a `Random`, and returns
both mixed, in new arrays of the same shapes and types. Each image's partner is the one a random number of places
further on in the batch, which `Batches` shuffles anyway; only the single image of a batch is its own partner. The same
seed, stream and counter mix the same images in the same shares on every backend.

Shares and places are drawn on the host, once for a batch, and nothing is read from a device or sorted there.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from xnn._typing import Array, Shape
from xnn.data.augmentation import Compose
from xnn.data.by_epoch import FirstEpochs
from xnn.errors import SettingError
from xnn.random import Random

Mixing: TypeAlias = Callable[[Array, Array, Random], tuple[Array, Array]]

MOST_ALPHA = 1e6
"""From there on all shares are one half, but for a thousandth; NumPy's beta distribution fails far beyond."""

_UNIT = 2.0**-24
"""Mixup's shares are multiples of it, so that a share and the rest are exact in float32 and add up to exactly 1."""


class Mixer(ABC):
    """What mixes whole batches; `Batches` takes it as its `mix`."""

    @abstractmethod
    def __call__(self, x: Array, labels: Array, random: Random) -> tuple[Array, Array]:
        """Return images (n, h, w, c) and labels (n, classes), both mixed in the same shares."""


@dataclass(frozen=True)
class _Beta(Mixer):
    alpha: float

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= MOST_ALPHA:
            raise SettingError(
                f"the alpha of {type(self).__name__} must be above 0 and at most {MOST_ALPHA:.0f}, not {self.alpha}"
            )


@dataclass(frozen=True)
class MixUp(_Beta):
    """Blend each image of a batch with another one.

    With a share λ drawn from Beta(α, α) for the batch, an image x_i and its label p_i become::

        λ x_i + (1 - λ) x_j      λ p_i + (1 - λ) p_j

    for a random permutation j of i (H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018).

    Attributes
    ----------
    alpha : float
        Above 0. The smaller it is, the closer most shares are to 0 or 1; 1 draws them evenly.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> mix, random = data.MixUp(1.0), Random(xnn.backend("numpy"), seed=0)
    >>> x, labels = mix(np.asarray([[0.0], [10.0]]), np.eye(2), random)
    >>> x.round(2).tolist(), labels.round(2).tolist()
    ([[3.42], [6.58]], [[0.66, 0.34], [0.34, 0.66]])
    """

    alpha: float = 0.2

    def __call__(self, x: Array, labels: Array, random: Random) -> tuple[Array, Array]:
        """Return x (n, ...) of floats and labels (n, classes), both mixed."""
        xp = random.backend.xp
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"MixUp needs images of floats, not {x.dtype}; it comes after the normalization")
        share = round(float(_host(random).beta(self.alpha, self.alpha)) / _UNIT) * _UNIT
        order = _partners(x.shape[0], random)
        return _blended(xp, x, order, share), _blended(xp, labels, order, share)


@dataclass(frozen=True)
class CutMix(_Beta):
    """Replace a rectangle of each image of a batch by the same part of another one.

    With a share λ drawn from Beta(α, α) for the batch, the rectangle has the image's proportions and (1 - λ) of its
    area. Its centre may be any pixel, so a part of it may lie outside. Labels are mixed by the pixels that were in fact
    replaced: with r of them in an image of h w, an image x_i, its label p_i and those of its partner j become::

        x_j inside the rectangle, x_i elsewhere      (1 - r / (h w)) p_i + (r / (h w)) p_j

    (S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", ICCV 2019).

    Attributes
    ----------
    alpha : float
        Above 0. The smaller it is, the more rectangles are nearly nothing or nearly everything; 1 draws their areas
        evenly.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.stack([np.zeros((4, 4, 1)), np.ones((4, 4, 1))])
    >>> mix, random = data.CutMix(), Random(xnn.backend("numpy"), seed=2)
    >>> x, labels = mix(images, np.eye(2), random)
    >>> x[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.]])
    >>> labels[0]
    array([0.625, 0.375])
    """

    alpha: float = 1.0

    def __call__(self, x: Array, labels: Array, random: Random) -> tuple[Array, Array]:
        """Return x (n, h, w, c) and labels (n, classes), both mixed."""
        xp = random.backend.xp
        if x.ndim != 4:
            raise ValueError(f"CutMix needs images (n, h, w, c), not an array of shape {tuple(x.shape)}")
        rows, columns = self._rectangle(x.shape, random)
        order = _partners(x.shape[0], random)
        mixed = xp.asarray(x, copy=True)
        mixed[:, rows, columns, :] = xp.take(x[:, rows, columns, :], order, axis=0)
        replaced = (rows.stop - rows.start) * (columns.stop - columns.start) / math.prod(x.shape[1:3])
        return mixed, _blended(xp, labels, order, 1.0 - replaced)

    def _rectangle(self, shape: Shape, random: Random) -> tuple[slice, slice]:
        """Draw the rows and columns to replace."""
        host = _host(random)
        side = math.sqrt(1.0 - host.beta(self.alpha, self.alpha))

        def part(size: int) -> slice:
            length = round(size * side)
            first = int(host.integers(size)) - length // 2
            return slice(max(first, 0), min(first + length, size))

        return part(shape[1]), part(shape[2])


@dataclass(frozen=True)
class RandomChoice(Mixer):
    """Mix each batch in one of several ways, drawn evenly.

    Attributes
    ----------
    mixings : tuple of callable
        At least one, such as ``(MixUp(), CutMix())``.

    Examples
    --------
    >>> import xnn
    >>> from xnn import data
    >>> digits = data.load("digits")
    >>> mix = data.RandomChoice((data.MixUp(0.2), data.CutMix(1.0)))
    >>> batches = data.Batches(digits.train, 64, backend=xnn.backend("numpy"), mix=mix)
    >>> x, labels = next(batches.epoch(0))
    >>> labels.shape  # a distribution over the classes for each image
    (64, 10)
    """

    mixings: tuple[Mixing, ...]

    def __post_init__(self) -> None:
        if not self.mixings:
            raise SettingError("RandomChoice needs at least one way to mix, such as (MixUp(), CutMix())")

    def __call__(self, x: Array, labels: Array, random: Random) -> tuple[Array, Array]:
        """Return x (n, h, w, c) and labels (n, classes), both mixed."""
        chosen = int(_host(random).integers(len(self.mixings)))
        return self.mixings[chosen](x, labels, random)


def one_hot(labels: Array, classes: int, dtype: Any, random: Random) -> Array:
    """Return labels (n,), whole numbers from 0, as distributions (n, classes)."""
    xp = random.backend.xp
    index = xp.arange(classes, dtype=labels.dtype, device=random.backend.device)
    return xp.astype(labels[:, None] == index[None, :], dtype)


def mixer_within(augmentation: Any) -> Mixer | None:
    """Return what mixes whole batches in something that is meant to change each image on its own, or None."""
    if isinstance(augmentation, Mixer):
        return augmentation
    parts = augmentation.augmentations if isinstance(augmentation, Compose) else ()
    if isinstance(augmentation, FirstEpochs):
        parts = (augmentation.augmentation,)
    return next((found for part in parts if (found := mixer_within(part)) is not None), None)


def _host(random: Random) -> np.random.Generator:
    """Return a generator on the host for one draw of a stream."""
    return np.random.default_rng(random.next_keys())


def _partners(count: int, random: Random) -> Array:
    """Draw the number of each image's partner, (n,) of int64, where the images are."""
    backend = random.backend
    places = int(_host(random).integers(1, count)) if count > 1 else 0
    return (backend.xp.arange(count, dtype=backend.xp.int64, device=backend.device) + places) % max(count, 1)


def _blended(xp: Any, each: Array, order: Array, share: float) -> Array:
    return each * share + xp.take(each, order, axis=0) * (1.0 - share)
