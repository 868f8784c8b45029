"""Which array library computes, and on which device.

xnn requires of a library the functions of the Array API standard (2023.12 or newer), in-place assignment to slices, and
that a slice or reshape of a contiguous array is a view. A library is imported when it is first named.
"""

import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn import _tf32
from xnn._typing import Array, ArrayLike, ArrayObject, Namespace
from xnn.errors import BackendError, suggest, to_install
from xnn.memory import aligned

ENVIRONMENT_VARIABLE = "XNN_BACKEND"
TWINS_VARIABLE = "XNN_TWINS"
LIBRARIES = ("numpy", "cupy", "torch", "array_api_strict")
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
        return backend, (self.name, self.twins)


def backend(name: "str | Backend | None" = None, twins: bool | None = None) -> Backend:
    """Return the backend of that name.

    Parameters
    ----------
    name : str, Backend or None
        ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ``"torch:cuda:0"``, ``"array_api_strict"``,
        ``"array_api_strict:device1"``, or ``"auto"``: CuPy when a CUDA device answers, else NumPy.
        None reads ``$XNN_BACKEND`` and falls back to ``"auto"``. A `Backend` is returned as it is.
    twins : bool, optional
        False makes models compute with the reference functions alone. By default ``$XNN_TWINS``, 0 or 1, decides; 1 if
        it is not set.

    Raises
    ------
    BackendError
        If the name is unknown, the library is not installed, or the device does not answer. A named backend
        is never replaced by another.

    Examples
    --------
    >>> import xnn
    >>> xnn.backend("numpy")
    <xnn backend numpy>
    >>> xnn.backend("numpy", twins=False).twins
    False
    """
    if isinstance(name, Backend):
        name.activate()
        return name
    if name is None:
        name = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    if not isinstance(name, str):
        raise TypeError(f"backend must be a name or a Backend, not {type(name).__name__}")
    made = _make("cupy" if _cuda_answers() else "numpy") if name == "auto" else _make(name)
    wanted = twins_by_default() if twins is None else twins
    if made.twins != wanted:
        made = made._with_twins(wanted)
    made.activate()
    return made


def twins_by_default() -> bool:
    """Return what ``$XNN_TWINS`` says, or True if it is not set."""
    value = os.environ.get(TWINS_VARIABLE) or "1"
    if value not in ("0", "1"):
        raise BackendError(f"${TWINS_VARIABLE} must be 0 or 1, not {value!r}")
    return value == "1"


@functools.cache
def _make(name: str) -> Backend:
    library, _, device = name.partition(":")
    if library not in LIBRARIES:
        raise BackendError(
            f"backend {name!r} is unknown; choose one of {', '.join(LIBRARIES)} or auto."
            + suggest(library, (*LIBRARIES, "auto"))
        )
    return _MAKERS[library](device)


def _make_numpy(device: str) -> Backend:
    if device not in ("", "cpu"):
        raise BackendError(f"backend 'numpy:{device}': NumPy computes on the CPU only; use 'numpy'")
    import array_api_compat.numpy as xp

    return Backend("numpy", None, xp, "cpu")


def _make_cupy(device: str) -> Backend:
    if device and not device.isdecimal():
        raise BackendError(f"backend 'cupy:{device}': the device is a number, as in 'cupy:0'")
    cupy = _import("cupy")
    number, (count, complaint) = int(device or 0), _cuda_devices(cupy)
    if count == 0:
        raise BackendError(
            f"backend 'cupy:{number}': CuPy {cupy.__version__} is installed but no CUDA device answers"
            f"{complaint}; see with nvidia-smi whether there is a driver and whether its CUDA is as new as "
            "CuPy's, or use --backend numpy"
        )
    if number >= count:
        there = "one answers, 'cupy:0'" if count == 1 else f"{count} answer, numbers 0 to {count - 1}"
        raise BackendError(
            f"backend 'cupy:{number}': there is no such device; {there}; choose among those that nvidia-smi and "
            "$CUDA_VISIBLE_DEVICES show"
        )
    _check_compiler(cupy, number)
    import array_api_compat.cupy as xp

    cuda_device = cupy.cuda.Device(number)
    return Backend(
        "cupy",
        str(number),
        xp,
        cuda_device,
        cupy.asnumpy,
        cuda_device.synchronize,
        cuda_device.use,
        lambda: int(cuda_device.mem_info[0]),
        lambda: _tf32.of_cupy(cuda_device.compute_capability),
        lambda: cupy.cuda.runtime.getDevice() == number,
        lambda: cupy.cuda.Device(number),
    )


