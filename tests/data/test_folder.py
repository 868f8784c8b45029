import itertools
import os
import re
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.trouble import deny, failing
from xnn.data import folder, limits, listing, load
from xnn.data.folder import list_folder
from xnn.data.listing import read_listing
from xnn.errors import DataError


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def pixels(number, *shape):
    return np.random.default_rng(number).integers(0, 256, shape or (4, 5, 3), dtype=np.uint8)


def read_folder(root, **options):
    content = read_listing(list_folder(root), **options)
    return content.arrays, content.classes


def test_train_and_test_folders(tmp_path):
    save(tmp_path / "train/cat/1.png", pixels(1))
    save(tmp_path / "train/ape/2.png", pixels(2))
    save(tmp_path / "train/cat/0.bmp", pixels(3))
    save(tmp_path / "test/cat/1.png", pixels(4))
    save(tmp_path / "test/ape/1.PNG", pixels(5))
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    (tmp_path / "train/.hidden").mkdir()
    (tmp_path / "train/cat/.DS_Store").write_text("no image")
    (tmp_path / "train/cat/Thumbs.db").write_text("no image")
    (tmp_path / "train/cat/._1.png").write_text("no image")
    save(tmp_path / "train/__MACOSX/cat/1.png", pixels(0))
    save(tmp_path / "__MACOSX/1.png", pixels(0))
    arrays, classes = read_folder(tmp_path)
    assert classes == ("ape", "cat")
    assert arrays.train_labels.tolist() == [0, 1, 1]
    assert arrays.test_labels.tolist() == [0, 1]
    np.testing.assert_array_equal(arrays.train_images, [pixels(2), pixels(3), pixels(1)])
    np.testing.assert_array_equal(arrays.test_images, [pixels(5), pixels(4)])
    assert len(list_folder(tmp_path).paths) == 5


def test_one_folder_is_divided(tmp_path):
    for number in range(20):
        save(tmp_path / "ab"[number % 2] / f"{number:02}.png", pixels(number, 4, 5))
    arrays, classes = read_folder(tmp_path)
    assert classes == ("a", "b")
    assert arrays.train_images.shape == (16, 4, 5, 1)
    assert arrays.test_images.shape == (4, 4, 5, 1)
    known = {pixels(number, 4, 5).tobytes(): number % 2 for number in range(20)}
    images = np.concatenate([arrays.train_images, arrays.test_images])
    labels = np.concatenate([arrays.train_labels, arrays.test_labels])
    assert len({image.tobytes() for image in images}) == 20
    assert [known[image.tobytes()] for image in images] == labels.tolist()
    assert [labels[:16].sum(), labels[16:].sum()] == [8, 2]
    np.testing.assert_array_equal(read_folder(tmp_path)[0].test_images, arrays.test_images)


def test_the_division_is_a_function_of_the_names(tmp_path):
    """Not of the order in which the system lists them, nor of where the folder is."""
    found = []
    for place, order in (("x", range(20)), ("y", reversed(range(20)))):
        for number in order:
            save(tmp_path / place / "ab"[number % 2] / f"{number:02}.png", pixels(number))
        found.append(read_folder(tmp_path / place)[0].test_images)
    np.testing.assert_array_equal(*found)


def test_grey_images_among_colour_ones(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / part / "a/grey.png", pixels(0, 4, 5))
        save(tmp_path / part / "b/rgb.png", pixels(1, 4, 5, 3))
    arrays, _ = read_folder(tmp_path)
    np.testing.assert_array_equal(arrays.train_images[0], np.repeat(pixels(0, 4, 5)[..., None], 3, axis=2))
    np.testing.assert_array_equal(arrays.train_images[1], pixels(1, 4, 5, 3))


def test_sizes_are_found_before_anything_is_decoded(tmp_path, monkeypatch):
    fill(tmp_path)
    save(tmp_path / "b/7.png", pixels(7, 8, 6, 3))
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    monkeypatch.setattr(limits, "free_memory", lambda: 0)
    with pytest.raises(DataError, match=f"it needs {2 * 7 * 8 * 8 * 3:,} bytes of memory"):
        read_folder(tmp_path)


