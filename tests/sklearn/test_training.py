"""What training promises: pieces that add up, stopping, and going on."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tests.sklearn.drawn import classifier, examples, regressor, seeds
from xnn import nn
from xnn.errors import NonFiniteLoss
from xnn.sklearn import Classifier
from xnn.sklearn.losses import SquaredError
from xnn.testing import check_pullback

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# --- answers ---


@given(seed=seeds, classes=st.integers(1, 5), dtype=st.sampled_from(["float32", "float64"]))
def test_probabilities_scores_and_predictions_agree(seed, classes, dtype):
    x, labels = examples(seed, classes=classes)
    network = classifier(dtype=dtype).fit(x, labels)
    probabilities, scores = network.predict_proba(x), network.decision_function(x)
    assert probabilities.shape == (len(x), classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(network.predict_log_proba(x), np.log(probabilities), atol=1e-4)
    likeliest = (scores > 0).astype(int) if classes == 2 else np.argmax(scores, axis=1)
    assert np.array_equal(network.predict(x), likeliest)
    if classes != 1:
        assert np.array_equal(np.argmax(probabilities, axis=1), likeliest)


@given(seed=seeds, order=st.permutations(range(3)))
def test_the_names_of_labels_do_not_matter(seed, order):
    x, labels = examples(seed)
    names = np.array(["apple", "pear", "plum"])
    by_number, by_name = (classifier().fit(x, y) for y in (labels, names[labels]))
    assert np.array_equal(by_name.predict(x), names[by_number.predict(x)])
    # Names in another order are only other columns: the classes are not alike at the beginning, but the labels are.
    renamed = classifier().fit(x, names[np.asarray(order)][labels])
    assert list(renamed.classes_) == list(names)
    assert set(renamed.predict(x)) <= set(names)


@given(seed=seeds, order=st.permutations(range(3)))
def test_renaming_labels_renames_predictions(seed, order):
    """With last-layer weights of zero no class is special, so a permutation of labels permutes all that follows."""
    x, labels = examples(seed)
    order = np.asarray(order)
    layers = [nn.Linear(6), nn.Tanh(), nn.Linear(3, weight_initializer=nn.initializers.zeros)]
    one, other = (classifier(hidden=None, layers=layers).fit(x, y) for y in (labels, order[labels]))
    np.testing.assert_allclose(other.predict_proba(x)[:, order], one.predict_proba(x), rtol=1e-9)


@given(seed=seeds, targets=st.sampled_from([None, 1, 3]))
def test_a_regressor_answers_in_the_shape_of_y(seed, targets):
    x, _ = examples(seed)
    y = np.random.default_rng(seed).normal(size=len(x) if targets is None else (len(x), targets))
    network = regressor().fit(x, y)
    assert network.predict(x).shape == y.shape
    assert network.n_outputs_ == (targets or 1)
    assert math.isfinite(network.score(x, y))


def test_a_column_and_a_vector_of_targets_train_alike():
    x, y = examples(0)
    one, other = regressor().fit(x, y), regressor().fit(x, y[:, None])
    assert np.array_equal(one.predict(x), other.predict(x)[:, 0])


# --- pieces ---


@given(seed=seeds, size=st.sampled_from([4, 6, 8]), solver=st.sampled_from(["sgd", "adam", "adamw", "rmsprop"]))
def test_batches_by_partial_fit_are_an_epoch(seed, size, solver):
    x, labels = examples(seed)
    options = {"solver": solver, "batch_size": size, "shuffle": False, "dtype": "float32"}
    whole = classifier(**options, max_iter=1).fit(x, labels)
    pieces = classifier(**options)
    for start in range(0, len(x), size):
        pieces.partial_fit(x[start : start + size], labels[start : start + size], classes=[0, 1, 2])
    assert np.array_equal(pieces.predict_proba(x), whole.predict_proba(x))
    assert np.mean(pieces.loss_curve_) == pytest.approx(whole.loss_, rel=1e-5)
    assert pieces.t_ == whole.t_ == len(x)


@given(seed=seeds, epochs=st.integers(1, 4))
def test_epochs_by_partial_fit_are_a_fit(seed, epochs):
    x, y = examples(seed)
    whole = regressor(max_iter=epochs, batch_size=5).fit(x, y)
    pieces = regressor(batch_size=5)
    for _ in range(epochs):
        pieces.partial_fit(x, y)
    assert np.array_equal(pieces.predict(x), whole.predict(x))
    assert pieces.loss_curve_ == whole.loss_curve_


@given(seed=seeds, first=st.integers(1, 3), second=st.integers(1, 3))
def test_a_warm_start_goes_on(seed, first, second):
    x, labels = examples(seed)
    # Without momentum, the optimizer has nothing to forget.
    options = {"solver": "sgd", "momentum": 0.0, "batch_size": 5, "learning_rate_init": 0.1}
    whole = classifier(**options, max_iter=first + second).fit(x, labels)
    warm = classifier(**options, max_iter=first, warm_start=True).fit(x, labels)
    warm.set_params(max_iter=second).fit(x, labels)
    assert np.array_equal(warm.predict_proba(x), whole.predict_proba(x))
    assert warm.loss_curve_ == whole.loss_curve_
    assert warm.n_iter_ == second


def test_going_on_wants_the_same_classes_and_features():
    x, labels = examples(0)
    network = classifier(warm_start=True).fit(x, labels)
    with pytest.raises(ValueError, match="not in classes_"):
        network.fit(x, labels + 1)
    with pytest.raises(ValueError, match="expecting 5 features"):
        network.fit(x[:, :4], labels)
    with pytest.raises(ValueError, match="first call of partial_fit"):
        network.partial_fit(x, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="classes must be given"):
        classifier().partial_fit(x, labels)
    with pytest.raises(ValueError, match="early_stopping"):
        classifier(early_stopping=True).partial_fit(x, labels, classes=[0, 1, 2])
    # Without it, a fit forgets.
    network.set_params(warm_start=False).fit(x[:, :4], labels + 1)
    assert list(network.classes_) == [1, 2, 3]


@given(seed=seeds)
def test_the_seed_decides(seed):
    x, labels = examples(seed)
    one, again, other = (classifier(random_state=s, batch_size=7).fit(x, labels) for s in (1, 1, 2))
    assert np.array_equal(one.predict_proba(x), again.predict_proba(x))
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))


# --- stopping ---


def test_training_stops_when_the_loss_no_longer_falls():
    x, labels = examples(0)
    network = classifier(max_iter=50, n_iter_no_change=4, tol=1e9).fit(x, labels)
    # The first epoch is the best; then five do not improve on it by that much.
    assert network.n_iter_ == len(network.loss_curve_) == 6


def test_an_end_before_convergence_is_told():
    x, labels = examples(0)
    with pytest.warns(ConvergenceWarning, match="max_iter=3") as told:
        classifier(n_iter_no_change=10).fit(x, labels)
    assert told[0].filename == __file__


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [{"learning_rate": "one-cycle"}, {"learning_rate": "linear"}, {"recipe": "mlp"}])
def test_a_course_with_an_end_is_followed_to_it(options):
    x, labels = examples(0)
    network = classifier(n_iter_no_change=1, tol=1e9, max_iter=7, **options).fit(x, labels)
    assert network.n_iter_ == 7
    assert network.history_[-1]["lr"] < network.history_[2]["lr"]


@pytest.mark.parametrize(
    "options", [{"learning_rate": "linear"}, {"recipe": "mlp"}, {"solver": "muon", "learning_rate": "cosine"}]
)
def test_pieces_after_such_a_course_have_its_highest_rate(options):
    x, labels = examples(0)
    network = classifier(learning_rate_init=0.125, **options).fit(x, labels)
    assert network.history_[-1]["lr"] < 0.125
    assert network.partial_fit(x, labels).history_[-1]["lr"] == 0.125


def test_an_adaptive_rate_falls_before_it_stops():
    x, labels = examples(0)
    network = classifier(learning_rate="adaptive", learning_rate_init=1e-5, max_iter=99, n_iter_no_change=1, tol=1e9)
    rates = network.fit(x, labels).history_.column("lr")
    # 1e-5, 2e-6 and 4e-7: three epochs at the first, of which one is the best, and two at each other.
    assert rates == pytest.approx([1e-5] * 3 + [2e-6] * 2 + [4e-7] * 2)


def test_early_stopping_returns_to_the_best_epoch():
    digits = load_digits()
    x, labels = digits.data.astype(np.float32), digits.target
    network = Classifier(early_stopping=True, n_iter_no_change=3, solver="sgd", learning_rate_init=0.05, random_state=0)
    network.set_params(backend="numpy", max_iter=100).fit(x[:500], labels[:500])
    assert network.n_iter_ == len(network.validation_scores_) < 100
    assert network.best_validation_score_ == max(network.validation_scores_)
    assert network.best_loss_ is None
    best = network.validation_scores_.index(network.best_validation_score_)
    again = Classifier(**network.get_params() | {"max_iter": best + 1}).fit(x[:500], labels[:500])
    assert np.array_equal(again.predict_proba(x), network.predict_proba(x))


def test_too_few_examples_to_hold_some_out():
    x, y = examples(0)
    with pytest.raises(ValueError, match="holds out 1 examples"):
        regressor(early_stopping=True, validation_fraction=0.04).fit(x, y)


def test_divergence_says_what_to_do():
    x, _ = examples(0)
    with pytest.raises(
        NonFiniteLoss, match=r"^the training loss became \w+ in epoch \d+, step \d+: scale X, as with Sta"
    ):
        regressor(solver="sgd", learning_rate_init=1e6, max_iter=50).fit(1e6 * x, x[:, 0])


def test_verbose_tells_each_epoch(capsys):
    x, labels = examples(0)
    classifier(verbose=True, early_stopping=True).fit(x, labels)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"epoch 3/3: training loss \d\.\d{6}, validation score \d\.\d{4}", lines[-1])
    classifier().fit(x, labels)
    assert not capsys.readouterr().out


# --- beside scikit-learn ---


@given(seed=seeds, targets=st.integers(1, 3))
def test_the_squared_errors_gradient(seed, targets):
    rng = np.random.default_rng(seed)
    prediction, target, weight = rng.normal(size=(4, targets)), rng.normal(size=(4, targets)), rng.uniform(0.1, 1, 4)
    check_pullback(lambda p: SquaredError().forward(p, target, weight), [prediction])
    loss, _ = SquaredError().forward(prediction, target)
    assert loss == pytest.approx(np.mean((prediction - target) ** 2) * targets / 2)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_from_the_same_weights_both_libraries_train_alike(solver, activation, kind):
    x, labels = examples(3, classes=4)
    y = labels if kind == "classifier" else x[:, :2] ** 2
    same = {"solver": solver, "activation": activation, "learning_rate_init": 0.01, "alpha": 0.5, "batch_size": 8}
    # Both have eps, but not in the same place.
    same |= {"max_iter": 1, "shuffle": False, "random_state": 0, "epsilon": 1e-14}
    theirs = (MLPClassifier if kind == "classifier" else MLPRegressor)(**same, hidden_layer_sizes=6, warm_start=True)
    # Both begin with the weights that scikit-learn has after its first epoch, and with a new optimizer.
    theirs.fit(x, y)
    model = nn.Sequential(nn.Linear(6), *_activation(activation), nn.Linear(theirs.n_outputs_))
    model.build((5,), backend="numpy", dtype="float64")
    for layer, weight, bias in zip((model[0], model[-1]), theirs.coefs_, theirs.intercepts_, strict=True):
        layer.weight.value[...], layer.bias.value[...] = weight, bias
    ours = (classifier if kind == "classifier" else regressor)(**same, hidden=None, layers=model).fit(x, y)
    theirs.fit(x, y)
    answer = "predict_proba" if kind == "classifier" else "predict"
    np.testing.assert_allclose(getattr(ours, answer)(x), getattr(theirs, answer)(x), rtol=1e-7)


def _activation(name):
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}
    return [kinds[name]()] if name in kinds else []
