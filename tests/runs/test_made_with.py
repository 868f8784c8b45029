"""What a checkpoint knows of the library that multiplied: its digits depend on it."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import xnn
from xnn import kernels
from xnn.runs import Settings, resuming
from xnn.runs.checkpoints import Saved

pytest.importorskip("threadpoolctl")
from xnn.kernels.numpy.blas import blas


def job(twins=True, name="numpy"):
    settings = Settings(dtype="float32", precision="float32")
    return SimpleNamespace(backend=xnn.backend(name, twins=twins), settings=settings)


def saved(facts):
    return Saved(Path("checkpoint"), {}, {"made_with": facts})


@pytest.fixture
def library():
    """The library's number of threads, to be changed."""
    kept = blas().counts()
    if not kept:
        pytest.skip("threadpoolctl knows nothing of NumPy's BLAS")
    yield lambda count: blas()._apply([count] * len(kept))
    blas()._apply(kept)


@pytest.mark.parametrize("twins", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_the_number_of_threads_that_blas_really_has_is_kept(library, count, twins, monkeypatch):
    monkeypatch.setenv("XNN_NUM_THREADS", "2")
    resuming.made_with(job(twins))
    library(count)
    assert resuming.made_with(job(twins))["BLAS threads"] == str(count)
    with blas().alone:
        assert resuming.made_with(job(twins))["BLAS threads"] == str(count)


def test_other_threads_are_named_and_old_checkpoints_are_not_blamed(library):
    facts = resuming.made_with(job())
    assert resuming.not_promised(job(), saved(facts)) is None
    old = {name: fact for name, fact in facts.items() if "BLAS" not in name}
    assert len(old) == len(facts) - 2
    assert resuming.not_promised(job(), saved(old)) is None
    line = resuming.not_promised(job(), saved(facts | {"BLAS threads": "9", "BLAS": "openblas 0.1 Cray"}))
    assert line.startswith(
        f"goes on with BLAS {facts['BLAS']}, not openblas 0.1 Cray, BLAS threads {facts['BLAS threads']}, not 9: "
    )


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of processors of one kind")
def test_the_kind_of_processor_that_blas_computes_for_is_kept():
    program = "import xnn; from xnn import kernels; print(kernels.products(xnn.backend('numpy', twins=False))['BLAS'])"

    def found(kind):
        environment = os.environ | {"OPENBLAS_CORETYPE": kind}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()

    if found("Haswell")[0] != "openblas":
        pytest.skip("NumPy has another BLAS")
    assert found("Haswell")[2] == "Haswell"
    assert found("Sandybridge")[2] == "Sandybridge"


def test_other_libraries_and_systems_without_threadpoolctl_have_no_such_facts(monkeypatch):
    assert kernels.products(SimpleNamespace(library="torch", twins=True)) == {}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert kernels.products(xnn.backend("numpy", twins=False)) == {}
    kernels._is_served.cache_clear()
    assert "BLAS" not in resuming.made_with(job())
    assert resuming.made_with(job())["compiled kernels"] == "none"
    kernels._is_served.cache_clear()
