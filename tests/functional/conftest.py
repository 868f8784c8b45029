import pytest

from xnn.functional import _common, windows


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Each test looks everything up anew: what an earlier one left in a cache would hide a fault from it."""
    windows._windows.cache_clear()
    _common._namespaces.clear()
