"""Every CUDA kernel compiles for every kind of device that CuPy serves and that the documentation promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xnn
from tests.kernels.nvrtc import Nvrtc

SOURCES = Path(xnn.__file__).parent / "kernels" / "cupy"
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")


@pytest.fixture(scope="module")
def nvrtc():
    return Nvrtc()


@pytest.fixture(scope="module")
def declared():
    """The options of the compiler, and for each source the names of all instances."""
    # An emulated device puts a compiler of its own into every process, unless told not to.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | {"CUDAEMU_DETACH": "1"}
    command = [sys.executable, "-m", "tests.kernels.cuda_kernels"]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return json.loads(answer.stdout)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", sorted(path.stem for path in SOURCES.glob("*.cu")))
def test_nvrtc_compiles_every_instance(nvrtc, declared, source, architecture):
    text, names = (SOURCES / f"{source}.cu").read_text(encoding="utf-8"), declared["kernels"][source]
    lowered = nvrtc.compile(text, [*declared["options"], f"--gpu-architecture={architecture}"], names)
    assert len({*lowered}) == len(names)


def test_nvrtc_refuses_what_is_not_cuda(nvrtc):
    with pytest.raises(AssertionError, match="undefined"):
        nvrtc.compile("__global__ void kernel(float* y) { y[0] = nothing; }", ["--gpu-architecture=sm_80"], ["kernel"])
