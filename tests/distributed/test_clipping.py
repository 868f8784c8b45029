"""The norm of gradients that are shared out over ranks."""

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.distributed.test_matrices import examples, muon, network
from tests.distributed.threads import worlds
from xnn import optim
from xnn.distributed import ranks as module
from xnn.distributed.ranks import Ranks, share

OPTIMIZERS = {"muon": muon, "sgd": lambda model: optim.SGD(model, 0.1)}
IMAGES = 7
FEW = settings(max_examples=max(settings().max_examples // 2, 2))


def gradients_of(model, ranks, rank, size, scale):
    """Fill the gradients by this rank's share of some images; leave those of a frozen parameter at 1."""
    model.gradients.flat[...] = 1.0
    x = model.backend.asarray(examples(IMAGES)[0][share(IMAGES, rank, size)], dtype=model.dtype)
    y, pullback = model.forward(x)
    ranks.begin(False)
    pullback(scale * model.backend.xp.ones_like(y), input_gradient=False)
    ranks.finish()


class Nobody:
    """No ranks but this process."""

    def begin(self, whole):
        pass

    def finish(self):
        pass


def clipped_alone(dtype, frozen, scale, max_norm, backend="numpy"):
    model = network(dtype, frozen, backend)
    with np.errstate(all="ignore"):
        gradients_of(model, Nobody(), 0, 1, scale)
        optim.clip_gradient_norm(model, max_norm)
    return model.backend.to_numpy(model.gradients.flat)


def clipped(world, optimizer, dtype, frozen, scale, max_norm, backend="numpy"):
    model = network(dtype, frozen, backend)
    ranks = Ranks(world, model, OPTIMIZERS[optimizer](model))
    with np.errstate(all="ignore"):
        gradients_of(model, ranks, world.rank, world.size, scale)
        ranks.clip(model, max_norm)
    ranks.complete()
    return model.backend.to_numpy(model.gradients.flat, copy=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@FEW
@given(
    size=st.integers(1, 5), frozen=st.sampled_from([(), ("0",), ("2.weight", "3")]),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e30, float("inf"), float("nan")]), max_norm=st.floats(1e-3, 1e4),
)  # fmt: skip
def test_ranks_clip_as_one_does(optimizer, dtype, size, frozen, scale, max_norm):
    """Also where the norm is too large for its type, or no number."""
    expected = clipped_alone(dtype, frozen, scale, max_norm)
    found = worlds(size, lambda world: clipped(world, optimizer, dtype, frozen, scale, max_norm))
    largest = float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=0, atol=largest * (1e-5 if dtype == "float32" else 1e-12))
        np.testing.assert_array_equal(each, found[0])


def test_any_backend_clips_what_ranks_have(backend):
    arguments = "float64", ("2.bias",), 1.0, 0.5
    expected = clipped_alone(*arguments)
    for found in worlds(2, lambda world: clipped(world, "muon", *arguments, backend)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ranks_that_add_up_differently_have_the_same_norm(optimizer):
    """As those with more threads do, or with another processor."""
    more = itertools.count()

    def differently(*arguments):
        return optim.clipping.clip_vectors(*arguments) * (1.0 + 1e-6 * next(more))

    with mock.patch.object(module, "clip_vectors", differently):
        first, *others = worlds(3, lambda world: clipped(world, optimizer, "float64", (), 1.0, 0.5))
    for each in others:
        np.testing.assert_array_equal(each, first)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_none_is_refused(max_norm):
    def work(world):
        with pytest.raises(ValueError, match="max_norm"):
            clipped(world, "sgd", "float32", (), 1.0, max_norm)

    worlds(2, work)
