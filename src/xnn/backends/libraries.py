"""The backends of NumPy, PyTorch and array-api-strict."""

import numpy as np

from xnn import _tf32
from xnn.backends.importing import import_library
from xnn.backends.interface import Backend
from xnn.errors import BackendError


def make_numpy(device: str) -> Backend:
    """Return the backend of NumPy, whose device is ``cpu`` or not named.

    Raises
    ------
    BackendError
        If another device is named.
    """
    if device not in ("", "cpu"):
        raise BackendError(f"backend 'numpy:{device}': NumPy computes on the CPU only; use 'numpy'")
    import array_api_compat.numpy as xp

    return Backend("numpy", None, xp, "cpu")


def make_torch(device: str) -> Backend:
    """Return the backend of PyTorch on a device that PyTorch knows by that name; on the CPU if it is empty.

    Raises
    ------
    BackendError
        If PyTorch is not installed or cannot use the device.
    """
    torch = import_library("torch")
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


def make_strict(device: str) -> Backend:
    """Return the backend of array-api-strict on one of its devices; on ``CPU_DEVICE`` if it is empty.

    Raises
    ------
    BackendError
        If array-api-strict is not installed or has no such device.
    """
    xp = import_library("array_api_strict")
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
