"""A batch that is spread over several replicas of one model, each of which holds some of its images.

A sum over the batch is then a sum over the replicas' own sums. Let S map the replicas' values x_1, ..., x_R to R copies
of their sum, (S x)_r = Σ_s x_s. S is linear, and its own adjoint::

    ⟨y, S x⟩ = Σ_r y_r Σ_s x_s = Σ_s (Σ_r y_r) x_s = ⟨S y, x⟩

So one function, `total`, serves both directions: where a forward pass takes a sum over the batch, such as batch
normalization's mean, its pullback passes the gradient of that sum through `total` too. A loss is the exception: all
replicas have the same number, which counts once, so its pullback starts on each replica from dloss as it is.

Functions whose formulas have a sum over the batch ask `total` for it and `batch_rows` for the number of summands; batch
normalization asks `statistics_total`.
Gradients of parameters are such sums as well, but nothing in the same pass depends on them: they are returned as the
replica's own sums, to be added up by whoever collects them.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from xnn._typing import Array


@dataclass(frozen=True)
class Replicas:
    """What a replica knows of the others while it computes its part of a batch.

    Attributes
    ----------
    total : callable
        ``x -> the sum of all replicas' x``, an array of x's shape and type. All replicas call it equally often, in the
        same order, with arrays of the same shape and type.
    first, own : int
        The position in the batch of this replica's first image, and how many it has.
    images : int
        How many all have together.
    local_statistics : bool
        Whether batch normalization takes the statistics of this replica's images alone.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> from xnn.functional import replicas
    >>> half = replicas.Replicas(total=lambda x: 2 * x, first=0, own=2, images=4)  # the other half is the same
    >>> logits, labels = np.zeros((2, 2)), np.asarray([0, 1])
    >>> with replicas.among(half):
    ...     loss, pullback = F.softmax_cross_entropy(logits, labels)
    >>> round(float(loss), 3), pullback()  # divided by the four images of the whole batch
    (0.693, array([[-0.125,  0.125],
           [ 0.125, -0.125]]))
    """

    total: Callable[[Array], Array]
    first: int
    own: int
    images: int
    local_statistics: bool = False


class _Current(threading.local):
    replicas: Replicas | None = None


_current = _Current()


@contextmanager
def among(replicas: Replicas | None) -> Iterator[None]:
    """Return a context in which the present thread computes one replica's part of a batch; None: the whole batch."""
    before, _current.replicas = _current.replicas, replicas
    try:
        yield
    finally:
        _current.replicas = before


def current() -> Replicas | None:
    """Return what the present thread is told of other replicas; None if there are none."""
    return _current.replicas


def total(x: Array) -> Array:
    """Return the sum of all replicas' x; x itself if there are none."""
    replicas = _current.replicas
    return x if replicas is None else replicas.total(x)


def statistics_total(x: Array) -> Array:
    """Return `total` of x for batch normalization, whose statistics may be local: then x itself."""
    replicas = _current.replicas
    return x if replicas is None or replicas.local_statistics else replicas.total(x)


@contextmanager
def all_statistics() -> Iterator[None]:
    """Return a context in which batch normalization takes the statistics of all replicas' images in any case."""
    replicas = _current.replicas
    with among(None if replicas is None else replace(replicas, local_statistics=False)):
        yield


def batch_rows(x: Array) -> int:
    """Return the product of all axes of x but the last, with the batch axis of all replicas together.

    The first axis may hold a multiple of the images, as after a reshape. With local statistics the batch is this
    replica's own part; where that is empty the product is 1, so that the means of nothing are 0.
    """
    replicas = _current.replicas
    rows: int = math.prod(x.shape[:-1])
    if replicas is None:
        return rows
    if replicas.local_statistics:
        return max(rows, 1)
    if rows:
        return rows * replicas.images // replicas.own
    # A replica without an image of a small batch knows nothing but the other axes.
    others: int = math.prod(x.shape[1:-1])
    return replicas.images * others


def batch_length(length: int) -> int:
    """Return the length of the batch axis in all replicas together, given this one's."""
    replicas = _current.replicas
    if replicas is None:
        return length
    return length * replicas.images // replicas.own if length else replicas.images


def numbers_before(x: Array) -> int:
    """Return how many numbers of the whole batch's array come before those of x, this replica's part of it."""
    replicas = _current.replicas
    size: int = math.prod(x.shape)
    return 0 if replicas is None or not replicas.own else size * replicas.first // replicas.own
