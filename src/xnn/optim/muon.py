"""Momentum with updates of matrices that are made orthogonal."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from array_api_compat import array_namespace, device

from xnn import _checks, kernels
from xnn._typing import Array, ArrayObject
from xnn.errors import some
from xnn.optim.groups import Rule
from xnn.optim.optimizer import Model, Optimizer, Run

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ADJUSTMENTS = ("none", "original", "match_rms_adamw")


class Matrix(NamedTuple):
    """Where a parameter begins in the flat vector, and how many inputs and outputs it has."""

    start: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self.rows * self.columns

    @property
    def stop(self) -> int:
        """Position after the last."""
        return self.start + self.size

    @property
    def work(self) -> int:
        """How much there is to multiply in an update, beside that of other matrices."""
        return self.size * min(self.rows, self.columns)


class Owners(Protocol):
    """Several processes that train one model; each matrix is updated by one of them, its owner."""

    def own(self, matrices: Sequence[Matrix]) -> Sequence[Matrix]:
        """Return those that this process owns, in the order in which it should update them."""

    def updated(self, matrix: Matrix) -> None:
        """Take note that this process has updated one of them; it may be called by several threads at once."""

    def gather(self, matrices: Sequence[Matrix]) -> None:
        """Give all processes all of these matrices' parameters, as their owners have them."""


def hidden_matrices(model: Model) -> Rule:
    """Return the rule that picks a model's hidden matrices for `split`.

    They are all parameters with two or more axes, except the last of them, which makes the outputs.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Linear(8), nn.Linear(2)).build((4,), backend="numpy")
    >>> hidden, rest = optim.split(model, optim.hidden_matrices(model))
    >>> [entry["name"] for entry in hidden.layout()], [entry["name"] for entry in rest.layout()]
    (['0.weight'], ['0.bias', '1.weight', '1.bias'])
    """
    names = [entry["name"] for entry in model.layout() if len(entry["shape"]) >= 2][:-1]
    return lambda name, shape: name in names


class Muon(Optimizer):
    """Momentum with orthogonalised updates, for the hidden matrices of a model.

    With P a matrix, G its gradient, V the velocity (0 at first), λ the weight decay, μ the momentum and NS the
    iteration of `orthogonalize`, which moves the singular values close to 1::

        V ← μ V + G
        D = NS(G + μ V)             Nesterov; else NS(V)
        P ← (1 - lr λ) P
        P ← P √m / ‖P‖              with `normalize`; m is the number of outputs
        P ← P - lr a D

    after K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
    (https://kellerjordan.github.io/posts/muon). The factor a depends on `adjust`: 1 ("none"); √max(1, m / n) for m
    outputs with n inputs each ("original"); or 0.2 √max(m, n), which makes steps as long as AdamW's
    ("match_rms_adamw"). A filter (kh, kw, c, m) counts as a matrix with n = kh kw c inputs.

    Another optimizer takes the other parameters, such as the biases::

        hidden, rest = optim.split(model, optim.hidden_matrices(model))
        muon = optim.Muon(hidden, lr=0.02)
        optimizer = optim.Groups(muon, optim.SGD(rest, lr=0.05, momentum=0.9, nesterov=True))

    Weight decay removes the share lr λ of a matrix in each step. For SGD to remove the same share of the rest, its
    weight decay has to be λ times Muon's learning rate divided by its own.

    Parameters
    ----------
    model : Model
        A built model, or a part of one, whose parameters all have two axes or more.
    lr : float
        Learning rate, above 0.
    momentum : float
        In [0, 1).
    nesterov : bool
        Look ahead along the velocity; needs a momentum above 0.
    weight_decay : float
        At least 0.
    adjust : {"none", "original", "match_rms_adamw"}
        How the length of a matrix's step depends on its shape.
    normalize : bool
        Give each matrix the norm √m before each step, as the public CIFAR-10 speed records do for filters: then the
        quadratic mean of the filters' norms is 1.
    iterations : int
        Of `orthogonalize`, at least 1.
    decay_all : bool
        Also decay parameters that their layer marks as not decayed.

    Attributes
    ----------
    matrices : list of Matrix
        The model's, in the order of the flat vector.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of its range, `nesterov` comes without momentum, or a parameter is not a matrix.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Sequential(nn.Conv2d(8, 3), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(10))
    >>> model = model.build((8, 8, 1), backend="numpy")
    >>> hidden, rest = optim.split(model, optim.hidden_matrices(model))
    >>> muon = optim.Muon(hidden, lr=0.02)
    >>> [(matrix.rows, matrix.columns) for matrix in muon.matrices]
    [(9, 8)]
    >>> optimizer = optim.Groups(muon, optim.SGD(rest, lr=0.05, momentum=0.9))
    """

    def __init__(
        self,
        model: Model,
        lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        *,
        adjust: str = "none",
        normalize: bool = False,
        iterations: int = 5,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, weight_decay=weight_decay, decay_all=decay_all)
        self.momentum = _checks.fraction("momentum", momentum)
        self.nesterov = _checks.flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True needs a momentum above 0, not momentum=0.0")
        if adjust not in ADJUSTMENTS:
            raise ValueError(f"adjust must be one of {', '.join(ADJUSTMENTS)}, not {adjust!r}")
        self.adjust = adjust
        self.normalize = _checks.flag("normalize", normalize)
        self.iterations = _checks.count("iterations", iterations, 1)
        self.matrices = self._matrices = _matrices(model.layout())
        self._owners: Owners | None = None
        self._add_slot("velocity")

    def matrices_in(self, runs: Sequence[Run]) -> list[tuple[Matrix, float]]:
        """Return the matrices that lie in runs, each with its run's weight decay."""
        return [
            (matrix, run.weight_decay)
            for run in runs
            for matrix in self._matrices
            if run.start <= matrix.start and matrix.stop <= run.stop
        ]

    def share(self, owners: Owners | None) -> None:
        """Update only matrices that this process owns from now on, and get the others from their owners; None: all.

        Of the other matrices, neither gradients nor velocities are read or written.
        """
        self._owners = owners
        self._matrices = self.matrices if owners is None else list(owners.own(self.matrices))

    def step(self) -> None:
        """Update the trainable parameters from the model's gradients, in place."""
        super().step()
        if self._owners is not None:
            self._owners.gather(self.matrices)

    def _update_runs(self, runs: Sequence[Run]) -> None:
        vectors = self.model.parameters.flat, self.model.gradients.flat, self.slots["velocity"]
        updates, work = [], []
        for matrix, weight_decay in self.matrices_in(runs):
            shape = matrix.rows, matrix.columns
            parameter, gradient, velocity = (
                self.model.backend.xp.reshape(vector[matrix.start : matrix.stop], shape, copy=False)
                for vector in vectors
            )
            updates.append(partial(self._update_one, matrix, parameter, gradient, {"velocity": velocity}, weight_decay))
            work.append(matrix.work)
        kernels.side_by_side(self.model.backend, updates, work)

    def _update_one(self, matrix: Matrix, *arguments: Any) -> None:
        self._update(*arguments)
        if self._owners is not None:
            self._owners.updated(matrix)

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
        parameter -= (self.lr * self.adjustment(inputs, outputs)) * orthogonalize(direction, self.iterations)

    def adjustment(self, inputs: int, outputs: int) -> float:
        """Return the factor a for a matrix."""
        if self.adjust == "original":
            return math.sqrt(max(1.0, outputs / inputs))
        return 0.2 * math.sqrt(max(inputs, outputs)) if self.adjust == "match_rms_adamw" else 1.0


