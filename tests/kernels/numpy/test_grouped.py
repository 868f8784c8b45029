"""The twins of convolution in groups, depthwise and general, equal the reference for all geometries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import kernels
from xnn.backends import backend as make_backend
from xnn.testing import check_twin
from xnn.testing.strategies import conv_geometries

pytest.importorskip("numba")
from xnn.kernels.numpy import depthwise

twin = kernels.functions(make_backend("numpy", twins=True)).conv2d


@pytest.fixture(scope="module", params=[1, 2, 3], autouse=True)
def number_of_threads(request):
    """Each test runs with several numbers of threads, on pieces so small that there are some for each thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "_LEAST_PRODUCTS", 1)
        patch.setattr(depthwise, "_PIECE_NUMBERS", 2**11)
        _forget_plans()
        kernels.set_threads(request.param)
        yield request.param
    _forget_plans()
    kernels.set_threads(2)


def _forget_plans():
    depthwise._forward_plan.cache_clear()
    depthwise._backward_plan.cache_clear()


@st.composite
def _calls(draw, groups, group_inputs, group_outputs):
    """Draw (x, weight, bias) and options."""
    geometry = draw(conv_geometries(max_batch=4, max_side=9, max_kernel=5, max_channels=1, max_groups=1))
    count, inputs, outputs = draw(groups), draw(group_inputs), draw(group_outputs)
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = [(*geometry.x[:3], count * inputs), (*geometry.weight[:2], inputs, count * outputs), (count * outputs,)]
    x, weight, bias = (generator.normal(size=shape).astype(np.float32) for shape in shapes)
    return (x, weight, draw(st.sampled_from([None, bias]))), {**geometry.options, "groups": count}


depthwise_calls = _calls(st.integers(2, 70), st.just(1), st.integers(1, 3))
grouped_calls = _calls(st.integers(2, 9), st.integers(2, 20), st.integers(1, 20))
calls = depthwise_calls | grouped_calls


@given(call=depthwise_calls)
def test_depthwise_equals_the_reference(call):
    check_twin(F.conv2d, twin, *call)


@given(call=grouped_calls)
def test_groups_equal_the_reference(call):
    check_twin(F.conv2d, twin, *call)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("groups", [4, 64])
def test_both_serve_where_they_should(monkeypatch, groups, outputs):
    x, weight = np.ones((2, 8, 8, 64), np.float32), np.ones((3, 3, 64 // groups, 64 * outputs), np.float32)
    expected, _ = F.conv2d(x, weight, padding=1, groups=groups)
    monkeypatch.setattr(F, "conv2d", None)
    y, pullback = twin(x, weight, padding=1, groups=groups)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    assert all(gradient.dtype == np.float32 for gradient in pullback(y)[:2])


@pytest.mark.parametrize("groups", [8, 48])
def test_several_pieces_of_an_image_are_put_together(groups):
    generator = np.random.default_rng(0)
    shapes = [(3, 11, 13, 48), (3, 3, 48 // groups, 96), (96,)]
    args = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    check_twin(F.conv2d, twin, args, {"padding": "same", "groups": groups})


@given(call=calls)
def test_float64_is_the_reference_bit_for_bit(call):
    args, options = call
    args = [None if argument is None else argument.astype(np.float64) for argument in args]
    check_twin(F.conv2d, twin, args, options, rtol=0.0)


@given(call=calls, which=st.integers(0, 1))
def test_any_layout_of_memory_will_do(call, which):
    args, options = call
    args = [np.asfortranarray(a) if number == which else a for number, a in enumerate(args)]
    check_twin(F.conv2d, twin, args, options)


@given(call=calls)
def test_a_view_as_dy_will_do(call):
    args, options = call
    y, pullback = twin(*args, **options)
    dy = np.random.default_rng(0).normal(size=(*y.shape, 2)).astype(np.float32)[..., 0]
    for found, expected in zip(pullback(dy), pullback(np.ascontiguousarray(dy)), strict=True):
        np.testing.assert_array_equal(found, expected)


@given(call=calls)
def test_the_same_call_gives_the_same_bits(call):
    args, options = call
    results = []
    for _ in range(2):
        y, pullback = twin(*args, **options)
        results.append((y, *pullback(np.ones_like(y))))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@given(call=calls)
def test_nothing_that_came_in_is_changed_or_handed_out(call):
    args, options = call
    arrays = [a for a in args if a is not None]
    for array in arrays:
        array.flags.writeable = False
    y, pullback = twin(*args, **options)
    dy = np.ones_like(y)
    dy.flags.writeable = False
    for result in (y, *pullback(dy)):
        assert result is None or not any(np.shares_memory(result, array) for array in (*arrays, dy))


@pytest.mark.parametrize(
    ("groups", "weight", "bias"),
    [(3, (3, 3, 1, 4), (4,)), (4, (3, 3, 1, 6), (6,)), (4, (3, 3, 1, 4), (1,)), (0, (3, 3, 1, 4), (4,))],
)
def test_what_does_not_fit_is_refused_as_by_the_reference(groups, weight, bias):
    args = [np.ones(shape, np.float32) for shape in ((2, 5, 5, 4), weight, bias)]
    with pytest.raises(ValueError, match="conv2d: ") as expected:
        F.conv2d(*args, groups=groups)
    with pytest.raises(ValueError, match="conv2d: ") as found:
        twin(*args, groups=groups)
    assert str(found.value) == str(expected.value)
