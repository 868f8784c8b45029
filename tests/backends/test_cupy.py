"""Choosing a CUDA device, with a stand-in for CuPy: what is asked of it, and what goes wrong on the way."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import array_api_compat
import numpy as np
import pytest

import xnn
from xnn.backends import selection
from xnn.errors import BackendError

NO_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"


class FakeDevice:
    """`cupy.cuda.Device`; takes down what it is asked to do."""

    asked = ()
    compute_capability = "90"

    def __init__(self, number):
        self.id = number
        self.mem_info = (3 << 30, 8 << 30)

    def use(self):
        type(self).asked += (f"use {self.id}",)

    def synchronize(self):
        type(self).asked += (f"synchronize {self.id}",)


def fake_cupy(devices, complaint=None, compiler_complaint=None):
    """A CuPy that sees so many devices, or whose driver complains, or that fails to load its compiler."""

    class CUDARuntimeError(RuntimeError):
        pass

    def device_count():
        if complaint is not None:
            raise CUDARuntimeError(complaint)
        return devices

    def compiler_version():
        if compiler_complaint is not None:
            raise compiler_complaint
        return 13, 0

    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=device_count,
        runtimeGetVersion=lambda: 13020,
        getDeviceProperties=lambda number: {"name": f"Fake GPU {number}".encode()},
    )
    cupy = ModuleType("cupy")
    cupy.__version__ = "14.0.1"
    cupy.asnumpy = np.asarray
    nvrtc = SimpleNamespace(getVersion=compiler_version)
    cupy.cuda = SimpleNamespace(runtime=runtime, Device=FakeDevice, nvrtc=nvrtc)
    return cupy


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts a CuPy in place."""

    def put(*arguments, **options):
        FakeDevice.asked = ()
        namespace = SimpleNamespace(asarray=lambda x, dtype=None, device=None: np.asarray(x, dtype), float32=np.float32)
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(*arguments, **options))
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)
        monkeypatch.setattr(array_api_compat, "cupy", namespace, raising=False)
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda n: n if n == "cupy" else find(n))
        # A backend is made once; not for the tests that come after this one.
        monkeypatch.setattr(selection, "_make", selection._make.__wrapped__)

    monkeypatch.delenv("XNN_BACKEND", raising=False)
    return put


def complaint_about(name):
    with pytest.raises(BackendError) as caught:
        xnn.backend(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "number"), [("cupy", 0), ("cupy:0", 0), ("cupy:1", 1), ("cupy:01", 1), ("auto", 0)])
def test_a_device_is_chosen_and_made_current(install, name, number):
    install(2)
    chosen = xnn.backend(name)
    assert (chosen.name, chosen.library) == (f"cupy:{number}", "cupy")
    assert chosen.device.id == number
    assert FakeDevice.asked == (f"use {number}",)
    chosen.synchronize()
    assert FakeDevice.asked[-1] == f"synchronize {number}"
    assert chosen.free_memory() == 3 << 30
    assert chosen.describe() == f"cupy 14.0.1 on Fake GPU {number} (CUDA device {number})"
    assert chosen.asarray([1, 2], "float32").dtype == np.float32


def test_two_devices_are_two_backends(install):
    install(2)
    first, second = xnn.backend("cupy:0"), xnn.backend("cupy:1")
    assert first != second
    assert first == xnn.backend("cupy")
    xnn.backend(first)
    assert FakeDevice.asked[-1] == "use 0"


@pytest.mark.parametrize(
    ("devices", "name", "words"),
    [
        (2, "cupy:2", ("'cupy:2'", "no such device", "2 answer, numbers 0 to 1", "CUDA_VISIBLE_DEVICES")),
        (1, "cupy:1", ("'cupy:1'", "one answers, 'cupy:0'")),
        (2, "cupy:-1", ("'cupy:-1'", "a number")),
        (2, "cupy:gpu", ("'cupy:gpu'", "a number", "'cupy:0'")),
        (0, "cupy", ("'cupy:0'", "CuPy 14.0.1", "no CUDA device answers;", "nvidia-smi", "--backend numpy")),
        (0, "cupy:1", ("'cupy:1'", "no CUDA device answers")),
    ],
)
def test_a_device_that_is_not_there_is_never_replaced(install, devices, name, words):
    install(devices)
    message = complaint_about(name)
    assert all(word in message for word in words), message


def test_a_driver_that_fails_is_quoted(install):
    install(0, complaint=NO_DRIVER + "\nmore")
    message = complaint_about("cupy")
    assert f"no CUDA device answers ({NO_DRIVER}); see with nvidia-smi" in message
    assert "more" not in message
    assert xnn.backend("auto").name == "numpy"


@pytest.mark.parametrize("complaint", [RuntimeError("no libnvrtc.so.13\nmore"), OSError("none"), ImportError("none")])
def test_a_cupy_without_its_compiler_says_what_to_install(install, complaint):
    install(2, compiler_complaint=complaint)
    message = complaint_about("cupy:1")
    assert "'cupy:1': CuPy 14.0.1 is installed but finds no NVRTC" in message
    assert "pip install '.[cuda13]'" in message
    with pytest.warns(RuntimeWarning, match="auto takes numpy: .*finds no NVRTC"):
        assert xnn.backend("auto").name == "numpy"


def test_auto_is_numpy_where_no_device_answers(install):
    install(0)
    assert xnn.backend("auto").name == "numpy"


def test_cuda_of_pytorch_is_refused_where_there_is_none():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a CUDA device answers here")
    message = complaint_about("torch:cuda:7")
    assert "'torch:cuda:7'" in message
    assert "use 'torch:cpu'" in message


def test_free_memory_is_not_asked_of_a_cpu(backend):
    if backend.library == "cupy" or "cuda" in backend.name:
        assert 0 < backend.free_memory() < 1 << 50
    else:
        assert backend.free_memory() is None


def test_the_environment_may_name_the_device(install, monkeypatch):
    install(2)
    monkeypatch.setenv("XNN_BACKEND", "cupy:1")
    assert xnn.backend().name == "cupy:1"
