"""Calibration: bins, shares and the error that follows from them, beside scikit-learn's and a plain loop."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.training import calibration


@st.composite
def answers_in_bins(draw):
    """Confidences, of which about half lie on the edges of the bins, whether each answer is right, and the bins."""
    bins = draw(st.integers(1, 20))
    edges = st.sampled_from(np.linspace(0.0, 1.0, bins + 1).tolist())
    pairs = draw(st.lists(st.tuples(st.floats(0, 1) | edges, st.booleans()), min_size=1))
    confidence, right = zip(*pairs, strict=True)
    return np.array(confidence), np.array(right), bins


@given(answers_in_bins())
def test_the_curve_is_that_of_scikit_learn(drawn):
    peer = pytest.importorskip("sklearn.calibration", reason="scikit-learn is in the extra test")
    confidence, right, bins = drawn
    found = calibration(confidence, right, bins)
    filled = found.images > 0
    accuracy, mean = peer.calibration_curve(right, confidence, n_bins=bins, strategy="uniform")
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], mean)
    assert np.isnan(found.accuracy[~filled]).all()
    assert np.isnan(found.confidence[~filled]).all()


@given(answers_in_bins())
def test_each_answer_is_in_one_bin_and_the_error_is_the_mean_gap(drawn):
    confidence, right, bins = drawn
    found = calibration(confidence, right, bins)
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    assert found.images.sum() == len(right)
    for number, (low, high) in enumerate(pairwise(edges)):
        last = number == bins - 1  # the rounding of its edge leaves nothing out
        inside = ((confidence > low) | (number == 0)) & ((confidence <= high) | last)
        assert found.images[number] == inside.sum()
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found.error == pytest.approx(error, abs=1e-12)
    assert 0.0 <= found.error <= 1.0


@given(st.integers(1, 50), st.integers(1, 50))
def test_who_is_as_sure_as_right_has_no_error(hits, misses):
    share = hits / (hits + misses)
    right = np.arange(hits + misses) < hits
    assert calibration(np.full(len(right), share), right).error == pytest.approx(0.0, abs=1e-12)
    assert calibration(np.ones(len(right)), right).error == pytest.approx(1 - share)


@pytest.mark.parametrize(
    ("confidence", "right", "message"),
    [
        ([], np.empty(0, bool), "one length"),
        ([0.5], [True, False], "one length"),
        ([[0.5]], [[True]], "one length"),
        ([0.5], [1], "the second of bool"),
        ([1.5], [True], "from 0 to 1"),
        ([np.nan], [True], "from 0 to 1"),
    ],
)
def test_what_is_no_confidence_is_named(confidence, right, message):
    with pytest.raises(ValueError, match=message):
        calibration(confidence, right)
    with pytest.raises(ValueError, match=r"^bins must be an integer of at least 1, not 0$"):
        calibration([0.5], [True], 0)
