"""Elementwise activations. Each maps x of any shape to y of the same shape; its pullback is dy -> dx = f'(x) dy."""

import math

from xnn._typing import Array, ArrayObject, Pullback
from xnn.functional._common import check_floating, namespace
from xnn.functional._normal import normal_cdf


def relu(x: ArrayObject) -> tuple[Array, Pullback]:
    """Rectifier y = max(x, 0); dx = [x > 0] dy, so the gradient at 0 is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.relu(np.asarray([-1.0, 0.0, 2.0]))
    >>> y, pullback(np.ones(3))
    (array([0., 0., 2.]), array([0., 0., 1.]))
    """
    check_floating("relu", x=x)
    xp = namespace(x)
    zero = xp.zeros_like(x)
    y = xp.maximum(x, zero)

    def pullback(dy: Array) -> Array:
        return xp.where(y > 0, dy, zero)

    return y, pullback


def leaky_relu(x: ArrayObject, slope: float = 0.01) -> tuple[Array, Pullback]:
    """Leaky rectifier y = x where x > 0, slope x elsewhere; dx = dy or slope dy.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.leaky_relu(np.asarray([-1.0, 2.0]), slope=0.1)
    >>> y, pullback(np.ones(2))
    (array([-0.1,  2. ]), array([0.1, 1. ]))
    """
    check_floating("leaky_relu", x=x)
    xp = namespace(x)
    positive = x > 0
    y = xp.where(positive, x, slope * x)

    def pullback(dy: Array) -> Array:
        return xp.where(positive, dy, slope * dy)

    return y, pullback


def elu(x: ArrayObject, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """Exponential linear unit y = x where x > 0, α (eˣ - 1) elsewhere; dx = dy or α eˣ dy.

    D. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by ELUs", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.elu(np.asarray([-1.0, 2.0]))
    >>> y.round(3), pullback(np.ones(2)).round(3)
    (array([-0.632,  2.   ]), array([0.368, 1.   ]))
    """
    check_floating("elu", x=x)
    xp = namespace(x)
    positive = x > 0
    # Only the non-positive side is exponentiated, so that a large x does not overflow.
    negative = xp.minimum(x, xp.zeros_like(x))
    y = xp.where(positive, x, alpha * xp.expm1(negative))

    def pullback(dy: Array) -> Array:
        return xp.where(positive, dy, alpha * xp.exp(negative) * dy)

    return y, pullback


def sigmoid(x: ArrayObject) -> tuple[Array, Pullback]:
    """Logistic function y = 1 / (1 + e⁻ˣ); dx = y (1 - y) dy.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.sigmoid(np.asarray([-1000.0, 0.0, 2.0]))
    >>> y.round(3), pullback(np.ones(3)).round(3)
    (array([0.   , 0.5  , 0.881]), array([0.   , 0.25 , 0.105]))
    """
    check_floating("sigmoid", x=x)
    y = _logistic(x)

    def pullback(dy: Array) -> Array:
        return y * (1.0 - y) * dy

    return y, pullback


def tanh(x: ArrayObject) -> tuple[Array, Pullback]:
    """Hyperbolic tangent y = tanh x; dx = (1 - y²) dy.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.tanh(np.asarray([0.0, 1.0]))
    >>> y.round(3), pullback(np.ones(2)).round(3)
    (array([0.   , 0.762]), array([1.  , 0.42]))
    """
    check_floating("tanh", x=x)
    y = namespace(x).tanh(x)

    def pullback(dy: Array) -> Array:
        return (1.0 - y * y) * dy

    return y, pullback


def softplus(x: ArrayObject) -> tuple[Array, Pullback]:
    """Smooth rectifier y = log(1 + eˣ) = max(x, 0) + ``log(1 + e^-|x|)``, which cannot overflow; dx = σ(x) dy.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.softplus(np.asarray([-1000.0, 0.0, 1000.0]))
    >>> y.round(3).tolist(), pullback(np.ones(3)).tolist()
    ([0.0, 0.693, 1000.0], [0.0, 0.5, 1.0])
    """
    check_floating("softplus", x=x)
    xp = namespace(x)
    y = xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))

    def pullback(dy: Array) -> Array:
        return _logistic(x) * dy

    return y, pullback


def silu(x: ArrayObject) -> tuple[Array, Pullback]:
    """Sigmoid linear unit (swish) y = x σ(x); dx = σ(x) (1 + x (1 - σ(x))) dy.

    S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.silu(np.asarray([-1.0, 0.0, 2.0]))
    >>> y.round(3), pullback(np.ones(3)).round(3)
    (array([-0.269,  0.   ,  1.762]), array([0.072, 0.5  , 1.091]))
    """
    check_floating("silu", x=x)
    gate = _logistic(x)
    y = x * gate

    def pullback(dy: Array) -> Array:
        return (gate + y * (1.0 - gate)) * dy

    return y, pullback


def gelu(x: ArrayObject, approximate: str = "none") -> tuple[Array, Pullback]:
    """Gaussian error linear unit.

    Exact: y = x Φ(x) with the normal distribution's Φ; since Φ' = φ, dx = (Φ(x) + x φ(x)) dy, φ(x) = e^(-x²/2) /
    √(2π).

    ``"tanh"``: y = x (1 + t) / 2, t = tanh u, u = √(2/π) (x + 0.044715 x³); then
    dx = ((1 + t) / 2 + x (1 - t²) u' / 2) dy with u' = √(2/π) (1 + 3 · 0.044715 x²).

    Parameters
    ----------
    approximate : "none" or "tanh"

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.gelu(np.asarray([-1.0, 0.0, 2.0]))
    >>> y.round(3), pullback(np.ones(3)).round(3)
    (array([-0.159,  0.   ,  1.954]), array([-0.083,  0.5  ,  1.085]))
    """
    check_floating("gelu", x=x)
    if approximate == "none":
        return _gelu_exact(x)
    if approximate == "tanh":
        return _gelu_tanh(x)
    raise ValueError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")


def _gelu_exact(x: Array) -> tuple[Array, Pullback]:
    xp = namespace(x)
    cdf = normal_cdf(x)

    def pullback(dy: Array) -> Array:
        density = xp.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        return (cdf + x * density) * dy

    return x * cdf, pullback


def _gelu_tanh(x: Array) -> tuple[Array, Pullback]:
    xp = namespace(x)
    scale, cubic = math.sqrt(2.0 / math.pi), 0.044715
    t = xp.tanh(scale * (x + cubic * x * x * x))

    def pullback(dy: Array) -> Array:
        slope = scale * (1.0 + 3.0 * cubic * x * x)
        return 0.5 * (1.0 + t + x * (1.0 - t * t) * slope) * dy

    return 0.5 * x * (1.0 + t), pullback


def _logistic(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) by e^-|x|, which cannot overflow."""
    xp = namespace(x)
    decay = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0 / (1.0 + decay), decay / (1.0 + decay))
