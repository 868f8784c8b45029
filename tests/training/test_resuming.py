"""Training that stops anywhere and goes on: with a state, or with another call."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt, configured, without_times
from xnn import optim
from xnn.runs import checkpoints
from xnn.training import Callback, Trainer


def test_a_stop_during_evaluation_leaves_the_epoch_open():
    class Stop(Callback):
        def interval(self, trainer, row):
            if trainer.batch == 7:
                trainer.request_stop("now")

    trainer, batches = configured({"log_every": 7}, callbacks=[Stop()])
    trainer.fit(batches, batches, epochs=3)
    assert (trainer.epoch, trainer.batch, len(trainer.history)) == (0, 7, 0)


@given(stop=st.integers(1, 7), validated=st.booleans(), saved=st.booleans(), rate=st.sampled_from([1e-6, 0.02, 0.4]))
def test_a_row_has_the_rate_of_its_last_step_whatever_the_rate_is_by_then(stop, validated, saved, rate):
    """After 7 steps the epoch's row may still wait for the evaluation; then the rate that is set anew did nothing."""
    trainer, data = small.make_trainer(lr=0.05, callbacks=[StopAt(stop)]), small.separable(1)
    batches = small.make_batches(trainer)
    trainer.fit(batches, data if validated else None, epochs=1)
    trainer.optimizer.lr = rate
    if saved:
        state, trainer = trainer.state_dict(), small.make_trainer()
        trainer.load_state_dict(*state)
    trainer.callbacks.clear()
    trainer.fit(batches, data, until=1)
    assert trainer.history.column("lr") == [0.05 if stop == 7 else rate]


def test_a_checkpoint_without_the_rate_of_the_last_step_is_loaded():
    """As checkpoints were before it was kept."""
    trainer = small.make_trainer(lr=0.05)
    arrays, info = trainer.state_dict()
    del info["last_lr"]
    trainer.load_state_dict(arrays, info)
    assert trainer.last_lr == 0.05


def test_a_signal_does_not_take_the_place_of_an_earlier_reason():
    trainer = small.make_trainer()
    trainer.epochs = 5
    trainer.request_stop("done")
    trainer.request_stop("SIGTERM", to_resume=True)
    assert (trainer.stop_reason, trainer.interrupted) == ("done", False)


@given(first=st.integers(1, 3), second=st.integers(1, 3), batch_size=st.integers(5, 50))
def test_a_second_fit_trains_again_and_on_its_own_data(first, second, batch_size):
    """As a trainer does that is put where the first call ended, and sees only the new data."""
    trainer, fresh = small.make_trainer(), small.make_trainer()
    trainer.fit(small.separable(0), epochs=first)
    fresh.load_state_dict(*trainer.state_dict())
    x, labels = small.separable(1, images=31)
    history = trainer.fit((x, labels), (x, labels), epochs=second, batch_size=batch_size)
    fresh.fit((x.copy(), labels), (x, labels), until=first + second, batch_size=batch_size)
    assert history.column("epoch") == list(range(1, first + second + 1))
    assert small.comparable(*trainer.state_dict()) == small.comparable(*fresh.state_dict())


def test_passes_count_epochs_also_where_the_second_data_has_other_batches():
    log = StopAt()
    trainer = small.make_trainer(callbacks=[log], log_every=1)
    data = small.separable(0)
    trainer.fit(data, epochs=1, batch_size=24)
    trainer.fit(data, epochs=1, batch_size=12)
    assert [row["passes"] for row in log.rows] == [0.5, 1.0, 1.25, 1.5, 1.75, 2.0]


def test_the_rest_of_an_epoch_is_not_taken_from_data_with_fewer_batches():
    trainer = small.make_trainer(callbacks=[StopAt(5)])
    data = small.separable(0)
    trainer.fit(data, epochs=3, batch_size=7)
    with pytest.raises(ValueError, match=r"after batch 5 of an epoch, and this data has 4 batches an epoch; finish"):
        trainer.fit(data, epochs=1, batch_size=12)
    trainer.fit(data, epochs=1, batch_size=7)
    assert (trainer.epoch, trainer.step) == (1, 7)


@pytest.mark.parametrize("change", [{"average": 0.5}, {"optimizer": "momentum"}])
def test_another_trainers_state_is_refused(change):
    state = small.make_trainer().state_dict()
    other = small.make_trainer(**change)
    before = other.model.parameters.flat.copy()
    with pytest.raises(ValueError, match=r"average|slot"):
        other.load_state_dict(*state)
    np.testing.assert_array_equal(other.model.parameters.flat, before)


def test_another_models_state_is_refused_by_name():
    arrays, info = small.make_trainer().state_dict()
    model = small.make_model(classes=4)
    other = Trainer(model, optim.SGD(model, 0.1))
    with pytest.raises(ValueError, match=r"another model: this one has .*\[8, 4\].*the saved one .*\[8, 3\]"):
        other.load_state_dict(arrays, info)
    model = small.make_model(dtype="float32")
    with pytest.raises(ValueError, match="dtype float64, the model of float32"):
        Trainer(model, optim.SGD(model, 0.1)).load_state_dict(arrays, info)


@pytest.mark.parametrize("stop", [1, 7, 10, 14])
def test_resuming_is_exact_on_every_backend(tmp_path, backend, stop):
    """2 epochs of 7 batches; on NumPy, test_stateful.py does it in all ways there are."""
    log, first, second = StopAt(), StopAt(stop), StopAt()
    options = {"dropout": 0.2, "optimizer": "momentum", "average": 0.8, "clip_norm": 0.5, "log_every": 3}
    options["backend"] = backend
    whole, batches = configured(options, callbacks=[log])
    whole.fit(batches, batches, epochs=2)
    trainer, batches = configured(options, callbacks=[first])
    trainer.fit(batches, batches, epochs=2)
    assert (trainer.step, trainer.interrupted) == (stop, True)
    saved = checkpoints.load(checkpoints.save(tmp_path, *trainer.state_dict()))
    resumed, batches = configured(options, callbacks=[second])
    resumed.load_state_dict(saved.arrays, saved.info)
    resumed.fit(batches, batches, until=2)
    assert small.comparable(*resumed.state_dict()) == small.comparable(*whole.state_dict())
    assert first.rows + second.rows == log.rows


def test_losses_left_by_an_exception_do_not_count_after_going_back():
    def interrupt(number):
        if number == 3:
            raise KeyboardInterrupt

    trainer, undisturbed = small.make_trainer(), small.make_trainer()
    before = trainer.state_dict()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(small.Watched(small.make_batches(trainer), interrupt), epochs=1)
    trainer.load_state_dict(*before)
    for one in (trainer, undisturbed):
        one.fit(small.make_batches(one), epochs=1)
    assert without_times(trainer.history) == without_times(undisturbed.history)
