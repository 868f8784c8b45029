"""The batches of an epoch, on the device, as a pure function of (seed, epoch)."""

import copy
import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from xnn import kernels
from xnn._typing import Array
from xnn.backends import Backend
from xnn.data.augmentation import Augmentation, Step, drawn, parts
from xnn.data.by_epoch import for_images
from xnn.data.mixing import Mixing, mixer_within, one_hot
from xnn.data.normalization import Normalization, scaled
from xnn.data.residence import RESIDENT_DTYPES, DeviceCopy, DeviceSource, HostSource, Source, device_copy
from xnn.data.shares import OwnDraws, Share, draws_by_image, own_positions
from xnn.data.splits import Split
from xnn.errors import SettingError
from xnn.random import Random

_BLOCK, _BLOCK_NUMBERS = 512, 2**23
"""Images that are gathered, augmented and normalised at once, and numbers in them, unless a batch has more.

Batches are views of such a block, so a batch of one image costs little more than a slice.
"""


@dataclasses.dataclass(eq=False, repr=False)
class Batches:
    """One split, ready to train on.

    Images stay uint8 until they are on the device; there they are augmented, then normalised. On any library but NumPy
    the whole split is sent to the device once, in the first epoch, and its batches are gathered there. All `Batches` of
    one `Split` share that copy, which lives as long as the split and ignores later changes to the split's arrays.
    A split that is too large for this stays on the host and is sent block by block.

    Parameters
    ----------
    split : Split
        The images and labels.
    batch_size : int
        Images in a batch; the last one of an epoch may be smaller.
    backend : Backend
        Where the batches are made.
    normalization : Normalization, optional
        Applied to images of uint8. Without it the numbers stay as they are, in `dtype`.
    dtype : str
        The name of the dtype of a batch of images.
    shuffle : bool
        Whether each epoch has its own order.
    seed : int
        Seed of the shuffles and the augmentation.
    augment : callable, optional
        Such as `xnn.data.RandomCrop`; an `xnn.data.AlternatingFlip` also gets the images' indices and the epoch.
    drop_last : bool
        Leave out the last batch of an epoch if it is smaller than the others.
    resident : bool, optional
        Whether the split goes to the device as a whole. By default it does if its images take no more than half of the
        device's free memory, or 1 GiB if that is unknown, as on PyTorch's CPU. The batches are the same either way. On
        NumPy it makes no difference.
    mix : callable, optional
        Such as `xnn.data.MixUp`, which mixes the images of a batch with one another after all else is done to them.
        Labels are then distributions over the classes, (b, classes) of `dtype`.
    classes : int, optional
        How many there are, for `mix`; by default one more than the largest label of the split.

    Attributes
    ----------
    images : int
        How many images an epoch has.

    Raises
    ------
    SettingError
        If the batch size is not positive, or larger than the split with `drop_last`; if there is a `mix` and a
        label is not below `classes`.
    TypeError
        If a normalization is given for images that are not uint8, or if `resident` images are of a type that is neither
        uint8 nor one that models compute in; if what mixes whole batches is given as `augment`.

    Examples
    --------
    >>> import xnn
    >>> from xnn import data
    >>> digits = data.load("digits")
    >>> normalization = data.Normalization.of(digits.train)
    >>> batches = data.Batches(digits.train, 64, backend=xnn.backend("numpy"), normalization=normalization)
    >>> batches
    Batches(23 batches of 64, shuffled, float32 on numpy, from Split(1,437 images of 8x8x1, uint8, 10 classes))
    >>> x, labels = next(batches.epoch(0))
    >>> x.shape, x.dtype, labels.shape
    ((64, 8, 8, 1), dtype('float32'), (64,))
    """

    split: Split
    batch_size: int
    _: dataclasses.KW_ONLY
    backend: Backend
    normalization: Normalization | None = None
    dtype: str = "float32"
    shuffle: bool = True
    seed: int = 0
    augment: Augmentation | None = None
    drop_last: bool = False
    resident: bool | None = None
    mix: Mixing | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        split, batch_size = self.split, self.batch_size
        if batch_size < 1:
            raise SettingError(f"the batch size must be at least 1, not {batch_size}")
        if self.drop_last and batch_size > len(split):
            raise SettingError(f"a batch size of {batch_size} leaves no whole batch of {len(split)} images")
        if self.normalization is not None and split.images.dtype != np.uint8:
            raise TypeError(f"a normalization needs uint8 images, not {split.images.dtype}; leave it out")
        if self.resident and split.images.dtype.name not in RESIDENT_DTYPES:
            raise TypeError(f"resident images must be of {', '.join(RESIDENT_DTYPES)}, not {split.images.dtype}")
        self._check_mixing()
        self._known_factors: dict[int, tuple[Array, Array]] = {}
        self.images = len(split) // batch_size * batch_size if self.drop_last else len(split)

    def _check_mixing(self) -> None:
        misplaced = mixer_within(self.augment)
        if misplaced is not None:
            raise TypeError(f"{type(misplaced).__name__} mixes whole batches and their labels; give it as mix=")
        if self.mix is None:
            return
        needed = int(np.max(self.split.labels)) + 1
        if self.classes is not None and self.classes < needed:
            raise SettingError(
                f"the split has a label of {needed - 1}, so classes must be {needed} or more, not {self.classes}"
            )
        self._classes = needed if self.classes is None else self.classes

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.images // self.batch_size)

    def __repr__(self) -> str:
        order = "shuffled" if self.shuffle else "in order"
        count = f"{len(self):,} batch{'es' * (len(self) != 1)} of {self.batch_size:,}"
        return f"Batches({count}, {order}, {self.dtype} on {self.backend.name}, from {self.split!r})"

    def first_not_finite(self) -> int | None:
        """Return the first image, counted from 0, with NaN, infinity or a number beyond `dtype`'s range, or None."""
        images = self.split.images
        if images.dtype.kind != "f":
            return None
        most = np.finfo(self.dtype).max
        for start in range(0, len(images), _BLOCK):
            block = images[start : start + _BLOCK]
            finite = (np.abs(block) <= most).reshape(len(block), -1).all(axis=1)
            if not finite.all():
                return start + int(np.argmin(finite))
        return None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Array, Array]]:
        """Return the batches of an epoch from number `start` on: images (b, h, w, c) and labels (b,) of int64.

        They are the same batches as when starting at 0 and leaving out the first ones. With `mix` the labels are
        distributions (b, classes).

        Raises
        ------
        ValueError
            If `epoch` is negative, or `start` is not in [0, len(self)].
        """
        self._check_start(epoch, start)
        return self._batches(epoch, start)

    def parts(self, epoch: int, start: int, share: Share) -> Iterator[tuple[int, slice, tuple[Array, Array]]]:
        """Return parts of the batches that `epoch` returns, for one of several ranks that share the work.

        Only the images that the rank takes are prepared, unless `mix` needs the others of the batch, or an
        augmentation of one's own may draw its random numbers in any order: its class says by ``draws_by_image = True``
        that all arrays which it draws have the images as their last axis.

        Parameters
        ----------
        epoch, start : int
        share : callable
            ``images -> slice``: which of the images of a batch of so many the rank takes, maybe none.

        Yields
        ------
        images : int
            How many the whole batch has.
        own : slice
            Which of them these are.
        batch : (images, labels)
            Bit for bit those of the whole batch.
        """
        self._check_start(epoch, start)
        if self.mix is None and draws_by_image(self.augment):
            return self._parts(epoch, start, share)
        return self._cut(epoch, start, share)

    def _check_start(self, epoch: int, start: int) -> None:
        if epoch < 0 or not 0 <= start <= len(self):
            raise ValueError(f"there is no batch {start} of epoch {epoch}; an epoch has {len(self)} batches")

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Array, Array]]:
        size = self.batch_size
        for block_start, x, labels in self._blocks(epoch, start):
            count = x.shape[0]
            for first in range(max(start * size - block_start, 0), count, size):
                last = min(first + size, count)
                yield self._mixed(x[first:last, ...], labels[first:last], epoch, (block_start + first) // size)

    def _cut(self, epoch: int, start: int, share: Share) -> Iterator[tuple[int, slice, tuple[Array, Array]]]:
        for x, labels in self._batches(epoch, start):
            own = share(x.shape[0])
            yield x.shape[0], own, (x[own, ...], labels[own, ...])

    def _parts(self, epoch: int, start: int, share: Share) -> Iterator[tuple[int, slice, tuple[Array, Array]]]:
        size = self.batch_size
        for block_start, x, labels in self._blocks(epoch, start, share):
            place = 0
            for first in range(block_start, min(block_start + self._block_size, self.images), size):
                images = min(size, self.images - first)
                own = share(images)
                last = place + own.stop - own.start
                if first >= start * size:
                    yield images, own, (x[place:last, ...], labels[place:last])
                place = last

    @property
    def _block_size(self) -> int:
        """Images in a block: whole batches."""
        most = min(_BLOCK, _BLOCK_NUMBERS // max(math.prod(self.split.images.shape[1:]), 1))
        return max(most // self.batch_size, 1) * self.batch_size

    def _blocks(self, epoch: int, start: int, share: Share | None = None) -> Iterator[tuple[int, Array, Array]]:
        """Yield blocks from the one with batch `start` on: where it begins, and its images and labels.

        With `share`, only those that a rank takes.
        """
        size = self._block_size
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.split)) if self.shuffle else None
        own = None if share is None else own_positions(self.images, self.batch_size, share)
        if own is not None:
            order = own if order is None else order[own]
        with self.backend.current():
            resident = self._copy
        source: Source = (
            HostSource(self.split, self.backend, order) if resident is None else DeviceSource(resident, order)
        )
        for first in range(start * self.batch_size // size * size, self.images, size):
            last = min(first + size, self.images)
            with self.backend.current():
                random = Random(self.backend, self.seed, f"augment/{epoch}/{first}")
                if own is None:
                    x, labels = self._block(epoch, source, first, last, random)
                else:
                    begin, end = np.searchsorted(own, [first, last]).tolist()
                    random = OwnDraws(random, last - first, own[begin:end] - first)
                    x, labels = self._block(epoch, source, begin, end, random)
            yield first, x, labels

    def _mixed(self, x: Array, labels: Array, epoch: int, number: int) -> tuple[Array, Array]:
        """Return a batch after `mix`: a pure function of the seed, the epoch, the batch and its number."""
        if self.mix is None:
            return x, labels
        random = Random(self.backend, self.seed, f"mix/{epoch}/{number}")
        with self.backend.current():
            return self.mix(x, one_hot(labels, self._classes, x.dtype, random), random)

    @functools.cached_property
    def _copy(self) -> DeviceCopy | None:
        return device_copy(self.split, self.backend, self.resident)

    def _factors(self, normalization: Normalization, width: int) -> tuple[Array, Array]:
        """Return the factors for a row of `width` pixels, and the numbers to subtract after that, on the device."""
        if width not in self._known_factors:
            scale, shift = normalization.factors(width)
            factors = self.backend.asarray(scale, self.dtype), self.backend.asarray(shift, self.dtype)
            self._known_factors[width] = factors
        return self._known_factors[width]

    def _block(self, epoch: int, source: Source, start: int, stop: int, random: Random) -> tuple[Array, Array]:
        """Return the images and labels at positions `start` to `stop` of a source, on the device."""
        augment = for_images(self.augment, lambda: source.begins(start, stop, self.seed), epoch)
        images, indices = source.among(start, stop)
        x = self._in_one_pass(images, indices, augment, random)
        if x is None:
            x = images if indices is None else source.images(start, stop)
            x = self._normalized(x if augment is None else augment(x, random), random)
        return x, source.labels(start, stop)

    def _normalized(self, x: Array, random: Random) -> Array:
        """Return normalised images, always in a new array."""
        y = self._in_one_pass(x, None, None, random)
        if y is not None:
            return y
        if self.normalization is not None:
            return scaled(x, *self._factors(self.normalization, x.shape[-2] if len(x.shape) > 2 else 1))
        return self.backend.xp.astype(x, self.backend.dtype(self.dtype))

    def _in_one_pass(
        self, images: Array, indices: Array | None, augment: Augmentation | None, random: Random
    ) -> Array | None:
        """Return augmented and normalised images in a new array; None if no twin takes these and the augmentations."""
        augmentations = parts(augment)
        prepare = kernels.single_pass(self.backend, self.dtype, "prepare_images")
        if prepare is None or augmentations is None:
            return None

        def draw() -> list[Step]:
            count = images.shape[0] if indices is None else indices.shape[0]
            # Of a copy, so that the reference draws the same if the twin declines what was drawn.
            return drawn(augmentations, (count, *images.shape[1:]), copy.copy(random))

        factors = None if self.normalization is None else functools.partial(self._factors, self.normalization)
        return prepare(images, indices, draw, factors)
