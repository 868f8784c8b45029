"""Properties that every function has, on every backend."""

import inspect

import array_api_compat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.testing import check_pullback

from .cases import CASES

NOT_DIFFERENTIABLE = {"batch_norm_statistics"}
# These move or add numbers of any type.
ANY_NUMBERS = {"reshape", "flatten", "sum_losses"}


def every_function(test):
    return pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)(given(data=st.data())(test))


class Called:
    """One call of a function on a backend: y, pullback, and a random dy."""

    def __init__(self, case, backend, args, options, arrange=None):
        self.backend = backend
        self.given = [self._array(a, arrange) if isinstance(a, np.ndarray) else a for a in args]
        self.y, self.pullback = case.bind(backend)(*self.given, **options)
        self.dtype = next(str(a.dtype) for a in args if isinstance(a, np.ndarray))

    def _array(self, array, arrange):
        on_device = self.backend.asarray(array)
        return arrange(self.backend.xp, on_device) if arrange else on_device

    def direction(self, seed=0):
        return np.asarray(np.random.default_rng(seed).standard_normal(self.y.shape)).astype(self.dtype)

    def value(self):
        return self.backend.to_numpy(self.y)

    def gradients(self, dy, **needs):
        """Return all gradients as a list of NumPy arrays; None where there is none."""
        dy = self.backend.asarray(dy) if isinstance(dy, np.ndarray) else dy
        return [None if g is None else np.asarray(self.backend.to_numpy(g)) for g in self.results(dy, **needs)]

    def results(self, dy, **needs):
        results = self.pullback(dy, **needs)
        return results if isinstance(results, tuple) else (results,)


def _same(found, expected, rtol=1e-12):
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.shape == expected.shape
        scale = np.max(np.abs(expected), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * scale)


def test_every_function_has_a_case():
    assert {case.name for case in CASES} == set(F.__all__) - NOT_DIFFERENTIABLE


@every_function
def test_the_pullback_is_the_adjoint_of_the_derivative(case, backend, data):
    call = data.draw(case.calls)
    names = {"softmax_cross_entropy": 1, "binary_cross_entropy_with_logits": 1, "mse": 1, "huber": 1}
    differentiable = range(names[case.name]) if case.name in names else None
    check_pullback(case.bind(backend), call.args, call.options, differentiable=differentiable, backend=backend)


@every_function
def test_the_pullback_is_linear_and_can_be_called_again(case, backend, data):
    call = data.draw(case.calls)
    called = Called(case, backend, call.args, call.options)
    u, v = called.direction(1), called.direction(2)
    of_u, of_v, of_both = (called.gradients(dy) for dy in (u, v, np.asarray(2.0 * u - 3.0 * v)))
    for du, dv, both, again in zip(of_u, of_v, of_both, called.gradients(u), strict=True):
        if du is not None:
            _same(both, 2.0 * du - 3.0 * dv)
            np.testing.assert_array_equal(again, du)


