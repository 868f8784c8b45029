"""The page stands alone, is sound HTML, can be read aloud and in both colour schemes, and fits a phone."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from html import escape, unescape
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.reporting.reader import Reader
from xnn.data import Split
from xnn.errors import RunError
from xnn.reporting.confusion import confusion_pixels
from xnn.reporting.contents import Contents, contents_of
from xnn.reporting.overview import COLOURS
from xnn.reporting.page import page, write_page
from xnn.reporting.saved import SavedRun

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ALONE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module", params=[1, 2])
def read(shown, request):
    """A page of one run, and one of two."""
    return Reader(page([shown] * request.param))


def test_nothing_is_loaded_and_nothing_runs(read):
    assert {"script", "link", "iframe", "object", "base"}.isdisjoint(tag for tag, _ in read.elements)
    for _, attributes in read.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:image/png;base64,", "#"))
    # Before anything that it shall rule.
    assert [tag for tag, _ in read.elements].index("style") > [a for _, a in read.elements].index(policy_of(read))
    assert {"name": "referrer", "content": "no-referrer"} in read.all("meta")
    style = (resources.files("xnn.reporting") / "page.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def policy_of(read):
    (policy,) = [meta for meta in read.all("meta") if "http-equiv" in meta]
    return policy


def test_the_policy_allows_its_own_style_sheet_and_images_within(read):
    digest = base64.b64encode(hashlib.sha256(read.style.encode()).digest()).decode()
    assert len(read.all("style")) == 1
    assert dict(rule.split(" ", 1) for rule in policy_of(read)["content"].split("; ")) == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'none'",
        "base-uri": "'none'",
    }
    # Which therefore would not be applied.
    assert not any("style" in attributes for _, attributes in read.elements)


def test_it_can_be_read_aloud(read):
    assert read.elements[0] == ("html", {"lang": "en"})
    assert read.all("title")
    ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    for tag, attributes in read.elements:
        if tag == "img":
            assert "alt" in attributes
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    headings = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_its_numbers_are_the_runs(read, shown):
    runs = len(read.all("article"))
    answers = shown.answers
    for word in ("Loss of an epoch", "Loss of an interval", "Learning rate", "Most confident mistakes", "First layer"):
        assert word in read.text
    assert f"{100 * shown.run.result['test_accuracy']:.2f} %" in read.text
    wrong = round((1 - answers.accuracy) * answers.images)
    assert f"{wrong:,} of 360 images were mistaken" in read.text
    assert len([image for image in read.all("img") if "taken for" in image["alt"]]) == runs * min(wrong, 24)
    assert len([cell for cell in read.all("td") if cell.get("class", "").startswith("right fill-")]) == runs * 10
    scores, error = answers.scores, answers.calibration.error
    for share in (scores.macro("f1"), error, answers.top5_accuracy):
        assert f"{100 * share:.2f} %" in read.text
    assert "".join(f"{100 * scores.macro(name):.2f}" for name in ("precision", "recall", "f1")) in read.text
    for row in shown.layers.rows:
        assert f"{row.name}{row.layer}" in read.text
    assert "numpy" in read.text
    assert str(shown.run.path.parent) not in read.text


def test_a_page_says_which_accuracy_is_of_how_many_views(shown):
    assert "view" not in Reader(page([shown])).text.replace("test-views", "").replace("test views", "")
    run = dataclasses.replace(shown.run, result=shown.run.result | {"test_views": 6})
    text = Reader(page([dataclasses.replace(shown, run=run)])).text
    assert "mean over 6 views" in text
    assert "trainingtest, one view" in text  # the legends
    assert "test accuracy, one view" in text  # the epochs' table
    assert "averaged over 6 views" in text


def test_a_run_under_way_shows_what_there_is(finished, tmp_path):
    shutil.copy(finished.directory / "config.json", tmp_path)
    text = Reader(page([contents_of(SavedRun.open(tmp_path))])).text
    assert "This run is not complete" in text
    assert "No epoch is done yet" in text
    shutil.copy(finished.directory / "metrics.jsonl", tmp_path)
    text = Reader(page([contents_of(SavedRun.open(tmp_path))])).text
    assert "Loss of an epoch" in text
    assert "Loss of an interval" not in text


def test_many_classes_are_a_picture_and_a_list_that_begins_with_the_hardest(shown):
    classes = tuple(f"class {number}" for number in range(30))
    labels = np.arange(360) % 29
    predicted = np.where(labels == 3, 4, labels)
    rows = {"confidence": shown.answers.confidence, "own": shown.answers.own, "ranks": shown.answers.ranks}
    answers = dataclasses.replace(shown.answers, classes=classes, labels=labels, predicted=predicted, **rows)
    reader = Reader(page([dataclasses.replace(shown, answers=answers)]))
    assert any("Confusion matrix of 30 classes" in image["alt"] for image in reader.all("img"))
    assert reader.text.index("class 30.000.000.00") < reader.text.index("class 0100.00100.00100.00")
    assert "class 29---0" in reader.text
    assert "top-5 accuracy" in reader.text


def test_very_many_classes_are_neither_drawn_nor_all_listed(shown):
    count = 5000
    classes = tuple(f"{number} {'long' * 100}" for number in range(count))
    answers = dataclasses.replace(shown.answers, classes=classes)
    text = page([dataclasses.replace(shown, answers=answers)])
    reader = Reader(text)
    assert "The matrix of 5,000 classes is too large to be drawn." in reader.text
    assert "These are the 1,000 hardest of 5,000 classes, by F1." in reader.text
    assert text.count(" longlong") < 1200
    assert "confusion" not in vars(answers)
    assert len(text) < 1_000_000


def test_large_images_are_thinned_out(shown):
    images = np.random.default_rng(0).integers(0, 256, (360, 300, 40, 3), np.uint8)
    large = dataclasses.replace(shown, split=Split(images, shown.split.labels))
    (first, *_) = [image["src"] for image in Reader(page([large])).all("img") if "taken for" in image["alt"]]
    with Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2]))) as picture:
        assert picture.size == (20, 150)


def test_a_picture_of_a_confusion_matrix():
    pixels = confusion_pixels(np.array([[4, 0], [1, 3]]))
    np.testing.assert_array_equal(pixels[..., 3], [[255, 0], [128, 221]])
    assert (pixels[0, 0, :3] == pixels[1, 1, :3]).all()
    assert (pixels[0, 0, :3] != pixels[1, 0, :3]).any()


def luminance(colour):
    """Relative luminance after WCAG 2.2."""
    parts = np.array(colour) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_in_both_colour_schemes():
    """At least 4.5 to 1, as WCAG asks for, also on the fullest cells."""
    style = (resources.files("xnn.reporting") / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        found = re.findall(r"--([\w-]+): #(\w{6});", block)
        colours = {name: np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) for name, code in found}
        for text in ("ink", "quiet", "blue", "orange"):
            for ground in ("paper", "card"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for cell in ("on-right", "on-wrong"):
            for share in (0.08, 0.5):
                ground = share * colours[cell] + (1 - share) * colours["card"]
                assert contrast(colours["ink"], ground) >= 4.5, (cell, share)
        assert sum(name.startswith("run-") for name in colours) == COLOURS
        for line in ("blue", "orange", "violet", *(f"run-{number}" for number in range(1, COLOURS + 1))):
            assert contrast(colours[line], colours["card"]) >= 3.0


def test_a_page_that_cannot_be_written_is_named(shown, tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*nowhere"):
        write_page(tmp_path / "nowhere" / "page.html", [shown])


def chromium(tmp_path, *arguments):
    command = [CHROMIUM, *ALONE, f"--user-data-dir={tmp_path / 'profile'}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def measured(contents, width, tmp_path, expression):
    """What a line of JavaScript finds out about a page of some width; `root` is its element html."""
    # The page itself forbids scripts; this one is around it.
    script = f"const root = this.contentDocument.documentElement; document.title = JSON.stringify({expression})"
    frame = f'width="{width}" height="900" style="border:0" srcdoc="{escape(page(contents))}"'
    holder = tmp_path / "holder.html"
    holder.write_text(f'<!DOCTYPE html><title>none</title><iframe {frame} onload="{escape(script)}"></iframe>', "utf-8")
    dom = chromium(tmp_path, "--window-size=1500,1000", "--virtual-time-budget=5000", "--dump-dom", holder.as_uri())
    return json.loads(unescape(re.findall(r"<title>(.*?)</title>", dom)[0]))


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is there")


@needs_chromium
def test_a_browser_draws_it_in_both_colour_schemes(shown, tmp_path):
    write_page(tmp_path / "page.html", [shown])
    pictures = {}
    for name, number in (("dark", 0), ("light", 1)):
        scheme = f"--blink-settings=preferredColorScheme={number}"
        target = f"--screenshot={tmp_path / name}.png"
        chromium(tmp_path, "--window-size=1200,2600", target, scheme, (tmp_path / "page.html").as_uri())
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (1200, 2600)
            pictures[name] = np.asarray(picture.convert("RGB"))
    corners = {name: pixels[5, 5].tolist() for name, pixels in pictures.items()}
    assert corners == {"light": [0xF6, 0xF7, 0xF9], "dark": [0x0F, 0x12, 0x16]}
    for pixels in pictures.values():
        # Something is drawn in each stretch of the page, and in more than a few colours.
        colours = pixels.astype(np.int32) @ [65536, 256, 1]
        assert all(len(np.unique(part)) > 20 for part in np.split(colours, 4))


@needs_chromium
@pytest.mark.parametrize("width", [360, 768, 1200])
def test_it_fits_the_width_of_a_phone_and_of_a_desk(shown, tmp_path, width):
    """Nothing reaches beyond the edge; what is wider scrolls in a box of its own. Names may be long."""
    classes = ("Donaudampfschifffahrt" * 4, "a long name of a class " * 4, *shown.answers.classes[2:])
    run = dataclasses.replace(shown.run, path=Path("run-" * 20 + "of-a-name" * 5))
    long = dataclasses.replace(shown, run=run, answers=dataclasses.replace(shown.answers, classes=classes))
    assert measured([shown, long], width, tmp_path, "root.scrollWidth") == width


@needs_chromium
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_the_results_of_many_runs_are_in_sight(finished, tmp_path, width):
    """On a desk nothing of them is cut, not even where every setting differs."""
    run = SavedRun.open(finished.directory)
    changes = {"lr": 0.5, "batch_size": 256, "hidden": 1024, "augment": ("rotate", "shift", "cutout"), "average": 0.0}
    changes |= {"optimizer": "rmsprop", "momentum": 0.95, "weight_decay": 0.0005, "schedule": "one-cycle", "seed": 1}
    runs = [
        dataclasses.replace(
            run,
            path=Path(f"digits-mlp-20261130-18050{place}"),
            settings=dataclasses.replace(run.settings, **each),
            result=run.result | {"parameters": 10_000_000 * place, "seconds": 36_000.5},
        )
        for place, each in enumerate([{}, changes])
    ]
    box = "root.querySelector('.wide .scroll')"
    accuracy = "root.querySelector('.wide td').getBoundingClientRect().right"
    lines = "[...root.querySelectorAll('.wide a')].map(name => name.getClientRects().length)"
    page_width, inside, room, seen, names = measured(
        list(map(Contents, runs)),
        width,
        tmp_path,
        f"[root.scrollWidth, {box}.scrollWidth, {box}.clientWidth, {accuracy}, {lines}]",
    )
    assert page_width == width
    assert seen < width
    if width >= 1400:
        assert inside == room
        assert names == [1, 1]
    else:
        assert max(names) <= 2


@needs_chromium
@pytest.mark.parametrize("width", [360, 1400])
def test_the_numbers_above_have_a_line_and_room_for_it(shown, tmp_path, width):
    result = shown.run.result | {"test_accuracy": 1.0, "parameters": 11_173_962_000, "seconds": 864_000.5}
    contents = dataclasses.replace(shown, run=dataclasses.replace(shown.run, result=result))
    tiles = "[...root.querySelectorAll('.tiles > div')]"
    lines = f"{tiles}.map(({{lastChild: dd}}) => dd.clientHeight / parseFloat(getComputedStyle(dd).lineHeight))"
    beyond = f"{tiles}.map(tile => tile.scrollWidth - tile.clientWidth)"
    heights, over = measured([contents], width, tmp_path, f"[{lines}, {beyond}]")
    assert len(heights) == 7
    assert max(heights) < 1.5
    assert max(over) == 0
