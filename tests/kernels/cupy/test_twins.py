"""Every twin of one function for CuPy equals its reference, whatever it is called with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cupy")
from tests.functional.cases import CASES
from tests.kernels.bounds import BOUNDS
from xnn import functional as F
from xnn import kernels
from xnn.kernels.table import CUPY
from xnn.testing import check_twin

FUNCTIONS = {row.names[0] for row in CUPY if len(row.names) == 1 and hasattr(F, row.names[0])}
# Dropout takes a stream of random numbers: test_dropout.py.
twin_cases = pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in FUNCTIONS and c.name != "dropout"], ids=lambda case: case.name
)
# Sums of float16 are in float32 in the twins, and may be in float16 in the references.
HALF = {"rtol": 2e-2, "atol": 2e-3}


def _twin(name):
    from xnn.backends import backend

    return getattr(kernels.functions(backend("cupy", twins=True)), name)


def _as(dtype, argument):
    floating = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(dtype) if floating else argument


def test_every_twin_has_a_case():
    assert FUNCTIONS - {case.name for case in CASES} <= {"batch_norm_statistics"}


@twin_cases
@given(data=st.data())
def test_a_twin_equals_its_reference(case, data):
    call = data.draw(case.calls)
    args = [_as(np.float32, argument) for argument in call.args]
    check_twin(getattr(F, case.name), _twin(case.name), args, call.options, backend="cupy", **BOUNDS.get(case.name, {}))


@twin_cases
@given(data=st.data())
def test_float16_agrees(case, data):
    if case.name in ("batch_norm", "layer_norm"):
        pytest.skip("a variance that nearly vanishes leaves no digits in float16: test_normalization.py")
    call = data.draw(case.calls)
    args = [_as(np.float16, argument) for argument in call.args]
    check_twin(getattr(F, case.name), _twin(case.name), args, call.options, backend="cupy", **HALF)


@twin_cases
@given(data=st.data())
def test_float64_is_the_reference(case, data):
    call = data.draw(case.calls)
    check_twin(getattr(F, case.name), _twin(case.name), call.args, call.options, backend="cupy", rtol=1e-14)


@twin_cases
@given(data=st.data())
def test_arrays_with_strides_are_taken(case, data):
    call = data.draw(case.calls)
    args = [np.asfortranarray(_as(np.float32, a)) if isinstance(a, np.ndarray) else a for a in call.args]
    check_twin(getattr(F, case.name), _twin(case.name), args, call.options, backend="cupy", **BOUNDS.get(case.name, {}))


@twin_cases
@given(data=st.data())
def test_not_a_number_is_passed_on(case, data):
    import cupy

    call = data.draw(case.calls)
    args = [_as(np.float32, argument) for argument in call.args]
    args[0] = np.full_like(args[0], np.nan)
    args = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
    expected, _ = getattr(F, case.name)(*args, **call.options)
    found, _ = _twin(case.name)(*args, **call.options)
    np.testing.assert_array_equal(np.isnan(cupy.asnumpy(found)), np.isnan(cupy.asnumpy(expected)))


def _outcome(function, args, options):
    """The library of the result, or the error."""
    try:
        y, _ = function(*args, **options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return type(error), str(error)
    return type(y).__module__.partition(".")[0]


@twin_cases
@pytest.mark.parametrize("changed", ["list", "NumPy"])
@settings(max_examples=2)
@given(data=st.data())
def test_about_what_is_no_array_of_cupy_the_reference_says_what_it_says(case, changed, data):
    import cupy

    call = data.draw(case.calls)
    args = [_as(np.float32, argument) for argument in call.args]
    for place, argument in enumerate(args):
        if isinstance(argument, np.ndarray):
            others = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
            others[place] = argument.tolist() if changed == "list" else argument
            expected = _outcome(getattr(F, case.name), others, call.options)
            assert _outcome(_twin(case.name), others, call.options) == expected
