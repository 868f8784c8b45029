"""What a trainer asks of the processes that it trains together with."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from xnn._typing import Array
from xnn.nn.layer import Layer
from xnn.optim import clip_gradient_norm
from xnn.training.loaders import Loader

_NOTHING = nullcontext()


class Team(Protocol):
    """The ranks that share each batch. All of them make the same calls in the same order."""

    rank: int

    def agree(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Raise a `ValueError` on all ranks unless they have the same JSON-able facts, by what they are called."""

    def shared(self, data: Loader) -> Loader:
        """Return the batches' parts for this rank; in the loop over them, functions know of the other parts."""

    def images(self, part: Array) -> int:
        """Return how many images the batch has of which `part` is this rank's part."""

    def begin(self, whole: bool = True) -> None:
        """Await the gradients of a backward pass; `whole` if anybody but the optimizer reads them before `complete`."""

    def finish(self) -> None:
        """Wait until the gradients are the sums over all ranks, or those that the optimizer needs on this one."""

    def abandon(self) -> None:
        """Await nothing more of a backward pass, as after an error in it."""

    def clip(self, model: Layer, max_norm: float) -> None:
        """Clip the norm of all gradients, of which each rank may have a part; see `xnn.optim.clip_gradient_norm`."""

    def complete(self) -> None:
        """Give each rank what only others have of the gradients and of the optimizer's state."""

    def apart(self) -> AbstractContextManager[None]:
        """Return a context in which this rank computes something of its own: functions know of no other parts."""

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Return the sums over all ranks."""

    def joined(self, part: Array) -> Array:
        """Return all ranks' parts of a batch, one after the other."""

    def votes(self, own: int) -> list[int]:
        """Return what all ranks say."""


class Alone:
    """A team of one, which has nobody to talk to."""

    rank = 0

    def agree(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Do nothing."""

    def shared(self, data: Loader) -> Loader:
        """Return the batches."""
        return data

    def images(self, part: Array) -> int:
        """Return the length of the batch."""
        length: int = part.shape[0]
        return length

    def begin(self, whole: bool = True) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""

    def clip(self, model: Layer, max_norm: float) -> None:
        """Clip the norm of the gradients."""
        clip_gradient_norm(model, max_norm)

    def complete(self) -> None:
        """Do nothing."""

    def apart(self) -> AbstractContextManager[None]:
        """Return a context in which nothing is different."""
        return _NOTHING

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Return the counts."""
        return list(counts)

    def joined(self, part: Array) -> Array:
        """Return the batch."""
        return part

    def votes(self, own: int) -> list[int]:
        """Return the only vote."""
        return [own]
