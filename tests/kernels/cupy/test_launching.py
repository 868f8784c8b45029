"""What all kernels for CuPy are declared, compiled and launched by."""

import threading

import numpy as np
import pytest

cupy = pytest.importorskip("cupy")

from xnn.kernels.cupy.launching import Kernel, counters, is_number, is_plain  # noqa: E402


@pytest.fixture
def kernels(monkeypatch):
    """None but those declared in the test."""
    monkeypatch.setattr(Kernel, "every", [])


@pytest.mark.usefixtures("kernels")
def test_a_kernel_has_an_instance_for_each_combination():
    assert list(Kernel("file", "name").expressions()) == ["name"]
    kernel = Kernel("file", "name", ("e", "f"), ("1", "2"))
    assert [*kernel.expressions()] == ["name<__half, 1>", "name<__half, 2>", "name<float, 1>", "name<float, 2>"]


@pytest.mark.usefixtures("kernels")
def test_a_choice_may_be_of_several_parameters_together():
    kernel = Kernel("file", "name", [("e", "8"), ("f", "4")], ("Relu", "Identity"))
    assert [*kernel.expressions()] == [
        "name<__half, 8, Relu>",
        "name<__half, 8, Identity>",
        "name<float, 4, Relu>",
        "name<float, 4, Identity>",
    ]
    with pytest.raises(KeyError, match=r"name is not made for \('f', '8', 'Relu'\)"):
        kernel["f", "8", "Relu"]


def _counters_of_two_threads(stream):
    places, both = [], threading.Barrier(2)

    def work():
        with stream:
            both.wait(60)
            places.append(counters().data.ptr)
            # A thread that ends may leave its number to the other.
            both.wait(60)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return {*places}, len(places)


def test_each_stream_has_counters_of_its_own():
    own = cupy.cuda.Stream(non_blocking=True)
    with own:
        assert counters() is counters()
        others = counters()
    assert counters() is not others
    assert _counters_of_two_threads(own) == ({others.data.ptr}, 2)
    # There is one for each thread, but all have one handle.
    places, count = _counters_of_two_threads(cupy.cuda.Stream.ptds)
    assert len(places) == count == 2


def test_plain_arrays_are_of_cupy_contiguous_not_empty_and_of_one_type():
    x = cupy.ones((2, 3), np.float32)
    assert is_plain(x)
    assert is_plain(x, None, cupy.ones(1, np.float32))
    others = [cupy.asarray(x, np.float16), x.T, x[:0], x.astype(np.float64), cupy.asnumpy(x), [1.0], 1.0, "a"]
    for other in others:
        assert not is_plain(x, other)
    for other in others[1:]:
        assert not is_plain(other)
    assert not is_plain(None)


def test_numbers_are_those_of_python():
    assert is_number(1)
    assert is_number(0.5)
    assert is_number(np.float64(0.5))
    for other in (True, None, "a", [1.0], cupy.asarray(1.0), 1j):
        assert not is_number(other)
