"""What all optimizers share: the loop over the trainable runs of a model's flat vectors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from xnn import _checks, kernels
from xnn._typing import Array
from xnn.backends import Backend
from xnn.optim import _slots


class FlatMapping(Protocol):
    """Named arrays that are views of one contiguous vector."""

    @property
    def flat(self) -> Array:
        """The whole vector, one axis."""


class Segment(Protocol):
    """A contiguous run of trainable parameters in the flat vector."""

    @property
    def start(self) -> int:
        """First position."""

    @property
    def stop(self) -> int:
        """Position after the last."""

    @property
    def decay(self) -> bool:
        """Whether weight decay applies."""


class Model(Protocol):
    """What an optimizer needs of a model; a built `xnn.nn.Layer` has it.

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.Linear(4), nn.Linear(2)).build((3,), backend="numpy")
    >>> model.parameters.flat.shape, model.gradients.flat.shape
    ((26,), (26,))
    >>> [(entry["name"], entry["start"]) for entry in model.layout()]
    [('0.weight', 0), ('0.bias', 20), ('1.weight', 12), ('1.bias', 24)]
    """

    @property
    def backend(self) -> Backend:
        """Where the vectors live."""

    @property
    def dtype(self) -> str:
        """Name of the vectors' dtype."""

    @property
    def parameters(self) -> FlatMapping:
        """Parameters, trainable or not."""

    @property
    def gradients(self) -> FlatMapping:
        """Gradients, at the positions of their parameters."""

    @property
    def buffers(self) -> FlatMapping:
        """State that is not learned by gradients, such as running statistics."""

    def segments(self, decay_all: bool = False) -> Sequence[Segment]:
        """Return the runs of trainable parameters in order, with neighbours of equal `decay` merged."""

    def layout(self) -> Sequence[Mapping[str, Any]]:
        """Return name, shape and start of each parameter, in the model's order."""


class Run(NamedTuple):
    """Trainable parameters ``flat[start:stop]`` with the same weight decay."""

    start: int
    stop: int
    weight_decay: float


class Optimizer:
    """Base of the optimizers: hyper-parameters, slots, and the loop over trainable runs.

    A subclass fills `slots` and implements `_update` for one run. Its rule has to work element by element, so that the
    result does not depend on how the vector is cut into runs; for other rules see `Muon`, which cuts it into matrices.
    Frozen parameters are in no run, so they and their slots stay as they are.

    Parameters
    ----------
    model : Model
        A built model.
    lr : float
        Learning rate, above 0.
    weight_decay : float
        At least 0. Norms and biases are not decayed unless `decay_all` says so.
    decay_all : bool
        Decay norms and biases too.

    Attributes
    ----------
    lr : float
        Used by the next step; a schedule assigns it. May be 0.
    steps : int
        Steps taken so far.
    slots : dict of str to array
        State besides the parameters, such as ``"velocity"``: vectors as long as the flat parameter vector.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of its range, not finite or not a number.
    TypeError
        If `model` is no model, such as its parameters.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> class SignDescent(optim.Optimizer):
    ...     def _update(self, parameter, gradient, slots, weight_decay):
    ...         parameter -= self.lr * self.model.backend.xp.sign(gradient)
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones)
    >>> model = layer.build((2,), backend="numpy")
    >>> optimizer = SignDescent(model, lr=0.5)
    >>> model.gradients.flat[...] = [3.0, -0.1]
    >>> optimizer.step()
    >>> model.parameters.flat
    array([0.5, 1.5], dtype=float32)
    """

    def __init__(self, model: Model, lr: float, *, weight_decay: float = 0.0, decay_all: bool = False) -> None:
        if not hasattr(model, "segments"):
            name = type(self).__name__
            raise TypeError(
                f"{name} takes the model itself, as in optim.{name}(model, lr=0.001), not {type(model).__name__}"
            )
        self.model = model
        self.lr = _checks.positive("lr", lr)
        self.weight_decay = _checks.non_negative("weight_decay", weight_decay)
        self.decay_all = _checks.flag("decay_all", decay_all)
        self.steps = 0
        self.slots: dict[str, Array] = {}
        self._apply = kernels.rule(self) or self._update_runs

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _checks.non_negative("lr", value)

    def step(self) -> None:
        """Update the trainable parameters from the model's gradients, in place."""
        self.steps += 1
        # Without weight decay, decayed and undecayed runs are treated alike: ask for the longest ones.
        segments = self.model.segments(decay_all=self.decay_all or self.weight_decay == 0.0)
        runs = [Run(s.start, s.stop, self.weight_decay if s.decay else 0.0) for s in segments]
        with self.model.backend.current():
            self._apply(runs)

    def _update_runs(self, runs: Sequence[Run]) -> None:
        parameters, gradients = self.model.parameters.flat, self.model.gradients.flat
        for start, stop, weight_decay in runs:
            slots = {name: slot[start:stop] for name, slot in self.slots.items()}
            self._update(parameters[start:stop], gradients[start:stop], slots, weight_decay)

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        """Update one run: `parameter` and `slots` are views to write to, `gradient` is only read."""
        raise NotImplementedError(f"{type(self).__name__} has no update rule: it must implement _update")

    def _add_slot(self, name: str) -> None:
        model = self.model
        self.slots[name] = model.backend.zeros(model.parameters.flat.shape[0], model.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Return ``{"steps": int, "slots": {name: NumPy array}}``, as copies, without the hyper-parameters."""
        return _slots.save(self.steps, self.slots, self.model.backend)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; the steps that follow are the same bit for bit.

        Raises
        ------
        ValueError
            If `state` is of another optimizer or model; then nothing is changed.
        """
        self.steps = _slots.load(state, self.slots, self.model.backend, self.model.dtype)
