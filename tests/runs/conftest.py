"""A run that several files of tests look at."""

import pytest

from tests.runs.rows import quick
from xnn.runs.run import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run with an average, a penalty and augmentation."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    return train(quick(path, average=0.9, l2=1e-3, augment=("crop", "mixup", "cutmix"), epochs=3))
