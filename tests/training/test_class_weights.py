import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.training.class_weights import balanced


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), seed=st.integers(0, 9))
def test_every_class_weighs_the_same_and_the_mean_weight_is_1(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    weights = np.array(balanced(labels, len(counts)))
    totals = weights * counts
    np.testing.assert_allclose(totals[totals > 0], np.count_nonzero(counts) ** -1.0 * len(labels))
    assert np.mean(weights[labels]) == pytest.approx(1.0)


def test_the_weights_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([2, 0, 0, 2, 2, 1, 0, 2])
    expected = sklearn.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced(labels, 3), expected)
