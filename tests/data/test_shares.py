"""The parts of the batches that ranks prepare are, put together, the batches of one process."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import AUGMENT, NUMPY, split_of
from xnn import data
from xnn.backends import backend as make_backend
from xnn.data import batches
from xnn.data.shares import OwnDraws, draws_by_image, own_positions
from xnn.distributed.ranks import share
from xnn.random import Random
from xnn.training.loaders import ArrayBatches


def brighten(x, random):
    """Draw in an order of its own, so that all images of a block are needed."""
    return x + random.backend.xp.astype(random.integers(0, 9, (x.shape[0], 1, 1, 1)), x.dtype)


class Swapped(data.HorizontalFlip):
    """A subclass that draws in another order than its base."""

    def draw(self, shape, random):
        step = super().draw(shape, random)
        return step._replace(columns=random.integers(0, 2, (shape[0], 2))[:, 1])


AUGMENTATIONS = {
    "none": None,
    "moved": AUGMENT,
    "photographs": data.Compose((data.RandomResizedCrop(), data.RandomRotation(), data.ColourJitter())),
    "one's own": data.Compose((data.RandomCrop(1), brighten)),
    "a subclass": Swapped(),
}
SMALL = {"batch_size": st.integers(1, 9), "count": st.integers(1, 25), "ranks": st.integers(1, 5)}


def shares(ranks):
    return [lambda images, rank=rank: share(images, rank, ranks) for rank in range(ranks)]


def assert_parts_make_up(loader, ranks, epoch, start, backend):
    whole = list(loader.epoch(epoch, start))
    of_ranks = [list(loader.parts(epoch, start, each)) for each in shares(ranks)]
    assert [len(parts) for parts in of_ranks] == [len(whole)] * ranks
    for batch, parts in zip(whole, zip(*of_ranks, strict=True), strict=True):
        assert [images for images, _, _ in parts] == [batch[0].shape[0]] * ranks
        for number, array in enumerate(batch):
            own = [backend.to_numpy(part[number]) for _, _, part in parts]
            assert [len(each) for each in own] == [s.stop - s.start for _, s, _ in parts]
            assert {each.dtype for each in own} == {backend.to_numpy(array).dtype}
            np.testing.assert_array_equal(np.concatenate(own), backend.to_numpy(array))


@pytest.mark.parametrize("mix", [None, data.MixUp()], ids=["plain", "mixed"])
@pytest.mark.parametrize("augment", AUGMENTATIONS)
@given(**SMALL, block=st.sampled_from([1, 7, 16, 512]), shuffle=st.booleans(), epoch=st.integers(0, 4), at=st.data())
def test_parts_make_up_the_batches(backend, augment, mix, batch_size, count, ranks, block, shuffle, epoch, at):
    split = split_of(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BLOCK", block)
        loader = data.Batches(
            split, batch_size, backend=backend, augment=AUGMENTATIONS[augment], shuffle=shuffle, seed=3, mix=mix,
            normalization=data.Normalization.of(split),
        )  # fmt: skip
        assert_parts_make_up(loader, ranks, epoch, at.draw(st.integers(0, len(loader))), backend)


@given(**SMALL, shuffle=st.booleans(), weighted=st.booleans(), at=st.data())
def test_parts_make_up_batches_of_arrays(backend, batch_size, count, ranks, shuffle, weighted, at):
    x = np.arange(3.0 * count).reshape(count, 3)
    weight = np.arange(count) if weighted else None
    loader = ArrayBatches(x, np.arange(count), batch_size, backend=backend, sample_weight=weight, shuffle=shuffle)
    assert_parts_make_up(loader, ranks, 1, at.draw(st.integers(0, len(loader))), backend)


@given(**SMALL, drop_last=st.booleans())
def test_positions_are_those_of_the_shares(batch_size, count, ranks, drop_last):
    images = count // batch_size * batch_size if drop_last else count
    taken = [own_positions(images, batch_size, each) for each in shares(ranks)]
    assert sorted(np.concatenate(taken).tolist()) == list(range(images))
    for own, each in zip(taken, shares(ranks), strict=True):
        expected = []
        for first in range(0, images, batch_size):
            part = each(min(batch_size, images - first))
            expected += range(first + part.start, first + part.stop)
        assert own.tolist() == expected


@pytest.mark.parametrize("twins", [False, True])
def test_a_rank_works_on_its_own_images_alone(monkeypatch, twins):
    if twins:
        pytest.importorskip("numba")
    seen, original = [], data.Batches._block

    def watched(*arguments):
        x, labels = original(*arguments)
        seen.append(x.shape[0])
        return x, labels

    monkeypatch.setattr(data.Batches, "_block", watched)
    loader = data.Batches(split_of(24), 8, backend=make_backend("numpy", twins=twins), augment=AUGMENT)
    list(loader.parts(0, 0, lambda images: share(images, 1, 4)))
    assert seen == [6]


def test_only_what_says_so_itself_draws_by_image():
    known = [data.HorizontalFlip(), data.AlternatingFlip(), data.FirstEpochs(data.Cutout(2), 3), data.ColourJitter()]
    assert all(draws_by_image(each) for each in [None, *known, data.Compose(tuple(known))])
    assert not any(draws_by_image(each) for each in [brighten, Swapped(), data.Compose((known[0], brighten))])


def test_draws_of_another_shape_are_refused():
    draws = OwnDraws(Random(NUMPY, 0), 9, np.array([1, 4]))
    assert draws.uniform((3, 2)).shape == (3, 2)
    with pytest.raises(ValueError, match=r"last axis is the 2 images, not of shape \(2, 3\)"):
        draws.integers(0, 5, (2, 3))