def orthogonalize(matrix: ArrayObject, iterations: int = 5) -> Array:
    """Return a matrix with the singular vectors of the given one, and singular values near 1.

    For M = U S Vᵀ the result is near U Vᵀ, the orthogonal matrix closest to M. Each iteration maps every singular value
    s, at first scaled into [0, 1], to 3.4445 s - 4.7750 s³ + 2.0315 s⁵::

        X ← M / ‖M‖
        X ← a X + (b X Xᵀ + c (X Xᵀ)²) X

    the quintic Newton-Schulz iteration of K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
    2024. Its coefficients are chosen for a steep start: five iterations map values above 0.01 to between 0.68 and
    1.14, and further ones do not converge.

    Each iteration is a product with a polynomial of G = X Xᵀ, so it can be carried out on the small matrix G alone::

        P = a I + b G + c G²,    G ← P G P,    Q ← P Q

    Only two products then involve X, which may be long: the first G, and Q X.

    Parameters
    ----------
    matrix : (n, m) array
    iterations : int

    Returns
    -------
    (n, m) array
        Zero for a matrix of zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import optim
    >>> near = optim.orthogonalize(np.asarray([[3.0, 0.0], [0.0, 0.5]]))
    >>> bool(((near.diagonal() > 0.68) & (near.diagonal() < 1.14)).all())
    True
    """
    # Use the smaller of X Xᵀ and Xᵀ X.
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
    """Return the norm to divide by: 1 for a matrix of zeros, so that it stays zero."""
    xp = array_namespace(matrix)
    norm = xp.sqrt(xp.sum(matrix * matrix))
    return norm + xp.astype(norm == 0.0, norm.dtype)


def _matrices(layout: Sequence[Mapping[str, Any]]) -> list[Matrix]:
    """Return the parameters in the order of the flat vector."""
    others = [f"{entry['name']!r}" for entry in layout if len(entry["shape"]) < 2]
    if others:
        raise ValueError(
            f"Muon updates matrices, and these parameters are not matrices: {some(others)}; "
            "leave them to another optimizer, see xnn.optim.Groups"
        )
    return sorted(Matrix(e["start"], math.prod(e["shape"][:-1]), e["shape"][-1]) for e in layout)
