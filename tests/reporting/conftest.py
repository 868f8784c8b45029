"""Fixtures of this folder."""

import pytest

from tests.reporting.runs import finished, of_folder, shown

__all__ = ["finished", "of_folder", "shown"]


@pytest.fixture(scope="module", autouse=True)
def _undrawn(undrawn):
    """A page shows charts of its own."""
