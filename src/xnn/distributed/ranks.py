"""A world that trains one model: shares of batches, and sums over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xnn import _checks
from xnn._typing import Array
from xnn.distributed.gradients import GradientSum
from xnn.distributed.matrices import SharedMatrices
from xnn.distributed.world import World, in_order
from xnn.functional.replicas import Replicas, among, current
from xnn.nn.building import named_layers
from xnn.nn.layer import Layer
from xnn.nn.normalization import BatchNorm
from xnn.optim import Optimizer
from xnn.optim.clipping import clip_vectors
from xnn.training.loaders import Loader


def share(images: int, rank: int, size: int) -> slice:
    """Return which images of a batch a rank takes: parts in the order of the ranks, as equal as they can be."""
    return slice(images * rank // size, images * (rank + 1) // size)


class Shared:
    """The parts of another loader's batches that one rank takes.

    The loop over `epoch` runs as one of the replicas of each batch: functions that add up over the batch do so over
    all ranks (`xnn.functional.replicas`).
    """

    def __init__(self, data: Loader, world: World, total: Any, sync_batch_norm: bool = True) -> None:
        self._data, self._world, self._total, self._is_local = data, world, total, not sync_batch_norm

    @property
    def images(self) -> int:
        """Images an epoch, of all ranks together."""
        return self._data.images

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Array, ...]]:
        """Yield this rank's parts of the batches of an epoch."""
        rank, size = self._world.rank, self._world.size
        if hasattr(self._data, "parts"):
            batches = self._data.parts(epoch, start, lambda images: share(images, rank, size))
        else:
            batches = self._cut(epoch, start)
        for images, own, batch in batches:
            with among(Replicas(self._total, own.start, own.stop - own.start, images, self._is_local)):
                yield batch

    def _cut(self, epoch: int, start: int) -> Iterator[tuple[int, slice, tuple[Array, ...]]]:
        for batch in self._data.epoch(epoch, start):
            images = batch[0].shape[0]
            own = share(images, self._world.rank, self._world.size)
            yield images, own, tuple([array[own, ...] for array in batch])


class Ranks:
    """The `xnn.training.team.Team` of a world's ranks, for one model.

    Attributes
    ----------
    gradients : GradientSum
    """

    def __init__(
        self, world: World, model: Layer, optimizer: Optimizer | None = None, sync_batch_norm: bool = True
    ) -> None:
        self.world, self.rank = world, world.rank
        self._backend = model.backend
        self._matrices = SharedMatrices(world, model, optimizer)
        self.gradients = GradientSum(world, model, self._matrices.owners)
        self._sync_batch_norm = sync_batch_norm
        norms = (
            [] if sync_batch_norm else [each for each in named_layers(model).values() if isinstance(each, BatchNorm)]
        )
        self._statistics = [each for norm in norms for each in (norm.running_mean, norm.running_variance)]

    def agree(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Raise a `ValueError` on all ranks unless they have the same facts."""
        difference = self.world.difference(facts())
        if difference is not None:
            raise ValueError(f"all ranks must train alike: {difference}; give all the same model, data and settings")

    def begin(self, whole: bool = True) -> None:
        """Await the gradients of a backward pass; see `xnn.training.team.Team.begin`."""
        self._matrices.begin(self.gradients)
        self.gradients.begin(whole)

    def finish(self) -> None:
        """Wait until the gradients are the sums; with local batch norm, average the ranks' running statistics."""
        self.gradients.finish()
        if self._statistics:
            self._average_statistics()

    def abandon(self) -> None:
        """Await nothing more of a backward pass, as after an error in it."""
        self.gradients.abandon()

    def _average_statistics(self) -> None:
        """Average the running statistics, weighted by images: they move by sums of what each batch has."""
        replicas, xp = current(), self._backend.xp
        share = 1.0 / self.world.size if replicas is None else replicas.own / replicas.images
        vectors = [each.value for each in self._statistics]
        averages, start = self.total(xp.concat(vectors) * share), 0
        for vector in vectors:
            vector[...] = averages[start : start + vector.shape[0]]
            start += vector.shape[0]

    def clip(self, model: Layer, max_norm: float) -> None:
        """Clip the norm of the gradients; it is the same on all ranks, bit for bit.

        Each rank squares what it owns, and its share of what nobody owns. Then it scales what the optimizer needs here.
        """
        max_norm = _checks.positive("max_norm", max_norm)
        flat, (own, common) = model.gradients.flat, self.gradients.places
        parts = [share(stop - start, self.rank, self.world.size) for start, stop in common]
        squared = [*own, *((a + part.start, a + part.stop) for (a, _), part in zip(common, parts, strict=True))]
        limits = np.finfo(model.dtype)
        with self._backend.current():
            # A norm too large for the type would make the gradients 0 or NaN in any case.
            norm = clip_vectors(model, [flat[a:b] for a, b in squared], float(limits.max))
            squares = np.asarray(self._backend.to_numpy(norm), np.float64) ** 2
            whole = np.sqrt(in_order(self.world.gathered(squares[None])))[0].astype(limits.dtype)
            bound = limits.dtype.type(max_norm)
            if not whole <= bound:  # a norm of NaN has to make the gradients NaN
                everything = [(run.start, run.stop) for run in model.segments(decay_all=True)]
                for a, b in everything if self.gradients.is_whole else [*own, *common]:
                    flat[a:b] *= float(bound / whole)

    def complete(self) -> None:
        """Give each rank what only others have: gradients and velocities of their matrices."""
        if not self.gradients.is_whole:
            self.gradients.is_whole = True
            self._matrices.gather_gradients()
        self._matrices.complete()

    def apart(self) -> AbstractContextManager[None]:
        """Return a context in which this rank computes something of its own."""
        return among(None)

    def shared(self, data: Loader) -> Loader:
        """Return the parts of a loader's batches that this rank takes."""
        return Shared(data, self.world, self.total, self._sync_batch_norm)

    def total(self, x: Array) -> Array:
        """Return the sum of all ranks' x."""
        return self.world.total(x, self._backend)

    def images(self, part: Array) -> int:
        """Return how many images the batch has of which `part` is this rank's part."""
        replicas = current()
        return part.shape[0] if replicas is None else replicas.images

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Return the sums over all ranks."""
        found: list[int] = self.world.gathered(np.array(counts, np.int64)).sum(axis=0).tolist()
        return found

    def joined(self, part: Array) -> Array:
        """Return all ranks' parts of a batch, one after the other."""
        own = self._backend.to_numpy(part)
        lengths = self.world.gathered(np.array([len(own)]))[:, 0]
        padded = np.zeros((int(lengths.max()), *own.shape[1:]), own.dtype)
        padded[: len(own)] = own
        everything = self.world.gathered(padded)
        return self._backend.asarray(np.concatenate([a[:n] for a, n in zip(everything, lengths, strict=True)]))

    def votes(self, own: int) -> list[int]:
        """Return what all ranks say."""
        votes: list[int] = self.world.gathered(np.array([own], np.int64))[:, 0].tolist()
        return votes
