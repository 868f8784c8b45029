"""Muon's matrices, shared out over ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import worlds
from xnn import nn, optim
from xnn.distributed.matrices import shared_out
from xnn.optim.muon import Matrix
from xnn.training import Callback, LossScaling, Trainer

INPUTS = 60
matrices = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=8)


class Read(Callback):
    """A user's own callback, which reads the gradients, and only on one rank."""

    def __init__(self, rank):
        self.rank, self.found = rank, []

    def step_end(self, trainer):
        if trainer.team.rank == self.rank:
            self.found.append(trainer.model.gradients.flat.copy())


class ReadAtIntervals(Read):
    step_end = Callback.step_end

    def interval(self, trainer, row):
        super().step_end(trainer)


class Stop(Callback):
    def step_end(self, trainer):
        if trainer.step == 2:
            trainer.request_stop("enough")


Stop.__module__ = "xnn.stop"  # as one of the library's own


def network(dtype, frozen=(), backend="numpy"):
    layers = [nn.Linear(80), nn.Tanh(), nn.Linear(70), nn.BatchNorm(), nn.ReLU(), nn.Linear(90), nn.Linear(5)]
    model = nn.Sequential(*layers).build((INPUTS,), backend=backend, seed=2, dtype=dtype)
    for name in frozen:
        model.freeze(name)
    return model


def muon(model):
    hidden, rest = optim.split(model, optim.hidden_matrices(model))
    return optim.Groups(
        optim.Muon(hidden, lr=0.02, weight_decay=0.01, normalize=True), optim.SGD(rest, lr=0.1, momentum=0.9)
    )


def examples(images):
    random = np.random.default_rng(5)
    return random.normal(size=(images, INPUTS)), random.integers(0, 5, images)


def trained(world, dtype="float32", callbacks=(), frozen=(), epochs=1, backend="numpy", **options):
    model = network(dtype, frozen, backend)
    trainer = Trainer(model, muon(model), world=world, callbacks=callbacks, **options)
    trainer.fit(examples(24), epochs=epochs, batch_size=6)
    return trainer


@given(shapes=matrices, ranks=st.integers(1, 5))
def test_each_matrix_has_an_owner_and_none_has_much_more_to_do(shapes, ranks):
    starts = np.cumsum([0, *[m * n for m, n in shapes]]).tolist()
    listed = [Matrix(start, *shape) for start, shape in zip(starts, shapes, strict=False)]
    owners = shared_out(listed, [True] * len(listed), ranks)
    assert sorted(owners) == [each.start for each in listed]
    costs = {each.start: each.size * min(each.rows, each.columns) for each in listed}
    work = [sum(costs[start] for start in owners if owners[start] == rank) for rank in range(ranks)]
    assert max(work) - min(work) <= max(costs.values(), default=0)


def test_frozen_matrices_do_not_count():
    listed = [Matrix(0, 5, 5), Matrix(25, 4, 4), Matrix(41, 4, 4)]
    owners = shared_out(listed, [False, True, True], 2)
    assert owners[25] != owners[41]