def fill_with_masks(tmp_path, count, side):
    """Make pictures of one colour and one bit a pixel, which shrink to a thousandth."""
    path = tmp_path / "a/0.png"
    path.parent.mkdir()
    Image.new("1", (side, side)).save(path)
    content = path.read_bytes()
    (tmp_path / "b").mkdir()
    for number in range(1, count):
        (tmp_path / "ab"[number % 2] / f"{number}.png").write_bytes(content)
    return len(content)


def test_many_images_that_are_near_the_limit_are_refused_together(tmp_path, monkeypatch):
    """Twenty of 64 million pixels each: none is a bomb, all together are."""
    assert fill_with_masks(tmp_path, 20, 8000) < 2**14
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    message = "refused, its [0-9,]+ bytes unpack to 1,280,000,000 or more, .* allowed: if"
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}: {message}"):
        read_folder(tmp_path)


def test_many_small_masks_are_read(tmp_path):
    """Three hundred of 512 x 512 pixels are 79 MB, and 173 bytes each on the disk."""
    assert fill_with_masks(tmp_path, 300, 512) < 200
    assert read_folder(tmp_path)[0].train_images.shape == (240, 512, 512, 1)


def test_images_that_do_not_fit_into_memory_are_named(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr(limits, "free_memory", lambda: 719)
    with pytest.raises(DataError, match=r": it needs 720 bytes of memory, of which 719 are free; take smaller images"):
        read_folder(tmp_path)
    monkeypatch.setattr(limits, "free_memory", lambda: 720)
    read_folder(tmp_path)


@pytest.mark.parametrize("shape", [(1, 1), (5, 4)])
def test_an_image_that_changes_while_it_is_read_is_named(tmp_path, monkeypatch, shape):
    """A single pixel would fill a row of any size."""
    fill(tmp_path)

    def change(sizes, asked):
        save(tmp_path / "a/0.png", pixels(0, *shape))
        return sizes[0], ()

    monkeypatch.setattr(listing, "image_size_of", change)
    with pytest.raises(DataError, match=r"a/0.png: it was changed while it was read"):
        read_folder(tmp_path)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the system has no such names")
def test_a_class_whose_name_is_no_text_is_named(tmp_path):
    fill(tmp_path)
    (tmp_path / os.fsdecode(b"\xff\n")).mkdir()
    with pytest.raises(DataError, match=r"class folder '\\udcff\\n' is not UTF-8; rename it") as caught:
        read_folder(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such names")
def test_a_class_may_have_any_other_name(tmp_path):
    names = ["\x1b[2J", "a\nb", "mäuse", "猫"]
    for number in range(8):
        save(tmp_path / names[number % 4] / f"{number}.png", pixels(number))
    assert read_folder(tmp_path)[1] == tuple(sorted(names))


def test_linked_folders_are_read_and_links_without_end_are_not_entered(tmp_path):
    fill(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    for name in "ab":
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "set" / "round").symlink_to("round")
    arrays, classes = read_folder(tmp_path / "set")
    assert classes == ("a", "b")
    assert len(arrays.train_images) + len(arrays.test_images) == 6


def test_thousands_of_empty_classes_are_one_line(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number:04}").mkdir()
    with pytest.raises(DataError, match=r"0000: no images in this class folder"):
        read_folder(tmp_path)


def fill(tmp_path):
    for number in range(6):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", pixels(number))


def test_files_that_are_no_images_are_named(tmp_path):
    fill(tmp_path)
    bad = tmp_path / "a/8.png"
    whole = (tmp_path / "a/0.png").read_bytes()
    for content in (b"", b"text", whole[:20], whole[:60], whole[:-40]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"a/8.png: not a readable picture"):
            read_folder(tmp_path)


@pytest.mark.parametrize(
    "error",
    [ValueError, struct.error, TypeError, OverflowError, SyntaxError, EOFError, IndexError, NotImplementedError],
)
def test_whatever_a_decoder_raises_is_one_line_with_the_file(tmp_path, monkeypatch, error):
    fill(tmp_path)
    monkeypatch.setattr(Image.Image, "convert", failing(error("two\nlines")))
    with pytest.raises(DataError, match=r"a/0.png: not a readable picture .two lines"):
        read_folder(tmp_path)


def test_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(DataError, match=r"no images in class folders; expected files such as .*CLASS/image.png"):
        list_folder(tmp_path)
    save(tmp_path / "train/a/0.png", pixels(0))
    with pytest.raises(DataError, match=r"has train/ but no val/ or test/; give both, or class folders alone$"):
        read_folder(tmp_path)
    save(tmp_path / "test/b/0.png", pixels(0))
    with pytest.raises(DataError, match=r"train/ has the class 'a', but test/ has not; both need the same"):
        read_folder(tmp_path)
    save(tmp_path / "test/a/0.png", pixels(0))
    (tmp_path / "train/b").mkdir()
    with pytest.raises(DataError, match=re.escape("train/b: no images in this class folder")):
        read_folder(tmp_path)


def test_too_few_images_to_divide(tmp_path):
    for number in range(6):
        save(tmp_path / str(number) / "0.png", pixels(0))
        if number in (1, 5):
            with pytest.raises(DataError, match=rf"{number + 1} images of {number + 1} classes are too few"):
                read_folder(tmp_path)


def test_one_class_is_refused(tmp_path):
    for number in range(20):
        save(tmp_path / "cat" / f"{number}.png", pixels(0))
    with pytest.raises(DataError, match=r"all images are of one class, 'cat', and there is nothing to tell apart"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_two_parts_are_training_and_test(tmp_path, name):
    for number, (part, kind) in enumerate(itertools.product(("train", name), "ab")):
        save(tmp_path / part / kind / "0.png", pixels(number))
    arrays, _ = read_folder(tmp_path)
    np.testing.assert_array_equal(arrays.train_images, [pixels(0), pixels(1)])
    np.testing.assert_array_equal(arrays.test_images, [pixels(2), pixels(3)])
    assert len(arrays.pairs) == 2
    assert not list_folder(tmp_path).divided


def test_three_parts_have_images_to_validate_on(tmp_path):
    for number, (part, kind) in enumerate(itertools.product(("train", "test", "valid"), "ab")):
        save(tmp_path / part / kind / "0.png", pixels(number))
    arrays, _ = read_folder(tmp_path)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in arrays.pairs]), list(map(pixels, range(6))))
    assert [labels.tolist() for _, labels in arrays.pairs] == [[0, 1]] * 3
    save(tmp_path / "val/a/0.png", pixels(0))
    with pytest.raises(DataError, match=r"has val/ and valid/; leave one of the two"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"), [(["val", "test"], "has val/ and test/ but no train/"), (["test"], "has test/ but no train/")]
)
def test_without_a_training_part_the_folder_is_refused(tmp_path, names, message):
    for name in names:
        save(tmp_path / name / "a/0.png", pixels(0))
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path)


