import math
import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.functional import conv
from xnn.testing.strategies import arrays, conv_geometries

from . import naive
from .peer import assert_equals_torch, dy_like


@st.composite
def calls(draw, geometries=conv_geometries()):  # noqa: B008 - strategies are immutable
    geometry = draw(geometries)
    args = [draw(arrays(shape)) for shape in (geometry.x, geometry.weight, geometry.weight[3:])]
    return args, geometry.options


@given(call=calls())
def test_equals_a_loop_over_windows(call):
    args, options = call
    y, _ = F.conv2d(*args, **options)
    np.testing.assert_allclose(y, naive.conv2d(*args, **options), rtol=0, atol=1e-12)


@given(call=calls())
def test_equals_torch(call):
    torch = pytest.importorskip("torch")
    arrays, options = call
    strides, dilations = naive.pair(options["stride"]), naive.pair(options["dilation"])
    extents = [(k - 1) * d + 1 for k, d in zip(arrays[1].shape[:2], dilations, strict=True)]
    (top, bottom), (left, right) = naive.margins(options["padding"], arrays[0].shape[1:3], extents, strides)

    def peer(x, weight, bias):
        padded = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
        filters = weight.permute(3, 2, 0, 1).contiguous()
        y = torch.nn.functional.conv2d(padded, filters, bias, strides, 0, dilations, options["groups"])
        return y.permute(0, 2, 3, 1)

    assert_equals_torch(partial(F.conv2d, **options), peer, *arrays, atol=1e-11)


@given(call=calls(), seed=st.integers(0, 9))
def test_is_linear_in_the_image_and_in_the_filter(call, seed):
    (x, weight, _), options = call
    random = np.random.default_rng(seed)
    x2, weight2 = random.standard_normal(x.shape), random.standard_normal(weight.shape)

    def value(x, weight):
        return F.conv2d(x, weight, **options)[0]

    np.testing.assert_allclose(
        value(2.0 * x - x2, weight), 2.0 * value(x, weight) - value(x2, weight), rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(
        value(x, 2.0 * weight - weight2), 2.0 * value(x, weight) - value(x, weight2), rtol=0, atol=1e-11
    )


@given(data=st.data(), shift=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_commutes_with_translation_away_from_the_borders(data, shift):
    x, weight = data.draw(arrays((2, 4, 4, 2))), data.draw(arrays((3, 3, 2, 2)))
    canvas = np.zeros((2, 10, 10, 2))
    here, there = canvas.copy(), canvas.copy()
    down, right = shift
    here[:, 2:6, 2:6, :] = x
    there[:, 2 + down : 6 + down, 2 + right : 6 + right, :] = x
    y, _ = F.conv2d(here, weight, padding=1)
    moved, _ = F.conv2d(there, weight, padding=1)
    np.testing.assert_allclose(moved, np.roll(y, shift, axis=(1, 2)), rtol=0, atol=1e-12)


@given(data=st.data(), padding=st.sampled_from(["same", 1, "valid"]))
def test_depthwise_equals_each_channel_by_itself(data, padding):
    x, weight = data.draw(arrays((2, 5, 4, 3))), data.draw(arrays((3, 2, 1, 3)))
    y, pullback = F.conv2d(x, weight, padding=padding, groups=3)
    dy = dy_like(y)
    dx, dweight, _ = pullback(dy)
    for c in range(3):
        one = slice(c, c + 1)
        y_c, pullback_c = F.conv2d(x[..., one], weight[..., one], padding=padding)
        dx_c, dweight_c, _ = pullback_c(dy[..., one])
        np.testing.assert_allclose(y[..., one], y_c, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dx[..., one], dx_c, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dweight[..., one], dweight_c, rtol=0, atol=1e-12)


# Of one image each; of four and three; of all.
@pytest.mark.parametrize("elements", [1, 648, 10**9])
def test_cutting_the_batch_into_blocks_changes_nothing(backend, monkeypatch, elements):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in ((7, 5, 5, 2), (3, 3, 2, 3), (3,))]
    expected = naive.conv2d(*arrays, 2, "same", 1, 1)
    whole, whole_pullback = F.conv2d(*arrays, stride=2, padding="same")
    monkeypatch.setattr(conv, "_BLOCK_ELEMENTS", elements)
    y, pullback = F.conv2d(*map(backend.asarray, arrays), stride=2, padding="same")
    np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=0, atol=1e-12)
    dy = dy_like(whole)
    for found, wanted in zip(pullback(backend.asarray(dy)), whole_pullback(dy), strict=True):
        np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=0, atol=1e-12)


