"""Models on one CUDA device while another one is current."""

import numpy as np
import pytest

import xnn
from tests.conftest import backend_names
from tests.optim.table import WITH_MUON
from tests.training.steps_on_device import image_batches
from tests.training.test_waiting import AUGMENT, SHAPE, network
from xnn import functional as F
from xnn import nn, optim


@pytest.fixture
def two(pytestconfig):
    """The first device of CuPy, and the second one, which is current."""
    if not any(name.partition(":")[0] == "cupy" for name in backend_names(pytestconfig)):
        pytest.skip("the tests are not run on CuPy: --backends=cupy")
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one CUDA device answers, and this takes two")
    first, second = xnn.backend("cupy:0"), xnn.backend("cupy:1")
    yield first, second
    first.activate()


def everything(backend, name="sgd"):
    model = network().build(SHAPE, backend=backend, seed=0)
    optimizer = WITH_MUON[name](model, weight_decay=1e-3)
    return model, optimizer, optim.ExponentialMovingAverage(model, 0.9)


def train_by_hand(model, optimizer, average, batches, other):
    """Take the steps of an epoch while `other` is current, and return the numbers that are left on the device."""
    place = model.backend.device
    for x, labels in batches.epoch(0):
        assert x.device == labels.device == place
        other.activate()
        logits, pullback = model.forward(x, train=True)
        assert logits.device == place
        with model.backend.current():
            _, loss_pullback = F.softmax_cross_entropy(logits, labels)
            dlogits = loss_pullback()
        assert pullback(dlogits).device == place
        assert optim.clip_gradient_norm(model, 0.5).device == place
        optimizer.step()
        average.update()
        assert other.is_current
    return [
        model.parameters.flat,
        model.gradients.flat,
        model.buffers.flat,
        *optimizer.slots.values(),
        *average.average,
    ]


@pytest.mark.parametrize("name", WITH_MUON)
def test_a_model_computes_on_its_own_device(two, name):
    first, second = two
    parts = everything(first, name)
    batches = image_batches(first, AUGMENT)
    second.activate()
    arrays = train_by_hand(*parts, batches, second)
    assert {array.device.id for array in arrays} == {0}
    here = train_by_hand(*everything(first, name), batches, first)
    for array, same in zip(arrays, here, strict=True):
        np.testing.assert_array_equal(first.to_numpy(array), first.to_numpy(same))


def test_it_predicts_and_takes_states_on_its_own_device(two):
    first, second = two
    model, optimizer, average = everything(first)
    x = np.random.default_rng(0).random((3, *SHAPE))
    expected = model.predict(x)
    second.activate()
    model.load_state_dict(model.state_dict())
    optimizer.load_state_dict(optimizer.state_dict())
    average.load_state_dict(average.state_dict())
    with average.applied():
        np.testing.assert_array_equal(model.predict(x), expected)
    assert model(first.asarray(x, "float32")).device.id == 0
    assert first.zeros(3, "float32").device.id == 0
    assert second.is_current
    assert {vector.device.id for vector in (model.parameters.flat, *optimizer.slots.values(), *average.average)} == {0}


def test_a_trainer_works_on_the_models_device(two):
    first, second = two
    training, held_out = image_batches(first, AUGMENT), image_batches(first, None)
    model, optimizer, average = everything(first)
    trainer = xnn.Trainer(model, optimizer, average=average, penalty=nn.L2Penalty(1e-3), clip_norm=0.5)
    trainer.fit(training, held_out, epochs=1)
    second.activate()
    trainer.load_state_dict(*trainer.state_dict())
    metrics = trainer.evaluate(held_out)
    assert second.is_current
    trainer.fit(training, held_out, epochs=1)
    assert np.isfinite([metrics.loss, *trainer.history.column("train_loss")]).all()
    assert model.parameters.flat.device.id == 0
