"""The gradient check itself: it passes what is right, and catches and describes what is wrong."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import testing
from xnn.testing import NotSmoothError, check_backends, check_pullback
from xnn.testing.differences import derivative
from xnn.testing.strategies import arrays

X, WEIGHT, BIAS = (np.random.default_rng(0).standard_normal(shape) for shape in ((4, 3), (3, 2), (2,)))


def spoiled(spoil):
    """Return `linear` with its gradients passed through `spoil`."""

    def spoiled_linear(x, weight, bias):
        y, pullback = F.linear(x, weight, bias)
        return y, lambda dy: spoil(*pullback(dy))

    return spoiled_linear


def changed(gradient, index, factor):
    gradient = gradient.copy()
    gradient[index] *= factor
    return gradient


@pytest.mark.parametrize(
    ("spoil", "culprit"),
    [
        (lambda dx, dw, db: (dx, dw, -db), r"argument 2 \(bias\) of shape \(2,\)"),
        (lambda dx, dw, db: (dx, changed(dw, (1, 0), 1.001), db), r"argument 1 \(weight\)[\s\S]*worst entry \(1, 0\)"),
        (lambda dx, dw, db: (1.0001 * dx, dw, db), r"argument 0 \(x\)"),
        (lambda dx, dw, db: (changed(dx, (2, 1), np.nan), dw, db), r"0 \(x\) of shape \(4, 3\): nan at \(2, 1\)"),
        (lambda dx, dw, db: (dx, dw.T, db), r"the gradient of argument 1 \(weight\) has shape \(2, 3\).*has \(3, 2\)"),
        (lambda dx, dw, db: (dx, dw, None), r"argument 2 \(bias\) has an argument but no gradient"),
        (lambda dx, dw, db: (dx, dw.astype("float32"), db), "gradient 1 is float32"),
    ],
)
def test_a_wrong_gradient_is_caught_and_named(spoil, culprit):
    with pytest.raises(AssertionError, match=f"spoiled_linear: .*{culprit}"):
        check_pullback(spoiled(spoil), (X, WEIGHT, BIAS))


@given(seed=st.integers(0, 999), position=st.integers(0, 5))
def test_a_single_wrong_entry_is_caught_whatever_the_direction(seed, position):
    index = np.unravel_index(position, WEIGHT.shape)
    with pytest.raises(AssertionError, match="worst entry"):
        check_pullback(spoiled(lambda dx, dw, db: (dx, changed(dw, index, 2.0), db)), (X, WEIGHT, BIAS), seed=seed)


def test_the_report_holds_what_is_needed_to_look_into_it():
    with pytest.raises(AssertionError) as raised:
        check_pullback(spoiled(lambda dx, dw, db: (dx, dw, 2 * db)), (X, WEIGHT, BIAS))
    report = str(raised.value)
    shapes = "x (4, 3), weight (3, 2), bias (2,)"
    for part in ("<pullback(w), v> =", "d/dt <w, f(... + t v)> =", shapes, "v = [", "w = [["):
        assert part in report


@given(position=st.integers(0, 2999), seed=st.integers(0, 99))
def test_the_wrong_entry_of_very_many_is_found(position, seed):
    x = np.random.default_rng(seed).standard_normal((30, 100))
    index = tuple(int(i) for i in np.unravel_index(position, x.shape))

    wrong = np.zeros(x.shape)
    wrong[index] = 1e4

    def product(x):
        return x * x, lambda dy: 2 * x * dy + wrong

    with pytest.raises(AssertionError, match=re.escape(f"worst entry {index}: ")):
        check_pullback(product, (x,), seed=seed)


def test_a_report_shows_twenty_numbers_of_an_array():
    wide = np.random.default_rng(0).standard_normal((2, 10)), np.random.default_rng(1).standard_normal((10, 3))
    with pytest.raises(AssertionError) as raised:
        check_pullback(lambda x, w: (x @ w, lambda dy: (dy @ w.T, 2 * x.T @ dy)), wide)
    v, w = str(raised.value).split("\n  v = ")[1].split("\n  w = ")
    assert re.fullmatch(r"\[(-?[\d.e-]+, ){20}\.\.\.\] \(30 numbers\)", v)
    assert len(re.findall(r"-?\d+\.\d*", w)) == 6
    assert len(str(raised.value)) < 1000


def test_options_and_arguments_that_are_no_arrays():
    check_pullback(F.linear, (X, WEIGHT, None))
    check_pullback(F.leaky_relu, (X,), {"slope": 0.3})
    check_pullback(F.softmax_cross_entropy, (X, np.array([0, 1, 2, 0])), {"label_smoothing": 0.1})
    check_pullback(F.mse, (X, X + 1.0), differentiable=[0])
    with pytest.raises(AssertionError, match="1 gradients for 2 arguments"):
        check_pullback(F.mse, (X, X + 1.0), differentiable=[0, 1])


def test_float32_arguments_are_checked_in_float64():
    check_pullback(F.gelu, (X.astype("float32"),))


@pytest.mark.parametrize(
    "change", ["the function changes argument 0 (x)", "the pullback changes argument 0 (x)", "the pullback changes dy"]
)
def test_a_change_in_place_is_caught(change, backend):
    def meddling(x):
        if change.startswith("the function"):
            x[0, 0] = 5.0

        def pullback(dy):
            changed = dy if change.endswith("dy") else x
            changed[0, 0] = 5.0
            return dy

        return x * 1.0, pullback

    with pytest.raises(AssertionError, match=rf"meddling: {re.escape(change)} in place"):
        check_pullback(meddling, (X,), backend=backend)


def rough(x):
    return np.sin(1e7 * x), lambda dy: 1e7 * np.cos(1e7 * x) * dy


def test_on_a_kink_or_where_a_function_is_rough_there_is_no_verdict():
    with pytest.raises(NotSmoothError, match=r"relu: finite differences for argument 0 \(x\) do not settle"):
        check_pullback(F.relu, (np.array([1.0, 0.0, -1.0]),))
    with pytest.raises(NotSmoothError, match=r"rough: .*do not settle"):
        check_pullback(rough, (X,))


def test_a_step_that_stays_clear_of_the_kink():
    check_pullback(F.relu, (np.array([1.0, 1e-6, -1.0]),), step=1e-7)


@given(x=arrays((3,)), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_functions_of_other_magnitudes(x, scale):
    def cube(x):
        return scale * x**3, lambda dy: 3.0 * scale * x**2 * dy

    check_pullback(cube, (x,))


def test_at_a_minimum_of_zero():
    target = np.array([0.1, 0.7, -3.3])
    check_pullback(F.mse, (target, target.copy()), differentiable=[0])


def damped(x, weight):
    """A function of a user's own: y = z³ e⁻ᶻ, z = x W."""
    z = x @ weight
    y = z**3 * np.exp(-z)

    def pullback(dy):
        dz = dy * (3 * z**2 - z**3) * np.exp(-z)
        return dz @ weight.T, x.T @ dz

    return y, pullback


