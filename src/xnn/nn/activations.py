"""Activation layers, one for each function in `xnn.functional.activations` and `xnn.functional.softmax`."""

from xnn._typing import Array, Pullback
from xnn.nn.layer import Layer


class ReLU(Layer):
    """Rectifier max(x, 0)."""

    arithmetic = "given"

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.relu(x))


class LeakyReLU(Layer):
    """Leaky rectifier: x where x > 0, slope x elsewhere."""

    arithmetic = "given"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.leaky_relu(x, self.slope))


class ELU(Layer):
    """Exponential linear unit: x where x > 0, α (eˣ - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.elu(x, self.alpha))


class GELU(Layer):
    """Gaussian error linear unit, exact or by tanh (``approximate="tanh"``)."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.gelu(x, self.approximate))


class SiLU(Layer):
    """Sigmoid linear unit x σ(x)."""

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.silu(x))


class Sigmoid(Layer):
    """Logistic function."""

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.sigmoid(x))


class Tanh(Layer):
    """Hyperbolic tangent."""

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.tanh(x))


class Softplus(Layer):
    """Smooth rectifier log(1 + eˣ)."""

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.softplus(x))


class Softmax(Layer):
    """Softmax along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.softmax(x, self.axis))


class LogSoftmax(Layer):
    """Logarithm of softmax along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        return self.connect(self.functions.log_softmax(x, self.axis))
