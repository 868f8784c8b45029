"""Training on CuPy waits for nothing between logs, as an emulated CUDA device notes down."""

import ctypes
import os
import subprocess
import sys

import pytest

from tests.conftest import backend_names
from tests.training.steps_on_device import CASES, HOST

ADDRESSES = 3
"""Copies before CuPy concatenates many arrays: of their addresses, their sizes and their strides."""


@pytest.fixture(scope="module")
def operations(pytestconfig, tmp_path_factory):
    """Return what the device was asked to do in some steps of each case: lines of its log."""
    if not any(name.partition(":")[0] == "cupy" for name in backend_names(pytestconfig)):
        pytest.skip("the tests are not run on CuPy: --backends=cupy")
    if not hasattr(ctypes.CDLL(None), "emu_mark"):
        pytest.skip("the CUDA device is not an emulated one, which keeps a log of copies and waits")
    log = tmp_path_factory.mktemp("device") / "log"
    subprocess.run(
        [sys.executable, "-m", "tests.training.steps_on_device"],
        env=os.environ | {"CUDAEMU_LOG": str(log)}, check=True, timeout=600,
    )  # fmt: skip
    return by_case(log.read_text().splitlines())


def by_case(lines):
    """Return the lines between the marks of each case."""
    cases, inside = {}, None
    for line in lines:
        kind, *fields = line.split("\t")
        if kind == "mark":
            text = dict(field.split("=", 1) for field in fields)["text"]
            what, _, case = text.partition(" ")
            inside = cases.setdefault(case, []) if what == "begin" else None
        elif inside is not None:
            inside.append(line)
    return cases


def waits(lines):
    return [line for line in lines if line.startswith("sync\t")]


@pytest.mark.parametrize("case", CASES)
def test_a_step_waits_for_nothing(operations, case):
    lines = operations[case]
    assert any(line.startswith("launch\t") for line in lines)
    assert waits(lines) == []


@pytest.mark.parametrize("case", CASES)
def test_a_step_reads_nothing(operations, case):
    assert [line for line in operations[case] if line.startswith("copy\t") and "kind=D2H" in line] == []


def sent(lines):
    """Return the copies to the device, without the addresses that CuPy sends before it concatenates many arrays."""
    found = []
    for line in lines:
        if line.startswith("copy\t") and "kind=H2D" in line:
            found.append(line)
        elif line.startswith("launch\t") and "_concatenate\t" in line:
            del found[-ADDRESSES:]
    return found


@pytest.mark.parametrize("case", CASES)
def test_only_images_that_stay_on_the_host_are_sent_within_an_epoch(operations, case):
    # The images of a block, their labels, and which of them are mirrored.
    assert len(sent(operations[case])) == (3 if case == HOST else 0)


def test_the_log_shows_a_wait(operations):
    assert len(waits(operations["a read"])) == 1
    assert {*operations} == {*CASES, "a read"}
