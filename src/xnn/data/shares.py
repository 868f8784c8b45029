"""The images of an epoch that one of several ranks prepares, and the random numbers that belong to them.

What is done to an image must not depend on how many ranks there are. Random numbers are therefore drawn for a whole
block of images, as one process draws them, and each rank picks those of its own: a few numbers an image are cheap,
while gathering, augmenting and normalising pixels is not.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from xnn._typing import Array, Shape
from xnn.data.augmentation import Augmentation, Compose
from xnn.data.by_epoch import FirstEpochs
from xnn.data.splits import HostArray
from xnn.random import Random

Share: TypeAlias = Callable[[int], slice]
"""Of a number of images in a batch, those that a rank takes."""


def own_positions(images: int, batch_size: int, share: Share) -> HostArray:
    """Return the positions in an epoch of the images that a rank takes, in order; all batches but the last are full."""
    full, rest = divmod(images, batch_size)
    whole, last = share(batch_size), share(rest)
    firsts = np.arange(full)[:, None] * batch_size
    positions = (firsts + np.arange(whole.start, whole.stop)).reshape(-1)
    return np.concatenate([positions, full * batch_size + np.arange(last.start, last.stop)])


def draws_by_image(augmentation: Augmentation | None) -> bool:
    """Whether an augmentation is known to draw arrays whose last axis is the images.

    Its class says so by an attribute of its own, ``draws_by_image = True``; a subclass, which may draw in another way,
    has to say so again.
    """
    if type(augmentation) is Compose:
        return all(draws_by_image(each) for each in augmentation.augmentations)
    if type(augmentation) is FirstEpochs:
        return draws_by_image(augmentation.augmentation)
    return augmentation is None or vars(type(augmentation)).get("draws_by_image", False) is True


class OwnDraws(Random):
    """A stream whose draws are made for a whole block of images; those of some images are picked from them.

    Parameters
    ----------
    stream : Random
        The block's.
    count : int
        Images in the block.
    own : (m,) array of int64, on the host
        Positions in the block of the images to draw for. Draws have to be of shape (..., m).
    """

    def __init__(self, stream: Random, count: int, own: HostArray) -> None:
        super().__init__(stream.backend, stream.seed, stream.stream, stream.counter)
        self._count, self._images = count, len(own)
        self._own = stream.backend.asarray(own, "int64")

    def uniform(self, shape: Shape, dtype: str = "float32", *, first: int = 0) -> Array:
        """Return the own images' part of what `Random.uniform` draws for the block."""
        return self._picked(super().uniform(self._whole(shape), dtype, first=first))

    def integers(self, low: int, high: int, shape: Shape) -> Array:
        """Return the own images' part of what `Random.integers` draws for the block."""
        return self._picked(super().integers(low, high, self._whole(shape)))

    def _whole(self, shape: Shape) -> Shape:
        if shape[-1:] != (self._images,):
            raise ValueError(
                f"an augmentation with draws_by_image draws arrays whose last axis is the {self._images} images, "
                f"not of shape {shape}; leave out that attribute of its class"
            )
        return (*shape[:-1], self._count)

    def _picked(self, drawn: Array) -> Array:
        return self.backend.xp.take(drawn, self._own, axis=-1)
