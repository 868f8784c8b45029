"""scikit-learn's own checks of estimators, and the tools that take estimators apart and put them together again."""

import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

import joblib  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from xnn import nn  # noqa: E402
from xnn.sklearn import Classifier, Regressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# The checks draw little data, for which BLAS's threads only wait for each other.
CHECKED = [Classifier(backend="numpy"), Regressor(backend="numpy")]


@parametrize_with_checks(CHECKED)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def small_digits(count=150):
    x, y = load_digits(return_X_y=True)
    return x[:count], y[:count]


FIXED = {"max_iter": 20, "random_state": 0, "backend": "numpy"}


def quick(**options):
    return Classifier(**{"hidden": (16,), "batch_size": 32, "learning_rate_init": 0.02} | FIXED | options)


def test_a_pipeline_with_a_grid_search_in_two_processes():
    x, y = small_digits()
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"classifier__alpha": [1e-4, 1e3]}, n_jobs=2, cv=2).fit(x, y)
    assert search.best_params_ == {"classifier__alpha": 1e-4}
    assert search.best_score_ > 0.7
    assert search.score(x, y) > 0.9


def test_cross_validation_of_images():
    digits = load_digits()
    layers = [nn.Conv2d(4, 3, stride=2), nn.ReLU()]
    network = quick(hidden=None, layers=layers, dtype="float32")
    assert cross_val_score(network, digits.images[:200], digits.target[:200], cv=2).mean() > 0.7


@pytest.mark.parametrize(
    "network",
    [
        quick(),
        quick(hidden=None, layers=[nn.Linear(8), nn.BatchNorm(), nn.GELU(), nn.Dropout(0.1)], solver="sgd"),
        quick(recipe="mlp", max_iter=3),
        quick(early_stopping=True, class_weight="balanced", normalize=True, dtype="float64"),
    ],
    ids=["plain", "layers", "recipe", "stopping"],
)
def test_a_copy_and_a_pickle_predict_and_go_on_alike(network, tmp_path):
    x, y = small_digits()
    network = clone(network).fit(x, y)
    joblib.dump(network, tmp_path / "network.joblib")
    for copied in (pickle.loads(pickle.dumps(network)), joblib.load(tmp_path / "network.joblib")):  # noqa: S301 - ours
        assert np.array_equal(copied.predict_proba(x), network.predict_proba(x))
        assert copied.get_params()["max_iter"] == network.max_iter
        if not network.early_stopping:
            original = pickle.loads(pickle.dumps(network))  # noqa: S301 - ours
            for each in (original, copied):
                # class_weight="balanced" would need to see all examples.
                each.set_params(class_weight=None).partial_fit(x[:100], y[:100])
            assert np.array_equal(original.predict_proba(x), copied.predict_proba(x))


def test_a_clone_is_not_fitted_and_shares_nothing():
    x, y = small_digits(100)
    layers = [nn.Linear(4), nn.ReLU()]
    network = quick(hidden=None, layers=layers, max_iter=2).fit(x, y)
    other = clone(network)
    assert not hasattr(other, "model_")
    assert other.layers[0] is not layers[0]
    # What was given is not trained, but a copy of it.
    assert not hasattr(layers[0], "parameters")
    other.fit(x, y)
    assert np.array_equal(other.predict_proba(x), network.predict_proba(x))


def test_sparse_data_is_refused_with_what_to_do():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="toarray"):
        quick().fit(sparse.csr_array(np.eye(4)), [0, 1, 0, 1])


def test_tables_name_the_features():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"width": [1.0, 2.0, 3.0, 4.0], "height": [0, 1, 0, 1]})
    labels = pandas.Series(["low", "low", "high", "high"], dtype="category")
    network = quick(max_iter=1).fit(table, labels)
    assert list(network.feature_names_in_) == ["width", "height"]
    assert set(network.predict(table)) <= {"low", "high"}
    with pytest.raises(ValueError, match="feature names"):
        network.predict(table[["height", "width"]])
