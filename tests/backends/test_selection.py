"""Choosing the array library and the device."""

import importlib.util
import pickle
import sys

import pytest

import xnn
from xnn.backends import selection
from xnn.backends.cupy import make_cupy
from xnn.backends.libraries import make_strict, make_torch
from xnn.errors import BackendError


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch):
    monkeypatch.delenv("XNN_BACKEND", raising=False)


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
    [("cupy", make_cupy), ("torch", make_torch), ("array_api_strict", make_strict)],
)
def test_a_missing_library_says_what_to_install(monkeypatch, library, make):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
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
        selection._make(name)
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
        make_cupy("")
    with pytest.warns(RuntimeWarning, match="auto takes numpy: .*libcudart"):
        assert xnn.backend("auto").name == "numpy"


def test_a_folder_with_a_librarys_name_is_not_the_library(monkeypatch, tmp_path, not_imported_yet):
    (tmp_path / "cupy").mkdir()
    # Alone on the path, since an installed package is preferred to such a folder.
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(BackendError, match="not installed"):
        make_cupy("")


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


def test_backends_with_and_without_twins_are_two():
    with_twins, without = xnn.backend("numpy", twins=True), xnn.backend("numpy", twins=False)
    assert (with_twins.twins, without.twins) == (True, False)
    assert pickle.loads(pickle.dumps(without)).twins is False  # noqa: S301 - our own bytes
    assert xnn.backend("numpy", twins=True).twins