def test_classes_in_nested_folders_are_named_by_their_path(tmp_path):
    for number, name in enumerate(["cat/old", "cat/young", "dog", "bird/sea/gull"] * 2):
        save(tmp_path / name / f"{number}.png", pixels(number))
    arrays, classes = read_folder(tmp_path)
    assert classes == ("bird/sea/gull", "cat/old", "cat/young", "dog")
    assert sorted([*arrays.train_labels, *arrays.test_labels]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_folder_of_both_images_and_folders_is_named(tmp_path):
    save(tmp_path / "cat/0.png", pixels(0))
    save(tmp_path / "cat/old/0.png", pixels(0))
    with pytest.raises(DataError, match=r"cat: has images and also the folder old/; move one or the other away"):
        read_folder(tmp_path)


def test_parts_that_lie_a_folder_deeper_are_named(tmp_path):
    """As an archive unpacks them."""
    for name in ("train/a", "train/b", "test/a", "test/b"):
        save(tmp_path / "pets" / name / "0.png", pixels(0))
    with pytest.raises(DataError, match=rf"has the folder pets/t\w+; name {re.escape(str(tmp_path / 'pets'))} as the"):
        read_folder(tmp_path)


def test_links_that_lead_round_and_round_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(20):
        (tmp_path / "a" / str(number)).symlink_to(tmp_path / "a", target_is_directory=True)
    with pytest.raises(DataError, match=r"has more than 8 folders within each other, as at 'a/0/0/") as caught:
        read_folder(tmp_path)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_folders_without_end_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_MOST", 10)
    for number in range(11):
        save(tmp_path / f"{number}/0.png", pixels(0))
    with pytest.raises(DataError, match=r"has more than 10 folders, as at '\d+'; expected CLASS/image.png"):
        read_folder(tmp_path)


def test_a_class_with_an_endless_name_is_refused(tmp_path):
    name = "/".join(["x" * 250] * 5)
    save(tmp_path / name / "0.png", pixels(0))
    with pytest.raises(DataError, match=r"the name of the class 'x{40}'... has more than 1000 letters; shorten it"):
        read_folder(tmp_path)


def spoil(tmp_path):
    """Give both of two classes six images, and of one an empty file, one that is cut off, and a link to nothing."""
    for number in range(12):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", pixels(number))
    whole = (tmp_path / "a/0.png").read_bytes()
    (tmp_path / "a/7.png").write_bytes(b"")
    (tmp_path / "a/8.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a/9.png").symlink_to(tmp_path / "nowhere.png")


def test_bad_files_are_left_out_if_asked_for_and_named(tmp_path):
    spoil(tmp_path)
    with pytest.raises(DataError, match=r"a/7.png: not a readable picture .*; --skip-bad leaves such files out$"):
        read_folder(tmp_path)
    content = read_listing(list_folder(tmp_path), skip_bad=True)
    images = np.concatenate([content.arrays.train_images, content.arrays.test_images])
    assert sorted(map(bytes, images)) == sorted(bytes(pixels(number)) for number in range(12))
    count, *notes = content.notes
    assert count == "--skip-bad leaves out 3 of 15 pictures:"
    assert len(notes) == 3
    for name in ("7.png", "8.jpg", "9.png"):
        assert sum(note.startswith(f"  {Path('a', name)}: not a readable picture (") for note in notes) == 1


def test_of_many_bad_files_five_are_named(tmp_path):
    spoil(tmp_path)
    for number in range(20, 25):
        (tmp_path / f"b/{number}.png").write_bytes(b"")
    notes = read_listing(list_folder(tmp_path), skip_bad=True).notes
    assert notes[0] == "--skip-bad leaves out 8 of 20 pictures:"
    assert len(notes) == 7
    assert notes[-1] == "  ... and 3 more"


def test_what_was_left_out_is_named_from_the_cache_too_and_only_if_asked_for(tmp_path):
    spoil(tmp_path / "set")
    told = []
    for _ in range(2):
        lines = []
        dataset = load(str(tmp_path / "set"), skip_bad=True, cache_dir=tmp_path / "cache", report=lines.append)
        assert len(dataset.train) + len(dataset.test) == 12
        told.append(lines)
    assert told[0] == told[1]
    assert len(told[0]) == 5
    with pytest.raises(DataError, match=r"a/9.png: cannot be read"):
        load(str(tmp_path / "set"), cache_dir=tmp_path / "cache")


def test_a_class_of_which_nothing_is_left_is_named(tmp_path):
    fill(tmp_path)
    for path in (tmp_path / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of the class 'b' can be read"):
        read_folder(tmp_path, skip_bad=True)
    for part in ("train", "test"):
        shutil.copytree(tmp_path / "a", tmp_path / "set" / part / "a")
        save(tmp_path / "set" / part / "b/0.png", pixels(0))
    (tmp_path / "set/test/b/0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of the class 'b' in test can be read"):
        read_folder(tmp_path / "set", skip_bad=True)


@pytest.mark.parametrize("closed", ["", "a"])
def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch, closed):
    fill(tmp_path)
    deny(monkeypatch, "iterdir", lambda path: path == tmp_path / closed)
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path / closed))}: cannot be read: Permission denied"):
        list_folder(tmp_path)
