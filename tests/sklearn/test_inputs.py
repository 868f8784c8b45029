"""What becomes of the numbers that an estimator is given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from tests.sklearn.drawn import classifier, examples, regressor, seeds
from xnn.sklearn.inputs import Scale

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@given(
    value=st.floats(-1e6, 1e6),
    count=st.integers(1, 50),
    dtype=st.sampled_from(["float32", "float64"]),
    shape=st.sampled_from([(2,), (3, 2, 2)]),
)
def test_what_does_not_vary_is_not_divided_by_rounding(value, count, dtype, shape):
    x = np.full((count, *shape), value, dtype)
    x[..., 1] = np.arange(x[..., 1].size).reshape(x.shape[:-1])
    scale = Scale(x)
    assert scale.deviation[0] == 1.0
    assert scale.deviation[1] == (pytest.approx(np.std(x[..., 1], dtype=np.float64)) if x[..., 1].size > 1 else 1.0)


def test_numbers_that_only_rounding_tells_apart_do_not_vary():
    x = np.array([[0.1 + 0.2], [0.3]] * 10)
    assert np.ptp(x) > 0.0
    assert Scale(x).deviation == 1.0
    # Small numbers around 0 do.
    assert Scale(x * 1e-30 - np.mean(x) * 1e-30).deviation != 1.0


@given(seed=seeds, images=st.booleans())
def test_the_network_takes_what_mean_and_scale_make(seed, images):
    rng = np.random.default_rng(seed)
    shape = (12, 3, 4, 2) if images else (12, 5)
    x, labels = rng.normal(5.0, 3.0, shape), np.arange(12) % 3
    network = classifier(normalize="auto" if images else True).fit(x, labels)
    assert network.mean_.shape == network.scale_.shape == (shape[-1],)
    outputs = network.model_(((x - network.mean_) / network.scale_).astype(network.model_.dtype))
    np.testing.assert_allclose(outputs, network.decision_function(x), rtol=1e-6, atol=1e-9)
    network.set_params(normalize=False).fit(x, labels)
    assert network.mean_ is None
    assert network.scale_ is None


def test_a_flag_may_be_numpy_s():
    x, labels = examples(0)
    for flag in (False, True):
        one, other = (classifier(normalize=each).fit(x, labels) for each in (flag, np.bool_(flag)))
        assert np.array_equal(one.predict_proba(x), other.predict_proba(x))


@pytest.mark.parametrize("normalize", [False, True])
def test_what_does_not_fit_into_the_type_is_named(normalize):
    x, _ = examples(0)
    large = np.where(np.arange(len(x))[:, None] == 2, 1e300, x)
    network = regressor(dtype="float32", normalize=normalize).fit(x, x[:, 0])
    message = r"X holds 1e\+300 in example 2, which is too large to compute with in float32: scale X.* dtype='float64'"
    with pytest.raises(ValueError, match=message):
        network.predict(large)
    with pytest.raises(ValueError, match=message):
        network.partial_fit(large, x[:, 0])
    assert np.isfinite(regressor(dtype="float64", max_iter=1).fit(x, x[:, 0]).predict(large)).all()