@given(x=arrays((2, 3)), weight=arrays((3, 2)), seed=st.integers(0, 99))
def test_the_complex_step_is_right_to_the_last_digits(x, weight, seed):
    check_pullback(damped, (x, weight / 3.0), method="complex", rtol=1e-13, seed=seed)


@given(position=st.integers(0, 1), seed=st.integers(0, 99))
def test_the_complex_step_sees_what_differences_cannot(position, seed):
    def nearly_right(x, weight):
        y, pullback = damped(x, weight)
        return y, lambda dy: [g * (1.0 + 1e-9 * (number == position)) for number, g in enumerate(pullback(dy))]

    check_pullback(nearly_right, (X, WEIGHT), seed=seed)
    with pytest.raises(AssertionError, match=rf"argument {position} [\s\S]*worst entry .* the complex step"):
        check_pullback(nearly_right, (X, WEIGHT), method="complex", seed=seed)


def test_the_complex_step_of_a_rough_function_needs_a_small_step_beside_it():
    with pytest.raises(ValueError, match=r"rough: .*bends within 0.01 .give a smaller step"):
        check_pullback(rough, (X,), method="complex")
    check_pullback(rough, (X,), method="complex", step=1e-9)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.abs, np.sign),
        (lambda x: x * np.conj(x), lambda x: 2 * x),
        (lambda x: np.exp(x) + x.real, lambda x: np.exp(x) + 1),
    ],
    ids=["abs", "conj", "real"],
)
def test_a_function_that_is_not_analytic_has_no_complex_step(f, slope):
    def bent(x):
        return f(x), lambda dy: dy * slope(x)

    check_pullback(bent, (X,))
    with pytest.raises(ValueError, match=r"bent: the complex step gives .* for argument 0 \(x\) .*method='central'"):
        check_pullback(bent, (X,), method="complex")


