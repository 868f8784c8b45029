"""Stochastic gradient descent."""

from collections.abc import Mapping

from xnn import _checks
from xnn._typing import Array
from xnn.optim.optimizer import Model, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's or the classical one.

    With p the parameter, g its gradient, v the velocity (0 at first), λ the weight decay and μ the momentum::

        d = g + λ p
        v ← μ v + d
        p ← p - lr v              classical (for μ = 0: p ← p - lr d)
        p ← p - lr (d + μ v)      Nesterov

    after I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
    with the learning rate outside the velocity, as in PyTorch.

    Parameters
    ----------
    model : Model
        A built model.
    lr : float
        Learning rate, above 0.
    momentum : float
        In [0, 1).
    nesterov : bool
        Look ahead along the velocity; needs a momentum above 0.
    weight_decay : float
        At least 0.
    decay_all : bool
        Decay norms and biases too.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of its range, or `nesterov` comes without momentum.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones)
    >>> model = layer.build((2,), backend="numpy")
    >>> optimizer = optim.SGD(model, lr=0.1, momentum=0.9, nesterov=True)
    >>> model.gradients.flat[...] = [1.0, -2.0]  # a pullback's work
    >>> optimizer.step()
    >>> model.parameters.flat.round(3)
    array([0.81, 1.38], dtype=float32)
    """

    def __init__(
        self,
        model: Model,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        decay_all: bool = False,
    ) -> None:
        super().__init__(model, lr, weight_decay=weight_decay, decay_all=decay_all)
        self.momentum = _checks.fraction("momentum", momentum)
        self.nesterov = _checks.flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True needs a momentum above 0, not momentum=0.0")
        if self.momentum:
            self._add_slot("velocity")

    def _update(self, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
        if weight_decay:
            gradient = gradient + weight_decay * parameter
        if not self.momentum:
            parameter -= self.lr * gradient
            return
        velocity = slots["velocity"]
        velocity *= self.momentum
        velocity += gradient
        if self.nesterov:
            look_ahead = self.momentum * velocity
            look_ahead += gradient
            look_ahead *= self.lr
            parameter -= look_ahead
        else:
            parameter -= self.lr * velocity
