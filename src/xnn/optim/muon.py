"""Momentum whose update of a matrix is made orthogonal."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from array_api_compat import array_namespace, device

from xnn import kernels
from xnn._typing import Array, Shape
from xnn.optim import _checks
from xnn.optim.optimizer import Model, Optimizer, Run
from xnn.optim.sgd import SGD

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ADJUSTMENTS = ("none", "original", "match_rms_adamw")

Choice: TypeAlias = Callable[[str, Shape], bool]
Rate: TypeAlias = Callable[[str, Shape], float]


class LaidOut(Model, Protocol):
    """What Muon needs of a model; a built `xnn.nn.Layer` has it."""

    def layout(self) -> Sequence[Mapping[str, Any]]:
        """Return name, shape and start of each parameter, in the model's order."""


class _Part(NamedTuple):
    """One parameter's place in the flat vector, and how it is updated."""

    start: int
    stop: int
    columns: int
    """Outputs, where the parameter is a matrix for Muon; else 0."""
    lr: float
    """Of SGD, while the optimizer's own is what it was made with."""


class Muon(Optimizer):
    """Momentum with orthogonalised updates for the hidden matrices of a model, SGD for the rest.

    With P a matrix, G its gradient, V the velocity (0 at first), λ the weight decay, μ the momentum and NS the
    iteration of `orthogonalize`, which brings the singular values near 1::

        V ← μ V + G
        D = NS(G + μ V)             Nesterov; else NS(V)
        P ← (1 - lr λ) P
        P ← P √m / ‖P‖              with `normalize`; m is the number of outputs
        P ← P - lr a D

    after K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
    (https://kellerjordan.github.io/posts/muon). The factor a depends on `adjust`: 1; √max(1, m / n) for m outputs of
    n inputs each ("original"); or 0.2 √max(m, n), which makes steps as long as AdamW's ("match_rms_adamw"). A filter
    (kh, kw, c, m) is a matrix of n = kh kw c inputs.

    Everything else is updated as by `SGD`, with learning rates and momentum of its own. As `lr` changes, its learning
    rates change in proportion. There the decay λ is one of lr λ too: d = g + (lr / own learning rate) λ p. So a step
    takes the same share of all that is decayed.

    Parameters
    ----------
    model : LaidOut
        A built model.
    lr : float
        Learning rate of the matrices, above 0.
    momentum : float
        Of the matrices, in [0, 1).
    nesterov : bool
        Look ahead along the velocity; needs a momentum above 0.
    weight_decay : float
        At least 0.
    matrices : callable, optional
        ``(name, shape) -> bool``: which parameters of two or more axes are matrices for Muon. By default all but the
        model's last one, which makes the outputs.
    adjust : {"none", "original", "match_rms_adamw"}
        How the length of a matrix's step depends on its shape.
    normalize : bool
        Give each matrix the norm √m before each step, as the public CIFAR-10 speed records do for filters: a filter
        then has a norm of 1 in the quadratic mean.
    iterations : int
        Of `orthogonalize`, at least 1.
    sgd_lr : float or callable
        Learning rate of the rest while `lr` is what it was at first, above 0; or ``(name, shape) -> float``.
    sgd_momentum : float
        Of the rest, by Nesterov's rule, in [0, 1).
    decay_all : bool
        Decay norms and biases too.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of its range, or `nesterov` comes without momentum.
    """

    model: LaidOut

    def __init__(
        self,
        model: LaidOut,
        lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        *,
        matrices: Choice | None = None,
        adjust: str = "none",
        normalize: bool = False,
        iterations: int = 5,
        sgd_lr: float | Rate = 0.05,
        sgd_momentum: float = 0.9,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, weight_decay=weight_decay, decay_all=decay_all)
        self.momentum = _checks.decay_rate("momentum", momentum)
        self.nesterov = _checks.flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True needs a momentum above 0, not momentum=0.0")
        if adjust not in ADJUSTMENTS:
            raise ValueError(f"adjust must be one of {', '.join(ADJUSTMENTS)}, not {adjust!r}")
        self.adjust = adjust
        self.normalize = _checks.flag("normalize", normalize)
        self.iterations = _checks.count("iterations", iterations, 1)
        self.sgd_momentum = _checks.decay_rate("sgd_momentum", sgd_momentum)
        self._first_lr = self.lr
        self._parts = _parts(model.layout(), matrices, sgd_lr)
        self._add_slot("velocity")
        # One velocity serves both: no parameter is updated by both.
        self._sgd = SGD(model, lr, momentum=self.sgd_momentum, nesterov=self.sgd_momentum > 0.0)
        self._sgd.slots = self.slots

    def step(self) -> None:
        """Update the trainable parameters from the model's gradients, in place."""
        self.steps += 1
        xp, velocities = self.model.backend.xp, self.slots["velocity"]
        parameters, gradients = self.model.parameters.flat, self.model.gradients.flat
        updates, work = [], []
        for segment in self.model.segments(decay_all=self.decay_all or self.weight_decay == 0.0):
            weight_decay = self.weight_decay if segment.decay else 0.0
            for part in self._within(segment.start, segment.stop):
                if part.columns == 0:
                    self._sgd.lr = part.lr * (self.lr / self._first_lr)
                    self._sgd._apply([Run(part.start, part.stop, weight_decay * (self._first_lr / part.lr))])
                    continue
                parameter, gradient, velocity = (
                    xp.reshape(vector[part.start : part.stop], (-1, part.columns), copy=False)
                    for vector in (parameters, gradients, velocities)
                )
                updates.append(partial(self._update, parameter, gradient, {"velocity": velocity}, weight_decay))
                work.append(math.prod(parameter.shape) * min(parameter.shape))
        kernels.side_by_side(self.model.backend, updates, work)

    def _within(self, start: int, stop: int) -> Iterator[_Part]:
        """Return the parts in a run; neighbours that SGD updates alike are one."""
        last: _Part | None = None
        for part in self._parts:
            if part.start < start or part.stop > stop:
                continue
            if last is not None and not last.columns and not part.columns and last.lr == part.lr:
                last = last._replace(stop=part.stop)
                continue
            if last is not None:
                yield last
            last = part
        if last is not None:
            yield last

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        """Update one matrix (inputs, outputs)."""
        velocity = slots["velocity"]
        velocity *= self.momentum
        velocity += gradient
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        if weight_decay:
            parameter *= 1.0 - self.lr * weight_decay
        inputs, outputs = parameter.shape
        if self.normalize:
            parameter *= math.sqrt(outputs) / _norm(parameter)
        parameter -= (self.lr * self._adjustment(inputs, outputs)) * orthogonalize(direction, self.iterations)

    def _adjustment(self, inputs: int, outputs: int) -> float:
        if self.adjust == "original":
            return math.sqrt(max(1.0, outputs / inputs))
        return 0.2 * math.sqrt(max(inputs, outputs)) if self.adjust == "match_rms_adamw" else 1.0


