import gc
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

cupy = pytest.importorskip("cupy")

from xnn import functional as F  # noqa: E402
from xnn import kernels  # noqa: E402
from xnn.backends import backend as make_backend  # noqa: E402
from xnn.kernels.cupy import conv  # noqa: E402
from xnn.kernels.cupy.launching import watched  # noqa: E402
from xnn.kernels.cupy.vectors import LENGTHS, over_rows, vector_length  # noqa: E402
from xnn.testing import check_twin  # noqa: E402
from xnn.testing.strategies import ConvGeometry, conv_geometries  # noqa: E402

TYPES = st.sampled_from(["float16", "float32"])


@pytest.fixture(scope="module")
def twin():
    """Convolution as a model calls it, with the pending gradient written."""
    return kernels.functions(make_backend("cupy", twins=True)).conv2d


@pytest.fixture(autouse=True)
def fresh_memory():
    """Without CuPy's pool, which would hand out the reference's results again: an emulated device's memory is NaN."""
    with cupy.cuda.using_allocator(None):
        yield


def drawn(seed, dtype, *shapes):
    """Return arrays of small whole numbers, whose products and sums are exact in any type."""
    generator = np.random.default_rng(seed)
    return [None if shape is None else generator.integers(-2, 3, shape).astype(dtype) for shape in shapes]


def on_device(*arrays):
    return [None if a is None else cupy.asarray(a) for a in arrays]


def check(twin, geometry, dtype, with_bias, seed=0):
    arrays = drawn(seed, dtype, geometry.x, geometry.weight, geometry.weight[3:] if with_bias else None)
    # The reference rounds sums in float16 again and again, and their terms are up to 6.
    check_twin(F.conv2d, twin, arrays, geometry.options, backend="cupy", atol=0.03 if dtype == "float16" else 0.0)


@settings(max_examples=40)
@given(
    geometry=conv_geometries(max_side=9, max_channels=9),
    dtype=TYPES,
    with_bias=st.booleans(),
    workspace=st.sampled_from([1, 2000, 2**29]),
    seed=st.integers(0, 99),
)
def test_equals_the_reference(twin, geometry, dtype, with_bias, workspace, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "WORKSPACE", workspace)
        check(twin, geometry, dtype, with_bias, seed)


@settings(max_examples=40)
@given(
    geometry=conv_geometries(max_side=9, max_channels=1, max_groups=1),
    channels=st.integers(2, 17),
    each=st.integers(1, 2),
    dtype=TYPES,
    with_bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_depthwise_equals_the_reference(twin, geometry, channels, each, dtype, with_bias, seed):
    of = ConvGeometry(
        (*geometry.x[:3], channels), (*geometry.weight[:3], channels * each), geometry.options | {"groups": channels}
    )
    check(twin, of, dtype, with_bias, seed)


@pytest.mark.skipif("CUDAEMU_SHUFFLE" in os.environ, reason="takes minutes with threads in a random order")
@pytest.mark.parametrize(
    ("x", "weight", "padding", "groups"),
    [
        # More vectors in a row of columns than threads in a block, and more rows than threads in a grid.
        ((1, 50, 50, 41), (3, 3, 41, 2), 1, 1),
        # More channels than threads.
        ((2, 2, 2, 257), (2, 1, 257, 259), 1, 1),
        ((1, 50, 50, 514), (2, 1, 1, 514), 1, 514),
        # More pixels than a block adds up, so blocks have to.
        ((4, 40, 40, 4), (3, 3, 1, 4), 1, 4),
        ((4, 40, 40, 3), (3, 3, 1, 6), 1, 3),
        # More pixels than a thread adds up at once.
        ((1, 9, 9, 101), (13, 13, 1, 101), 6, 101),
    ],
)
def test_more_than_a_block_or_a_grid_has_at_once(twin, x, weight, padding, groups):
    check(twin, ConvGeometry(x, weight, {"padding": padding, "groups": groups}), "float32", with_bias=True)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 2}])
