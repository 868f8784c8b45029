"""The source of batches: a split on the host, or a copy of it on the device."""

from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from xnn._typing import Array
from xnn.backends import DTYPES, Backend
from xnn.data.by_epoch import begins_mirrored
from xnn.data.mapping import expect_order
from xnn.data.splits import HostArray, Split

RESIDENT_DTYPES = ("uint8", *DTYPES)
"""Types of images that may be kept on a device."""

_SHARE = 0.5
"""Share of the device's free memory that one split may take; the rest is for the model and its steps."""
_UNASKED = 1 << 30
"""Bytes that a split may take if the library does not know how much is free, as on the CPU."""
_CHUNK = 1 << 26
"""Bytes that are sent at once: a mapped file passes through the host's memory in pieces."""


class HostSource:
    """Images that are gathered on the host and sent block by block; `order` is None for the split's own order.

    Its methods take positions in the epoch and return arrays on the backend. Write to none of them but the labels.
    """

    def __init__(self, split: Split, backend: Backend, order: HostArray | None) -> None:
        self._split, self._backend, self._order = split, backend, order
        in_order = order is None or bool(np.all(order[1:] > order[:-1]))
        for array in (split.images, split.labels):
            expect_order(array, random=not in_order)

    def indices(self, start: int, stop: int) -> HostArray:
        """Return the indices in the split of the images at those positions."""
        return np.arange(start, stop) if self._order is None else self._order[start:stop]

    def among(self, start: int, stop: int) -> tuple[Array, Array | None]:
        """Return images and the indices among them of those at the positions; None if they are these and no others."""
        if self._backend.library == "numpy":
            return self._split.images, self.indices(start, stop)
        return self.images(start, stop), None

    def images(self, start: int, stop: int) -> Array:
        """Return a copy of the images, since the device may use the memory as it is, and a mapped file is read-only."""
        images = self._split.images[self.indices(start, stop)]
        # In the machine's byte order, since not every library converts to it.
        return self._backend.asarray(images.astype(images.dtype.newbyteorder("="), copy=False))

    def labels(self, start: int, stop: int) -> Array:
        """Return a copy of their labels, of int64."""
        return self._backend.asarray(self._split.labels[self.indices(start, stop)].astype(np.int64))

    def begins(self, start: int, stop: int, seed: int) -> Array:
        """Return which images an `xnn.data.AlternatingFlip` mirrors in epoch 0: 1 or 0, of int64."""
        return self._backend.asarray(begins_mirrored(self.indices(start, stop), seed))


class DeviceCopy:
    """A split's images, labels and whatever else each image has, on a device."""

    def __init__(self, split: Split, backend: Backend) -> None:
        self.backend = backend
        self.images = _sent(split.images, backend)
        self.labels = backend.asarray(split.labels.astype(np.int64))
        self._begins: dict[int, Array] = {}

    def begins(self, seed: int) -> Array:
        """Return `HostSource.begins` for all images, in the split's own order."""
        if seed not in self._begins:
            found = begins_mirrored(np.arange(self.labels.shape[0]), seed)
            self._begins[seed] = self.backend.asarray(found)
        return self._begins[seed]


class DeviceSource:
    """The same as `HostSource`, gathered on the device: only the order of an epoch has to be sent."""

    def __init__(self, copy: DeviceCopy, order: HostArray | None) -> None:
        self._copy = copy
        self._order = None if order is None else copy.backend.asarray(order, "int64")

    def among(self, start: int, stop: int) -> tuple[Array, Array | None]:
        """Return the split's images and the indices of those at the positions; or these images alone, and None."""
        if self._order is None:
            return self.images(start, stop), None
        return self._copy.images, self._order[start:stop]

    def images(self, start: int, stop: int) -> Array:
        """Gather the images, or return a view of them."""
        return self._taken(self._copy.images, start, stop)

    def labels(self, start: int, stop: int) -> Array:
        """Gather the labels, or copy them."""
        taken = self._taken(self._copy.labels, start, stop)
        return taken if self._order is not None else self._copy.backend.xp.asarray(taken, copy=True)

    def begins(self, start: int, stop: int, seed: int) -> Array:
        """Gather them from hashes that are computed once."""
        return self._taken(self._copy.begins(seed), start, stop)

    def _taken(self, array: Array, start: int, stop: int) -> Array:
        if self._order is None:
            return array[start:stop, ...]
        return self._copy.backend.xp.take(array, self._order[start:stop], axis=0)


Source: TypeAlias = HostSource | DeviceSource


def device_copy(split: Split, backend: Backend, wanted: bool | None = None) -> DeviceCopy | None:
    """Return the copy of a split on a device, which is made on the first request and lives as long as the split.

    Parameters
    ----------
    split : Split
    backend : Backend
    wanted : bool, optional
        Whether to make one. None makes one if it takes no more than half of the device's free memory, or 1 GiB if that
        is unknown.

    Returns
    -------
    DeviceCopy or None
        None on NumPy, which computes where the images are, and for images that are not of `RESIDENT_DTYPES`.
    """
    nothing_to_copy = split.images.dtype.name not in RESIDENT_DTYPES or split.images.nbytes == 0
    if wanted is False or backend.library == "numpy" or nothing_to_copy:
        return None
    copies = _copies.setdefault(split, {})
    if backend not in copies:
        if wanted is None and split.images.nbytes > _room(backend):
            return None
        copies[backend] = DeviceCopy(split, backend)
    return copies[backend]


_copies: WeakKeyDictionary[Split, dict[Backend, DeviceCopy]] = WeakKeyDictionary()


def _room(backend: Backend) -> float:
    free = backend.free_memory()
    return _UNASKED if free is None else _SHARE * free


def _sent(images: HostArray, backend: Backend) -> Array:
    """Return images on the device, sent in pieces."""
    name = images.dtype.name
    sent = backend.xp.empty(images.shape, dtype=backend.dtype(name), device=backend.device)
    step = max(_CHUNK * len(images) // images.nbytes, 1)
    for start in range(0, len(images), step):
        part = slice(start, min(start + step, len(images)))
        # In the machine's byte order and without strides, since not every library takes anything else.
        sent[part, ...] = backend.asarray(np.ascontiguousarray(images[part], dtype=name))
    return sent
