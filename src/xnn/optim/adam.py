"""Adam, and AdamW, which decouples the weight decay from it."""

import math
from collections.abc import Mapping, Sequence

from xnn import _checks
from xnn._typing import Array
from xnn.optim.optimizer import Model, Optimizer


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    With p the parameter, g its gradient, λ the weight decay, m and v the moments (0 at first) and t the step,
    from 1::

        d = g + λ p
        m ← β₁ m + (1 - β₁) d
        v ← β₂ v + (1 - β₂) d²
        p ← p - lr m̂ / (√v̂ + eps),    m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

    after D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1. As their section 2
    suggests, both corrections are applied to numbers rather than vectors: for s = √(1 - β₂ᵗ),
    ``p ← p - (lr s / (1 - β₁ᵗ)) m / (√v + eps s)``.

    All parameters share one t: a parameter that is unfrozen late starts with moments of 0 that are no longer corrected,
    so that its first steps are up to (1 - β₁) / √(1 - β₂) times as long. To avoid that, make a new optimizer after
    unfreezing.

    Parameters
    ----------
    model : Model
        A built model.
    lr : float
        Learning rate, above 0; 0.001 is the paper's.
    betas : pair of float
        β₁ and β₂, each in [0, 1).
    eps : float
        Above 0.
    weight_decay : float
        At least 0; coupled, that is, it passes through the moments.
    decay_all : bool
        Decay norms and biases too.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of its range.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones)
    >>> model = layer.build((2,), backend="numpy")
    >>> optimizer = optim.Adam(model, lr=0.1)
    >>> model.gradients.flat[...] = [1.0, -200.0]  # a pullback's work
    >>> optimizer.step()
    >>> model.parameters.flat.round(3)  # the first step has the length lr, whatever the gradient's
    array([0.9, 1.1], dtype=float32)
    """

    def __init__(
        self,
        model: Model,
        lr: float = 0.001,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, weight_decay=weight_decay, decay_all=decay_all)
        if not isinstance(betas, Sequence) or isinstance(betas, str) or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, not {betas!r}")
        self.betas = (_checks.fraction("betas[0]", betas[0]), _checks.fraction("betas[1]", betas[1]))
        self.eps = _checks.positive("eps", eps)
        self._add_slot("first_moment")
        self._add_slot("second_moment")

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        if weight_decay:
            gradient = gradient + weight_decay * parameter
        parameter -= self._adam_step(gradient, slots)

    def _adam_step(self, gradient: Array, slots: Mapping[str, Array]) -> Array:
        """Update the moments and return what to subtract from the parameter."""
        beta1, beta2 = self.betas
        first, second = slots["first_moment"], slots["second_moment"]
        first *= beta1
        first += (1.0 - beta1) * gradient
        square = gradient * gradient
        square *= 1.0 - beta2
        second *= beta2
        second += square

        scale = math.sqrt(1.0 - beta2**self.steps)
        denominator = self.model.backend.xp.sqrt(second)
        denominator += self.eps * scale
        step = first / denominator
        step *= self.lr * scale / (1.0 - beta1**self.steps)
        return step


class AdamW(Adam):
    """Adam with decoupled weight decay: p ← (1 - lr λ) p, then Adam's step with the bare gradient.

    After I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2; the decay is
    multiplied by the learning rate, as in PyTorch. Parameters, attributes and errors are those of `Adam`, but the
    default `weight_decay` is 0.01.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones)
    >>> model = layer.build((2,), backend="numpy")
    >>> optimizer = optim.AdamW(model, lr=0.1, weight_decay=0.5)
    >>> optimizer.step()  # all gradients are 0, so the weights only decay
    >>> model.parameters.flat.round(3)
    array([0.95, 0.95], dtype=float32)
    """

    def __init__(
        self,
        model: Model,
        lr: float = 0.001,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay, decay_all=decay_all)

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        if weight_decay:
            parameter *= 1.0 - self.lr * weight_decay
        parameter -= self._adam_step(gradient, slots)
