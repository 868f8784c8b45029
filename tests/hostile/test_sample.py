"""A few hundred of the cases that ``nox -s hostile`` tries: none may do harm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = 250
# Other tests run beside it, and a command that waits for its turn is not slow.
SECONDS = 20


@pytest.mark.skipif(
    not (hasattr(os, "pidfd_open") and Path("/proc/self/statm").exists()), reason="the harness needs Linux"
)
def test_no_file_that_is_handed_to_a_command_does_harm(request):
    if "numpy" not in request.config.getoption("--backends").split(","):
        pytest.skip("the harness computes on NumPy, which is not among the backends of this run")
    program = [
        sys.executable,
        "-m",
        "tests.hostile",
        "--cases",
        str(CASES),
        "--workers",
        "1",
        "--seconds",
        str(SECONDS),
    ]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
