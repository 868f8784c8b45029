"""Fixtures that the tests of several modules share."""

import pytest

from tests.data.small_files import CifarFiles


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar_files(request: pytest.FixtureRequest) -> CifarFiles:
    """A small CIFAR data set."""
    return CifarFiles(request.param)
