"""A CSV file of paths and labels: every line counts, and none leads elsewhere."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xnn.data import load, table
from xnn.data.table import list_table
from xnn.errors import DataError


def pixels(number):
    return np.full((4, 5), number, np.uint8)


def fill(folder, count=10):
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(pixels(number)).save(folder / "pictures" / f"{number}.png")


def listed(folder, text):
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list_table(path)


def read(folder, text, **options):
    listed(folder, text)
    return load(str(folder / "labels.csv"), cache_dir=folder / "cache", **options)


ROWS = "".join(f"pictures/{number}.png,{'even' if number % 2 == 0 else 'odd'}\n" for number in range(10))


@pytest.mark.parametrize("header", ["", "path,label\n", "Filename, Class\r\n", "\ufeffimage,category\n", "\n\n"])
def test_every_row_is_an_image_with_its_label(tmp_path, header):
    fill(tmp_path)
    dataset = read(tmp_path, header + ROWS)
    assert dataset.classes == ("even", "odd")
    assert (len(dataset.train), len(dataset.test)) == (8, 2)
    assert dataset.divided
    for split in (dataset.train, dataset.test):
        assert (split.images[:, 0, 0, 0] % 2).tolist() == split.labels.tolist()
    assert sorted([*dataset.train.images[:, 0, 0, 0], *dataset.test.images[:, 0, 0, 0]]) == list(range(10))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:"), min_size=1, max_size=9).filter(
    lambda text: text == text.strip() and not text.startswith(".")
)


@given(rows=st.dictionaries(CELL, CELL, min_size=1, max_size=6))
def test_quoted_cells_may_hold_anything(rows):
    def quoted(cell):
        return '"' + cell.replace('"', '""') + '"'

    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{quoted(name + '.png')},{quoted(label)}\r\n" for name, label in rows.items()]
        listing = listed(Path(folder), "".join(lines))
    found = {picture.path.name: listing.classes[picture.label] for picture in listing.pictures}
    assert found == {f"{name}.png": label for name, label in rows.items()}
    assert listing.classes == tuple(sorted(set(rows.values())))


def test_the_division_does_not_depend_on_the_order_of_the_lines(tmp_path):
    fill(tmp_path)
    test = read(tmp_path, ROWS).test.images
    backwards = "".join(reversed(ROWS.splitlines(keepends=True)))
    np.testing.assert_array_equal(read(tmp_path, backwards).test.images, test)


def test_other_labels_are_read_anew(tmp_path):
    fill(tmp_path)
    read(tmp_path, ROWS)
    assert read(tmp_path, ROWS.replace("odd", "strange")).classes == ("even", "strange")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no images; expected lines such as cat/1.png,cat"),
        ("path,label\n", "no images; expected"),
        ("a.png\n", r"line 1: 1 columns; expected two, path,label"),
        ("a.png;cat\n", r"line 1: 1 columns; expected two, path,label, with a comma"),
        ("a.png,cat\nb.png,cat,dog\n", r"line 2: 3 columns"),
        ("a.png,\n", r"line 1: 'a.png' has no label"),
        (",cat\n", r"line 1: '' is no path within the folder"),
        ("a.png,cat\npath,label\n", r"line 2: 'path' is no picture; expected a name that ends in one of .png"),
        ("name,cat\n", r"line 1: 'name' is no picture"),
        ("a.png,cat\nb.png,dog\n./a.png,cat\n", r"line 3: './a.png' is already in line 1; leave one of the two"),
        ("a.png,cat\na.png,dog\n", r"line 2: 'a.png' is already in line 1"),
        ("../a.png,cat\n", r"line 1: '../a.png' is no path within the folder of the file"),
        ("b/../../a.png,cat\n", r"line 1: .* is no path within"),
        ("/etc/a.png,cat\n", r"line 1: '/etc/a.png' is no path within"),
        ("a\0.png,cat\n", r"line 1: "),
        ("a.png,cat\n\"b.png,dog\n", r"line 2: not CSV \(unexpected end of data\)"),
        (f"{'x' * 200_000}.png,cat\n", r"line 1: not CSV \(field larger than field limit"),
        (b"a.png,cat\nb.png,\xff\n", r"line 2: not UTF-8; save the file as UTF-8"),
        (f"a.png,{'x' * 1001}\n", r"line 1: the name of the class 'x{40}'... has more than 1000 letters"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        listed(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "MOST_BYTES", 20)
    assert len(listed(tmp_path, "aa.png,cat\nb.png,dog").pictures) == 2
    with pytest.raises(DataError, match=r"more than 20 bytes"):
        listed(tmp_path, "aaa.png,cat\nb.png,dog")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"labels.csv: cannot be read: is a pipe or a device"):
        load(str(tmp_path / "labels.csv"))


def test_a_file_that_is_missing_is_named_and_left_out_only_if_asked_for(tmp_path):
    fill(tmp_path)
    text = ROWS + "pictures/99.png,odd\n"
    with pytest.raises(DataError, match=r"99.png: cannot be read: No such file"):
        read(tmp_path, text)
    lines = []
    dataset = read(tmp_path, text, skip_bad=True, report=lines.append)
    assert len(dataset.train) + len(dataset.test) == 10
    assert lines[1] == "--skip-bad leaves out 1 of 11 pictures:"
    assert lines[2].startswith(f"  {Path('pictures', '99.png')}: ")


def test_one_class_is_refused(tmp_path):
    fill(tmp_path)
    with pytest.raises(DataError, match=r"labels.csv: all images are of one class, 'odd'"):
        read(tmp_path, ROWS.replace("even", "odd"))
