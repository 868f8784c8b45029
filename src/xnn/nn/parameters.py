"""Parameters, and the flat vectors they are views of."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Protocol

from xnn._typing import Array, Pending, Shape
from xnn.backends import Backend
from xnn.errors import some
from xnn.nn.initializers import Initializer


@dataclass(eq=False)
class Buffer:
    """A layer's array that is saved with the model, such as a running mean.

    Examples
    --------
    >>> from xnn import nn
    >>> layer = nn.BatchNorm().build((2,), backend="numpy")
    >>> layer.running_variance.value
    array([1., 1.], dtype=float32)
    >>> list(layer.buffers)
    ['running_mean', 'running_variance']
    """

    shape: Shape
    initializer: Initializer
    value: Array = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy keeps: everything but the arrays, which belong to the model."""
        return {name: kept for name, kept in vars(self).items() if name not in _ARRAYS}


_ARRAYS = ("value", "operand", "pending", "taken", "_gradient")


@dataclass(eq=False)
class Parameter(Buffer):
    """A trainable array of a layer.

    Attributes
    ----------
    shape : tuple of int
    initializer : callable
        See `xnn.nn.initializers`.
    decay : bool
        Whether weight decay and penalties apply; by default not to biases and norms.
    trainable : bool
        False while frozen: then its gradient is not computed, and no optimizer touches it.
    value, gradient : array
        Views of the model's flat vectors, from `Layer.build` on.
    pending : Pending or None
        A gradient that has not been written yet.
    taken : callable or None
        Called without arguments whenever the parameter has a new gradient, which is written then.
    operand : array
        What the layer computes with: `value`, or a copy of it in the lower type of the model's precision, refreshed by
        each forward pass. A layer whose `arithmetic` is ``"low"`` reads it in `forward`.

    Examples
    --------
    >>> from xnn import nn
    >>> layer = nn.Linear(2).build((3,), backend="numpy")
    >>> layer.weight.shape, layer.weight.decay, layer.bias.decay
    ((3, 2), True, False)
    >>> layer.freeze("bias")
    >>> layer.weight.trainable, layer.bias.trainable
    (True, False)
    """

    decay: bool = True
    trainable: bool = True
    operand: Array = field(default=None, init=False, repr=False)
    pending: Pending | None = field(default=None, init=False, repr=False)
    taken: Callable[[], None] | None = field(default=None, init=False, repr=False)
    _gradient: Array = field(default=None, init=False, repr=False)

    @property
    def gradient(self) -> Array:
        """The gradient's view of the flat vector; a pending gradient is written to it first."""
        if self.pending is not None:
            self.pending.write(self._gradient)
            self.pending = None
        return self._gradient

    def take(self, gradient: Array | Pending) -> None:
        """Take a gradient from a pullback; a pending gradient that may wait is written when somebody reads it."""
        self.pending = None
        if not hasattr(gradient, "write"):
            self._gradient[...] = gradient
        elif gradient.waits and self.taken is None:
            self.pending = gradient
        else:
            gradient.write(self._gradient)
        if self.taken is not None:
            self.taken()


@dataclass(frozen=True)
class Segment:
    """A run ``flat[start:stop]`` of trainable parameters that are all decayed or all not.

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.Linear(4), nn.Linear(2)).build((3,), backend="numpy")
    >>> model.segments()  # the two weights, which are decayed, then the two biases
    [Segment(start=0, stop=20, decay=True), Segment(start=20, stop=26, decay=False)]
    """

    start: int
    stop: int
    decay: bool

    @property
    def slice(self) -> slice:
        """The run as a slice of a flat vector."""
        return slice(self.start, self.stop)


class _Shaped(Protocol):
    @property
    def shape(self) -> Shape: ...