def test_kernels_of_one_pixel(twin, options):
    weight = (1, 1, 4 // options.get("groups", 1), 6)
    check(twin, ConvGeometry((2, 5, 4, 4), weight, options), "float32", with_bias=False)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("options", [{"stride": 2**33}, {"dilation": 2**31}, {"stride": 2**31 - 1}])
def test_strides_and_dilations_beyond_32_bits(twin, options, groups):
    """A stride says nothing where there is one window, and a dilation where that has one tap."""
    taps = (1, 1) if "dilation" in options else (3, 3)
    check(twin, ConvGeometry((2, 4, 4, 4), (*taps, 4 // groups, 4), options | {"groups": groups}), "float32", True)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_gradient_of_fewer_images_is_refused(twin, groups):
    x, weight, dy = on_device(*drawn(0, "float32", (2, 4, 4, 4), (3, 3, 4 // groups, 4), (1, 2, 2, 4)))
    _, pullback = twin(x, weight, groups=groups)
    with pytest.raises(ValueError, match=r"^conv2d: dy must have the shape \(2, 2, 2, 4\) of y, not \(1, 2, 2, 4\)"):
        pullback(dy)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_arrays_that_begin_anywhere(twin, groups):
    """Vectors of several numbers need places that are multiples of their size."""
    shapes = (2, 5, 5, 4), (3, 3, 4 // groups, 8 if groups < 4 else 4)
    x, weight = drawn(0, "float32", *shapes)
    expected, expected_pullback = F.conv2d(x, weight, groups=groups)

    def moved(array):
        flat = cupy.empty(array.size + 1, array.dtype)
        flat[1:] = cupy.asarray(array.ravel())
        return flat[1:].reshape(array.shape)

    y, pullback = twin(moved(x), moved(weight), groups=groups)
    np.testing.assert_array_equal(y.get(), expected)
    for gradient, wanted in zip(pullback(moved(expected))[:2], expected_pullback(expected)[:2], strict=True):
        np.testing.assert_array_equal(gradient.get(), wanted)


@pytest.mark.parametrize("order", ["strided", "of another type"])
def test_gradients_of_any_layout_and_type(twin, order):
    x, weight, dy = on_device(*drawn(0, "float16", (2, 4, 4, 3), (3, 3, 3, 2), (2, 2, 2, 2)))
    _, pullback = twin(x, weight)
    other = dy.astype("f") if order == "of another type" else cupy.repeat(dy, 2, axis=3)[..., ::2]
    for gradient, wanted in zip(pullback(other)[:2], pullback(dy)[:2], strict=True):
        assert gradient.dtype == wanted.dtype
        assert (gradient == wanted).all()


def operations(monkeypatch, call):
    """Return what a call launches, with the bytes moved, and how many products it makes."""
    launches, products, multiply = [], [], conv.multiply

    def counted(*arguments):
        products.append(arguments)
        return multiply(*arguments)

    monkeypatch.setattr(conv, "multiply", counted)
    with watched(lambda name, moved: launches.append((name, moved))):
        result = call()
    monkeypatch.undo()
    return launches, len(products), result


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_step_takes_few_operations(monkeypatch, is_kept):
    monkeypatch.setattr(conv, "_KEPT_SHARE", 16 if is_kept else 2**62)
    x, weight, bias = on_device(*drawn(0, "float16", (2, 5, 5, 8), (3, 3, 8, 16), (16,)))
    launches, products, (y, pullback) = operations(monkeypatch, lambda: conv.conv2d(x, weight, bias, padding=1))
    columns = 50 * 72 * 2
    made = ("im2col<__half, 8>", x.nbytes + columns)
    assert launches == [made, ("add_bias<__half, 8, Identity>", 2 * y.nbytes + bias.nbytes)]
    assert products == 1

    place = cupy.empty(weight.shape, "f")
    monkeypatch.setattr(conv, "_KEPT_SHARE", 16 if is_kept else 2**62)
    launches, products, _ = operations(monkeypatch, lambda: pullback(y, (True, True, False))[1].write(place))
    undone = ("col2im<__half, 8>", x.nbytes + columns)
    assert launches == ([undone] if is_kept else [undone, made])
    assert products == 2


def test_a_kernel_of_one_pixel_needs_no_columns(monkeypatch):
    x, weight = on_device(*drawn(0, "float32", (2, 5, 5, 8), (1, 1, 8, 16)))
    assert operations(monkeypatch, lambda: conv.conv2d(x, weight))[:2] == ([], 1)


def test_a_depthwise_convolution_is_one_launch():
    x, weight, bias = on_device(*drawn(0, "float16", (2, 5, 5, 8), (3, 3, 1, 8), (8,)))
    seen = []
    with watched(lambda name, moved: seen.append((name, moved))):
        y, pullback = conv.conv2d(x, weight, bias, groups=8)
        _, dweight, _ = pullback(y, (True, True, False))
        dweight.write(cupy.empty(weight.shape, "f"))
    assert seen == [
        ("depthwise<__half, 8>", x.nbytes + weight.nbytes + bias.nbytes + y.nbytes),
        ("image_gradient<__half, 8>", y.nbytes + weight.nbytes + x.nbytes),
        ("weight_gradient<__half, 4>", x.nbytes + y.nbytes + 2 * weight.nbytes),
    ]


def test_columns_are_kept_only_while_there_is_memory_and_until_the_pullback_goes(monkeypatch):
    x, weight = on_device(*drawn(0, "float32", (2, 6, 6, 2), (3, 3, 2, 2)))
    size = 2 * 16 * 18 * 4
    gc.collect()
    assert not conv._held
    monkeypatch.setattr(conv, "_memory", lambda device: 2 * size * conv._KEPT_SHARE)
    pullbacks = [conv.conv2d(x, weight)[1] for _ in range(3)]
    assert sum(each.nbytes for each in conv._held.values()) == 2 * size
    first = [pullback(conv.conv2d(x, weight)[0])[1].write() for pullback in pullbacks]
    assert all((each == first[0]).all() for each in first)
    del pullbacks
    gc.collect()
    assert not conv._held


def test_a_repeated_step_has_the_same_bits(twin):
    generator = np.random.default_rng(0)
    for groups, inputs in ((1, 6), (2, 3), (6, 1)):
        x, weight = (cupy.asarray(generator.standard_normal(s), "e") for s in ((9, 8, 8, 6), (3, 3, inputs, 6)))
        results = []
        for _ in range(2):
            y, pullback = twin(x, weight, padding="same", groups=groups)
            results.append([each.tobytes() for each in (y, *pullback(y)[:2])])
        assert results[0] == results[1]


@given(channels=st.integers(1, 40), dtype=st.sampled_from("ef"), start=st.integers(0, 8))
@example(channels=8, dtype="e", start=0)
def test_vectors_divide_channels_and_places(channels, dtype, start):
    x = cupy.empty(start + channels, dtype)[start:]
    length = int(vector_length(channels, x))
    assert str(length) in LENGTHS[dtype]
    assert channels % length == 0
    assert x.data.ptr % (length * x.itemsize) == 0
    # The next longer one would not do.
    longer = 2 * length * x.itemsize
    assert longer > 16 or channels % (2 * length) or x.data.ptr % longer


@given(rows=st.integers(1, 10**7), vectors=st.integers(1, 10**5))
def test_a_grid_covers_rows_and_vectors(rows, vectors):
    grid, block = over_rows(rows, vectors)
    assert grid[0] * block[0] >= vectors > (grid[0] - 1) * block[0]
    assert block[0] * block[1] <= 256
    assert grid[1] <= 4096
    # No block is without a row.
    assert (grid[1] - 1) * block[1] < rows
