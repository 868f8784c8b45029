"""Activation layers, one for each function in `xnn.functional.activations` and `xnn.functional.softmax`."""

from xnn import _checks
from xnn.nn.layer import Layer


class ReLU(Layer):
    """Rectifier max(x, 0)."""

    function = "relu"
    arithmetic = "given"


class LeakyReLU(Layer):
    """Leaky rectifier: x where x > 0, slope x elsewhere."""

    function = "leaky_relu"
    arguments = ("slope",)
    arithmetic = "given"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = _checks.finite("LeakyReLU: slope", slope)


class ELU(Layer):
    """Exponential linear unit: x where x > 0, α (eˣ - 1) elsewhere."""

    function = "elu"
    arguments = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _checks.finite("ELU: alpha", alpha)


class GELU(Layer):
    """Gaussian error linear unit, exact or by tanh (``approximate="tanh"``)."""

    function = "gelu"
    arguments = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate


class SiLU(Layer):
    """Sigmoid linear unit x σ(x)."""

    function = "silu"


class Sigmoid(Layer):
    """Logistic function."""

    function = "sigmoid"


class Tanh(Layer):
    """Hyperbolic tangent."""

    function = "tanh"


class Softplus(Layer):
    """Smooth rectifier log(1 + eˣ)."""

    function = "softplus"


class Softmax(Layer):
    """Softmax along an axis."""

    function = "softmax"
    arguments = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = _checks.integer("Softmax: axis", axis)


class LogSoftmax(Layer):
    """Logarithm of softmax along an axis."""

    function = "log_softmax"
    arguments = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = _checks.integer("LogSoftmax: axis", axis)
