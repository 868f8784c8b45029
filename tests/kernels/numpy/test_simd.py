"""Vectors are as wide as suits the processor. Where there are two widths, both compute the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
from benchmarks.vectors import VARIABLE, without_avx512
from tests.kernels.numpy.chains import FUNCTIONS
from xnn.functional.windows import windows
from xnn.kernels.numpy import direct, flat_vectors, winograd
from xnn.kernels.numpy.simd import FEATURES, LANES

ROOT = Path(__file__).parents[3]


def results():
    """Return the results of the vector kernels for the same random numbers; no channels fill a whole vector."""
    rng = np.random.default_rng(3)
    x, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 15, 14, 21), (3, 3, 21, 35)))
    geometry = windows("conv2d", (15, 14), (3, 3), 1, 1, 1)
    rows, bias = x.reshape(54, 245), np.arange(27, dtype=np.float32)
    calls = {
        "direct": lambda: direct.conv2d(x, weight, None, geometry),
        "tiles of four": lambda: winograd.conv2d(x, weight, None, geometry),
        "tiles of eight": lambda: winograd.conv2d(x, weight, None, geometry, (2, 2), large=True),
        "linear": lambda: FUNCTIONS.linear(rows, weight.reshape(245, 27), bias),
    }
    found = {}
    for name, call in calls.items():
        y, pullback = call()
        gradients = pullback(np.cos(y))
        found |= {f"{name}, {n}": array for n, array in zip(("y", "dx", "dw", "db"), (y, *gradients), strict=True)}
    found["norm"] = flat_vectors.clip_norm([x.reshape(-1)], 1.0)
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.skipif(LANES == 8, reason="Numba compiles for a processor without AVX-512, which has one width only")
def test_narrow_vectors_compute_the_same(tmp_path):
    program = (
        "import sys, numpy; from tests.kernels.numpy.test_simd import LANES, results; "
        "assert LANES == 8; numpy.savez(sys.argv[1], **results())"
    )
    environment = os.environ | {VARIABLE: without_avx512(FEATURES)}
    command = [sys.executable, "-c", program, str(tmp_path / "narrow.npz")]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    wide = results()
    with np.load(tmp_path / "narrow.npz") as narrow:
        assert sorted(narrow) == sorted(wide)
        for name in narrow:
            scale = np.abs(wide[name]).max()
            np.testing.assert_allclose(narrow[name], wide[name], rtol=0, atol=2e-6 * scale, err_msg=name)


def test_without_avx512_all_other_features_stay():
    assert without_avx512("+avx2,+avx512f,-avx512vnni,+avx10.1,+fma") == "+avx2,-avx512f,-avx512vnni,-avx10.1,+fma"
    assert without_avx512(without_avx512(FEATURES)) == without_avx512(FEATURES)