@every_function
def test_nothing_that_came_in_is_changed_or_handed_out(case, data):
    call = data.draw(case.calls)
    arrays = [a for a in call.args if isinstance(a, np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    called = Called(case, make_backend("numpy"), call.args, call.options)
    dy = called.direction()
    dy.flags.writeable = False
    results = called.results(dy)
    if not case.may_be_views:
        for result in (called.y, *(g for g in results if isinstance(g, np.ndarray))):
            assert not any(np.shares_memory(result, array) for array in (*arrays, dy))
            assert result.flags.writeable or result.ndim == 0


@every_function
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_device_stay(case, backend, dtype, data):
    _check_dtype_and_device(case, backend, dtype, data.draw(case.calls))


@every_function
@pytest.mark.parametrize("device", ["device1", "device2"])
def test_arrays_stay_on_a_second_device(case, device, data):
    pytest.importorskip("array_api_strict")
    _check_dtype_and_device(case, make_backend(f"array_api_strict:{device}"), "float32", data.draw(case.calls))


def _check_dtype_and_device(case, backend, dtype, call):
    args = [_cast(a, dtype) for a in call.args]
    called = Called(case, backend, args, call.options)
    results = called.results(backend.asarray(called.direction()))
    for array in (called.y, *(g for g in results if g is not None)):
        assert array.dtype == backend.dtype(dtype)
        assert array_api_compat.device(array) == backend.device


@every_function
def test_arrays_that_are_not_contiguous_work(case, backend, data):
    call = data.draw(case.calls)
    plain = Called(case, backend, call.args, call.options)
    strided = Called(case, backend, call.args, call.options, _not_contiguous)
    _same(strided.value(), plain.value())
    dy = plain.direction()
    found = strided.gradients(_not_contiguous(backend.xp, backend.asarray(dy)))
    for a, b in zip(found, plain.gradients(dy), strict=True):
        _same(a, b)


def _not_contiguous(xp, array):
    """Return equal numbers, laid out with the axes the other way round and every other one left out."""
    if array.ndim == 0:
        return array
    axes = tuple(reversed(range(array.ndim)))
    turned = xp.permute_dims(array, axes)
    spread = xp.reshape(xp.stack([turned, turned], axis=-1), (*turned.shape[:-1], 2 * turned.shape[-1]))
    return xp.permute_dims(spread[..., ::2], axes)


@every_function
def test_a_batch_equals_its_images_one_by_one(case, backend, data):
    call = data.draw(case.calls)
    if call.batched:
        whole = Called(case, backend, call.args, call.options)
        dy = whole.direction()
        gradients = whole.gradients(dy)
        for i in range(len(call.args[call.batched[0]])):
            image = Called(case, backend, _sliced(call, slice(i, i + 1)), call.options)
            _same(image.value(), whole.value()[i : i + 1])
            found = image.gradients(dy[i : i + 1])
            for position in call.batched:
                _same(found[position], gradients[position][i : i + 1])


@every_function
def test_an_empty_batch_works(case, backend, data):
    call = data.draw(case.calls)
    if call.batched:
        args = _sliced(call, slice(0, 0))
        whole = Called(case, backend, call.args, call.options)
        called = Called(case, backend, args, call.options)
        assert called.y.shape == (0, *whole.y.shape[1:])
        for position, gradient in enumerate(called.gradients(called.direction())):
            if gradient is not None:
                assert gradient.shape == args[position].shape
                assert not np.any(gradient)


def _sliced(call, images):
    return [a[images] if position in call.batched else a for position, a in enumerate(call.args)]


@every_function
def test_float32_agrees_with_float64(case, backend, data):
    call = data.draw(case.calls)
    double = Called(case, backend, call.args, call.options)
    single = Called(case, backend, [_cast(a, "float32") for a in call.args], call.options)
    _same(single.value(), double.value(), case.single)
    dy = single.direction()
    for found, expected in zip(single.gradients(dy), double.gradients(dy.astype("float64")), strict=True):
        _same(found, expected, case.single)


@every_function
def test_nan_in_is_nan_out(case, backend, data):
    call = data.draw(case.calls)
    floating = [i for i, a in enumerate(call.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.size]
    if floating:
        position = data.draw(st.sampled_from(floating))
        args = list(call.args)
        args[position] = np.full_like(args[position], np.nan)
        called = Called(case, backend, args, call.options)
        nan = np.isnan(called.value())
        kept = called.gradients(np.ones(called.y.shape))
        if case.name == "dropout":
            np.testing.assert_array_equal(nan, kept[0] != 0)
        elif case.name == "conv2d" and position == 0:
            # A window may lie in the padding altogether.
            seen, _ = F.conv2d(*(np.ones_like(a) for a in call.args[:2]), **call.options)
            np.testing.assert_array_equal(nan, seen > 0)
        else:
            assert np.any(nan) if case.nan == "some" else np.all(nan)


@pytest.mark.parametrize("name", ["linear", "conv2d", "batch_norm", "batch_norm_inference", "layer_norm", "add"])
@given(data=st.data())
def test_only_what_is_needed_is_computed(name, backend, data):
    (case,) = (case for case in CASES if case.name == name)
    call = data.draw(case.calls)
    called = Called(case, backend, call.args, call.options)
    dy = called.direction()
    everything = called.gradients(dy)
    needs = tuple(data.draw(st.lists(st.booleans(), min_size=len(everything), max_size=len(everything))))
    for need, found, expected in zip(needs, called.gradients(dy, needs=needs), everything, strict=True):
        if need:
            assert (found is None) == (expected is None)
            np.testing.assert_array_equal(found, expected)
        else:
            assert found is None


@every_function
def test_backends_agree(case, backends, data):
    call = data.draw(case.calls)
    reference = Called(case, make_backend("numpy"), call.args, call.options)
    dy = reference.direction()
    for backend in backends:
        called = Called(case, backend, call.args, call.options)
        _same(called.value(), reference.value(), 1e-11)
        for found, expected in zip(called.gradients(dy), reference.gradients(dy), strict=True):
            _same(found, expected, 1e-11)


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in ANY_NUMBERS], ids=lambda case: case.name)
@given(data=st.data())
def test_an_array_of_a_wrong_type_is_named(case, backend, data):
    call = data.draw(case.calls)
    floating = [i for i, a in enumerate(call.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    names = (
        [f"array {number}" for number in floating]
        if case.name == "concatenate"
        else list(inspect.signature(getattr(F, case.name)).parameters)
    )

    def refused(position, wrong, culprit):
        args = [wrong if i == position else a for i, a in enumerate(call.args)]
        with pytest.raises(TypeError, match=rf"^{case.name}: {culprit}$"):
            Called(case, backend, args, call.options)

    for position in floating:
        array, name, first = call.args[position], names[position], names[floating[0]]
        no_array = array.tolist()
        refused(position, no_array, f"{name} must be an array, not {type(no_array).__name__}")
        integers = array.astype("int64")
        refused(position, integers, rf"{name} must be an array of floating-point numbers, not \S*int64")
        if position != floating[0]:
            convert = "; convert one to the other"
            refused(position, _cast(array, "float32"), rf"{name} is \S*float32 but {first} is \S*float64{convert}")


def _cast(argument, dtype):
    floating = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(dtype) if floating else argument