@pytest.mark.parametrize(
    "options", [{}, {"clip_norm": 0.1}, {"loss_scaling": LossScaling(4.0, 1)}], ids=["plain", "clipped", "scaled"]
)
@pytest.mark.parametrize("frozen", [(), ("0",), ("2.weight",)])
@pytest.mark.parametrize("size", [2, 3])
def test_all_ranks_have_all_of_the_state_of_one(size, frozen, options):
    alone = trained(None, "float64", frozen=frozen, **options).state_dict()[0]
    first, *others = worlds(size, lambda world: trained(world, "float64", frozen=frozen, **options).state_dict()[0])
    for name, array in alone.items():
        np.testing.assert_allclose(first[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
        for other in others:
            np.testing.assert_array_equal(other[name], first[name], err_msg=name)


def test_any_backend_shares_them_out(backend):
    alone = trained(None, "float64").state_dict()[0]
    first, second = worlds(2, lambda world: trained(world, "float64", backend=backend).state_dict()[0])
    for name, array in alone.items():
        np.testing.assert_allclose(first[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(second[name], first[name], err_msg=name)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_gradients_are_the_same_on_all_ranks_once_training_has_ended(clip_norm):
    alone = trained(None, "float64", clip_norm=clip_norm).model.gradients.flat
    for trainer in worlds(3, lambda world: trained(world, "float64", clip_norm=clip_norm)):
        np.testing.assert_allclose(trainer.model.gradients.flat, alone, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("kind", "times"), [(Read, 4), (ReadAtIntervals, 2)])
def test_a_callback_on_one_rank_reads_whole_gradients(kind, times):
    read, alone = kind(1), kind(0)
    trained(None, "float64", callbacks=[alone], log_every=2)
    worlds(3, lambda world: trained(world, "float64", callbacks=[read], log_every=2))
    assert len(read.found) == len(alone.found) == times
    for found, expected in zip(read.found, alone.found, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", [Read, ReadAtIntervals])
def test_only_one_rank_has_a_callback(kind):
    alone, read = kind(0), kind(1)
    expected = trained(None, "float64", callbacks=[alone], log_every=2, epochs=2)
    trainers = worlds(
        3, lambda world: trained(world, "float64", callbacks=[read][: world.rank == 1], log_every=2, epochs=2)
    )
    assert [trainer.step for trainer in trainers] == [expected.step] * 3
    assert len(read.found) == len(alone.found)
    for found, own in zip(read.found, alone.found, strict=True):
        np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_sharing_changes_no_bit_of_what_a_rank_alone_would_get_from_the_same_gradients(clip_norm):
    """With and without the short cut, the ranks add up in the same order."""
    short = worlds(3, lambda world: trained(world, clip_norm=clip_norm).state_dict()[0])
    whole = worlds(3, lambda world: trained(world, callbacks=[Read(1)], clip_norm=clip_norm).state_dict()[0])
    for name, array in short[0].items():
        np.testing.assert_array_equal(whole[0][name], array, err_msg=name)


class Freeze(Callback):
    """Freezes a matrix in the middle of training, as a user may."""

    def __init__(self, first, last=99):
        self.first, self.last = first, last

    def step_end(self, trainer):
        if trainer.step == self.first:
            trainer.model.freeze("0")
        if trainer.step == self.last:
            trainer.model.unfreeze("0")


Freeze.__module__ = "xnn.freeze"  # as one of the library's own, so that ranks share the matrices out


@pytest.mark.parametrize("steps", [(1,), (3,), (3, 7)])
@pytest.mark.parametrize("size", [2, 3])
def test_all_ranks_have_the_state_of_a_matrix_that_was_frozen_on_the_way(size, steps):
    def work(world):
        trainer = trained(world, "float64", callbacks=[Freeze(*steps)], epochs=2)
        return trainer.state_dict()[0] | {"gradients": trainer.model.gradients.flat.copy()}

    alone, (first, *others) = work(None), worlds(size, work)
    for name, array in alone.items():
        np.testing.assert_allclose(first[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
        for other in others:
            np.testing.assert_array_equal(other[name], first[name], err_msg=name)


def test_training_goes_on_from_a_checkpoint_on_as_many_ranks_bit_for_bit():
    def straight(world):
        return trained(world, epochs=2).state_dict()[0]

    def resumed(world):
        first = trained(world, callbacks=[Stop()])
        state = first.state_dict()
        model = network("float32")
        second = Trainer(model, muon(model), world=world)
        second.load_state_dict(*state)
        second.fit(examples(24), until=2, batch_size=6)
        return second.state_dict()[0]

    for found, expected in zip(worlds(2, resumed), worlds(2, straight), strict=True):
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_optimizer_updates_everything_again_after_training():
    def work(world):
        trainer = trained(world)
        before, sent = trainer.model.parameters.flat.copy(), world.sent
        trainer.optimizer.step()
        assert world.sent == sent
        changed = trainer.model.parameters.flat != before
        return [changed[each.start : each.stop].all() for each in trainer.optimizer.optimizers[0].matrices]

    assert worlds(3, work) == [[True] * 3] * 3


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize(("size", "width"), [(2, None), (3, None), (4, None), (4, 20), (15, 64)])
def test_a_rank_sends_at_most_twice_the_parameters_a_step(size, width, clip_norm):
    """Also of a narrow network, all of whose parameters go in short pieces."""

    def work(world):
        model, sent = network("float32"), []
        if width:
            layers = [nn.Linear(width), nn.Tanh(), nn.Linear(width), nn.Tanh(), nn.Linear(width), nn.Linear(5)]
            model = nn.Sequential(*layers).build(model.input_shape, backend="numpy", seed=1, dtype="float32")
        trainer = Trainer(model, muon(model), world=world, clip_norm=clip_norm)
        for images in (12, 60):
            before = world.sent
            trainer.fit(examples(images), epochs=1, batch_size=6)
            sent.append(world.sent - before)
        # What comes once an epoch, such as the velocities at its end, is in both.
        return (sent[1] - sent[0]) / 8 / (4 * model.parameters.flat.size)

    for share in worlds(size, work):
        assert 0.5 < share <= 2.1
