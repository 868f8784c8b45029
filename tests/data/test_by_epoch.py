import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import NUMPY, augment, random_images
from xnn.data import AlternatingFlip, Batches, Compose, FirstEpochs, HorizontalFlip, RandomCrop, RandomWindow, Split
from xnn.errors import SettingError

seeds = st.integers(0, 2**32)


@given(count=st.integers(1, 40), seed=seeds, epoch=st.integers(0, 9), data=st.data())
def test_an_alternating_flip_mirrors_every_image_in_every_other_epoch(backend, count, seed, epoch, data):
    x = random_images((count, 2, 3, 1))
    indices = np.array(data.draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count)))

    def shown(indices, epoch):
        return augment(backend, AlternatingFlip().of(indices, seed, epoch), x)

    now, next_, after = (shown(indices, epoch + ahead) for ahead in (0, 1, 2))
    np.testing.assert_array_equal(next_, now[:, :, ::-1])
    np.testing.assert_array_equal(after, now)
    # Whether one is mirrored is its own index's affair.
    order = np.array(data.draw(st.permutations(range(count))))
    mirrored = (now != x).any(axis=(1, 2, 3))
    np.testing.assert_array_equal((shown(indices[order], epoch) != x).any(axis=(1, 2, 3)), mirrored[order])


def test_about_half_of_the_images_begin_mirrored_and_not_by_a_pattern():
    which = {seed: AlternatingFlip().of(np.arange(10_000), seed, 0).which for seed in (0, 1)}
    for begins in which.values():
        assert 4800 < begins.sum() < 5200
        # Neighbours, and images two, four or 256 apart, are alike in half of the cases.
        for apart in (1, 2, 4, 256):
            assert 0.47 < np.mean(begins[apart:] == begins[:-apart]) < 0.53
    assert 0.47 < np.mean(which[0] == which[1]) < 0.53


def test_an_alternating_flip_alone_is_refused():
    with pytest.raises(TypeError, match=r"AlternatingFlip needs the images' indices and the epoch"):
        augment(NUMPY, AlternatingFlip(), random_images((2, 2, 2, 1)))


@given(epochs=st.integers(0, 4), epoch=st.integers(0, 5), nested=st.booleans())
def test_the_first_epochs_are_as_with_the_augmentation_and_the_others_as_without(backend, epochs, epoch, nested):
    split = Split(random_images((30, 5, 6, 2)), np.arange(30))
    inner = Compose((RandomWindow(3), AlternatingFlip()))

    def shown(*augmentations):
        batches = Batches(split, 8, backend=backend, seed=3, augment=Compose(augmentations))
        return [backend.to_numpy(x) for x, _ in batches.epoch(epoch)]

    first = FirstEpochs(Compose((inner,)) if nested else inner, epochs)
    found = shown(RandomCrop(1), first, HorizontalFlip())
    expected = shown(RandomCrop(1), *([inner] if epoch < epochs else []), HorizontalFlip())
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)


def test_first_epochs_alone_are_refused():
    with pytest.raises(TypeError, match="FirstEpochs needs the epoch; use it in Batches"):
        augment(NUMPY, FirstEpochs(HorizontalFlip(), 1), random_images((2, 2, 2, 1)))
    with pytest.raises(SettingError, match="epochs of FirstEpochs must be 0 or more, not -1"):
        FirstEpochs(HorizontalFlip(), -1)
