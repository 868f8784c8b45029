import numpy as np
import pytest

from xnn.data.class_counts import class_counts


def lines_for(*counts, names=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    return class_counts(labels, names or [f"c{number}" for number in range(len(counts))])


def test_up_to_ten_classes_are_counted_by_name():
    assert lines_for(3, 9, names=["cat", "dog"]) == ["training images of each class: cat 3, dog 9"]
    assert lines_for(*range(1001, 1011))[0].endswith("c8 1,009, c9 1,010")


def test_of_more_classes_the_smallest_and_the_largest_are_named():
    assert lines_for(*range(11, 0, -1), names=None)[0] == "training images of each class: from 1 (c10) to 11 (c0)"


def test_equal_classes_need_one_number():
    assert lines_for(*[1200] * 30) == ["training images of each class: 1,200"]


@pytest.mark.parametrize(("least", "most", "warned"), [(3, 9, False), (3, 10, True), (0, 1, True), (1, 1, False)])
def test_classes_that_are_far_apart_are_warned_of(least, most, warned):
    lines = lines_for(most, least, names=["dog", "cat"])
    assert (len(lines) == 2) is warned
    if warned:
        assert lines[1].startswith(f"warning: dog has {most} training images and cat {least}, so a model may learn to")


def test_names_are_kept_short_and_harmless():
    (line,) = lines_for(1, 2, names=["x" * 1000, "\x1b[2J\n"])
    assert len(line) < 120
    assert line.isprintable()