class Views(Mapping[str, Array]):
    """Named arrays that are views of one contiguous vector.

    Parameters
    ----------
    shaped : mapping of name to anything with a shape
        In the order in which to list the names.
    order : sequence of names
        In the order of the vector.

    Attributes
    ----------
    flat : (total,) array
        Writing to it writes to the views, and the other way round.
    starts : dict of name to its first position in the vector

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.ones).build((2,), backend="numpy")
    >>> model.parameters
    Views({'weight': (2, 2), 'bias': (2,)})
    >>> model.parameters["weight"][0, 0] = 5.0
    >>> model.parameters.flat
    array([5., 1., 1., 1., 0., 0.], dtype=float32)
    """

    def __init__(self, shaped: Mapping[str, _Shaped], order: Sequence[str], backend: Backend, dtype: str) -> None:
        xp = backend.xp
        sizes = [math.prod(shaped[name].shape) for name in order]
        self.starts = dict(zip(order, itertools.accumulate(sizes, initial=0), strict=False))
        self._flat = backend.zeros(sum(sizes), dtype)
        self._views = {}
        for name, entry in shaped.items():
            start = self.starts[name]
            piece = self._flat[start : start + math.prod(entry.shape)]
            self._views[name] = xp.reshape(piece, entry.shape, copy=False)

    @property
    def flat(self) -> Array:
        """The whole vector."""
        return self._flat

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __call__(self) -> NoReturn:
        """Raise a TypeError that says what to do instead of PyTorch's ``model.parameters()``."""
        raise TypeError(
            "a model's parameters are a mapping of names to arrays, not a method; an optimizer takes the model itself, "
            "as in optim.Adam(model)"
        )

    def __repr__(self) -> str:
        entries = ", ".join(f"{name!r}: {tuple(view.shape)}" for name, view in self.items())
        return f"Views({{{entries}}})"


class Gradients(Views):
    """Gradients of parameters; those that are pending are written as soon as somebody reads the vector or a view."""

    def __init__(self, parameters: Mapping[str, Parameter], order: Sequence[str], backend: Backend, dtype: str) -> None:
        super().__init__(parameters, order, backend, dtype)
        self._parameters = parameters
        for name, parameter in parameters.items():
            parameter._gradient, parameter.pending = self._views[name], None

    @property
    def flat(self) -> Array:
        """The whole vector."""
        for name in self._parameters:
            self[name]
        return self._flat

    def __getitem__(self, name: str) -> Array:
        return self._parameters[name].gradient

    def unread(self) -> tuple[Array, list[tuple[int, int, Pending]]]:
        """Return the vector as it is, and the pending gradients missing from it, with their start and stop in it."""
        pending = [
            (self.starts[name], self.starts[name] + math.prod(parameter.shape), parameter.pending)
            for name, parameter in self._parameters.items()
            if parameter.pending is not None
        ]
        return self._flat, sorted(pending, key=lambda each: each[0])


def segments(parameters: Mapping[str, Parameter], starts: Mapping[str, int], decay_all: bool) -> list[Segment]:
    """Return the runs of trainable parameters in the flat vector, neighbours of one kind merged."""
    runs: list[Segment] = []
    for name in sorted(parameters, key=starts.__getitem__):
        parameter = parameters[name]
        size = math.prod(parameter.shape)
        if not parameter.trainable or size == 0:
            continue
        run = Segment(starts[name], starts[name] + size, parameter.decay or decay_all)
        if runs and runs[-1].stop == run.start and runs[-1].decay == run.decay:
            run = Segment(runs.pop().start, run.stop, run.decay)
        runs.append(run)
    return runs


class Misfits(NamedTuple):
    """What of a state does not fit a model.

    Attributes
    ----------
    missing : tuple of str
        Names of the model's that the state lacks.
    unexpected : tuple of str
        Names of the state's that the model lacks.
    mismatched : tuple of str
        Names of both whose arrays differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> model = nn.Linear(2).build((3,), backend="numpy")
    >>> state = {"weight": np.ones((3, 5), np.float32), "gain": np.ones(2, np.float32)}
    >>> model.load_state_dict(state, strict=False)
    Misfits(missing=('bias',), unexpected=('gain',), mismatched=('weight',))
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def check(self, named: Mapping[str, _Shaped], state: Mapping[str, Any]) -> None:
        """Raise ValueError, with all that is wrong, if there is anything."""
        problems = [f"'{name}' is missing" for name in self.missing]
        problems += [f"'{name}' is not in the model" for name in self.unexpected]
        for name in self.mismatched:
            shape = getattr(state[name], "shape", None)
            problems.append(
                f"'{name}' is a {type(state[name]).__name__}, not an array"
                if shape is None
                else f"'{name}' has shape {tuple(shape)}, the model's has {tuple(named[name].shape)}"
            )
        if problems:
            raise ValueError(f"the state does not fit the model: {some(problems, '; ')}")


def misfits_of(named: Mapping[str, _Shaped], state: Mapping[str, Any]) -> Misfits:
    """Return what of a state does not fit the parameters and buffers of a model."""

    def fits(name: str) -> bool:
        shape = getattr(state[name], "shape", None)
        return shape is not None and tuple(shape) == tuple(named[name].shape)

    return Misfits(
        tuple([name for name in named if name not in state]),
        tuple([name for name in state if name not in named]),
        tuple([name for name in named if name in state and not fits(name)]),
    )
