"""An estimator whose fit has failed is not fitted."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from tests.sklearn.drawn import classifier, examples, regressor
from xnn.errors import NonFiniteLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, LABELS = examples(0)


@pytest.mark.parametrize("fitted", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(
    ("network", "change", "error"),
    [
        (classifier(), {"beta_1": 2.0}, ValueError),
        (classifier(), {"solver": "lbfgs"}, ValueError),
        (regressor(solver="sgd"), {"learning_rate_init": 1e30}, NonFiniteLoss),
    ],
    ids=["beta", "solver", "divergence"],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_a_fit_that_fails_leaves_nothing_fitted(network, change, error, fitted):
    network = clone(network)
    if fitted:
        network.fit(X, LABELS)
    network.set_params(**change)
    with pytest.raises(error):
        network.fit(X, LABELS)
    with pytest.raises(NotFittedError):
        network.predict(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(network)


def test_a_loss_that_there_is_not_is_refused_before_anything_is_forgotten():
    network = regressor().fit(X, LABELS)
    before = network.predict(X)
    with pytest.raises(ValueError, match="loss must be one of squared_error, huber, not 'l1'"):
        network.set_params(loss="l1").fit(X, LABELS)
    assert np.array_equal(network.predict(X), before)


def test_a_piece_that_cannot_be_trained_on_leaves_what_was_learned():
    network = classifier().partial_fit(X, LABELS, classes=[0, 1, 2])
    before = network.predict_proba(X)
    with pytest.raises(ValueError, match="momentum"):
        network.set_params(momentum=2.0).partial_fit(X, LABELS)
    assert np.array_equal(network.predict_proba(X), before)