def orthogonalize(matrix: Array, iterations: int = 5) -> Array:
    """Return a matrix with the singular vectors of the given one, and singular values near 1.

    For M = U S Vᵀ the result is near U Vᵀ, the orthogonal matrix next to M. Each iteration maps every singular value
    s, scaled into [0, 1] at first, by 3.4445 s - 4.7750 s³ + 2.0315 s⁵::

        X ← M / ‖M‖
        X ← a X + (b X Xᵀ + c (X Xᵀ)²) X

    the quintic Newton-Schulz iteration of K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
    2024. Its coefficients are chosen for a steep start: five iterations bring what was above 0.01 to between 0.68 and
    1.14, and do not converge further.

    Each iteration is a product with a polynomial of G = X Xᵀ, which the small matrix G alone is enough to follow::

        P = a I + b G + c G²,    G ← P G P,    Q ← P Q

    so that X, which may be long, is in two products in all: the first G, and Q X.

    Parameters
    ----------
    matrix : (n, m) array
    iterations : int

    Returns
    -------
    (n, m) array
        Zero for a matrix of zeros.
    """
    # The smaller one of X Xᵀ and Xᵀ X.
    is_wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if is_wide else matrix.T
    x = x / _norm(x)
    gram = x @ x.T
    factor = step = _polynomial(gram)
    for _ in range(iterations - 1):
        gram = step @ gram @ step
        step = _polynomial(gram)
        factor = step @ factor
    return factor @ x if is_wide else (factor @ x).T


def _polynomial(gram: Array) -> Array:
    a, b, c = COEFFICIENTS
    identity = array_namespace(gram).eye(gram.shape[0], dtype=gram.dtype, device=device(gram))
    return a * identity + b * gram + c * (gram @ gram)


def _norm(matrix: Array) -> Array:
    """Return the norm to divide by: 1 for a matrix of zeros, which so stays."""
    xp = array_namespace(matrix)
    norm = xp.sqrt(xp.sum(matrix * matrix))
    return norm + xp.astype(norm == 0.0, norm.dtype)


def _parts(layout: Sequence[Mapping[str, Any]], matrices: Choice | None, sgd_lr: float | Rate) -> list[_Part]:
    """Return the parameters that have elements, in the order of the flat vector."""
    weights = [entry["name"] for entry in layout if len(entry["shape"]) >= 2]
    parts = []
    for entry in layout:
        name, shape = entry["name"], tuple(entry["shape"])
        size = math.prod(shape)
        if size == 0:
            continue
        chosen = name in weights and (name != weights[-1] if matrices is None else matrices(name, shape))
        lr = _checks.positive("sgd_lr", sgd_lr(name, shape) if callable(sgd_lr) else sgd_lr)
        parts.append(_Part(entry["start"], entry["start"] + size, shape[-1] if chosen else 0, lr))
    return sorted(parts)
