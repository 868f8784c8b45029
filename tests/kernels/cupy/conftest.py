"""The twins for CuPy are tested where a CUDA device answers, emulated or not."""

import pytest

from tests.conftest import backend_names


@pytest.fixture(scope="session", autouse=True)
def cupy_answers(pytestconfig):
    if not any(name.partition(":")[0] == "cupy" for name in backend_names(pytestconfig)):
        pytest.skip("the tests are not run on CuPy: --backends=cupy")
