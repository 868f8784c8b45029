import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import AUGMENT, NUMPY, assert_same_batches, split_of
from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.data import (
    Batches,
    Compose,
    CutMix,
    FirstEpochs,
    HorizontalFlip,
    MixUp,
    Normalization,
    RandomChoice,
    Split,
    batches,
)
from xnn.errors import SettingError
from xnn.random import Random

alphas = st.floats(1e-3, 1e3)
mixings = st.one_of(
    st.builds(MixUp, alphas),
    st.builds(CutMix, alphas),
    st.builds(lambda a, b: RandomChoice((MixUp(a), CutMix(b))), alphas, alphas),
)
shapes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
seeds = st.integers(0, 2**32)
dtypes = st.sampled_from(["float32", "float64"])
BOTH = RandomChoice((MixUp(), CutMix()))
all_kinds = pytest.mark.parametrize("mixing", [MixUp(), CutMix(), BOTH], ids=["mixup", "cutmix", "both"])


def constant_images(shape, dtype="float32"):
    """Each image is all of one number, its own; its label is that number."""
    number = np.arange(shape[0], dtype=dtype)
    return np.broadcast_to(number[:, None, None, None], shape).copy(), np.eye(shape[0], dtype=dtype)


def mixed(backend, mixing, x, labels, seed=0):
    arrays = (backend.asarray(each, each.dtype.name) for each in (x, labels))
    return tuple(backend.to_numpy(each) for each in mixing(*arrays, Random(backend, seed, "mix/0/0")))


@given(shape=shapes, seed=seeds, dtype=dtypes, mixing=mixings)
def test_shapes_and_types_stay_arguments_too_and_backends_agree(backend, shape, seed, dtype, mixing):
    random = np.random.default_rng(0)
    x, labels = random.standard_normal(shape).astype(dtype), random.dirichlet(np.ones(5), shape[0]).astype(dtype)
    before = x.copy(), labels.copy()
    found = mixed(backend, mixing, x, labels, seed)
    assert_same_batches([(x, labels)], [before])
    assert_same_batches([found], [mixed(NUMPY, mixing, x, labels, seed)])
    assert [(each.shape, each.dtype) for each in found] == [(each.shape, each.dtype) for each in before]
    np.testing.assert_allclose(found[1].sum(axis=1), 1.0, rtol=1e-6)


@given(shape=shapes, seed=seeds, dtype=dtypes, alpha=alphas)
def test_blended_images_of_one_number_have_the_shares_of_their_labels(shape, seed, dtype, alpha):
    x, labels = constant_images(shape, dtype)
    y, shares = mixed(NUMPY, MixUp(alpha), x, labels, seed)
    assert (shares.sum(axis=1) == 1.0).all()
    np.testing.assert_allclose(y, np.broadcast_to((shares @ x[:, 0, 0, 0])[:, None, None, None], shape), rtol=1e-5)
    # One share for the batch, and everyone is somebody's partner.
    assert len(np.unique(np.diag(shares)[np.diag(shares) < 1.0])) <= 1
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-6)


@given(shape=shapes, seed=seeds, dtype=dtypes, alpha=alphas)
def test_the_shares_of_labels_are_those_of_the_pixels(shape, seed, dtype, alpha):
    x, labels = constant_images(shape, dtype)
    y, shares = mixed(NUMPY, CutMix(alpha), x, labels, seed)
    counted = np.stack([(y == number).mean(axis=(1, 2, 3)) for number in range(shape[0])], axis=1)
    np.testing.assert_allclose(shares, counted, atol=1e-7 if dtype == "float32" else 1e-15)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-6)


