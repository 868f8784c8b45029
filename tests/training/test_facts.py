"""Ranks that would not train alike are told so, all of them, before the first step."""

import numpy as np
import pytest

from tests.distributed.threads import worlds
from xnn import data, nn, optim
from xnn.training import Trainer
from xnn.training.loss_scaling import LossScaling

SHAPE, CLASSES = (8, 6, 2), 4


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", 2, "seed 2, rank 0 has 1"),
        ("images", 21, "training images 21, rank 0 has 20"),
        ("shift", 1.0, "checksum of the training data"),
        ("log_every", 4, "log_every 4, rank 0 has 5"),
        ("batch_size", 10, "training batches 2, rank 0 has 5"),
        ("clip_norm", 1.0, "clip_norm 1.0, rank 0 has None"),
        ("validates", True, "validation images 20, rank 0 has None"),
        ("weights", True, "checksum of the weights"),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_ranks_that_differ_are_told(name, value, said, split):
    def work(world):
        own = {"seed": 1, "images": 20, "shift": 0.0, "log_every": 5, "batch_size": 4, "clip_norm": None}
        own |= {"validates": False, "weights": False}
        if world.rank == 2:
            own[name] = value
        x = np.random.default_rng(0).normal(size=(own["images"], *SHAPE)).astype(np.float32) + own["shift"]
        labels = np.arange(own["images"]) % CLASSES
        model = nn.Sequential(nn.Flatten(), nn.Linear(CLASSES)).build(SHAPE, backend="numpy", seed=own["seed"])
        if own["weights"]:
            model.parameters.flat[0] += 1e-3
        trainer = Trainer(
            model, optim.SGD(model, 0.1), world=world, log_every=own["log_every"], clip_norm=own["clip_norm"]
        )
        train = (x, labels)
        if split:
            train = data.Batches(data.Split(x, labels), own["batch_size"], backend=model.backend)
        with pytest.raises(ValueError, match=f"must train alike: rank 2 has {said}") as caught:
            trainer.fit(train, train if own["validates"] else None, epochs=1, batch_size=own["batch_size"])
        assert trainer.step == 0
        assert "\n" not in str(caught.value)

    worlds(3, work)


def grouped(model, **changed):
    weights, rest = optim.split(model, lambda name, shape: len(shape) >= 2)
    own = {"lr": 0.1, "momentum": 0.9} | changed
    return optim.Groups(optim.SGD(weights, lr=0.2), optim.SGD(rest, **own))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda model: {"optimizer": optim.SGD(model, 0.5)}, "optimizer.lr 0.5, rank 0 has 0.1"),
        (lambda model: {"optimizer": optim.SGD(model, 0.1, 0.9)}, "optimizer.momentum 0.9, rank 0 has 0.0"),
        (lambda model: {"sync_batch_norm": False}, "sync_batch_norm False, rank 0 has True"),
        (lambda model: model.freeze("1.weight") or {}, "frozen parameters 1.weight, rank 0 has "),
        (lambda model: {"penalty": nn.L2Penalty(0.5)}, "penalty.strength 0.5, rank 0 has 0.1"),
        (lambda model: {"average": optim.ExponentialMovingAverage(model, 0.5)}, "average.decay 0.5, rank 0 has 0.9"),
        (lambda model: {"loss": nn.SoftmaxCrossEntropy(0.1)}, "loss.label_smoothing 0.1, rank 0 has 0.0"),
        (lambda model: {"loss_scaling": LossScaling(growth_steps=7)}, "loss_scaling.growth_steps 7, rank 0 has "),
        (lambda model: {"schedule": optim.schedules.Constant(0.5)}, "schedule.lr 0.5, rank 0 has 0.1"),
        (lambda model: {"schedule": None}, "schedule None, rank 0 has Constant, and 3 more"),
    ],
)
def test_ranks_with_other_settings_are_told(make, said):
    def work(world):
        model = nn.Sequential(nn.BatchNorm(), nn.Linear(3)).build((5,), backend="numpy", seed=1)
        own = {"optimizer": optim.SGD(model, 0.1), "penalty": nn.L2Penalty(0.1), "loss_scaling": LossScaling()}
        own["average"] = optim.ExponentialMovingAverage(model, 0.9)
        if "schedule" in said:
            own["schedule"] = optim.schedules.Constant(0.1)
        if world.rank == 1:
            own |= make(model)
        trainer = Trainer(model, world=world, **own)
        with pytest.raises(ValueError, match=f"must train alike: rank 1 has {said}"):
            trainer.fit((np.zeros((6, 5)), np.arange(6) % 3), epochs=1, batch_size=3)

    worlds(2, work)


@pytest.mark.parametrize("changed", [{"lr": 0.3}, {"momentum": 0.5}])
@pytest.mark.parametrize("schedule", [None, lambda step: 0.1 / (1 + step)])
def test_ranks_with_other_settings_of_one_of_several_optimizers_are_told(changed, schedule):
    def work(world):
        model = nn.Linear(3).build((5,), backend="numpy", seed=1)
        trainer = Trainer(model, grouped(model, **(changed if world.rank else {})), world=world, schedule=schedule)
        with pytest.raises(ValueError, match="must train alike: rank 1 has optimizer"):
            trainer.fit((np.zeros((6, 5)), np.arange(6) % 3), epochs=1, batch_size=3)

    worlds(2, work)


def test_a_rate_that_a_schedule_replaces_is_no_difference():
    """One rank goes on with its trainer, the other with a new one that has its state."""
    x, labels = np.random.default_rng(0).normal(size=(6, 5)), np.arange(6) % 3

    def work(world):
        def new():
            model = nn.Linear(3).build((5,), backend="numpy", seed=1)
            return Trainer(model, optim.SGD(model, 0.1), world=world, schedule=lambda step: 0.1 / (1 + step))

        trainer = new()
        trainer.fit((x, labels), epochs=1, batch_size=3)
        state = trainer.state_dict()
        if world.rank:
            trainer = new()
            trainer.load_state_dict(*state)
            trainer.optimizer.lr = 0.3
        trainer.fit((x, labels), epochs=1, batch_size=3)
        return trainer.step

    assert worlds(2, work) == [4, 4]