@given(side=st.integers(1, 12), kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3))
def test_same_padding_makes_as_many_windows_as_strides_fit(side, kernel, stride, dilation):
    y, _ = F.conv2d(np.ones((1, side, 1, 1)), np.ones((kernel, 1, 1, 1)), None, stride, "same", dilation)
    assert y.shape == (1, math.ceil(side / stride), 1, 1)


GOOD = {"x": (2, 5, 5, 4), "weight": (3, 3, 4, 2), "bias": (2,)}


def channels(weight, inputs, groups):
    return (
        f"x with 4 channels does not fit weight {weight} (kh, kw, c / groups, o) in groups={groups}: "
        f"need c = {inputs} * groups, and groups must divide o = 2"
    )


def too_small(span, side, length):
    return (
        f"a window that spans {span} pixels does not fit the image's padded {side} of {length}; "
        "use a smaller window or dilation, or more padding"
    )


@pytest.mark.parametrize(
    ("wrong", "culprit"),
    [
        ({"x": (5, 5, 4)}, "x must have 4 axes (n, h, w, c), not the shape (5, 5, 4)"),
        ({"weight": (3, 3, 4)}, "weight must have 4 axes (kh, kw, c / groups, o), not the shape (3, 3, 4)"),
        ({"weight": (3, 3, 3, 2)}, channels("(3, 3, 3, 2)", 3, groups=1)),
        ({"bias": (3,)}, "bias must have shape (2,) (weight's output channels), not (3,)"),
        *(({"groups": groups}, channels("(3, 3, 4, 2)", 4, groups)) for groups in (3, 0, 2, True)),
        *(
            ({name: bad}, f"{name} must be a positive integer or a pair of them, not {bad!r}")
            for name in ("stride", "dilation")
            for bad in (0, 1.5, (1, 2, 3), True, (1, -1), (0, 1))
        ),
        *(
            (
                {"padding": bad},
                "padding must be 'same', 'valid', a non-negative integer, a pair, or ((above, below), (left, right)), "
                f"not {bad!r}",
            )
            for bad in (-1, "full", ((1, 1), (1,)), (1, 2, 3), (0, -1))
        ),
        ({"x": (2, 2, 5, 4)}, too_small(3, "height", 2)),
        ({"x": (2, 5, 2, 4)}, too_small(3, "width", 2)),
        ({"dilation": 3}, too_small(7, "height", 5)),
    ],
)
def test_bad_arguments_are_named(wrong, culprit):
    arrays = {name: np.ones(wrong.get(name, shape)) for name, shape in GOOD.items()}
    options = {name: value for name, value in wrong.items() if name not in GOOD}
    with pytest.raises(ValueError, match=f"^{re.escape(f'conv2d: {culprit}')}$"):
        F.conv2d(**arrays, **options)


@pytest.mark.parametrize(
    ("name", "shapes"), [("conv2d", ((2, 5, 5, 3), (3, 3, 3, 4))), ("linear", ((2, 5, 3), (3, 4)))]
)
def test_products_have_two_axes(monkeypatch, name, shapes):
    xp = pytest.importorskip("array_api_strict")
    x, weight = map(xp.ones, shapes)
    axes = []

    def matmul(a, b):
        axes.append((a.ndim, b.ndim))
        return xp.matmul(a, b)

    monkeypatch.setattr(type(x), "__matmul__", matmul)
    y, pullback = getattr(F, name)(x, weight)
    pullback(y)
    assert axes == [(2, 2)] * 3
