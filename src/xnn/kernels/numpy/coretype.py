"""Whether the environment makes OpenBLAS treat this processor as an older one."""

import os

from xnn.kernels.numpy.blas import blas
from xnn.kernels.numpy.simd import LANES, PROCESSOR

VARIABLE = "OPENBLAS_CORETYPE"
_WITHOUT_AVX512 = ("Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen")


def held_back() -> str | None:
    """Return a line for the user if the environment slows NumPy's products on this processor, or None."""
    asked = os.environ.get(VARIABLE)
    # Zen 4 computes 512 bits in two halves, so OpenBLAS's kernels for AVX2 are no slower there.
    if not asked or LANES == 8 or PROCESSOR == "znver4":
        return None
    # OpenBLAS ignores an unknown name, so look at what it really runs.
    if not blas().facts().get("BLAS", "").endswith(_WITHOUT_AVX512):
        return None
    return (
        f"{VARIABLE}={asked} holds NumPy's matrix products below this processor (it has AVX-512), at up to half their "
        f"speed; unset it"
    )
