"""A device that refuses to be waited for."""

import pytest

from xnn.backends import backend as make_backend


@pytest.fixture
def device_without_host_reads(monkeypatch):
    """A device that, like a GPU in the middle of its work, should not be asked for a single number."""
    strict = pytest.importorskip("array_api_strict")

    def refuse(array, *args):
        raise AssertionError("a number was read back to the host")

    for conversion in ("__array__", "__bool__", "__float__", "__int__", "__index__", "__iter__"):
        monkeypatch.setattr(type(strict.zeros(())), conversion, refuse, raising=False)
    return make_backend("array_api_strict:device1")
