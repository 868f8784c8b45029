"""Which functions a model computes with, and what turns the twins off."""

import itertools
import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import xnn
from xnn import functional as F
from xnn import kernels, nn, optim
from xnn.errors import BackendError, SettingError
from xnn.functional.windows import windows
from xnn.kernels.table import Twin

pytest.importorskip("numba")


def _model(**options):
    layers = nn.Sequential(nn.Conv2d(16, 3, padding=1), nn.BatchNorm(), nn.GELU(), nn.Flatten(), nn.Linear(3))
    return layers.build((6, 6, 16), backend=xnn.backend("numpy", **options), seed=1)


def test_a_model_uses_twins_where_there_are_some():
    assert kernels.functions(xnn.backend("numpy")).conv2d is not F.conv2d
    assert kernels.functions(xnn.backend("numpy")).flatten is F.flatten
    assert kernels.twins(xnn.backend("numpy"))["conv2d"] == "xnn.kernels.numpy.conv"


def test_twins_can_be_turned_off(monkeypatch):
    plain = xnn.backend("numpy", twins=False)
    assert kernels.functions(plain).conv2d is F.conv2d
    assert kernels.twins(plain) == {}
    monkeypatch.setenv("XNN_TWINS", "0")
    assert not xnn.backend("numpy").twins
    assert xnn.backend("numpy", twins=True).twins
    monkeypatch.setenv("XNN_TWINS", "no")
    with pytest.raises(BackendError, match=r"^\$XNN_TWINS must be 0 or 1, not 'no'$"):
        xnn.backend("numpy")


