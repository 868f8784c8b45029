"""What the callback for TensorBoard writes, read back by TensorBoard."""

import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.small import StopAt, make_batches, make_trainer
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.errors import RunError, SettingError
from xnn.training import F1, Callback, TensorBoard, Trainer
from xnn.training.tensorboard import histogram

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
)


def read(directory):
    reader = accumulator.EventAccumulator(str(directory), size_guidance=dict.fromkeys(("images", "histograms"), 0))
    return reader.Reload()


def scalars(directory):
    reader = read(directory)
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def fit(trainer, until=3):
    return trainer.fit(make_batches(trainer), make_batches(trainer, seed=1, shuffle=False), until=until)


def images(count=40, channels=1, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 5, 4, channels)), random.integers(0, 3, count)


def image_trainer(*callbacks, channels=1, **options):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((5, 4, channels), backend=make_backend("numpy"))
    return Trainer(model, optim.SGD(model, lr=0.01), callbacks=callbacks, **options)


def test_the_curves_are_the_history(tmp_path):
    trainer = make_trainer(callbacks=[TensorBoard(tmp_path)], metrics={"f1": F1()}, log_every=2, lr=0.05)
    rows = StopAt()
    trainer.callbacks.append(rows)
    history = fit(trainer)
    found = scalars(tmp_path)
    tags = {"loss/train": "train_loss", "accuracy/validation": "validation_accuracy", "f1/validation": "validation_f1"}
    for tag, column in (tags | {"epoch/lr": "lr", "epoch/seconds": "seconds"}).items():
        assert [value for _, value in found[tag]] == pytest.approx(history.column(column))
        assert [step for step, _ in found[tag]] == [7, 14, 21]
    for name in ("minibatch_loss", "interval_loss", "lr"):
        assert found[f"interval/{name}"] == [(row["step"], pytest.approx(row[name])) for row in rows.rows]


def test_the_weights_distributions_are_those_of_the_weights(tmp_path):
    trainer = make_trainer(callbacks=[TensorBoard(tmp_path)])
    fit(trainer, 2)
    reader = read(tmp_path)
    assert set(reader.Tags()["histograms"]) == {f"weights/{name}" for name in trainer.model.parameters}
    for name, weights in trainer.model.parameters.items():
        last = reader.Histograms(f"weights/{name}")[-1]
        assert last.step == 14
        assert last.histogram_value.num == weights.size
        assert last.histogram_value.min == pytest.approx(weights.min())
        assert last.histogram_value.sum == pytest.approx(weights.sum(), abs=1e-9)


@given(arrays(np.float64, st.integers(0, 30), elements=st.floats() | st.floats(1.0, 1.0 + 1e-12)))
def test_a_histogram_counts_the_finite_numbers(values):
    made = histogram(values)
    finite = np.clip(values[np.isfinite(values)], -1e140, 1e140)
    assert made.num == sum(made.bucket) == finite.size
    assert len(made.bucket) == len(made.bucket_limit)
    if finite.size:
        assert (made.min, made.max) == (finite.min(), finite.max())
        assert made.sum == pytest.approx(finite.sum(), rel=1e-9, abs=1e-6 * abs(finite).max())
        edges = np.array(made.bucket_limit)
        assert (np.diff(edges) > 0).all()
        assert edges[0] <= made.min <= made.max <= edges[-1]
        below = np.cumsum(made.bucket)
        for place, edge in enumerate(edges[:-1]):
            assert np.sum(finite < edge) <= below[place] <= np.sum(finite <= edge) or place == 0


def test_histograms_can_be_left_out(tmp_path):
    fit(make_trainer(callbacks=[TensorBoard(tmp_path, histograms=False)]), 1)
    assert read(tmp_path).Tags()["histograms"] == []


@pytest.mark.parametrize("channels", [1, 3])
def test_mistakes_are_shown_after_each_evaluation(tmp_path, channels):
    from PIL import Image

    data = images(channels=channels)
    watch = TensorBoard(tmp_path, images=data, classes=["cat", "dog", "<b>"], most=5)
    trainer = image_trainer(watch, channels=channels, evaluate_every=2)
    trainer.fit(data, data, epochs=3)
    shown = read(tmp_path).Images("mistakes")
    assert [event.step for event in shown] == [2, 3]
    with Image.open(io.BytesIO(shown[-1].encoded_image_string)) as picture:
        assert picture.size == (shown[-1].width, shown[-1].height)
        assert len(picture.getcolors(2**20)) > 5


@pytest.mark.parametrize("data", [(np.zeros((4, 20)), np.zeros(4, np.int64)), (images(channels=2))])
def test_what_is_no_image_is_refused(tmp_path, data):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build(data[0].shape[1:])
    trainer = Trainer(model, optim.SGD(model, lr=0.01), callbacks=[TensorBoard(tmp_path, images=data)])
    with pytest.raises(ValueError, match=r"mistakes are shown of images .*leave out images="):
        trainer.fit(data, epochs=1)


