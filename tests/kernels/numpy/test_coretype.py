"""A warning where OPENBLAS_CORETYPE makes OpenBLAS take this processor for an older, slower one."""

import os
import subprocess
import sys

import pytest

import xnn
from xnn import kernels

pytest.importorskip("numba")
from xnn.kernels.numpy import coretype
from xnn.kernels.numpy.simd import LANES

LINE = (
    "OPENBLAS_CORETYPE=haswell holds NumPy's matrix products below this processor (it has AVX-512), at up to half "
    "their speed; unset it"
)


@pytest.fixture
def held(monkeypatch):
    """A processor with full AVX-512 that OpenBLAS was told to take for a Haswell."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "haswell")
    monkeypatch.setattr(coretype, "LANES", 16)
    monkeypatch.setattr(coretype, "PROCESSOR", "sapphirerapids")
    runs(monkeypatch, "openblas 0.3.31 Haswell")


def runs(monkeypatch, library):
    monkeypatch.setattr(type(coretype.blas()), "facts", lambda blas: {"BLAS": library} if library else {})


def test_a_processor_that_is_held_back_is_named(held):
    assert kernels.held_back(xnn.backend("numpy")) == LINE
    assert kernels.held_back(xnn.backend("numpy", twins=False)) == LINE


@pytest.mark.parametrize("library", ["openblas 0.3.31 SkylakeX", "openblas 0.3.31 Zen7", "mkl 2026.1", None])
def test_a_library_that_ignores_the_variable_is_not_held_back(held, monkeypatch, library):
    runs(monkeypatch, library)
    assert kernels.held_back(xnn.backend("numpy")) is None


@pytest.mark.parametrize(("lanes", "processor"), [(8, "haswell"), (16, "znver4")])
def test_a_processor_without_full_avx512_is_not_held_back(held, monkeypatch, lanes, processor):
    monkeypatch.setattr(coretype, "LANES", lanes)
    monkeypatch.setattr(coretype, "PROCESSOR", processor)
    assert kernels.held_back(xnn.backend("numpy")) is None


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_held_back_unless_the_environment_says_so(held, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("OPENBLAS_CORETYPE")
    else:
        monkeypatch.setenv("OPENBLAS_CORETYPE", value)
    assert kernels.held_back(xnn.backend("numpy")) is None


def test_what_cannot_know_is_silent(held, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    kernels._is_served.cache_clear()
    assert kernels.held_back(xnn.backend("numpy")) is None
    kernels._is_served.cache_clear()


def test_openblas_is_asked_what_it_really_runs():
    if LANES == 8:
        pytest.skip("this processor has no AVX-512: OpenBLAS cannot be held below it")
    program = "from xnn.kernels.numpy import coretype; coretype.PROCESSOR = 'any'; print(coretype.held_back())"
    found = {}
    for kind in ("haswell", "no-such-processor"):
        environment = os.environ | {"OPENBLAS_CORETYPE": kind}
        command = [sys.executable, "-c", program]
        found[kind] = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    assert found == {"haswell": f"{LINE}\n", "no-such-processor": "None\n"}
