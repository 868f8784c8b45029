"""An array library on one of its devices: what all of xnn asks of it."""

import functools
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn import _tf32
from xnn._typing import Array, ArrayLike, ArrayObject, Namespace
from xnn.memory import aligned

DTYPES = ("float32", "float64")
"""Floating-point types that a model's parameters may have."""
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")
"""Types that a float32 model's products may be computed in; ``"float32"`` stands for its own dtype, in full."""


class Backend:
    """An array library on one of its devices.

    Made by `backend`; two backends are equal if their names are.

    Attributes
    ----------
    name : str
        Library and device: ``"numpy"``, ``"cupy:0"``, ``"torch:cpu"``, ``"array_api_strict:CPU_DEVICE"``.
    library : str
        The library's import name.
    xp : module
        Its Array API namespace.
    device : object
        The library's own device object.
    twins : bool
        Whether models on this backend use the faster twins in `xnn.kernels`.

    Examples
    --------
    >>> import xnn
    >>> backend = xnn.backend("numpy")
    >>> backend.name, backend.asarray([1.0, 2.0], "float32")
    ('numpy', array([1., 2.], dtype=float32))
    >>> backend.xp.sum(backend.asarray([1.0, 2.0]))
    np.float64(3.0)
    """

    def __init__(
        self,
        library: str,
        device_name: str | None,
        xp: Namespace,
        device: Any,
        to_numpy: Callable[[Array], npt.NDArray[Any]] = np.asarray,
        synchronize: Callable[[], None] = lambda: None,
        activate: Callable[[], object] = lambda: None,
        free_memory: Callable[[], int | None] = lambda: None,
        make_products: Callable[[], _tf32.Products | None] = lambda: None,
        is_current: Callable[[], bool] = lambda: True,
        enter: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.library = library
        self.name = library if device_name is None else f"{library}:{device_name}"
        self.xp = xp
        self.device = device
        self.twins = True
        self._to_numpy = to_numpy
        self._synchronize = synchronize
        self._activate = activate
        self._free_memory = free_memory
        self._make_products = make_products
        self._is_current = is_current
        self._enter = enter

    def asarray(self, x: ArrayLike | complex, dtype: str | None = None) -> Array:
        """Return `x` (a NumPy array, a nested list, or an array of this library) on the device.

        `dtype` is a name such as ``"float32"``; without it the array keeps its own. May share memory with `x`.
        """
        wanted = None if dtype is None else self.dtype(dtype)
        if self.library == "torch" and isinstance(x, np.ndarray) and not x.flags.writeable:
            # PyTorch has no read-only tensors, and warns about read-only memory such as a mapped file's.
            x = x.copy()
        return self.xp.asarray(x, dtype=wanted, device=self.device)

    def zeros(self, length: int, dtype: str) -> Array:
        """Return a vector of so many zeros on the device; in NumPy's memory it begins at the start of a cache line."""
        kind = self.dtype(dtype)
        if self.library == "numpy":
            return aligned(length * np.dtype(kind).itemsize, np.zeros).view(kind)
        with self.current():
            return self.xp.zeros((length,), dtype=kind, device=self.device)

    def to_numpy(self, x: ArrayObject, copy: bool = False) -> npt.NDArray[Any]:
        """Return `x` as a NumPy array on the host; unless it is a copy, it may share memory with `x`.

        This waits for the device.
        """
        return np.array(self._to_numpy(x)) if copy else self._to_numpy(x)

    def dtype(self, name: str) -> Any:
        """Return the library's dtype of that name.

        Raises
        ------
        ValueError
            If the standard has no dtype of that name.
        """
        try:
            return getattr(self.xp, name)
        except AttributeError:
            raise ValueError(f"dtype {name!r} is unknown; use a name such as 'float32'") from None

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""
        self._synchronize()

    def activate(self) -> None:
        """Make this device the one that the present thread computes on; `backend` does so too.

        CuPy runs kernels on the thread's current device, whichever device their arrays are on. Other libraries have no
        current device, and nothing happens.
        """
        self._activate()

    @property
    def is_current(self) -> bool:
        """Whether the present thread computes on this device; True where there is no current device."""
        return self._is_current()

    def current(self) -> AbstractContextManager[Any]:
        """Return a context in which the present thread computes on this device; after it, on the one before."""
        return self._enter()

    def free_memory(self) -> int | None:
        """Return how many bytes of the device's own memory are free, or None on the CPU, where it does not matter."""
        return self._free_memory()

    @property
    def precisions(self) -> tuple[str, ...]:
        """The `PRECISIONS` that the library itself can compute in; `xnn.kernels.precisions` includes those of twins."""
        tf32 = ("tf32",) if self.has_tf32 else ()
        return ("float32", *tf32, *(name for name in ("float16", "bfloat16") if hasattr(self.xp, name)))

    @property
    def has_tf32(self) -> bool:
        """Whether `products` has a choice."""
        return self._products is not None

    def products(self, tf32: bool) -> AbstractContextManager[None]:
        """Return a context in which float32 products are computed in TF32 or in full; without TF32 it does nothing.

        In PyTorch and CuPy this is a setting of the whole process, which is restored afterwards.
        """
        return nullcontext() if self._products is None else self._products(tf32)

    @functools.cached_property
    def _products(self) -> _tf32.Products | None:
        return self._make_products()

    def describe(self) -> str:
        """Return a phrase for people, such as ``numpy 2.4.1 on the CPU``."""
        version = importlib.import_module(self.library).__version__
        return f"{self.library} {version} on {_device_phrase(self)}"

    def __repr__(self) -> str:
        return f"<xnn backend {self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def _with_twins(self, twins: bool) -> "Backend":
        """Return the same backend with or without twins."""
        # Not by `copy.copy`, which uses `__reduce__` and so returns the backend itself.
        other = object.__new__(Backend)
        other.__dict__.update(self.__dict__, twins=twins)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        from xnn.backends.selection import backend  # which makes the objects of this class

        return backend, (self.name, self.twins)


def _device_phrase(backend: Backend) -> str:
    if backend.library == "cupy":
        cupy = importlib.import_module("cupy")
        name = cupy.cuda.runtime.getDeviceProperties(backend.device.id)["name"].decode()
        return f"{name} (CUDA device {backend.device.id})"
    if backend.library == "array_api_strict":
        return f"its device {backend.name.partition(':')[2]}"
    device = str(backend.device)
    return "the CPU" if device == "cpu" else device
