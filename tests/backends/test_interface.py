"""What a backend does with arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.memory import LINE, address
from xnn.testing.strategies import arrays, shapes


@given(data=st.data(), dtype=st.sampled_from(["float32", "float64", "int64", "uint8"]))
def test_arrays_go_to_the_device_and_come_back(backend, data, dtype):
    x = data.draw(shapes(0, 3, min_side=0).flatmap(arrays)).astype(dtype)
    on_device = backend.asarray(x)
    assert on_device.dtype == backend.dtype(dtype)
    np.testing.assert_array_equal(backend.to_numpy(on_device), x)
    assert backend.to_numpy(backend.asarray(on_device, dtype="float64")).dtype == np.float64
    backend.synchronize()


@given(length=st.integers(0, 3000), dtype=st.sampled_from(["float32", "float64", "int64"]))
def test_zeros_are_on_the_device_and_begin_at_a_cache_line(backend, length, dtype):
    x = backend.zeros(length, dtype)
    assert x.dtype == backend.dtype(dtype)
    assert x.device == backend.asarray([0.0]).device
    np.testing.assert_array_equal(backend.to_numpy(x), np.zeros(length))
    if backend.library == "numpy" and length:
        assert address(x) % LINE == 0


def test_read_only_memory_can_be_brought_to_the_device(backend):
    x = np.arange(3.0)
    x.flags.writeable = False
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(x)), x)


def test_a_copy_on_the_host_is_a_copy(backend):
    x = backend.asarray(np.zeros(3))
    copy = backend.to_numpy(x, copy=True)
    x[...] = 1.0
    np.testing.assert_array_equal(copy, np.zeros(3))


def test_an_unknown_dtype_is_named(backend):
    with pytest.raises(ValueError, match="float33"):
        backend.dtype("float33")
