"""Metrics of the user's own, and those that come with xnn."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from xnn.backends import backend as make_backend
from xnn.training import F1, EarlyStopping, Precision, Recall, TopKAccuracy, class_scores


@st.composite
def batches(draw):
    """Logits without ties, and labels, cut into batches."""
    classes, sizes = draw(st.integers(2, 6)), draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = sum(sizes)
    logits = random.permutation(n * classes).reshape(n, classes).astype("float32")
    labels = random.integers(0, draw(st.integers(1, classes)), n)
    return np.split(logits, np.cumsum(sizes)[:-1]), np.split(labels, np.cumsum(sizes)[:-1])


def value_of(metric, backend, cut):
    for logits, labels in zip(*cut, strict=True):
        metric.update(backend.asarray(logits), backend.asarray(labels))
    return metric.compute()


@pytest.mark.parametrize(("metric", "peer"), [(Precision, "precision"), (Recall, "recall"), (F1, "f1")])
@given(cut=batches())
def test_means_over_classes_are_those_of_scikit_learn(backend, metric, peer, cut):
    scores = pytest.importorskip("sklearn.metrics")
    logits, labels = (np.concatenate(parts) for parts in cut)
    expected = getattr(scores, f"{peer}_score")(labels, logits.argmax(axis=1), average="macro", zero_division=0)
    assert value_of(metric(), backend, cut) == pytest.approx(expected, rel=1e-12)


LABELLED = st.integers(1, 8).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=40)
    )
)


@given(LABELLED)
def test_scores_of_each_class_are_those_of_scikit_learn(drawn):
    peer = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the extra test")
    classes, pairs = drawn
    labels, predicted = np.array(pairs).T
    found = class_scores(labels, predicted, classes)
    columns = found.precision, found.recall, found.f1
    expected = peer.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    occurs = np.isin(np.arange(classes), pairs)
    for column, values in zip(columns, expected, strict=False):
        np.testing.assert_allclose(column[occurs], values[occurs], rtol=1e-12)
        assert np.isnan(column[~occurs]).all()
    means = peer.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    assert [found.macro(name) for name in ("precision", "recall", "f1")] == pytest.approx(means[:3], rel=1e-12)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([], [], "one length"),
        ([0], [0, 1], "one length"),
        ([0.0], [0], "labels must be integers from 0 to 2"),
        ([0], [3], "predicted must be integers from 0 to 2"),
        ([-1], [0], "labels must be integers from 0 to 2"),
    ],
)
def test_what_are_no_classes_is_named(labels, predicted, message):
    with pytest.raises(ValueError, match=message):
        class_scores(labels, predicted, 3)


@given(cut=batches(), k=st.integers(1, 7))
def test_the_label_is_among_the_k_largest(backend, cut, k):
    logits, labels = (np.concatenate(parts) for parts in cut)
    best = np.argsort(-logits, axis=1)[:, :k]
    assert value_of(TopKAccuracy(k), backend, cut) == np.mean((best == labels[:, None]).any(axis=1))


def test_metrics_stay_on_a_second_device():
    pytest.importorskip("array_api_strict")
    cut = [np.eye(3, dtype="float32")], [np.array([0, 2, 2])]
    for metric in (TopKAccuracy(1), F1()):
        found = value_of(metric, make_backend("array_api_strict:device1"), cut)
        assert found == value_of(
            type(metric)(*([1] if isinstance(metric, TopKAccuracy) else [])), make_backend("numpy"), cut
        )


@pytest.mark.parametrize(
    "metric", [F1(), Precision(), Recall(), TopKAccuracy(2)], ids=lambda metric: type(metric).__name__
)
def test_targets_that_are_no_classes_are_named(metric):
    with pytest.raises(TypeError, match=r"needs outputs \(n, classes\) and labels \(n,\).*, not \(2, 3\) and \(2, 3\)"):
        metric.update(np.ones((2, 3)), np.ones((2, 3)))


class Count:
    """Images seen."""

    def __init__(self):
        self.images = 0

    def update(self, output, labels):
        self.images += len(labels)

    def compute(self):
        return self.images


class Nothing(Count):
    def compute(self):
        return float("nan")


def test_each_pass_measures_anew_and_the_values_are_in_rows_and_results():
    trainer = small.make_trainer(metrics={"f1": F1(), "seen": Count(), "nothing": Nothing()}, held_out="test")
    data = small.separable(0)
    history = trainer.fit(data, data, epochs=2, batch_size=7)
    found = trainer.evaluate(data, batch_size=5)
    assert history.column("test_seen") == [48, 48]
    assert history.column("test_nothing") == [None, None]
    assert found.values == {"f1": history[-1]["test_f1"], "seen": 48, "nothing": None}
    assert 0 < history[-1]["test_f1"] <= 1
    assert "train_f1" not in history[-1]
    json.dumps(trainer.state_dict()[1], allow_nan=False)


def test_early_stopping_watches_a_metric_that_is_to_rise():
    class Falling(Count):
        left = 5

        def compute(self):
            Falling.left -= 1
            return Falling.left

    data = small.separable(0)
    for rises, epochs in ((True, 2), (None, 3)):
        Falling.left = 5
        stopping = EarlyStopping(1, "validation_left", rises=rises)
        trainer = small.make_trainer(metrics={"left": Falling()}, callbacks=[stopping])
        trainer.fit(data, data, epochs=3)
        assert trainer.epoch == epochs


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ({"loss": F1()}, ValueError, "^a metric cannot be called 'loss', since that is measured anyway$"),
        ({"F 1": F1()}, ValueError, "^a metric's name must be letters, digits and underscores, as in 'f1', not 'F 1'$"),
        ({"f1": F1}, TypeError, "^metric 'f1' must be an object, not <class"),
        ({"f1": len}, TypeError, "^metric 'f1' must be an object with a method update, not <built-in"),
    ],
)
def test_what_cannot_be_a_metric_is_refused(metrics, error, message):
    with pytest.raises(error, match=message):
        small.make_trainer(metrics=metrics)


def test_no_rank_below_the_first():
    with pytest.raises(ValueError, match=r"^k must be an integer of at least 1, not 0$"):
        TopKAccuracy(0)
