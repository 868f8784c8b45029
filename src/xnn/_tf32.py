"""TF32 products: telling PyTorch and CuPy whether to round the factors of float32 products to 10 bits."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Products = Callable[[bool], AbstractContextManager[None]]
"""``tf32 -> context``: within it, float32 products are computed in TF32, or in full."""


def of_torch(torch: Any, device: Any) -> Products | None:
    """Return the switch for a device of PyTorch, or None if there is nothing to switch."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    return torch_products(torch.backends)


def torch_products(backends: Any) -> Products:
    """Return a switch that sets the flags of ``torch.backends`` and restores them."""
    matmul, cudnn = backends.cuda.matmul, backends.cudnn
    # Newer versions warn if the older names are read.
    is_new = hasattr(matmul, "fp32_precision")
    name = "fp32_precision" if is_new else "allow_tf32"
    places = (matmul, cudnn.conv if is_new else cudnn)

    @contextmanager
    def products(tf32: bool) -> Iterator[None]:
        before = [getattr(place, name) for place in places]
        for place in places:
            setattr(place, name, ("tf32" if tf32 else "ieee") if is_new else tf32)
        try:
            yield
        finally:
            for place, value in zip(places, before, strict=True):
                setattr(place, name, value)

    return products


def of_cupy(compute_capability: str) -> Products | None:
    """Return the switch for a CuPy device of that compute capability, or None if there is nothing to switch."""
    if int(compute_capability) < 80:
        return None
    return cupy_products(importlib.import_module("cupy._core._routines_linalg"))


def cupy_products(linalg: Any) -> Products:
    """Return a switch that sets the type in which CuPy adds up products, and restores it.

    CuPy's public switch is an environment variable that is read once; it sets what these functions set.
    """

    @contextmanager
    def products(tf32: bool) -> Iterator[None]:
        before = linalg.get_compute_type("float32")
        linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32 if tf32 else linalg.COMPUTE_TYPE_DEFAULT)
        try:
            yield
        finally:
            linalg.set_compute_type("float32", before)

    return products
