"""RMSprop."""

from collections.abc import Mapping

from xnn import _checks
from xnn._typing import Array
from xnn.optim.optimizer import Model, Optimizer


class RMSprop(Optimizer):
    """RMSprop: gradients divided by the root of a running average of their squares.

    With p the parameter, g its gradient, λ the weight decay, s the average (0 at first), v the velocity and μ
    the momentum::

        d = g + λ p
        s ← α s + (1 - α) d²
        v ← μ v + d / (√s + eps)
        p ← p - lr v

    after T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", Coursera: Neural Networks for Machine Learning,
    2012, with eps outside the root and the momentum on the scaled gradient, as in PyTorch.

    Parameters
    ----------
    model : Model
        A built model.
    lr : float
        Learning rate, above 0.
    alpha : float
        Share of its old value that the average keeps, in [0, 1).
    eps : float
        Above 0.
    momentum : float
        In [0, 1).
    weight_decay : float
        At least 0.
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
    >>> optimizer = optim.RMSprop(model, lr=0.01)
    >>> model.gradients.flat[...] = [1.0, -200.0]  # a pullback's work
    >>> optimizer.step()
    >>> model.parameters.flat.round(3)
    array([0.9, 1.1], dtype=float32)
    """

    def __init__(
        self,
        model: Model,
        lr: float,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, weight_decay=weight_decay, decay_all=decay_all)
        self.alpha = _checks.fraction("alpha", alpha)
        self.eps = _checks.positive("eps", eps)
        self.momentum = _checks.fraction("momentum", momentum)
        self._add_slot("square_average")
        if self.momentum:
            self._add_slot("velocity")

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        if weight_decay:
            gradient = gradient + weight_decay * parameter
        average = slots["square_average"]
        square = gradient * gradient
        square *= 1.0 - self.alpha
        average *= self.alpha
        average += square
        denominator = self.model.backend.xp.sqrt(average)
        denominator += self.eps
        step = gradient / denominator
        if self.momentum:
            velocity = slots["velocity"]
            velocity *= self.momentum
            velocity += step
            step = velocity
        parameter -= self.lr * step
