"""What is counted in a model's answers agrees with itself, with training's own metrics, and with the files."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.data import Batches, Dataset, Normalization, Split, load
from xnn.errors import DataError, RunError
from xnn.reporting.evaluation import Evaluation, evaluate, in_classes_of, probabilities
from xnn.reporting.saved import SavedModel, SavedRun, load_model
from xnn.runs import Settings
from xnn.training import Trainer


@st.composite
def evaluations(draw):
    """Any answers: right, wrong, classes without images."""
    count = draw(st.integers(1, 12))
    images = draw(st.integers(1, 60))
    classes = st.lists(st.integers(0, count - 1), min_size=images, max_size=images)
    labels, predicted = np.array(draw(classes)), np.array(draw(classes))
    confidence = np.array(draw(st.lists(st.floats(0, 1), min_size=images, max_size=images)))
    names = tuple(f"class {number}" for number in range(count))
    return Evaluation(names, labels, predicted, confidence, confidence, np.where(labels == predicted, 0, 1), 0.5)


@given(evaluations())
def test_the_confusion_matrix_agrees_with_all_else(answers):
    counts = answers.confusion
    classes = len(answers.classes)
    assert counts.sum() == answers.images
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(answers.labels, minlength=classes))
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(answers.predicted, minlength=classes))
    assert np.trace(counts) / answers.images == answers.accuracy
    np.testing.assert_array_equal(counts.sum(axis=1), answers.totals)
    with np.errstate(invalid="ignore"):  # a share of nothing
        for score, axis in ((answers.scores.recall, 1), (answers.scores.precision, 0)):
            shares = np.diagonal(counts) / counts.sum(axis=axis)
            np.testing.assert_allclose(np.nan_to_num(score), np.nan_to_num(shares))


@given(evaluations())
def test_the_calibration_is_of_all_answers(answers):
    found = answers.calibration
    assert found.images.sum() == answers.images
    assert np.nansum(found.images * found.accuracy) / answers.images == pytest.approx(answers.accuracy)
    assert np.nansum(found.images * found.confidence) / answers.images == pytest.approx(answers.confidence.mean())


@given(evaluations(), st.integers(1, 40))
def test_mistakes_are_wrong_and_the_surest_come_first(answers, most):
    chosen = answers.confident_mistakes(most)
    wrong = np.flatnonzero(answers.labels != answers.predicted)
    assert len(chosen) == min(most, len(wrong))
    assert set(chosen) <= set(wrong)
    assert (np.diff(answers.confidence[chosen]) <= 0).all()
    left = set(wrong) - set(chosen)
    assert all(answers.confidence[i] <= answers.confidence[chosen].min() for i in left)


@given(evaluations())
def test_all_frequent_confusions_are_all_mistakes(answers):
    pairs = answers.frequent_confusions(len(answers.classes) ** 2)
    assert sum(count for _, _, count in pairs) == np.sum(answers.labels != answers.predicted)
    assert all(label != other and count == answers.confusion[label, other] for label, other, count in pairs)
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)


def test_of_very_many_classes_no_square_is_made():
    """A matrix of 100,000 classes would have 80 GB."""
    count, images = 100_000, 50_000
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, count, (2, images))
    ones = np.ones(images)
    answers = Evaluation(tuple(map(str, range(count))), labels, predicted, ones, ones, labels, 0.5)
    assert sum(count for *_, count in answers.frequent_confusions(images)) == np.sum(labels != predicted)
    assert len(answers.scores.f1) == len(answers.totals) == count
    assert "confusion" not in vars(answers)


def small_model(seed, classes=7, smoothing=0.0, on="numpy"):
    """A model that was never trained, as if it had been saved."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(classes)).build((3, 2, 1), backend=on, seed=seed)
    names = tuple(f"class {number}" for number in range(classes))
    return SavedModel(
        model, (3, 2, 1), names, Normalization((0.4,), (0.3,)), Settings(label_smoothing=smoothing, backend="numpy")
    )


def small_split(seed, images, classes=7):
    random = np.random.default_rng(seed)
    return Split(random.integers(0, 256, (images, 3, 2, 1), np.uint8), random.integers(0, classes, images))


