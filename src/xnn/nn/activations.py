"""Activation layers, one for each function in `xnn.functional.activations` and `xnn.functional.softmax`."""

from xnn import _checks
from xnn.nn.layer import Layer


class ReLU(Layer):
    """Rectifier max(x, 0).

    Examples
    --------
    >>> from xnn import nn
    >>> nn.ReLU().build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]])
    array([[0., 0., 2.]], dtype=float32)
    """

    function = "relu"
    arithmetic = "given"


class LeakyReLU(Layer):
    """Leaky rectifier: x where x > 0, slope x elsewhere.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.LeakyReLU(slope=0.1).build((3,), backend="numpy").predict([[-2.0, 0.0, 2.0]])
    array([[-0.2,  0. ,  2. ]], dtype=float32)
    """

    function = "leaky_relu"
    arguments = ("slope",)
    arithmetic = "given"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = _checks.finite("LeakyReLU: slope", slope)


class ELU(Layer):
    """Exponential linear unit: x where x > 0, α (eˣ - 1) elsewhere.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.ELU().build((3,), backend="numpy").predict([[-2.0, 0.0, 2.0]]).round(3)
    array([[-0.865,  0.   ,  2.   ]], dtype=float32)
    """

    function = "elu"
    arguments = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _checks.finite("ELU: alpha", alpha)


class GELU(Layer):
    """Gaussian error linear unit, exact or by tanh (``approximate="tanh"``).

    Examples
    --------
    >>> from xnn import nn
    >>> nn.GELU().build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]]).round(4)
    array([[-0.1587,  0.    ,  1.9545]], dtype=float32)
    >>> nn.GELU(approximate="tanh").build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]]).round(4)
    array([[-0.1588,  0.    ,  1.9546]], dtype=float32)
    """

    function = "gelu"
    arguments = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate


class SiLU(Layer):
    """Sigmoid linear unit x σ(x).

    Examples
    --------
    >>> from xnn import nn
    >>> nn.SiLU().build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]]).round(3)
    array([[-0.269,  0.   ,  1.762]], dtype=float32)
    """

    function = "silu"


class Sigmoid(Layer):
    """Logistic function.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Sigmoid().build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]]).round(3)
    array([[0.269, 0.5  , 0.881]], dtype=float32)
    """

    function = "sigmoid"


class Tanh(Layer):
    """Hyperbolic tangent.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Tanh().build((3,), backend="numpy").predict([[-1.0, 0.0, 2.0]]).round(3)
    array([[-0.762,  0.   ,  0.964]], dtype=float32)
    """

    function = "tanh"


class Softplus(Layer):
    """Smooth rectifier log(1 + eˣ).

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Softplus().build((3,), backend="numpy").predict([[-100.0, 0.0, 100.0]]).round(3)
    array([[  0.   ,   0.693, 100.   ]], dtype=float32)
    """

    function = "softplus"


class Softmax(Layer):
    """Softmax along an axis.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Softmax().build((3,), backend="numpy").predict([[1.0, 2.0, 3.0]]).round(3)
    array([[0.09 , 0.245, 0.665]], dtype=float32)
    """

    function = "softmax"
    arguments = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = _checks.integer("Softmax: axis", axis)


class LogSoftmax(Layer):
    """Logarithm of softmax along an axis.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.LogSoftmax().build((3,), backend="numpy").predict([[0.0, 0.0, 1000.0]])
    array([[-1000., -1000.,     0.]], dtype=float32)
    """

    function = "log_softmax"
    arguments = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = _checks.integer("LogSoftmax: axis", axis)