@pytest.mark.parametrize(("value", "is_off"), [("1", True), ("0", False)])
def test_the_references_serve_where_numba_compiles_nothing(value, is_off):
    program = """
import numpy as np
import xnn
from xnn import functional, kernels, nn
backend = xnn.backend("numpy")
kernels.set_threads(2)
model = nn.Linear(3).build((4,), backend=backend)
print(model(np.ones((2, 4), np.float32)).shape, kernels.functions(backend).linear is functional.linear)
print(kernels.twins(backend) == {}, kernels.single_pass(backend, "float32", "clip_norm") is None)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": value, "XNN_TWINS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert done.stdout == f"(2, 3) {is_off}\n{is_off} {is_off}\n"
    line = "xnn: NUMBA_DISABLE_JIT is set: the reference functions compute, several times slower than compiled kernels"
    assert done.stderr.splitlines() == [line] * is_off


def test_another_library_has_the_references():
    strict = pytest.importorskip("array_api_strict")
    assert kernels.functions(xnn.backend("array_api_strict")).conv2d is F.conv2d
    assert kernels.functions_of(strict.zeros(3)).relu is F.relu
    assert kernels.functions_of(np.zeros(3)).relu is not F.relu


def test_a_model_in_tf32_has_convolutions_of_its_own():
    numpy, plain = xnn.backend("numpy", twins=True), xnn.backend("numpy", twins=False)
    full, low = kernels.functions(numpy), kernels.functions(numpy, "tf32")
    assert low.conv2d is not full.conv2d
    assert low.relu is full.relu
    x = np.random.default_rng(0).normal(size=(256, 16, 16, 32)).astype(np.float32)

    def outputs(backend, precision):
        layer = nn.Conv2d(32, 3, padding=1).build((16, 16, 32), backend=backend, precision=precision)
        return layer(x)

    exact = outputs(plain, "float32")
    assert "tf32" in kernels.precisions(numpy)
    assert "tf32" not in kernels.precisions(plain)
    with pytest.raises(ValueError, match="precision tf32 is not offered by numpy, which has float32, float16"):
        outputs(plain, "tf32")
    errors = [np.abs(outputs(numpy, precision) - exact).max() for precision in ("float32", "tf32")]
    assert 0 < errors[0] < errors[1] < 2**-10 * np.abs(exact).max()


def test_a_step_is_the_same_with_and_without_twins():
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 16)).astype(np.float32)
    results = []
    for twins in (True, False):
        model = _model(twins=twins)
        logits, pullback = model.forward(x, train=True)
        _, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, np.arange(5) % 3)
        dx = pullback(loss_pullback())
        results.append((logits, dx, model.gradients.flat, model.buffers.flat, model(x)))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.max(np.abs(expected)))


def test_what_a_step_returned_stays_when_the_next_one_uses_memory_again():
    model = _model()
    generator = np.random.default_rng(0)
    kept, copies = [], []
    for _ in range(4):
        y = model(generator.normal(size=(64, 6, 6, 16)).astype(np.float32))
        y_conv, _ = model[0].forward(generator.normal(size=(64, 6, 6, 16)).astype(np.float32))
        kept += [y, y_conv[3:]]
        copies += [y.copy(), y_conv[3:].copy()]
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_memory_comes_back_when_nobody_holds_it():
    from xnn.kernels.numpy import memory

    memory.release()
    address = memory.empty((300, 100)).ctypes.data
    again = memory.empty((100, 300))
    assert again.ctypes.data == address
    view = again[5:]
    del again
    assert memory.empty((100, 300)).ctypes.data != address
    assert view.shape == (95, 300)


def test_winograd_can_be_refused(monkeypatch):
    from xnn.kernels.numpy.conv import suits_winograd

    geometry = windows("conv2d", (32, 32), 3, 1, 1)
    assert suits_winograd(geometry, 16, 32, 32)
    assert not suits_winograd(geometry, 4, 32, 32)
    assert not suits_winograd(geometry, 256, 3, 32)
    assert not suits_winograd(windows("conv2d", (32, 32), 3, 2, 1), 64, 32, 32)
    monkeypatch.setenv("XNN_WINOGRAD", "0")
    assert not suits_winograd(geometry, 16, 32, 32)
    monkeypatch.setenv("XNN_WINOGRAD", "never")
    with pytest.raises(SettingError, match=r"^\$XNN_WINOGRAD must be 0 or 1, not 'never'$"):
        suits_winograd(geometry, 16, 32, 32)


@pytest.mark.parametrize("length", [2**14, 2**14 + 1, 100_003])
def test_memory_begins_with_a_line_of_the_cache(length):
    from xnn.kernels.numpy import memory, threads

    memory.release()
    first, again = memory.empty((length,)), memory.empty((length,))
    arrays = [first, again, threads.scratch(f"test {length}", length)]
    assert [array.ctypes.data % 64 for array in arrays] == [0, 0, 0]
    assert [array.shape for array in arrays] == [(length,)] * 3
    for array in arrays:
        array[...] = 1.0
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))


def test_memory_a_little_larger_is_used_again():
    from xnn.kernels.numpy import memory

    memory.release()
    address = memory.empty((1000, 100)).ctypes.data
    smaller = memory.empty((900, 100))
    assert smaller.ctypes.data == address
    assert smaller.shape == (900, 100)
    del smaller
    assert memory.empty((700, 100)).ctypes.data != address


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("twins", [True, False])
def test_a_pullback_of_pooling_does_not_keep_the_image(name, twins):
    x = np.zeros((2, 4, 4, 8), np.float32)
    held = weakref.ref(x)
    _, pullback = getattr(kernels.functions(xnn.backend("numpy", twins=twins)), name)(x, 2)
    del x
    assert held() is None
    assert pullback(np.ones((2, 2, 2, 8), np.float32)).shape == (2, 4, 4, 8)


@pytest.mark.parametrize("twins", [True, False])
def test_a_pullback_of_global_pooling_does_not_keep_the_image(twins):
    x = np.zeros((2, 4, 4, 8), np.float32)
    held = weakref.ref(x)
    _, pullback = kernels.functions(xnn.backend("numpy", twins=twins)).global_max_pool2d(x)
    del x
    assert held() is None
    assert pullback(np.ones((2, 8), np.float32)).shape == (2, 4, 4, 8)


def test_a_library_needs_no_more_than_one_kind_of_twins(monkeypatch):
    pytest.importorskip("array_api_strict")
    called = []

    def relu(x):
        called.append(x.shape)
        return F.relu(x)

    name = "xnn.kernels.array_api_strict.few"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(relu=relu))
    monkeypatch.setitem(kernels.TABLE, "array_api_strict", (Twin(("relu",), "few"),))
    # What is looked up here is not kept for other tests.
    for function in ("_is_served", "_functions"):
        monkeypatch.setattr(kernels, function, getattr(kernels, function).__wrapped__)
    # Without Numba's compiler only Numba's twins are missing.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    backend = xnn.backend("array_api_strict", twins=True)
    assert kernels.twins(backend) == {"relu": name}
    assert kernels.precisions(backend) == backend.precisions
    assert (kernels.products(backend), kernels.held_back(backend)) == ({}, None)
    assert kernels.single_pass(backend, "float32", "clip_norm") is None

    model = nn.Sequential(nn.Linear(3), nn.ReLU(), nn.Linear(2)).build((4,), backend=backend)
    trainer = xnn.Trainer(
        model, optim.Adam(model, 0.1), clip_norm=1.0, average=optim.ExponentialMovingAverage(model, 0.9)
    )
    random = np.random.default_rng(0)
    trainer.fit((random.normal(size=(6, 4)), random.integers(0, 2, 6)), epochs=1, batch_size=3)
    assert called == [(3, 3)] * 2
    kernels.side_by_side(backend, [lambda: called.append("a"), lambda: called.append("b")], [1, 1])
    assert called[2:] == ["a", "b"]
