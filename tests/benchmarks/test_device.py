"""What `benchmarks.device` counts."""

import os
import subprocess
import sys

import pytest

from benchmarks import device
from benchmarks.device_steps import CASES, measured
from xnn import recipes
from xnn.tasks import Task

LAUNCH = (
    "launch\tpid=1\tdevice=0\tstream=0\tkernel={}\tgrid=1,1,1\tblock=1,1,1\tshared=0\telements=1\tbytes={}\tarrays="
)


def test_whole_blocks_of_images_are_measured():
    for case in CASES:
        first, steps = measured(case)
        assert min(first - 4, steps - 20) >= 0
        assert case.batch >= 512 or (first * case.batch % 512 in range(case.batch) and steps * case.batch >= 512)


def test_declared_bytes_replace_those_of_bare_pointers():
    own, library = LAUNCH.format("gelu", 0), LAUNCH.format("cupy_add", 12) + "1*4,1*4,1*4"
    lines = [library, own, "mark\tpid=1\tdevice=0\ttext=moved 4096", library, "free\tpid=1"]
    assert [*device.with_declared_bytes(lines)] == [library, LAUNCH.format("gelu", 4096), library, "free\tpid=1"]


def test_a_kernel_that_declares_nothing_is_no_figure():
    own = LAUNCH.format("gelu", 0)
    for lines in ([own, "free\tpid=1"], [own, own, "mark\tpid=1\tdevice=0\ttext=moved 8"], [own]):
        with pytest.raises(ValueError, match="how many bytes"):
            [*device.with_declared_bytes(lines)]


def test_without_an_emulator_it_says_what_is_missing():
    environment = {name: value for name, value in os.environ.items() if name != device.VARIABLE}
    command = [sys.executable, "-m", "benchmarks.device"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert f"${device.VARIABLE} is not set" in answer.stderr


def test_the_table_has_a_row_for_a_case():
    if device.VARIABLE not in os.environ:
        pytest.skip(f"${device.VARIABLE} is not set")
    pytest.importorskip("cupy")
    command = [sys.executable, "-m", "benchmarks.device", "--only", "mlp"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    row = [cell.strip() for cell in answer.stdout.splitlines()[-1].strip("|").split("|")]
    assert row[0] == "mlp, training, batch 128"
    operations, waits, moved, gflop = map(float, row[1:5])
    model = recipes.network("mlp", Task("cifar10", (32, 32, 3), 10, 50_000)).build((32, 32, 3), backend="numpy")
    flops = [layer.flops() for layer in model.layers if layer.flops()]
    # Forward, the gradient of the weight, and of the input but for the first layer's.
    assert 1e9 * gflop == pytest.approx(128 * (3 * sum(flops) - flops[0]), rel=0.03)
    assert operations < 100
    assert waits == 0
    assert 1e6 * moved > 3 * 4 * model.parameters.flat.size
