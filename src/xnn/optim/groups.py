"""Parts of a model, and several optimizers, one for each part, that work as one."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from xnn import _checks
from xnn._typing import Shape
from xnn.errors import some
from xnn.optim.optimizer import Model, Optimizer

Rule: TypeAlias = Callable[[str, Shape], bool]


class _Run(NamedTuple):
    start: int
    stop: int
    decay: bool = True


class Part:
    """Some parameters of a model, for which an optimizer can be made as for a whole model.

    `split` makes parts. The vectors are the whole model's; `segments` and `layout` cover the part alone.

    Attributes
    ----------
    whole : Model

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(8), nn.Linear(2)).build((4,), backend="numpy")
    >>> weights, biases = optim.split(model, lambda name, shape: len(shape) >= 2)
    >>> [(run.start, run.stop) for run in weights.segments()], [(run.start, run.stop) for run in biases.segments()]
    ([(0, 48)], [(48, 58)])
    """

    def __init__(self, whole: Model, layout: Sequence[Mapping[str, Any]]) -> None:
        self.whole = whole
        self._layout = layout
        places = sorted((entry["start"], entry["start"] + math.prod(entry["shape"])) for entry in layout)
        self._places: list[tuple[int, int]] = []
        for start, stop in places:
            if self._places and self._places[-1][1] == start:
                start = self._places.pop()[0]
            self._places.append((start, stop))

    def __getattr__(self, name: str) -> Any:
        # Looked up each time: a model that is copied or built again has other vectors.
        if name in ("backend", "dtype", "parameters", "gradients", "buffers"):
            return getattr(self.whole, name)
        raise AttributeError(f"a part of a model has no attribute {name!r}")

    def segments(self, decay_all: bool = False) -> list[_Run]:
        """Return the runs of the part's trainable parameters, in order."""
        runs = [
            _Run(max(start, run.start), min(stop, run.stop), run.decay)
            for run in self.whole.segments(decay_all)
            for start, stop in self._places
        ]
        return [run for run in runs if run.start < run.stop]

    def layout(self) -> Sequence[Mapping[str, Any]]:
        """Return name, shape and start of each of the part's parameters, in the model's order."""
        return self._layout


def split(model: Model, *rules: Rule) -> list[Part]:
    """Return a part of the model for each rule, and one more for the rest.

    Parameters
    ----------
    model : Model
        A built model.
    *rules : callable
        ``(name, shape) -> bool``. A parameter goes to the part of the first rule that returns True for it.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(8), nn.BatchNorm(), nn.Linear(2)).build((4,), backend="numpy")
    >>> weights, rest = optim.split(model, lambda name, shape: len(shape) >= 2)
    >>> [entry["name"] for entry in weights.layout()], [entry["name"] for entry in rest.layout()]
    (['0.weight', '2.weight'], ['0.bias', '1.weight', '1.bias', '2.bias'])
    """
    parts: list[list[Mapping[str, Any]]] = [[] for _ in range(len(rules) + 1)]
    for entry in model.layout():
        chosen = (number for number, rule in enumerate(rules) if rule(entry["name"], tuple(entry["shape"])))
        parts[next(chosen, len(rules))].append(entry)
    return [Part(model, layout) for layout in parts]


def last_layer(model: Model) -> Rule:
    """Return the rule that picks the parameters of the layer that makes a model's outputs.

    It is the layer of the last parameter with two axes or more.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(8), nn.Linear(2)).build((4,), backend="numpy")
    >>> head, body = optim.split(model, optim.last_layer(model))
    >>> [entry["name"] for entry in head.layout()]
    ['1.weight', '1.bias']
    """
    name = [entry["name"] for entry in model.layout() if len(entry["shape"]) >= 2][-1]
    prefix = name[: name.rfind(".") + 1]
    return lambda name, shape: name.startswith(prefix)


class Groups(Optimizer):
    """Optimizers of a model's parts, used as one optimizer.

    For example AdamW for the biases and norms, and SGD for the weights::

        weights, rest = optim.split(model, lambda name, shape: len(shape) >= 2)
        optimizer = optim.Groups(optim.SGD(weights, lr=0.1, momentum=0.9), optim.AdamW(rest, lr=0.001))

    Its learning rate is that of the first optimizer. Setting it scales the rates of the others in proportion, from
    those they had at first, and replaces whatever was set on them meanwhile. All other hyper-parameters are each
    optimizer's own. If several optimizers have a slot of the same name, they share one vector.

    Parameters
    ----------
    *optimizers : Optimizer
        New ones, one for each part that `split` made of a model.

    Attributes
    ----------
    optimizers : tuple of Optimizer
    rates : tuple of float
        Those that the optimizers had at first.

    Raises
    ------
    ValueError
        If a parameter is in no optimizer's part or in several, or an optimizer has taken steps.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(8), nn.Linear(2)).build((4,), backend="numpy")
    >>> head, body = optim.split(model, optim.last_layer(model))
    >>> optimizer = optim.Groups(optim.SGD(head, lr=0.1), optim.SGD(body, lr=0.01))
    >>> optimizer.lr = 0.05  # a schedule's work
    >>> [each.lr for each in optimizer.optimizers]
    [0.05, 0.005]
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        model = _whole(optimizers)
        self.optimizers = optimizers
        self.rates = tuple([_checks.positive("lr", optimizer.lr) for optimizer in optimizers])
        super().__init__(model, self.rates[0])
        for optimizer in optimizers:
            for name, slot in list(optimizer.slots.items()):
                optimizer.slots[name] = self.slots.setdefault(name, slot)

    @property
    def lr(self) -> float:
        """Learning rate of the first optimizer's next step."""
        return self.optimizers[0].lr

    @lr.setter
    def lr(self, value: float) -> None:
        first, *others = self.optimizers
        first.lr = value
        for optimizer, rate in zip(others, self.rates[1:], strict=True):
            optimizer.lr = rate * (first.lr / self.rates[0])

    def step(self) -> None:
        """Let each optimizer update its part."""
        self.steps += 1
        for optimizer in self.optimizers:
            optimizer.step()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, as `Optimizer.load_state_dict` does."""
        super().load_state_dict(state)
        for optimizer in self.optimizers:
            optimizer.steps = self.steps


def _whole(optimizers: Sequence[Optimizer]) -> Model:
    """Return the model that the optimizers' parts make up."""
    if not optimizers:
        raise ValueError("groups need an optimizer, and there is none")
    model, *others = (getattr(optimizer.model, "whole", optimizer.model) for optimizer in optimizers)
    if any(other is not model for other in others):
        raise ValueError("the optimizers' parts must be of one model: make them by one call of xnn.optim.split")
    if any(optimizer.steps for optimizer in optimizers):
        raise ValueError("the optimizers must be new, but one has taken steps")
    counts = Counter(entry["name"] for optimizer in optimizers for entry in optimizer.model.layout())
    for number, problem in ((0, "in no group"), (2, "in several groups")):
        names = [entry["name"] for entry in model.layout() if min(counts[entry["name"]], 2) == number]
        if names:
            raise ValueError(f"these parameters are {problem}: {some(names)}")
    return model
