"""exp in float32 as plain arithmetic, so that LLVM can compute it for a whole register at once.

x = k ln 2 + r with |r| <= ln(2) / 2; a polynomial gives e^r, and setting the exponent's bits gives 2^k. The polynomial
and the two-part ln 2 are those of S. Moshier's Cephes library (`expf`), whose relative error is below 2e-7.
"""

from typing import Any

from llvmlite import ir
from numba import types

from xnn.kernels.numpy.compiled import inlined
from xnn.kernels.numpy.simd import instruction

_F = types.float32


@instruction(lambda bits: types.float32(types.int32))
def _as_float(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], ir.FloatType())


@inlined
def exp(x: Any) -> Any:
    """e^x for x <= 88; 0 below -87, where it would be denormal. NaN gives some number, so callers multiply by x."""
    vanishes = x < _F(-87.0)
    x = min(max(x, _F(-87.0)), _F(88.0))
    shifted = x * _F(1.44269504088896341) + _F(0.5)
    # Keep it a float32: for Numba an int32 minus one is an int64, whose conversions are not vectorized.
    k = _F(types.int32(shifted))
    # The conversion rounds towards zero.
    k = k - _F(1.0) if k > shifted else k
    r = x - k * _F(0.693359375) + k * _F(2.12194440e-4)
    p = _F(1.9875691500e-4)
    p = p * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    power = (p * r * r + r + _F(1.0)) * _as_float((types.int32(k) + types.int32(127)) << types.int32(23))
    return _F(0.0) if vanishes else power