@given(st.integers(0, 99), st.integers(1, 600), st.sampled_from([0.0, 0.2]))
def test_equals_what_training_measures(seed, images, smoothing):
    saved, split = small_model(seed, smoothing=smoothing), small_split(seed, images)
    answers = evaluate(saved, split)
    trainer = Trainer(saved.model, optim.SGD(saved.model, 0.1), loss=nn.SoftmaxCrossEntropy(smoothing))
    options = {"backend": saved.model.backend, "normalization": saved.normalization, "shuffle": False}
    metrics = trainer.evaluate(Batches(split, 256, **options))
    assert answers.images == metrics.images
    assert answers.accuracy == metrics.accuracy
    assert answers.top5_accuracy == metrics.top5_accuracy
    assert answers.loss == pytest.approx(metrics.loss, rel=1e-6)


def test_equals_what_the_run_wrote(finished):
    """With the averaged weights and the smoothed labels of the run."""
    saved, run = load_model(finished.directory, "numpy"), SavedRun.open(finished.directory)
    answers = evaluate(saved, load("digits").test)
    assert np.trace(answers.confusion) == round(run.result["test_accuracy"] * 360)
    assert answers.accuracy == run.result["test_accuracy"] == run.history[-1]["test_accuracy"]
    assert answers.top5_accuracy == run.history[-1]["test_top5_accuracy"]
    assert answers.loss == pytest.approx(run.result["test_loss"], rel=1e-5)


def test_probabilities_do_not_depend_on_the_backend(finished, backend):
    images = load("digits").test.images[:20]
    here = probabilities(load_model(finished.directory, backend), images)
    np.testing.assert_allclose(here.sum(axis=1), 1.0)
    np.testing.assert_allclose(here, probabilities(load_model(finished.directory, "numpy"), images), rtol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_outputs_that_are_not_finite_are_named_and_nothing_else_is_said(value):
    """A warning would be an error here."""
    saved = small_model(0)
    saved.model.parameters.flat[...] = value
    split = small_split(0, 4)
    with pytest.raises(RunError, match="not finite"):
        evaluate(saved, split)
    with pytest.raises(RunError, match="not finite"):
        probabilities(saved, split.images)


def test_data_that_does_not_fit_is_named():
    saved = small_model(0)
    with pytest.raises(DataError, match="images are 2x3x1, the model takes 3x2x1"):
        evaluate(saved, Split(np.zeros((1, 2, 3, 1), np.uint8), np.zeros(1, np.int64)))
    with pytest.raises(DataError, match="labels up to 7, the model knows 7 classes"):
        evaluate(saved, Split(np.zeros((1, 3, 2, 1), np.uint8), np.array([7])))


def dataset(classes):
    split = Split(np.zeros((len(classes), 3, 2, 1), np.uint8), np.arange(len(classes)))
    return Dataset("others", split, split, tuple(classes), "a test")


@given(st.permutations([f"class {number}" for number in range(7)]), st.integers(1, 7))
def test_classes_are_matched_by_name(names, count):
    """Also those of data that has some of the classes only."""
    data = dataset(names[:count])
    split, note = in_classes_of(small_model(0), data, data.test)
    assert note is None
    assert [f"class {label}" for label in split.labels] == names[:count]


def test_classes_of_other_names():
    data = dataset("abcdefg")
    split, note = in_classes_of(small_model(0), data, data.test)
    np.testing.assert_array_equal(split.labels, data.test.labels)
    assert "taken in the same order" in note
    data = dataset("abc")
    with pytest.raises(DataError, match=r"others has 3 classes, a, b, c; the model knows .*, \.\.\. and 2 more"):
        in_classes_of(small_model(0), data, data.test)


def test_very_many_classes_are_matched_in_reasonable_time():
    names = [f"class {number}" for number in range(30_000)]
    data = dataset(names[::-1])
    split, _ = in_classes_of(dataclasses.replace(small_model(0), classes=tuple(names)), data, data.test)
    np.testing.assert_array_equal(split.labels, np.arange(30_000)[::-1])


def test_of_equal_names_the_first_counts():
    data = dataset("ab")
    split, _ = in_classes_of(dataclasses.replace(small_model(0), classes=("b", "a", "a", "b")), data, data.test)
    assert split.labels.tolist() == [1, 0]


def test_the_model_computes_where_it_was_asked_to(finished):
    assert load_model(finished.directory, "numpy").model.backend == make_backend("numpy")
