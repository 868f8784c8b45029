"""The normal distribution's cumulative function, which the Array API standard lacks (it has no erf).

For a >= 0 the upper tail is Q(a) = exp(-a²/2) h(a), with h smooth and close to 1 / (a √(2π)) for large a. In the
variable t = (a - 5) / (a + 5), which maps [0, ∞) to [-1, 1), the product (1 + a) h(a) is a short Chebyshev series: the
approach of M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 <= x < ∞", Math.
Comp. 36, 1981. The coefficients below are those of the interpolant at 80 Chebyshev points, computed with mpmath at 40
digits. The terms after the first 13 sum to less than 1e-8, those after the whole list to less than 1e-16. The tests
compare the result with `math.erfc`.
"""

from xnn._arrays import clamp
from xnn._typing import Array
from xnn.functional._common import namespace

_CENTRE = 5.0
_SINGLE_PRECISION_TERMS = 13
_COEFFICIENTS = (
    0.4619742120721857,
    -0.06516520239491264,
    -0.005458781501136567,
    0.01229619904556344,
    -0.006470872915703688,
    0.0022407355224168305,
    -0.0005638623774651974,
    9.984031082925812e-05,
    -9.849514843168493e-06,
    -4.032494233045217e-07,
    2.99023962013034e-07,
    -3.032070748442817e-08,
    -4.617665713929053e-09,
    1.3298288008382479e-09,
    3.0072427190174786e-11,
    -4.429953725533679e-11,
    1.3999857147009335e-12,
    1.4718957028981811e-12,
    -9.325953117753312e-14,
    -5.29468116705809e-14,
    3.9581884387583756e-15,
    2.1048214908023002e-15,
    -1.3456710221030293e-16,
    -9.09761250943453e-17,
    2.9906228654429527e-18,
)
_LARGEST = 40.0
"""exp(-40²/2) is zero in float64; beyond, t would become inf / inf."""


def normal_cdf(x: Array) -> Array:
    """Return Φ(x) = P(N(0, 1) <= x), elementwise, with an absolute error of a few units in the last place of 1."""
    xp = namespace(x)
    a = clamp(xp, xp.abs(x), 0.0, _LARGEST)
    t = (a - _CENTRE) / (a + _CENTRE)
    tail = xp.exp(-0.5 * a * a) * _chebyshev(t) / (1.0 + a)
    return xp.where(x > 0, 1.0 - tail, tail)


def _chebyshev(t: Array) -> Array:
    """Sum the series at t by Clenshaw's recurrence."""
    xp = namespace(t)
    single = xp.finfo(t.dtype).eps > 1e-10
    coefficients = _COEFFICIENTS[:_SINGLE_PRECISION_TERMS] if single else _COEFFICIENTS
    later = xp.zeros_like(t)
    current = xp.full_like(t, coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        current, later = coefficient + 2.0 * t * current - later, current
    return coefficients[0] + t * current - later
