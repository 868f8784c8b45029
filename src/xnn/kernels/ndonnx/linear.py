"""The twin of the affine map."""

import ndonnx

from xnn._typing import Array, Pullback
from xnn.kernels.ndonnx.layout import no_pullback
from xnn.kernels.ndonnx.operators import op


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """Gemm for vectors, MatMul for what has more axes; see `xnn.functional.linear`."""
    matrix, added = weight.unwrap_spox(), None if bias is None else bias.unwrap_spox()
    if x.ndim == 2:
        return ndonnx.asarray(op.gemm(x.unwrap_spox(), matrix, added)), no_pullback
    y = op.matmul(x.unwrap_spox(), matrix)
    return ndonnx.asarray(y if added is None else op.add(y, added)), no_pullback