def test_a_function_of_real_arrays_has_no_complex_step():
    with pytest.raises(TypeError, match="tanh takes no complex arguments, use method='central': tanh: x must be"):
        check_pullback(F.tanh, (X,), method="complex")
    with pytest.raises(ValueError, match="method must be one of central, complex, not 'forward'"):
        check_pullback(F.tanh, (X,), method="forward")


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 0)])
def test_arrays_without_axes_or_elements(shape):
    check_pullback(F.tanh, (np.full(shape, 0.5),))


@given(rate=st.floats(-3, 3), step=st.sampled_from([1e-1, 1e-2, 1e-3]))
def test_the_error_estimate_covers_the_error(rate, step):
    estimate = derivative(lambda t: math.exp(rate * t) + math.sin(t), step, 1e-12)
    rounding = 1e-14 / step
    assert abs(estimate.value - (rate + 1.0)) <= 10 * estimate.error + rounding
    assert estimate.error < 1e-7


def test_backends_that_agree(backends):
    check_backends(F.conv2d, (np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2)), None), {"padding": 1}, backends=backends)
    check_backends(F.gelu, (X.astype("float32"),), backends=backends, rtol=1e-5)


@pytest.mark.parametrize(
    ("elsewhere", "complaint"),
    [
        (lambda x: (x * 2.0, lambda dy: dy * 1.001), r"gradient 0 differs between numpy and array_api_strict.* by up"),
        (lambda x: (x[:2, :] * 2.0, lambda dy: dy), r"y is float64 \(4, 3\) on numpy but float64 \(2, 3\) on array_"),
        (lambda x: (x * 2.0, lambda dy: None), r"numpy gives .*'gradient 0'\] but array_api_strict.* \['y'\]"),
    ],
)
def test_backends_that_differ_are_named(elsewhere, complaint):
    pytest.importorskip("array_api_strict")

    def f(x):
        return (x * 2.0, lambda dy: dy) if isinstance(x, np.ndarray) else elsewhere(x)

    with pytest.raises(AssertionError, match=complaint):
        check_backends(f, (X,), backends=["numpy", "array_api_strict"])


def test_a_callable_without_a_signature_has_its_arguments_numbered():
    """As functions written in C may be."""

    class Opaque:
        @property
        def __signature__(self):
            raise ValueError("no signature found")

        def __call__(self, x):
            return x * 1.0, lambda dy: 2.0 * dy

    with pytest.raises(AssertionError, match=r"Opaque: the pullback is wrong for argument 0 of shape \(4, 3\)"):
        check_pullback(Opaque(), (X,))


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match=r"module 'xnn.testing' has no attribute 'check_everything'"):
        testing.check_everything  # noqa: B018 - looking it up is what fails


def test_the_strategies_are_loaded_when_first_used(monkeypatch):
    monkeypatch.delattr(testing, "strategies")
    monkeypatch.delitem(sys.modules, "xnn.testing.strategies")
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs Hypothesis, .*: pip install '\.\[testing\]'"):
        testing.strategies  # noqa: B018 - looking it up is what loads it


def test_the_checks_need_no_hypothesis_and_the_strategies_say_that_they_do():
    program = """
import sys
sys.modules["hypothesis"] = None
import numpy as np
from xnn import functional as F, nn, testing
testing.check_pullback(F.tanh, (np.ones(3),))
testing.check_layer(nn.Linear(2), (3,))
try:
    testing.strategies
except ModuleNotFoundError as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == (
        "xnn.testing.strategies needs Hypothesis, which is not installed: pip install '.[testing]' in a clone of xnn"
    )
