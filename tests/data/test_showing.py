"""What a notebook shows of data sets."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.markup import NASTY, Page
from xnn import data
from xnn.data.showing import first_of_each
from xnn.texts import printable


def opened(attributes):
    content = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
    return Image.open(io.BytesIO(content))


def split(labels, shape=(4, 5, 1), seed=0):
    random = np.random.default_rng(seed)
    return data.Split(random.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=80))
def test_each_class_shows_its_first_images_as_often_as_the_others(labels):
    chosen = first_of_each(np.array(labels))
    classes = sorted(set(labels))
    each = max(1, 24 // len(classes))
    expected = [place for c in classes[:24] for place in [i for i, label in enumerate(labels) if label == c][:each]]
    assert chosen == expected[:24]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.lists(NASTY, min_size=3, max_size=3))
def test_a_data_sets_images_have_the_names_of_their_classes(labels, names):
    images = split(labels)
    page = Page(data.Dataset(names[0], images, images, tuple(names), names[1])._repr_html_())
    shown = page.images()
    assert [entry["alt"] for entry in shown] == [
        printable(names[labels[i]], 120) for i in first_of_each(np.array(labels))
    ]
    for entry, place in zip(shown, first_of_each(images.labels), strict=True):
        with opened(entry) as picture:
            assert (np.asarray(picture) == images.images[place, :, :, 0]).all()


@pytest.mark.parametrize(
    ("shape", "mode"), [((4, 5), "L"), ((4, 5, 1), "L"), ((4, 5, 3), "RGB"), ((300, 200, 3), "RGB")]
)
def test_large_images_are_made_small(shape, mode):
    page = Page(split([0, 1], shape)._repr_html_())
    assert len(page.images()) == 2
    with opened(page.images()[0]) as picture:
        assert picture.mode == mode
        assert picture.size == ((96, 144) if shape[0] == 300 else (5, 4))


@pytest.mark.parametrize("images", [np.zeros((2, 3)), np.zeros((2, 4, 5, 2), np.uint8), np.zeros((2, 4, 5, 1))])
def test_what_is_no_image_is_a_line(images):
    page = Page(data.Split(images, [0, 1])._repr_html_())
    assert not page.images()
    assert page.texts[-1] == "Only images of unsigned bytes, grey or RGB, are shown."


def test_images_for_validation_are_counted():
    digits = split([0, 1])
    dataset = data.Dataset("d", digits, digits, ("a", "b"), "here", validation=split([0]))
    assert Page(dataset._repr_html_()).texts[0].startswith("d: 2 training, 2 test, 1 validation images of 4x5x1")