def session(directory, name="_hparams_/session_start_info"):
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = read(directory).SummaryMetadata(name).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_hyper_parameters_are_in_the_hparams_plugin(tmp_path):
    given = {"lr": 0.5, "epochs": 3, "nesterov": True, "optimizer": "sgd", "augment": ("flip", "crop"), "nothing": None}
    fit(make_trainer(callbacks=[TensorBoard(tmp_path, hparams=given)]), 1)
    values = session(tmp_path).session_start_info.hparams
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()} == {
        "lr": 0.5,
        "epochs": 3.0,
        "nesterov": True,
        "optimizer": "sgd",
        "augment": "flip, crop",
    }
    assert session(tmp_path, "_hparams_/session_end_info").session_end_info.end_time_secs > 0


@pytest.mark.parametrize("value", [object(), {"a": 1}, float("nan")])
def test_a_strange_hyper_parameter_is_refused(tmp_path, value):
    with pytest.raises(TypeError, match="hyper-parameter 'odd' must be"):
        TensorBoard(tmp_path, hparams={"odd": value})


class Died(Exception):  # noqa: N818 - not an error of anybody's
    pass


class DieAt(Callback):
    """Ends a fit as a kill does: between two callbacks, without `fit_end`."""

    def __init__(self, step):
        self.step = step

    def step_end(self, trainer):
        if trainer.step == self.step:
            raise Died


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("saved_at", "killed_at"), [(5, 9), (7, 13), (7, 7), (14, 20), (9, 9)])
def test_a_resumed_training_has_the_curves_of_an_uninterrupted_one(tmp_path, saved_at, killed_at, first):
    def make(name):
        return make_trainer(callbacks=[TensorBoard(tmp_path / name, hparams={"lr": 1.0})], log_every=2)

    fit(make("whole"))
    trainer = make("resumed")
    states = []

    class Save(Callback):
        def step_end(self, trainer):
            if trainer.step == saved_at and saved_at % 7:
                states.append(trainer.state_dict())

        def epoch_end(self, trainer, row):
            if trainer.step == saved_at:
                states.append(trainer.state_dict())

    trainer.callbacks.insert(0 if first else 1, Save())
    if saved_at % 7 == 0 and killed_at == saved_at:
        trainer.callbacks.insert(1, DieAtEpochEnd(saved_at))
    else:
        trainer.callbacks.append(DieAt(killed_at))
    if first or killed_at != saved_at or saved_at % 7:
        with pytest.raises(Died):
            fit(trainer)
    else:
        return  # killed before it was saved
    again = make("resumed")
    again.load_state_dict(*states[0])
    fit(again)
    whole, resumed = scalars(tmp_path / "whole"), scalars(tmp_path / "resumed")
    assert resumed.keys() == whole.keys()
    for tag in whole:
        if tag in ("epoch/seconds", "epoch/images_per_second"):
            assert [step for step, _ in resumed[tag]] == [step for step, _ in whole[tag]]
        else:
            assert resumed[tag] == whole[tag]
    assert session(tmp_path / "resumed").session_start_info.hparams["lr"].number_value == 1.0


class DieAtEpochEnd(Callback):
    def __init__(self, step):
        self.step = step

    def epoch_end(self, trainer, row):
        if trainer.step == self.step:
            raise Died


def test_fit_can_be_called_again(tmp_path):
    trainer = make_trainer(callbacks=[TensorBoard(tmp_path)])
    fit(trainer, 1)
    fit(trainer, 3)
    assert [step for step, _ in scalars(tmp_path)["loss/train"]] == [7, 14, 21]


def test_a_later_session_says_with_what_it_runs(tmp_path):
    trainer = make_trainer(callbacks=[TensorBoard(tmp_path, hparams={"lr": 1.0})])
    fit(trainer, 1)
    trainer.callbacks = [TensorBoard(tmp_path, hparams={"lr": 2.0})]
    fit(trainer, 2)
    assert session(tmp_path).session_start_info.hparams["lr"].number_value == 2.0


def test_another_training_in_the_same_directory_is_refused_unless_it_may_replace_it(tmp_path):
    fit(make_trainer(callbacks=[TensorBoard(tmp_path)]), 2)
    before = scalars(tmp_path)
    with pytest.raises(RunError, match="events of another training, up to step 14"):
        fit(make_trainer(callbacks=[TensorBoard(tmp_path)]), 1)
    assert scalars(tmp_path) == before
    fit(make_trainer(callbacks=[TensorBoard(tmp_path, replace=True)]), 1)
    assert [step for step, _ in scalars(tmp_path)["loss/train"]] == [7]


def test_a_directory_that_cannot_be_made_is_a_run_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="cannot use"):
        fit(make_trainer(callbacks=[TensorBoard(tmp_path / "file" / "inside")]))


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(SettingError, match=r"needs TensorBoard.*pip install '\.\[tensorboard\]' in a clone"):
        TensorBoard(tmp_path)


@pytest.mark.parametrize("average", [None, 0.9])
def test_watching_changes_no_weight(tmp_path, average):
    def weights(*callbacks):
        trainer = make_trainer(callbacks=callbacks, dropout=0.3, average=average)
        fit(trainer)
        return trainer.model.parameters.flat.tobytes()

    assert weights(TensorBoard(tmp_path)) == weights()
