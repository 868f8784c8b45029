"""The backend of CuPy, and whether a CUDA device answers."""

import importlib.util
import warnings
from typing import Any

from xnn import _tf32
from xnn.backends.importing import import_library
from xnn.backends.interface import Backend
from xnn.errors import BackendError, to_install


def make_cupy(device: str) -> Backend:
    """Return the backend of CuPy on the CUDA device of that number; of the first one if it is empty.

    Raises
    ------
    BackendError
        If CuPy is not installed, lacks its compiler, or the device does not answer.
    """
    if device and not device.isdecimal():
        raise BackendError(f"backend 'cupy:{device}': the device is a number, as in 'cupy:0'")
    cupy = import_library("cupy")
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


def cuda_answers() -> bool:
    """Return whether CuPy can compute on a CUDA device; warn if it is installed but cannot be used."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        cupy = import_library("cupy")
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
