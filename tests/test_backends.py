"""Choosing the array library and the device."""

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnn
from xnn import backends
from xnn.errors import BackendError
from xnn.memory import LINE, address
from xnn.testing.strategies import arrays, shapes


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch):
    monkeypatch.delenv("XNN_BACKEND", raising=False)


@given(data=st.data(), dtype=st.sampled_from(["float32", "float64", "int64", "uint8"]))
def test_arrays_go_to_the_device_and_come_back(backend, data, dtype):
    x = data.draw(shapes(0, 3, min_side=0).flatmap(arrays)).astype(dtype)
    on_device = backend.asarray(x)
    assert on_device.dtype == backend.dtype(dtype)
    np.testing.assert_array_equal(backend.to_numpy(on_device), x)
    assert backend.to_numpy(backend.asarray(on_device, dtype="float64")).dtype == np.float64
    backend.synchronize()


@given(length=st.integers(0, 3000), dtype=st.sampled_from(["float32", "float64", "int64"]))
def test_zeros_are_on_the_device_and_begin_at_a_cache_line(backend, length, dtype):
    x = backend.zeros(length, dtype)
    assert x.dtype == backend.dtype(dtype)
    assert x.device == backend.asarray([0.0]).device
    np.testing.assert_array_equal(backend.to_numpy(x), np.zeros(length))
    if backend.library == "numpy" and length:
        assert address(x) % LINE == 0


def test_read_only_memory_can_be_brought_to_the_device(backend):
    x = np.arange(3.0)
    x.flags.writeable = False
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(x)), x)


def test_a_copy_on_the_host_is_a_copy(backend):
    x = backend.asarray(np.zeros(3))
    copy = backend.to_numpy(x, copy=True)
    x[...] = 1.0
    np.testing.assert_array_equal(copy, np.zeros(3))


def test_a_backend_is_known_by_its_name(backend):
    assert xnn.backend(backend) is backend
    assert xnn.backend(backend.name) == backend
    assert hash(xnn.backend(backend.name)) == hash(backend)
    assert pickle.loads(pickle.dumps(backend)) == backend  # noqa: S301 - pickled right here
    assert backend.library in backend.describe()
    assert backend.name in repr(backend)


def test_names_of_devices():
    assert xnn.backend("numpy").name == "numpy"
    pytest.importorskip("array_api_strict")
    assert xnn.backend("array_api_strict").name == "array_api_strict:CPU_DEVICE"
    assert xnn.backend("array_api_strict:device1") != xnn.backend("array_api_strict")


def test_the_environment_chooses_where_no_name_is_given(monkeypatch):
    monkeypatch.setenv("XNN_BACKEND", "numpyy")
    with pytest.raises(BackendError, match="numpyy"):
        xnn.backend()
    monkeypatch.setenv("XNN_BACKEND", "numpy")
    assert xnn.backend().name == "numpy"
    monkeypatch.setenv("XNN_BACKEND", "")
    assert xnn.backend() == xnn.backend("auto")


@pytest.mark.parametrize(
    ("library", "make"),
    [("cupy", backends._make_cupy), ("torch", backends._make_torch), ("array_api_strict", backends._make_strict)],
)
def test_a_missing_library_says_what_to_install(monkeypatch, library, make):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=rf"'{library}'.*pip install '\.\["):
        make("")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nunpy", "Did you mean 'numpy'"),
        ("Torch", "Did you mean 'torch'"),
        ("numpy:1", "CPU only"),
        ("cupy:first", "a number"),
        ("", "auto"),
        (":", "unknown"),
    ],
)
def test_a_bad_name_is_one_line_that_helps(name, message):
    with pytest.raises(BackendError, match=message) as caught:
        backends._make(name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def not_imported_yet(monkeypatch):
    """Make the next import of CuPy look for it on the path, also where one has been imported, and undo it after."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    del sys.modules["cupy"]


def test_a_library_that_cannot_be_imported_says_why(monkeypatch, tmp_path, not_imported_yet):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"cannot be imported \(libcudart"):
        backends._make_cupy("")
    with pytest.warns(RuntimeWarning, match="auto takes numpy: .*libcudart"):
        assert xnn.backend("auto").name == "numpy"


def test_a_folder_with_a_librarys_name_is_not_the_library(monkeypatch, tmp_path, not_imported_yet):
    (tmp_path / "cupy").mkdir()
    # Alone on the path, since an installed package is preferred to such a folder.
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(BackendError, match="not installed"):
        backends._make_cupy("")


def test_devices_of_other_libraries_that_are_not_there():
    pytest.importorskip("array_api_strict")
    with pytest.raises(BackendError, match="device1"):
        xnn.backend("array_api_strict:device9")
    pytest.importorskip("torch")
    with pytest.raises(BackendError, match="torch:cpu"):
        xnn.backend("torch:nowhere")


def test_a_name_is_a_string():
    with pytest.raises(TypeError, match="int"):
        xnn.backend(3)


def test_an_unknown_dtype_is_named(backend):
    with pytest.raises(ValueError, match="float33"):
        backend.dtype("float33")


def test_backends_with_and_without_twins_are_two():
    with_twins, without = xnn.backend("numpy", twins=True), xnn.backend("numpy", twins=False)
    assert (with_twins.twins, without.twins) == (True, False)
    assert pickle.loads(pickle.dumps(without)).twins is False  # noqa: S301 - our own bytes
    assert xnn.backend("numpy", twins=True).twins