def _make_torch(device: str) -> Backend:
    torch = _import("torch")
    import array_api_compat.torch as xp

    try:
        torch_device = torch.device(device or "cpu")
        torch.empty(0, device=torch_device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(
            f"backend 'torch:{device}': PyTorch cannot use that device ({reason}); use 'torch:cpu'"
        ) from None

    def synchronize() -> None:
        if torch_device.type == "cuda":
            torch.cuda.synchronize(torch_device)

    def free_memory() -> int | None:
        return int(torch.cuda.mem_get_info(torch_device)[0]) if torch_device.type == "cuda" else None

    return Backend(
        "torch",
        str(torch_device),
        xp,
        torch_device,
        lambda x: np.asarray(x.detach().cpu()),
        synchronize,
        free_memory=free_memory,
        make_products=lambda: _tf32.of_torch(torch, torch_device),
    )


def _make_strict(device: str) -> Backend:
    xp = _import("array_api_strict")
    device = device or "CPU_DEVICE"
    try:
        strict_device = xp.Device(device)
    except ValueError:
        raise BackendError(
            f"backend 'array_api_strict:{device}': there is no such device; use CPU_DEVICE, device1 or device2"
        ) from None
    host = xp.Device("CPU_DEVICE")
    return Backend(
        "array_api_strict",
        device,
        xp,
        strict_device,
        # The host cannot read the other devices directly, just as with a GPU.
        lambda x: np.asarray(xp.asarray(x, device=host)),
    )


_MAKERS: dict[str, Callable[[str], Backend]] = {
    "numpy": _make_numpy,
    "cupy": _make_cupy,
    "torch": _make_torch,
    "array_api_strict": _make_strict,
}


_INSTALL = {
    "cupy": f"CuPy, which is not installed: {to_install('cuda12')}, or [cuda13] for a CUDA 13 driver",
    "torch": f"PyTorch, which is not installed: {to_install('torch')}",
    "array_api_strict": f"array-api-strict, which is not installed: {to_install('strict')}",
}


def _import(library: str) -> Any:
    """Import an array library, or raise a `BackendError` that says what to do."""
    if importlib.util.find_spec(library) is None:
        raise BackendError(f"backend '{library}' needs {_INSTALL[library]}")
    try:
        module = importlib.import_module(library)
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BackendError(f"backend '{library}': it is installed but cannot be imported ({reason})") from None
    if not hasattr(module, "__version__"):
        # A folder of that name on the path imports as an empty package.
        raise BackendError(f"backend '{library}' needs {_INSTALL[library]}")
    return module


def _cuda_answers() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        cupy = _import("cupy")
        if _cuda_devices(cupy)[0] == 0:
            return False
        _check_compiler(cupy, 0)
        return True
    except BackendError as error:
        warnings.warn(f"auto takes numpy: {error}", RuntimeWarning, stacklevel=3)
        return False


def _cuda_devices(cupy: Any) -> tuple[int, str]:
    """Return how many devices answer and, if none does, the driver's reason in brackets."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount()), ""
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return 0, f" ({str(error).partition(chr(10))[0]})"


def _check_compiler(cupy: Any, number: int) -> None:
    """Raise a `BackendError` unless CuPy finds NVRTC, without which it has no kernels.

    CuPy's wheels come without NVIDIA's libraries unless their extra ``ctk`` is asked for, and CuPy looks for NVRTC only
    when it compiles its first kernel.
    """
    try:
        cupy.cuda.nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError):
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise BackendError(
            f"backend 'cupy:{number}': CuPy {cupy.__version__} is installed but finds no NVRTC, the CUDA library that "
            f"compiles its kernels; {to_install(f'cuda{major}')} brings it along, as does CUDA toolkit {major}"
        ) from None


def _device_phrase(backend: Backend) -> str:
    if backend.library == "cupy":
        cupy = importlib.import_module("cupy")
        name = cupy.cuda.runtime.getDeviceProperties(backend.device.id)["name"].decode()
        return f"{name} (CUDA device {backend.device.id})"
    if backend.library == "array_api_strict":
        return f"its device {backend.name.partition(':')[2]}"
    device = str(backend.device)
    return "the CPU" if device == "cpu" else device
