"""The check of twins: it passes what is right, and catches every way to be wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.random import Random
from xnn.testing import check_backends, check_twin
from xnn.testing.strategies import arrays, shapes

X, WEIGHT, BIAS = (np.random.default_rng(0).standard_normal(shape) for shape in ((4, 3), (3, 2), (2,)))
LINEAR = (X, WEIGHT, BIAS)


def twin_of(function, *, y=lambda y: y, gradients=lambda *gradients: gradients, back=None):
    """Return `function` with what it gives passed through `y` and `gradients`, or with `back` for its pullback."""

    def twin(*args, **options):
        value, pullback = function(*args, **options)

        def twins_pullback(dy, needs=(True, True, True)):
            return gradients(*pullback(dy, needs)) if back is None else back(pullback, dy, needs)

        return y(value), twins_pullback

    return twin


def add_at(array, index, amount):
    array = array.copy()
    array[index] += amount
    return array


def test_a_function_is_its_own_twin(backend):
    check_twin(F.linear, F.linear, LINEAR, backend=backend)
    check_twin(F.linear, twin_of(F.linear), (X, WEIGHT, None), backend=backend)
    check_twin(F.softmax_cross_entropy, F.softmax_cross_entropy, (X, np.array([0, 1, 2, 0])), backend=backend)
    check_twin(F.batch_norm, F.batch_norm, (X, BIAS[:1].repeat(3), None), {"eps": 1e-3}, backend=backend)


@given(data=st.data(), shape=shapes(0, 3, min_side=0), dtype=st.sampled_from(["float16", "float32", "float64"]))
def test_rounding_is_no_difference(data, shape, dtype):
    def other_softplus(x):
        exp = np.exp(x)
        return np.asarray(np.log1p(exp)), lambda dy: np.asarray(dy * (exp / (exp + 1)))

    check_twin(F.softplus, other_softplus, (data.draw(arrays(shape)).astype(dtype),))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ({"y": lambda y: add_at(y, (2, 1), 1e-9)}, r"y differs .* by up to 1e-09 at \(2, 1\), where its largest"),
        ({"y": lambda y: add_at(y, (2, 1), np.nan)}, r"y at \(2, 1\) is -?\d.* in the .* but nan in the twin"),
        ({"y": lambda y: y.astype("float32")}, r"y is float64 \(4, 2\) in the .* linear but float32 \(4, 2\) in"),
        ({"y": lambda y: y[:1]}, r"y is float64 \(4, 2\) in the reference linear but float64 \(1, 2\) in the twin"),
        ({"y": lambda y: y.sum()}, r"y is float64 \(4, 2\) in the reference linear but float64 \(\) in the twin"),
        ({"gradients": lambda dx, dw, db: (dx, dw, 2 * db)}, "gradient 2 differs between the reference linear and the"),
        (
            {"gradients": lambda dx, dw, db: (dx, dw * np.inf, db)},
            r"gradient 1 at \(0, 0\) is .* but -?inf in the twin",
        ),
        ({"gradients": lambda dx, dw, db: (dx.astype("float32"), dw, db)}, "gradient 0 is float64 .* but float32"),
        ({"gradients": lambda dx, dw, db: (dx, dw.T, db)}, r"gradient 1 is float64 \(3, 2\) .* but float64 \(2, 3\)"),
        ({"gradients": lambda dx, dw, db: (dx, dw, None)}, "gradient 2 is an array in the reference .* but None in"),
        ({"gradients": lambda dx, dw, db: (dx, dw)}, "result is a tuple of 3 in the reference .* but a tuple of 2 in"),
        ({"gradients": lambda dx, dw, db: dx}, "result is a tuple of 3 in the reference .* but no tuple in the twin"),
    ],
)
def test_a_twin_that_gives_something_else_is_caught(spoil, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_twin(F.linear, twin_of(F.linear, **spoil), LINEAR)


@given(seed=st.integers(0, 999), position=st.integers(0, 5), sign=st.sampled_from([-1, 1]))
def test_a_single_wrong_entry_is_caught_whatever_dy(seed, position, sign):
    index = np.unravel_index(position, WEIGHT.shape)
    spoiled = twin_of(F.linear, gradients=lambda dx, dw, db: (dx, add_at(dw, index, sign * 1e-8), db))
    with pytest.raises(AssertionError, match="gradient 1 differs"):
        check_twin(F.linear, spoiled, LINEAR, seed=seed)


@pytest.mark.parametrize(
    ("culprit", "complaint"),
    [
        ("function", r"the twin meddling: the function changes argument 0 \(x\) in place"),
        ("pullback", r"the twin meddling: the pullback changes argument 0 \(x\) in place"),
        ("dy", "the twin meddling: the pullback changes dy in place"),
    ],
)
def test_a_twin_that_changes_what_it_was_given_is_caught(culprit, complaint, backend):
    def meddling(x):
        y, pullback = F.tanh(x)
        if culprit == "function":
            x[0, 0] = 5.0

        def meddling_pullback(dy):
            dx = pullback(dy)
            if culprit == "pullback":
                x[0, 0] = 5.0
            if culprit == "dy":
                dy[0, 0] = 5.0
            return dx

        return y, meddling_pullback

    with pytest.raises(AssertionError, match=complaint):
        check_twin(F.tanh, meddling, (X,), backend=backend)


def test_a_twin_without_needs_is_caught():
    def eager(x, weight, bias):
        y, pullback = F.linear(x, weight, bias)
        return y, lambda dy: pullback(dy)

    with pytest.raises(AssertionError, match="the twin eager: the pullback takes no needs, as the reference's does"):
        check_twin(F.linear, eager, LINEAR)
    check_twin(eager, F.linear, LINEAR)


def changes_dy_later(pullback, dy, needs):
    gradients = pullback(dy, needs)
    if not needs[0]:
        dy *= 2.0
    return gradients


def gives_what_is_not_needed(pullback, dy, needs):
    return pullback(dy, (needs[0], True, needs[2]))


def forgets_the_bias_alone(pullback, dy, needs):
    dx, dw, db = pullback(dy, needs)
    return dx, dw, db if db is None or needs[1] else 0 * db


@pytest.mark.parametrize(
    ("back", "complaint"),
    [
        (changes_dy_later, "the pullback changes dy in place"),
        (
            gives_what_is_not_needed,
            r"gradient 1 with needs=\(True, False, True\) is None in .* but an array in the twin",
        ),
        (forgets_the_bias_alone, r"gradient 2 with needs=\(True, False, True\) differs"),
    ],
)
def test_a_pullback_that_is_wrong_when_less_is_needed_is_caught(back, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_twin(F.linear, twin_of(F.linear, back=back), LINEAR)


def test_an_array_of_another_library_or_device_is_caught():
    strict = pytest.importorskip("array_api_strict")

    def elsewhere(x):
        y, pullback = F.tanh(x)
        return strict.asarray(y), pullback

    with pytest.raises(AssertionError, match=r"y is an array of numpy on cpu in .* but an array of array_api_strict"):
        check_twin(F.tanh, elsewhere, (X,))

    def on_another_device(x):
        y, pullback = F.tanh(x)
        return y, lambda dy: strict.asarray(pullback(dy), device=strict.Device("device1"))

    with pytest.raises(AssertionError, match=r"gradient 0 is .*CPU_DEVICE.* in the reference .* but .*device1"):
        check_twin(F.tanh, on_another_device, (X,), backend="array_api_strict")


def test_a_python_number_is_no_array():
    def hasty(prediction, target):
        loss, pullback = F.mse(prediction, target)
        return float(loss), pullback

    with pytest.raises(AssertionError, match=r"y is an array of numpy on cpu in .* mse but a Python float in"):
        check_twin(F.mse, hasty, (X, X + 1.0))


def test_what_is_not_finite_must_be_so_on_both_sides():
    x = np.array([np.nan, 1.0, np.inf, -np.inf])

    def double(x):
        return x * 2.0, lambda dy: dy * 2.0

    check_twin(double, lambda x: (x + x, lambda dy: dy + dy), (x,))
    with pytest.raises(AssertionError, match=r"y at \(2,\) is inf in the reference double but -inf in the twin"):
        check_twin(double, lambda x: (np.where(x == np.inf, -x, x + x), lambda dy: dy + dy), (x,))


@pytest.mark.parametrize(("dtype", "hidden", "seen"), [("float32", 1e-6, 1e-4), ("float64", 1e-14, 1e-11)])
def test_the_tolerance_goes_with_the_dtype(dtype, hidden, seen):
    def times(factor):
        return lambda x: (x * np.asarray(factor, x.dtype), lambda dy: dy)

    args = (X.astype(dtype),)
    check_twin(times(1.0), times(1.0 + hidden), args)
    with pytest.raises(AssertionError, match="y differs"):
        check_twin(times(1.0), times(1.0 + seen), args)
    check_twin(times(1.0), times(1.0 + seen), args, rtol=2 * seen)
    check_twin(times(1.0), times(1.0 + seen), args, atol=10 * seen)


def test_a_dtype_without_a_tolerance_needs_one():
    x = X.astype(np.longdouble)
    if x.dtype == np.float64:
        pytest.skip("longdouble is float64 here")

    def same(x):
        return x * 1.0, lambda dy: dy * 1.0

    with pytest.raises(ValueError, match=rf"there is no default rtol for {x.dtype}; give one"):
        check_twin(same, same, (x,))
    check_twin(same, same, (x,), rtol=1e-12)


def test_a_twin_that_takes_the_memory_for_c_order_is_caught():
    def hasty(x):
        y, pullback = F.tanh(x)
        return np.reshape(np.ravel(y, order="K"), x.shape), pullback

    check_twin(F.tanh, hasty, (X,))
    with pytest.raises(AssertionError, match="y differs"):
        check_twin(F.tanh, hasty, (np.asfortranarray(X),))


def test_both_get_the_same_random_numbers():
    random = Random(make_backend("numpy"), 0)
    check_twin(F.dropout, F.dropout, (X, 0.5, random))
    assert random.counter == 0


def test_backends_are_checked_for_changes_in_place_too(backends):
    def meddling(x):
        x[0, 0] = 5.0
        return x * 1.0, lambda dy: dy

    with pytest.raises(AssertionError, match=r"meddling on numpy: the function changes argument 0 \(x\) in place"):
        check_backends(meddling, (X,), backends=["numpy", *backends])
