"""Averages of a model's weights over the steps of training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from xnn import _checks, kernels
from xnn._typing import Array
from xnn.optim import _slots
from xnn.optim.optimizer import Model


class Average(NamedTuple):
    """Averaged flat vectors of a model."""

    parameters: Array
    buffers: Array


class ExponentialMovingAverage:
    """Exponential moving average of all parameters and buffers, frozen ones included.

    The first update copies the weights, each later one sets ``a ← a + (1 - decay) (w - a)``. This is the averaging of
    B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30(4),
    1992, but older steps fade: the last 1 / (1 - decay) count most.

    Parameters
    ----------
    model : Model
        A built model.
    decay : float
        In [0, 1); 0 follows the weights without delay.

    Attributes
    ----------
    average : Average
        The averaged flat vectors, ``average.parameters`` and ``average.buffers``. Before the first update
        they are the weights the model had when this object was made.
    steps : int
        Updates so far.

    Raises
    ------
    ValueError
        If `decay` is not in [0, 1).

    Examples
    --------
    >>> from xnn import nn, optim
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.zeros)
    >>> model = layer.build((2,), backend="numpy")
    >>> average = optim.ExponentialMovingAverage(model, decay=0.75)
    >>> average.update()
    >>> model.parameters.flat[...] = 1.0  # an optimizer's work
    >>> average.update()
    >>> with average.applied():
    ...     model.parameters.flat.tolist()
    [0.25, 0.25]
    >>> model.parameters.flat.tolist()
    [1.0, 1.0]
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model = model
        self.decay = _checks.fraction("decay", decay)
        self.average = Average(*(self._copy(vector) for vector in self._weights()))
        self.steps = 0
        self._move = kernels.single_pass(model.backend, model.dtype, "move_average")

    def update(self) -> None:
        """Add the model's present weights to the average; call it after each step."""
        with self.model.backend.current():
            for average, weights in zip(self.average, self._weights(), strict=True):
                self._update(average, weights)
        self.steps += 1

    def _update(self, average: Array, weights: Array) -> None:
        if self.steps == 0:
            average[...] = weights
        elif self._move is not None:
            self._move(average, weights, 1.0 - self.decay)
        else:
            # In this form the average of a constant is that constant, bit for bit.
            change = weights - average
            change *= 1.0 - self.decay
            average += change

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the model for the duration of a ``with`` block, and the weights back after it.

        What the block writes to the model's parameters and buffers is lost.
        """
        saved = [self._copy(vector) for vector in self._weights()]
        try:
            self._assign(self.average)
            yield
        finally:
            self._assign(saved)

    def state_dict(self) -> dict[str, Any]:
        """Return ``{"steps": int, "slots": {"parameters": array, "buffers": array}}``, NumPy copies."""
        return _slots.save(self.steps, self.average._asdict(), self.model.backend)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned.

        Raises
        ------
        ValueError
            If `state` is of another model; then nothing is changed.
        """
        self.steps = _slots.load(state, self.average._asdict(), self.model.backend, self.model.dtype)

    def _weights(self) -> tuple[Array, Array]:
        return self.model.parameters.flat, self.model.buffers.flat

    def _copy(self, vector: Array) -> Array:
        backend = self.model.backend
        return backend.xp.asarray(vector, copy=True, device=backend.device)

    def _assign(self, vectors: Average | list[Array]) -> None:
        with self.model.backend.current():
            for weights, vector in zip(self._weights(), vectors, strict=True):
                weights[...] = vector
