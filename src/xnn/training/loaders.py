"""Where the trainer gets batches: `xnn.data.Batches`, or a pair of arrays made to look like it."""

import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import numpy as np

from xnn import _checks, nn
from xnn._typing import Array, ArrayLike, ArrayObject
from xnn.backends import Backend
from xnn.data.batches import Batches
from xnn.data.shares import Share
from xnn.data.splits import HostArray, class_labels


class Loader(Protocol):
    """Batches of one data set; `xnn.data.Batches` is one.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn, optim, training
    >>> class Noise:
    ...     images = 64
    ...
    ...     def __len__(self):
    ...         return 4
    ...
    ...     def epoch(self, epoch, start=0):
    ...         for batch in range(start, len(self)):
    ...             random = np.random.default_rng([epoch, batch])
    ...             yield random.standard_normal((16, 3), np.float32), random.integers(0, 2, 16)
    >>> model = nn.Linear(2).build((3,), backend="numpy")
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=0.1))
    >>> len(trainer.fit(Noise(), epochs=2)), trainer.step
    (2, 8)
    """

    @property
    def images(self) -> int:
        """Images an epoch."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Array, ...]]:
        """Yield the batches of an epoch (from 0) beginning with batch `start`: a pure function of its arguments.

        A batch is ``(x, labels)``, or ``(x, labels, sample_weight)`` with a weight for each example, which the loss is
        given too. Labels may be distributions over the classes, as after `xnn.data.MixUp`.
        """


@contextmanager
def closing(batches: Iterator[tuple[Array, ...]]) -> Iterator[Iterator[tuple[Array, ...]]]:
    """Return a context that ends an iteration, also after an error: what holds only within it must not outlast it."""
    try:
        yield batches
    finally:
        if isinstance(batches, Generator):
            batches.close()


_LOOKED_AT = 1024
"""Examples that are checked together."""

_COMPARED = 64
"""Examples that are compared between ranks."""

Data: TypeAlias = Loader | tuple[ArrayLike, ...]
"""Batches, or arrays (x, labels) or (x, labels, sample_weight) to be cut into some."""


class ArrayBatches:
    """Arrays of any library, cut into batches on one device.

    Parameters
    ----------
    x
        (n, ...): one entry for each example.
    labels
        (n,) class indices, (n, classes) distributions over the classes, or targets of the shape the loss wants. If
        they are floats, they become `dtype` on the device.
    batch_size
        Examples a batch; the last one of an epoch may be smaller.
    backend
        Where the batches go.
    dtype
        Name of the type of `x` on the device.
    sample_weight
        (n,) weights of the examples in the loss; without them a batch is ``(x, labels)``.
    shuffle, seed
        Whether each epoch has its own order, drawn from the seed and the epoch's number.
    classes
        How many there are, to check class indices against; None checks nothing.

    Raises
    ------
    ValueError
        The lengths differ, there are no examples, a label is not in ``[0, classes)``, or a weight is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import training
    >>> batches = training.ArrayBatches(
    ...     np.zeros((10, 3)), np.arange(10), 4, backend=xnn.backend("numpy"), dtype="float32", shuffle=False
    ... )
    >>> len(batches), [labels.tolist() for x, labels in batches.epoch(0)]
    (3, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    """

    def __init__(
        self,
        x: ArrayObject,
        labels: ArrayObject,
        batch_size: int,
        *,
        backend: Backend,
        dtype: str = "float32",
        sample_weight: ArrayObject | None = None,
        shuffle: bool = True,
        seed: int = 0,
        classes: int | None = None,
    ) -> None:
        if x.shape[0] != labels.shape[0]:
            raise ValueError(f"x has {x.shape[0]} examples but labels has {labels.shape[0]}; give as many of both")
        if sample_weight is not None and tuple(sample_weight.shape) != (x.shape[0],):
            raise ValueError(f"sample_weight must have shape ({x.shape[0]},), not {tuple(sample_weight.shape)}")
        if x.shape[0] == 0:
            raise ValueError("x has no examples")
        _checks.count("batch_size", batch_size, 1)
        self.images: int = x.shape[0]
        self.batch_size = batch_size
        self._backend = backend
        self._x = backend.asarray(x, dtype)
        self._labels = backend.asarray(labels)
        if backend.xp.isdtype(self._labels.dtype, "real floating"):
            self._labels = backend.asarray(labels, dtype)
        self._arrays = [self._x, self._labels]
        if sample_weight is not None:
            weight = backend.asarray(sample_weight, dtype)
            if not bool(backend.xp.all(weight >= 0)):
                raise ValueError("sample_weight must have numbers of at least 0, but one is negative or NaN")
            self._arrays.append(weight)
        if classes is not None:
            self._check_labels(classes)
        self._shuffle = shuffle
        self._seed = seed

    def _check_labels(self, classes: int) -> None:
        """Check all labels once: on a device a wrong index would give a wrong loss, or end the process."""
        labels = self._backend.to_numpy(self._labels)
        if labels.shape[1:] == (classes,) and labels.dtype.kind == "f":
            _check_distributions(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            return
        for label in (int(labels.min()), int(labels.max())):
            if not 0 <= label < classes:
                raise ValueError(
                    f"labels must be from 0 to {classes - 1}, as the model has {classes} outputs, not {label}"
                )

    def checksum(self) -> int:
        """Return a number that is another one for other labels, or for examples that differ throughout."""
        return checksum_of(
            self._backend.to_numpy(self._labels), lambda index: self._backend.to_numpy(self._x[index, ...])
        )

    def first_not_finite(self) -> int | None:
        """Return the first example, from 0, that holds NaN or infinity, or None if none does."""
        xp = self._backend.xp
        real = [array for array in (self._x, self._labels) if xp.isdtype(array.dtype, "real floating")]
        for first in range(0, self.images, _LOOKED_AT):
            faulty = []
            for array in real:
                finite = xp.isfinite(array[first : min(first + _LOOKED_AT, self.images), ...])
                by_example = xp.all(xp.reshape(finite, (finite.shape[0], -1)), axis=1)
                if not bool(xp.all(by_example)):
                    faulty.append(first + int(xp.argmin(xp.astype(by_example, xp.int8))))
            if faulty:
                return min(faulty)
        return None

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.images // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Array, ...]]:
        """Yield the batches of an epoch, beginning with batch `start`."""
        order = self._order(epoch)
        for first in range(start * self.batch_size, self.images, self.batch_size):
            yield self._taken(order, slice(first, min(first + self.batch_size, self.images)))

    def parts(self, epoch: int, start: int, share: Share) -> Iterator[tuple[int, slice, tuple[Array, ...]]]:
        """Yield parts of the batches that `epoch` yields; see `xnn.data.Batches.parts`."""
        order = self._order(epoch)
        for first in range(start * self.batch_size, self.images, self.batch_size):
            images = min(self.batch_size, self.images - first)
            own = share(images)
            yield images, own, self._taken(order, slice(first + own.start, first + own.stop))

    def _order(self, epoch: int) -> Array | None:
        order = self._permutation(epoch)
        return None if order is None else self._backend.asarray(order, "int64")

    def _permutation(self, epoch: int) -> HostArray | None:
        """Return the order of an epoch's examples, on the host; None leaves it as it is."""
        if not self._shuffle:
            return None
        order: HostArray = np.random.default_rng([self._seed, epoch]).permutation(self.images)
        return order

    def _taken(self, order: Array | None, part: slice) -> tuple[Array, ...]:
        if order is None:
            return tuple([array[part, ...] for array in self._arrays])
        chosen, xp = order[part], self._backend.xp
        return tuple([xp.take(array, chosen, axis=0) for array in self._arrays])


def _check_distributions(labels: HostArray) -> None:
    # NaN compares as false.
    right = (labels >= 0).all(axis=1) & (abs(labels.sum(axis=1, dtype=np.float64) - 1.0) < 1e-3)
    if not right.all():
        first = int(np.argmin(right))
        raise ValueError(
            f"labels, as distributions over the classes, must be rows of at least 0 that sum to 1; row {first} is "
            f"{np.array2string(labels[first], threshold=10, precision=4, separator=', ')}"
        )


def loader_of(data: Data, batch_size: int, *, shuffle: bool, model: nn.Layer, loss: Any) -> Loader:
    """Return the batches of a data set on which a model is trained or evaluated with a loss.

    Raises
    ------
    ValueError
        Arrays do not fit the model, or are labels that it has no outputs for.
    TypeError
        The data is neither arrays in a tuple nor batches.
    """
    if not isinstance(data, tuple):
        if not hasattr(data, "epoch"):
            kind = type(data).__name__
            raise TypeError(f"data must be a pair of arrays, as in fit((x, labels), epochs=5), or Batches, not {kind}")
        _check_mixing(data, loss)
        return data
    if len(data) not in (2, 3):
        raise ValueError(f"data must be (x, labels) or (x, labels, sample_weight), not {len(data)} arrays")
    x, labels, *weight = (np.asarray(each) if isinstance(each, list | tuple) else each for each in data)
    shape = tuple(model.input_shape)
    if tuple(x.shape[1:]) != shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; the model takes (n, {', '.join(map(str, shape))})")
    indices = isinstance(loss, nn.SoftmaxCrossEntropy) and len(model.output_shape) == 1
    if indices and isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = class_labels(labels)
    return ArrayBatches(
        x,
        labels,
        batch_size,
        backend=model.backend,
        dtype=model.dtype,
        sample_weight=weight[0] if weight else None,
        shuffle=shuffle,
        seed=model.random.seed,
        classes=model.output_shape[-1] if indices else None,
    )


def _check_mixing(data: Loader, loss: Any) -> None:
    """Refuse losses that do not take both forms of a label: mixed ones, and the classes that evaluation has."""
    others = nn.BinaryCrossEntropyWithLogits, nn.MSE, nn.Huber
    if isinstance(data, Batches) and data.mix is not None and isinstance(loss, others):
        raise ValueError(
            f"{type(data.mix).__name__} makes labels that are distributions over the classes, for which "
            f"{type(loss).__name__} is no loss; train with nn.SoftmaxCrossEntropy, or leave out mix="
        )


def checksum_of(labels: HostArray, example: Callable[[int], HostArray]) -> int:
    """Return a checksum of all labels and of some examples, evenly spaced."""
    checksum = zlib.crc32(np.ascontiguousarray(labels).tobytes())
    for index in np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _COMPARED)).astype(np.int64)).tolist():
        checksum = zlib.crc32(np.ascontiguousarray(example(index)).tobytes(), checksum)
    return checksum


def what_is_not_finite(data: Loader | None, name: str) -> str | None:
    """Return a clause that says where data holds NaN or infinity; None if it does not, or if nobody can tell."""
    find = getattr(data, "first_not_finite", None)
    example = None if find is None else find()
    return None if example is None else f"the {name} data holds NaN or infinity, first in example {example} (from 0)"
