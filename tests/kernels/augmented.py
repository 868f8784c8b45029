"""Images and augmentations for the tests of single passes that prepare images."""

import numpy as np
from hypothesis import strategies as st

from xnn.data import (
    AlternatingFlip,
    Compose,
    Cutout,
    FirstEpochs,
    HorizontalFlip,
    RandomCrop,
    RandomWindow,
    Split,
)

shapes = st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(1, 4))


def one_of(side):
    return st.one_of(
        st.sampled_from([HorizontalFlip(), AlternatingFlip()]),
        st.builds(RandomCrop, st.integers(0, side + 2)),
        st.builds(RandomCrop, st.integers(0, side - 1), st.just("reflect")),
        st.builds(Cutout, st.integers(1, side + 2)),
    )


@st.composite
def augmentations(draw, shape):
    side = min(shape[1:3])
    one = one_of(side)
    several = st.lists(one, max_size=5).map(lambda parts: Compose(tuple(parts)))
    nested = st.tuples(several, one).map(Compose)
    return draw(st.none() | one | several | nested | windowed(side))


@st.composite
def windowed(draw, side):
    """A window among others, and perhaps another one in it."""
    size = draw(st.integers(1, side))
    parts = draw(st.lists(one_of(side), max_size=2))
    parts += [FirstEpochs(RandomWindow(size), 2), *draw(st.lists(one_of(size), max_size=2))]
    return Compose((*parts, RandomWindow(draw(st.integers(1, size)))) if draw(st.booleans()) else tuple(parts))


def split_of(shape, dtype=np.uint8):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    return Split(images, np.arange(len(images)))


class Subclass(HorizontalFlip):
    """Applies its steps in a way of its own."""

    def __call__(self, x, random):
        return 255 - super().__call__(x, random)


OTHERS = {
    "function": lambda x, random: x // 3,
    "subclass": Subclass(),
    "composed": Compose((HorizontalFlip(), lambda x, random: x // 2)),
    "nested": Compose((RandomCrop(1), Compose((Subclass(),)))),
    "many": Compose((HorizontalFlip(),) * 64),
}
"""Augmentations that a single pass does not cover."""
