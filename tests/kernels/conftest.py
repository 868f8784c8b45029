"""Kernels are tested with two threads, whatever the number of cores: how a batch is cut must make no difference."""

import pytest

from xnn import kernels
from xnn.kernels.threads import ENVIRONMENT_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT_VARIABLE, "2")
        kernels.set_threads(2)
        yield
