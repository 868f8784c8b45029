"""Initial values of parameters.

An initializer is called with a shape and a `Random` on the NumPy backend, and returns float64 values there; `build`
casts them and moves them to the device. So a seed gives the same model on every backend, in every precision.

For fans, a weight (n, m) has fan-in n and fan-out m; a filter (kh, kw, c, o) has fan-in kh kw c and fan-out kh kw o.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from xnn._typing import Array, Shape
from xnn.random import Random

Initializer: TypeAlias = Callable[[Shape, Random], Array]

RELU_GAIN = math.sqrt(2.0)


def zeros(shape: Shape, random: Random) -> Array:
    """All zeros.

    Examples
    --------
    >>> import xnn
    >>> from xnn.nn import initializers
    >>> from xnn.random import Random
    >>> initializers.zeros((3,), Random(xnn.backend("numpy"), seed=0))
    array([0., 0., 0.])
    """
    return random.backend.xp.zeros(shape, dtype=random.backend.xp.float64, device=random.backend.device)


def ones(shape: Shape, random: Random) -> Array:
    """All ones."""
    return random.backend.xp.ones(shape, dtype=random.backend.xp.float64, device=random.backend.device)


def kaiming_normal(shape: Shape, random: Random, gain: float = RELU_GAIN) -> Array:
    """Normal of variance gain² / fan-in, which keeps the variance of activations through ReLUs.

    K. He et al., "Delving deep into rectifiers", 2015.
    """
    fan_in, _ = fans(shape)
    return random.normal(shape, "float64") * (gain / math.sqrt(fan_in))


def kaiming_uniform(shape: Shape, random: Random, gain: float = RELU_GAIN) -> Array:
    """Uniform of variance gain² / fan-in; see `kaiming_normal`."""
    fan_in, _ = fans(shape)
    return _symmetric(shape, random, gain / math.sqrt(fan_in))


def xavier_normal(shape: Shape, random: Random, gain: float = 1.0) -> Array:
    """Normal of variance gain² 2 / (fan-in + fan-out), a compromise between activations and gradients.

    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    return random.normal(shape, "float64") * (gain * math.sqrt(2.0 / sum(fans(shape))))


def xavier_uniform(shape: Shape, random: Random, gain: float = 1.0) -> Array:
    """Uniform of variance gain² 2 / (fan-in + fan-out); see `xavier_normal`."""
    return _symmetric(shape, random, gain * math.sqrt(2.0 / sum(fans(shape))))


def uniform(shape: Shape, random: Random, reach: float = 1.0) -> Array:
    """Uniform in [-reach, reach)."""
    return reach * (2.0 * random.uniform(shape, "float64") - 1.0)


def orthogonal(shape: Shape, random: Random, gain: float = 1.0) -> Array:
    """Random orthogonal matrix times gain: with all axes but the last flattened, rows or columns are orthonormal.

    The Q of a normal matrix's QR, with the signs of R's diagonal, is uniform over the orthogonal group.
    A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning", 2013.
    """
    xp = random.backend.xp
    rows, columns = _matrix_shape("orthogonal", shape)
    tall = (max(rows, columns), min(rows, columns))
    q, r = xp.linalg.qr(random.normal(tall, "float64"))
    q = q * xp.sign(xp.linalg.diagonal(r))
    return gain * xp.reshape(q if rows >= columns else q.T, shape)


def dirac(shape: Shape, random: Random) -> Array:
    """Filters that pass channels on: output o copies input o at the centre tap; outputs beyond are zero.

    With as many outputs as inputs, a stride-1 convolution with this filter and "same" padding is the identity.
    """
    if len(shape) != 4:
        raise ValueError(f"dirac: needs a filter (kh, kw, c, o), not the shape {shape}")
    kh, kw, inputs, outputs = shape
    xp = random.backend.xp
    weight = xp.zeros(shape, dtype=xp.float64, device=random.backend.device)
    for output in range(min(outputs, inputs)):
        weight[(kh - 1) // 2, (kw - 1) // 2, output, output] = 1.0
    return weight


def partial_dirac(shape: Shape, random: Random, gain: float = 1.0 / math.sqrt(3.0)) -> Array:
    """Filters that pass channels on as `dirac` does; outputs beyond the inputs are random, `kaiming_uniform` with gain.

    A layer with such filters passes on its input and adds random features to it. The public CIFAR-10 speed records
    start this way (K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
    """
    passed = dirac(shape, random)
    xp, (*_, inputs, outputs) = random.backend.xp, shape
    features = kaiming_uniform(shape, random, gain)
    return xp.concat([passed[..., : min(inputs, outputs)], features[..., min(inputs, outputs) :]], axis=-1)


NAMES = (
    *("zeros", "ones", "uniform", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"),
    *("orthogonal", "dirac", "partial_dirac"),
)
"""The initializers above, by which a saved model names them."""


def check_initializer(name: str, value: object) -> None:
    """Raise a TypeError that names what is no initializer."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, such as nn.initializers.zeros, not {value!r}")


def fans(shape: Shape) -> tuple[int, int]:
    """Return the numbers of inputs that an output sums over, and of outputs that an input reaches."""
    rows, columns = _matrix_shape("fan", shape)
    return rows, columns * math.prod(shape[:-2])


def _matrix_shape(name: str, shape: Shape) -> tuple[int, int]:
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"{name}: needs a weight of two or more axes, none of length 0, not the shape {shape}")
    return math.prod(shape[:-1]), shape[-1]


def _symmetric(shape: Shape, random: Random, deviation: float) -> Array:
    """Uniform in [-b, b) with that standard deviation: b = √3 deviation."""
    return (2.0 * random.uniform(shape, "float64") - 1.0) * (math.sqrt(3.0) * deviation)
