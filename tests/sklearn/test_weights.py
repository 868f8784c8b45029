"""Weights of examples and classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from tests.sklearn.drawn import classifier, examples, regressor, seeds

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@given(seed=seeds, data=st.data())
def test_a_weight_is_a_number_of_repetitions(seed, data):
    x, labels = examples(seed)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(x), max_size=len(x))))
    # Of each class there is an example that counts: repetitions know of no others.
    counts[:3] = np.maximum(counts[:3], 1)
    for make, y in ((classifier, labels), (regressor, x[:, :2])):
        # With all examples in each batch; otherwise there are other batches.
        weighted = make(dtype="float64", alpha=0.1).fit(x, y, sample_weight=counts)
        repeated = make(dtype="float64", alpha=0.1).fit(np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0))
        np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
        answer = "predict_proba" if make is classifier else "predict"
        np.testing.assert_allclose(getattr(weighted, answer)(x), getattr(repeated, answer)(x), rtol=1e-6)


@given(seed=seeds, factor=st.sampled_from([0.5, 2.0, 1024.0]))
def test_a_common_factor_of_the_weights_changes_nothing_but_the_penalty(seed, factor):
    x, labels = examples(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 2.0, len(x))
    one, other = (classifier(alpha=0.0).fit(x, labels, sample_weight=w) for w in (weights, factor * weights))
    np.testing.assert_allclose(one.predict_proba(x), other.predict_proba(x), rtol=1e-6)


def test_class_weights_are_weights_of_their_examples():
    x, labels = examples(0)
    by_class = {0: 1.0, 1: 2.0, 2: 0.5}
    own = np.linspace(1, 2, len(x))
    one = classifier(class_weight=by_class).fit(x, labels, sample_weight=own)
    other = classifier().fit(x, labels, sample_weight=own * np.array([by_class[label] for label in labels]))
    assert np.array_equal(one.predict_proba(x), other.predict_proba(x))
    balanced = classifier(class_weight="balanced").fit(x, labels)
    counts = np.bincount(labels)
    same = classifier(class_weight=dict(enumerate(len(x) / (3 * counts)))).fit(x, labels)
    np.testing.assert_allclose(balanced.predict_proba(x), same.predict_proba(x), rtol=1e-9)


def test_weights_that_are_none_are_refused():
    x, labels = examples(0)
    for weights, message in ((np.zeros(len(x)), "weight|zero"), (-np.ones(len(x)), "egative")):
        with pytest.raises(ValueError, match=message):
            classifier().fit(x, labels, sample_weight=weights)
    with pytest.raises(ValueError, match="partial_fit"):
        classifier(class_weight="balanced").partial_fit(x, labels, classes=[0, 1, 2])


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_class_weights_that_are_none_are_refused(weight):
    x, labels = examples(0)
    with pytest.raises(ValueError, match=f"at least 0, not {weight:g} for class 1"):
        classifier(class_weight={1: weight}).fit(x, labels)


@pytest.mark.parametrize("by_class", [False, True])
def test_a_class_whose_examples_weigh_nothing_is_a_class(by_class):
    x, labels = examples(0)
    if by_class:
        network = classifier(class_weight={1: 0.0}).fit(x, labels)
    else:
        network = classifier().fit(x, labels, sample_weight=labels != 1)
    assert list(network.classes_) == [0, 1, 2]
    assert network.predict_proba(x).shape == (len(x), 3)
    assert network.t_ == 3 * np.sum(labels != 1)