@given(shape=shapes, seed=seeds, alpha=alphas)
def test_what_is_replaced_is_one_rectangle_at_its_own_place(shape, seed, alpha):
    count, height, width, channels = shape
    place = np.arange(height * width * channels, dtype="float32").reshape(shape[1:])
    x = place + 1000.0 * np.arange(count, dtype="float32")[:, None, None, None]
    y, _ = mixed(NUMPY, CutMix(alpha), x, np.eye(count, dtype="float32"), seed)
    np.testing.assert_array_equal(y % 1000.0, np.broadcast_to(place, shape))
    for image, own in zip(y, x, strict=True):
        changed = (image != own).any(axis=2)
        rows, columns = changed.any(axis=1), changed.any(axis=0)
        np.testing.assert_array_equal(changed, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            assert np.abs(np.diff(line.astype(int))).sum() <= 2
            assert line.sum() == 0 or np.ptp(np.flatnonzero(line)) == line.sum() - 1


@given(size=st.integers(1, 9), seed=seeds, mixing=mixings)
def test_the_only_image_of_a_batch_is_its_own_partner(size, seed, mixing):
    x = np.random.default_rng(seed).standard_normal((1, size, size, 3)).astype("float32")
    y, labels = mixed(NUMPY, mixing, x, np.eye(3, dtype="float32")[1:2], seed)
    np.testing.assert_allclose(y, x, rtol=1e-6)
    np.testing.assert_allclose(labels, np.eye(3)[1:2], rtol=1e-6)


def shares_over_seeds(mixing, size=1):
    """The own share of the first image of two that swap, over many seeds."""
    x, labels = constant_images((2, size, size, 1))
    found = np.array([mixed(NUMPY, mixing, x, labels, seed)[1][0, 0] for seed in range(2000)])
    return found[found < 1.0]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixups_shares_have_the_moments_of_a_beta_distribution(alpha):
    shares = shares_over_seeds(MixUp(alpha))
    assert len(shares) > 1900  # the others round to 1
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_cutmix_replaces_as_much_as_drawn_where_it_lies_within_and_its_centre_is_anywhere():
    x, labels = constant_images((2, 101, 101, 1))
    areas, edges = [], []
    for seed in range(1000):
        y, _ = mixed(NUMPY, CutMix(1e6), x, labels, seed)  # always a half
        rows = np.flatnonzero((y[0] != 0).any(axis=(1, 2)))
        columns = np.flatnonzero((y[0] != 0).any(axis=(0, 2)))
        if len(rows):
            areas.append(len(rows) * len(columns) / 101**2)
            edges.append((rows[0] == 0, rows[-1] == 100, columns[0] == 0, columns[-1] == 100))
    assert max(areas) == pytest.approx(0.5, abs=0.01)
    # Centres at a corner leave a quarter of the rectangle.
    assert min(areas) < 0.17
    # Of 101 places of the centre, 36 have the rectangle's 71 rows reach an edge, and as many the other.
    np.testing.assert_allclose(np.mean(edges, axis=0), 36 / 101, atol=0.1)


def test_one_of_several_ways_is_drawn_for_each_batch():
    x, labels = constant_images((4, 8, 8, 1))
    seen = {MixUp: 0, CutMix: 0}
    for seed in range(400):
        y, _ = mixed(NUMPY, RandomChoice((MixUp(1.0), CutMix(1.0))), x, labels, seed)
        seen[CutMix if np.isin(y, x).all() else MixUp] += 1
    # Now and then nothing is mixed, which looks like cutmix.
    assert 150 < seen[MixUp] < 230


@given(
    count=st.integers(1, 5),
    smoothing=st.sampled_from([0.0, 0.1]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses(backend, count, smoothing, share, seed):
    """As H. Zhang et al. compute it; so is its gradient."""
    random = np.random.default_rng(seed)
    logits = backend.asarray(random.standard_normal((count, 4)), "float64")
    own, partner = (random.integers(0, 4, count) for _ in range(2))
    label = share * np.eye(4)[own] + (1.0 - share) * np.eye(4)[partner]
    loss, pullback = F.softmax_cross_entropy(logits, backend.asarray(label, "float64"), smoothing)
    parts = [F.softmax_cross_entropy(logits, backend.asarray(each, "int64"), smoothing) for each in (own, partner)]
    for found, (first, second) in (
        (loss, [part for part, _ in parts]),
        (pullback(), [back() for _, back in parts]),
    ):
        first, second, found = (backend.to_numpy(each) for each in (first, second, found))
        np.testing.assert_allclose(found, share * first + (1.0 - share) * second, rtol=1e-9, atol=1e-12)


def epoch_of(split, backend, epoch=1, start=0, **options):
    options = {"batch_size": 4, "seed": 3, "mix": BOTH} | options
    found = Batches(split, backend=backend, **options).epoch(epoch, start)
    return [tuple(backend.to_numpy(each) for each in batch) for batch in found]


@all_kinds
@pytest.mark.parametrize("resident", [False, True])
def test_batches_are_the_same_wherever_an_epoch_begins_and_the_split_is(backend, mixing, resident):
    split = split_of(30)
    options = {"augment": AUGMENT, "normalization": Normalization.of(split), "mix": mixing}
    whole = epoch_of(split, backend, resident=resident, **options)
    assert_same_batches(whole, epoch_of(split, NUMPY, **options))
    assert len(whole[-1][0]) == 2
    for start in (1, 5, 7):
        assert_same_batches(epoch_of(split, backend, start=start, resident=resident, **options), whole[start:])
    for changed in ({"epoch": 2}, {"seed": 4}):
        other = epoch_of(split, NUMPY, **options | changed)
        assert not np.array_equal(other[0][1], whole[0][1])
    # Each batch has shares of its own.
    assert len({tuple(labels.max(axis=1)[:2].tolist()) for _, labels in whole}) > 1


@pytest.mark.parametrize("block", [4, 8, 12])
def test_how_many_images_are_prepared_at_once_makes_no_difference(monkeypatch, block):
    whole = epoch_of(split_of(30), NUMPY)
    monkeypatch.setattr(batches, "_BLOCK", block)
    assert_same_batches(epoch_of(split_of(30), NUMPY), whole)


def test_the_order_of_images_and_what_is_done_to_each_do_not_depend_on_mixing():
    """So what is mixed at shares of 1 and 0 is what comes without."""
    split = split_of(30)
    plain = epoch_of(split, NUMPY, augment=HorizontalFlip(), mix=None)
    swapped = epoch_of(split, NUMPY, augment=HorizontalFlip(), mix=MixUp(1e-6))
    for (x, labels), (y, shares) in zip(plain, swapped, strict=True):
        partners = [int(np.flatnonzero(labels == np.argmax(row))[0]) for row in shares]
        assert (np.sort(shares, axis=1)[:, -1] == 1.0).all()
        np.testing.assert_array_equal(y, x[partners])


@pytest.mark.parametrize("device", ["device1", "device2"])
@all_kinds
def test_batches_are_mixed_on_a_second_device(device, mixing):
    pytest.importorskip("array_api_strict")
    backend = make_backend(f"array_api_strict:{device}")
    assert_same_batches(epoch_of(split_of(9), backend, mix=mixing), epoch_of(split_of(9), NUMPY, mix=mixing))
    for batch in Batches(split_of(9), 4, backend=backend, mix=mixing).epoch(0):
        assert {each.device for each in batch} == {backend.device}


def test_labels_have_as_many_classes_as_are_asked_for():
    split = Split(np.zeros((6, 4, 4, 1), np.uint8), [0, 1, 2, 0, 1, 2])
    for classes, expected in ((None, 3), (3, 3), (7, 7)):
        for _, labels in Batches(split, 4, backend=NUMPY, dtype="float64", mix=MixUp(), classes=classes).epoch(0):
            assert labels.shape[1] == expected
            assert labels.dtype == np.float64
    with pytest.raises(SettingError, match="has a label of 2, so classes must be 3 or more, not 2"):
        Batches(split, 4, backend=NUMPY, mix=MixUp(), classes=2)


def test_a_mixing_of_the_users_own_is_called():
    def swap(x, labels, random):
        return x[::-1], labels[::-1]

    plain, swapped = (epoch_of(split_of(8), NUMPY, mix=mix) for mix in (None, swap))
    for (x, labels), (y, shares) in zip(plain, swapped, strict=True):
        np.testing.assert_array_equal(y, x[::-1])
        np.testing.assert_array_equal(np.argmax(shares, axis=1), labels[::-1])


def test_impossible_settings_are_refused():
    for kind in (MixUp, CutMix):
        for alpha in (0.0, -1.0, np.inf, np.nan, 2e6):
            with pytest.raises(
                SettingError, match=f"alpha of {kind.__name__} must be above 0 and at most 1000000, not"
            ):
                kind(alpha)
    with pytest.raises(SettingError, match="RandomChoice needs at least one way to mix"):
        RandomChoice(())
    x, labels = constant_images((2, 3, 3, 1))
    with pytest.raises(TypeError, match="MixUp needs images of floats, not uint8; it comes after the normalization"):
        mixed(NUMPY, MixUp(), x.astype("uint8"), labels)
    with pytest.raises(ValueError, match=r"CutMix needs images \(n, h, w, c\), not an array of shape \(2, 3\)"):
        mixed(NUMPY, CutMix(), x[:, :, 0, 0], labels)
    for augment in (MixUp(), Compose((HorizontalFlip(), MixUp())), FirstEpochs(Compose((MixUp(),)), 2)):
        with pytest.raises(TypeError, match=r"^MixUp mixes whole batches and their labels; give it as mix=$"):
            Batches(split_of(5), 2, backend=NUMPY, augment=augment)
