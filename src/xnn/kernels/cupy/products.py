"""Products of matrices by cuBLAS: transposed operands are not copied, and sums are in float32 whatever the type.

CuPy's own `matmul` casts float16 up, forgets TF32 and copies transposed operands where there are more than two axes,
and has no float32 result for float16 factors. So these functions call cuBLAS themselves. It takes matrices column by
column and thus sees the transpose of each of ours: for C = A B it computes Cᵀ = Bᵀ Aᵀ.
"""

from ctypes import addressof, c_float
from typing import Any

import cupy
from cupy._core import _routines_linalg as linalg
from cupy.cuda import cublas, runtime
from cupy.cuda.device import get_cublas_handle

from xnn._typing import Array

_ONE = c_float(1.0)
_TYPES = {"e": runtime.CUDA_R_16F, "f": runtime.CUDA_R_32F}


def multiply(a: Array, b: Array, out: Array | None = None, beta: float = 0.0, dtype: Any = None) -> Array:
    """Return the product of two matrices, added to `beta` times what `out` holds.

    Parameters
    ----------
    a : (m, k), float16 or float32
    b : (k, n), of a's type
        Either may be a transposed view, or one of some rows or columns, which costs nothing. Other views are copied.
    out : (m, n), optional
        Where to write; rows must be contiguous, but may lie apart. By default, a new array.
    beta : float
        With 0, what `out` held is ignored, even NaN.
    dtype : optional
        Of a new array: a's type by default; float32 keeps all digits of a product of float16.

    Returns
    -------
    out : (m, n)
        Products of float32 are in TF32 or in full, as CuPy's setting says; see `xnn.backends.Backend.products`.
    """
    if out is None:
        out = cupy.empty((a.shape[0], b.shape[1]), a.dtype if dtype is None else dtype)
    if not _has_terms(a, b, out, beta):
        return out
    (m, k), n = a.shape, b.shape[1]
    a, a_turned, a_stride = _operand(a)
    b, b_turned, b_stride = _operand(b)
    kind, of_out = _TYPES[a.dtype.char], c_float(beta)
    cublas.gemmEx(
        get_cublas_handle(), b_turned, a_turned, n, m, k,
        addressof(_ONE), b.data.ptr, kind, b_stride, a.data.ptr, kind, a_stride,
        addressof(of_out), out.data.ptr, _TYPES[out.dtype.char], _out_stride(out),
        _compute_type(kind), cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
    return out


def multiply_stack(
    a: Array, b: Array, out: Array | None = None, alpha: float = 1.0, beta: float = 0.0, dtype: Any = None
) -> Array:
    """Return `alpha` times the products of stacked matrices, added to `beta` times what `out` holds, by one call.

    Parameters
    ----------
    a : (batch, m, k), float16 or float32
    b : (batch, k, n), of a's type
        Each matrix as in `multiply`; for instance ``x.swapaxes(1, 2)``.
    out : (batch, m, n), optional
    alpha, beta : float
    dtype : optional
        As in `multiply`.

    Returns
    -------
    out : (batch, m, n)
    """
    if out is None:
        out = cupy.empty((a.shape[0], a.shape[1], b.shape[2]), a.dtype if dtype is None else dtype)
    if not _has_terms(a, b, out, beta):
        return out
    (batch, m, k), n = a.shape, b.shape[2]
    a, a_turned, a_stride = _operand(a)
    b, b_turned, b_stride = _operand(b)
    kind, size, of_product, of_out = _TYPES[a.dtype.char], a.itemsize, c_float(alpha), c_float(beta)
    cublas.gemmStridedBatchedEx(
        get_cublas_handle(), b_turned, a_turned, n, m, k,
        addressof(of_product), b.data.ptr, kind, b_stride, b.strides[0] // size,
        a.data.ptr, kind, a_stride, a.strides[0] // size,
        addressof(of_out), out.data.ptr, _TYPES[out.dtype.char], _out_stride(out), out.strides[0] // out.itemsize,
        batch, _compute_type(kind), cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
    return out


def _has_terms(a: Array, b: Array, out: Array, beta: float) -> bool:
    """Check the arguments. If nothing is to be added up, finish `out` and return False."""
    *stack, m, k = a.shape
    fits = b.shape[:-1] == (*stack, k) and out.shape == (*stack, m, b.shape[-1])
    if not fits or a.dtype != b.dtype or a.dtype.char not in _TYPES or out.dtype.char not in (a.dtype.char, "f"):
        raise ValueError(
            f"cannot multiply {a.shape} of {a.dtype} by {b.shape} of {b.dtype} to give {out.shape} of {out.dtype}"
        )
    if a.size and b.size:
        return True
    if beta == 0.0:
        out.fill(0.0)
    else:
        out *= beta
    return False


def _operand(x: Array) -> tuple[Array, int, int]:
    """Return x, or a copy that cuBLAS can read; whether it lies by columns, and how far these are apart."""
    rows, columns = x.shape[-2:]
    (down, across), size = x.strides[-2:], x.itemsize
    # The stride of an axis of length 1 says nothing.
    if (across == size or columns == 1) and (down >= columns * size or rows == 1):
        return x, cublas.CUBLAS_OP_N, columns if rows == 1 else down // size
    if (down == size or rows == 1) and (across >= rows * size or columns == 1):
        return x, cublas.CUBLAS_OP_T, rows if columns == 1 else across // size
    return cupy.ascontiguousarray(x), cublas.CUBLAS_OP_N, columns


def _out_stride(out: Array) -> int:
    place, turned, stride = _operand(out)
    if place is not out or turned:
        raise ValueError(f"the rows of out must be contiguous, not of strides {out.strides}")
    return stride


def _compute_type(kind: int) -> int:
    is_tf32 = kind == runtime.CUDA_R_32F and linalg.get_compute_type("f") == linalg.COMPUTE_TYPE_TF32
    return int(cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if is_tf32 else cublas.CUBLAS_COMPUTE_32F)
