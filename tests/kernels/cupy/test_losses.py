"""Softmax cross-entropy on CuPy equals the reference: loss and gradient in one launch."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
import cupy

from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import losses
from xnn.kernels.cupy.launching import watched
from xnn.kernels.cupy.losses import softmax_cross_entropy
from xnn.testing import check_twin

both_types = pytest.mark.parametrize("dtype", ["float32", "float16"])
CUPY = make_backend("cupy")
# Each number is a share of the batch, and may be nothing but rounding; the reference rounds each step to float16.
ATOL = {"float32": 1e-7, "float16": 2e-3}


@st.composite
def _calls(draw, dtype):
    random = np.random.default_rng(draw(st.integers(0, 99)))
    rows = draw(st.integers(1, 20))
    classes = draw(st.integers(1, 12) | st.sampled_from([31, 33, 256, 257, 700]))
    logits = (3.0 * random.standard_normal((rows, classes))).astype(dtype)
    kind = draw(st.sampled_from(["uint8", "int8", "int32", "int64", "uint64", dtype]))
    if kind == dtype:
        shares = random.random((rows, classes)) * (random.random((rows, classes)) < 0.5) + 1e-3
        labels = shares / shares.sum(axis=1, keepdims=True)
    else:
        labels = random.integers(0, min(classes, 127), rows)
    weights = (draw(st.none() | st.just(random.random(count).astype(dtype))) for count in (classes, rows))
    return logits, labels.astype(kind), draw(st.sampled_from([0.0, 0.1])), *weights


@pytest.mark.races
@both_types
@given(data=st.data())
def test_equals_the_reference(dtype, data):
    call = data.draw(_calls(dtype))
    check_twin(F.softmax_cross_entropy, softmax_cross_entropy, call, backend="cupy", atol=ATOL[dtype])


@pytest.mark.races
@pytest.mark.parametrize(("rows", "classes"), [(2200, 3), (300, 300)])
def test_more_rows_than_blocks(rows, classes):
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((rows, classes)).astype(np.float32), random.integers(0, classes, rows)
    call = logits, labels, 0.1, None, random.random(rows).astype(np.float32)
    for most in (1024, 3):
        with mock.patch.object(losses, "_MOST_BLOCKS", most):
            check_twin(F.softmax_cross_entropy, softmax_cross_entropy, call, backend="cupy", atol=1e-7)


@pytest.mark.parametrize("label", [-1, 3, 300])
@pytest.mark.parametrize("kind", ["int64", "int32", "int16"])
def test_a_label_out_of_range_makes_the_loss_not_a_number(label, kind):
    call = np.eye(4, 3, dtype=np.float32), np.array([0, 1, label, 2], kind)
    loss, _ = softmax_cross_entropy(*map(CUPY.asarray, call))
    assert bool(cupy.isnan(loss))
    for smoothing in (0.0, 0.1):
        check_twin(F.softmax_cross_entropy, softmax_cross_entropy, (*call, smoothing), backend="cupy", atol=1e-7)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("row", [[-INF, 1, 2], [1, -INF, 2], [-INF] * 3, [INF, 0, 1], [NAN, 0, 1], [3e38, -3e38, 0]])
@pytest.mark.parametrize("target", [0, 1, [0.0, 0.5, 0.5]], ids=str)
def test_logits_that_are_none_or_infinite(row, target):
    logits = np.array([[1, 2, 3], row], np.float32)
    labels = np.array([target, target]) if isinstance(target, int) else np.array([target, target], np.float32)
    for weight in (None, np.array([1, 0], np.float32), np.array([0, 0], np.float32)):
        call = logits, labels, 0.0, None, weight
        check_twin(F.softmax_cross_entropy, softmax_cross_entropy, call, backend="cupy", atol=1e-7)


def _call(dtype, weighted, rows=40, classes=10):
    random = np.random.default_rng(1)
    logits, labels = random.standard_normal((rows, classes)).astype(dtype), random.integers(0, classes, rows)
    weight = random.random(classes).astype(dtype) if weighted else None
    return [CUPY.asarray(logits), CUPY.asarray(labels), 0.1, None if weight is None else CUPY.asarray(weight)]


DLOSSES = [1, 1.0, 0.25, np.float32(3.0), np.full((1, 1), 2.0, np.float32)]
DLOSSES += [np.asarray(7.0, dtype) for dtype in ("float16", "float32", "float64")]


@pytest.mark.races
@both_types
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dloss", DLOSSES, ids=repr)
def test_the_gradient_of_what_the_loss_flows_into(dtype, weighted, dloss):
    call = _call(dtype, weighted)
    dloss = CUPY.asarray(dloss) if isinstance(dloss, np.ndarray) else dloss
    (_, pullback), (_, expected_pullback) = softmax_cross_entropy(*call), F.softmax_cross_entropy(*call)
    found, expected = pullback(dloss), expected_pullback(dloss)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    # The reference rounds what it has of float16 after each step.
    is_rounded = np.float16 in (call[0].dtype, getattr(dloss, "dtype", None))
    rtol, atol = (1e-3, 1e-3) if is_rounded else (1e-5, 1e-7)
    np.testing.assert_allclose(CUPY.to_numpy(found), CUPY.to_numpy(expected), rtol=rtol, atol=atol)


@both_types
@pytest.mark.parametrize("weighted", [False, True])
def test_no_gradient_is_handed_out_twice(dtype, weighted):
    call = _call(dtype, weighted)
    _, pullback = softmax_cross_entropy(*call)
    for dloss in (2.0, 1.0, 1.0, 2.0, 1.0):
        gradient = pullback(dloss)
        _, another = softmax_cross_entropy(*call)
        assert bool((gradient == another(dloss)).all())
        gradient[...] = cupy.nan


def test_gradients_that_float16_could_not_hold_are_not_lost():
    # Divided by the rows they are below 2**-25, and scaled by the loss they are not.
    rows, scale = 5000, CUPY.asarray(np.asarray(2.0**15, np.float32))
    logits = CUPY.asarray(np.tile(np.array([[0.0, -9.0]], np.float16), (rows, 1)))
    _, pullback = softmax_cross_entropy(logits, CUPY.asarray(np.zeros(rows, np.int64)))
    expected = np.exp(-9.0) / (1 + np.exp(-9.0)) / rows * 2.0**15
    np.testing.assert_allclose(CUPY.to_numpy(pullback(scale))[:, 1], expected, rtol=1e-3)


@pytest.mark.races
def test_the_same_bits_every_time():
    call = _call("float32", True, rows=3000)
    results = [softmax_cross_entropy(*call) for _ in range(3)]
    assert len({float(loss) for loss, _ in results}) == 1


def test_launches():
    seen = []
    logits, labels, smoothing, weight = _call("float32", True)
    forward = 2 * 400 * 4 + 40 * 8 + 4 + 5 * 8
    with watched(lambda kernel, moved: seen.append(moved)):
        _, pullback = softmax_cross_entropy(logits, labels, smoothing)
        pullback()
        assert seen == [forward]
        pullback(2.0)
        pullback(CUPY.asarray(np.asarray(2.0, np.float32)))
        assert seen[1:] == [forward, 2 * 1600, 2 * 1600 + 4]
        seen.clear()
        _, pullback = softmax_cross_entropy(logits, labels, smoothing, weight)
        pullback()
        assert seen == [forward + 40 + 4, 2 * 1600 + 4]


def test_wrong_arguments_raise_the_references_errors():
    logits = CUPY.asarray(np.ones((3, 2), np.float32))
    labels = CUPY.asarray(np.zeros(3, np.int64))
    with pytest.raises(TypeError, match="labels are of"):
        softmax_cross_entropy(logits, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="labels must have shape"):
        softmax_cross_entropy(logits, labels[:2])
    with pytest.raises(ValueError, match="label_smoothing"):
        softmax_cross_entropy(logits, labels, 1.0)
    with pytest.raises(ValueError, match="class_weight must have shape"):
        softmax_cross_entropy(logits, labels, 0.0, logits[0, :1])
    with pytest.raises(TypeError, match="must be integers"):
        softmax_cross_entropy(logits, labels.astype(np.float32))
    for wrong in ("a", None, True, [0.1]):
        with pytest.raises(ValueError, match="label_smoothing"):
            softmax_cross_entropy(logits, labels, wrong)
    with pytest.raises(TypeError, match="logits must be an array, not list"):
        softmax_cross_entropy([[1.0, 2.0]], labels)
    with pytest.raises(TypeError, match="class_weight must be an array, not list"):
        softmax_cross_entropy(logits, labels, 0.0, [1.0, 2.0])
    with pytest.raises(TypeError, match=r"class_weight is an array of .*numpy but logits of .*cupy"):
        softmax_cross_entropy(logits, labels, 0.0, np.ones(2, np.float32))
    with pytest.raises(ValueError, match="empty batch"):
        softmax_cross_entropy(logits[:0], labels[:0])


@pytest.mark.parametrize("kind", ["float64", "strided"])
def test_the_reference_serves_what_the_kernel_does_not(kind):
    logits = np.random.default_rng(0).standard_normal((4, 6))
    logits = logits if kind == "float64" else np.asfortranarray(logits.astype(np.float32))
    call = logits, np.array([0, 5, 2, 2])
    check_twin(F.softmax_cross_entropy, softmax_cross_entropy, call, backend="cupy", atol=1e-7)
