"""Whatever stands in a run's files, a page of it has the elements and attributes of any page, and no others."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from tests.documents import places, replaced
from tests.reporting.reader import Reader
from tests.reporting.runs import redescribe
from xnn.errors import UserError
from xnn.reporting.contents import contents_of
from xnn.reporting.page import page
from xnn.reporting.saved import SavedRun

ODD = [
    '"><script>alert(1)</script>',
    "' onload='alert(1)' x='",
    "</style></title></svg><img src=x onerror=alert(1)>",
    "<a href=javascript:alert(1)>link</a>",
    "&lt;script&gt;&#x3c;b&#x3e;",
    "]]><!-- <![CDATA[ <?xml",
    "{0.__class__} %s {} {{",
    "\x00<\x00b>\x1b[2J\x9b\r\n\u2028",
    "\u202ereversed\u2066",
    "\udcff\ufdd0\uffff",
]
ALL = " ".join(ODD)


@pytest.fixture(scope="module")
def light(shown):
    """The run alone, of which a page is sooner made."""
    return dataclasses.replace(shown, answers=None, split=None, filters=None)


def forms(reader):
    """The elements with the names of their attributes."""
    return [(tag, frozenset(attributes)) for tag, attributes in reader.elements]


@pytest.fixture(scope="module")
def known(shown):
    """The elements that pages of sound runs have: of one, and of two, where the second's classes fill no table."""
    many = tuple(f"class {number}" for number in range(30))
    wide = dataclasses.replace(shown, answers=dataclasses.replace(shown.answers, classes=many))
    return {form for runs in ([shown], [shown, wide]) for form in forms(Reader(page(runs)))}


def assert_sound(text, known):
    reader = Reader(text)
    assert set(forms(reader)) <= known
    for _, attributes in reader.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    # Nothing unseen is left, and no comment or declaration that a parser would take for itself.
    assert all(line.isprintable() or line.translate({0xFDD0: None}).isprintable() for line in text.split("\n"))
    assert text.count("<!") == 1
    return reader


def with_setting(shown, name, odd):
    """Past the checks of `Settings`, which refuse most."""
    settings = copy.copy(shown.run.settings)
    object.__setattr__(settings, name, odd)
    return dataclasses.replace(shown, run=dataclasses.replace(shown.run, settings=settings))


def with_run(shown, **changes):
    return dataclasses.replace(shown, run=dataclasses.replace(shown.run, **changes))


def with_result(shown, **changes):
    return with_run(shown, result={**shown.run.result, **changes})


def with_class(shown, odd):
    """One that is mistaken for others, and others for it."""
    answers = shown.answers
    predicted = answers.predicted.copy()
    predicted[answers.labels == 0], predicted[answers.labels == 1] = 1, 0
    names = (odd, *answers.classes[1:])
    return dataclasses.replace(shown, answers=dataclasses.replace(answers, classes=names, predicted=predicted))


NAMES = {
    "run directory": lambda shown, odd: with_run(shown, path=Path("runs") / odd.replace("/", "")),
    "data set": lambda shown, odd: with_setting(shown, "dataset", odd.replace("/", "")),
    "recipe": lambda shown, odd: with_result(shown, recipe=odd),
    "version": lambda shown, odd: with_result(shown, versions={"numpy": odd}),
    "library": lambda shown, odd: with_result(shown, versions={odd: "1.0"}),
    "backend": lambda shown, odd: with_result(shown, backend=odd),
    "class": with_class,
    "filter": lambda shown, odd: dataclasses.replace(shown, filters=dataclasses.replace(shown.filters, name=odd)),
}


@pytest.mark.parametrize("field", NAMES)
def test_a_name_is_text_wherever_it_comes_from(shown, light, known, field):
    base = shown if field in ("class", "filter") else light
    plain = assert_sound(page([NAMES[field](base, "plain"), light]), known)
    for odd in ODD:
        reader = assert_sound(page([NAMES[field](base, odd), light]), known)
        assert forms(reader) == forms(plain)
        assert [attributes.get("href") for _, attributes in reader.elements] == [
            attributes.get("href") for _, attributes in plain.elements
        ]


@pytest.mark.parametrize("field", NAMES)
def test_a_name_is_shown_as_it_is_written(shown, field):
    reader = Reader(page([NAMES[field](shown, "<b> & 'quoted' \"twice\" \x1b")]))
    written = "<b> & 'quoted' \"twice\" \\x1b"
    assert written in reader.text
    # All images of the class are mistaken, and others for it.
    for phrase in (f": {written}, taken for ", f", taken for {written}") if field == "class" else ():
        assert any(phrase in image["alt"] for image in reader.all("img"))


@pytest.mark.parametrize("kind", ["history", "intervals"])
def test_rows_with_text_for_numbers(light, known, kind):
    rows = getattr(light.run, kind) or [{"passes": 1.0, "interval_loss": 1.0, "minibatch_loss": 1.0, "lr": 0.1}]
    for field in [*rows[-1], "<b>"]:
        changed = [*rows[:-1], rows[-1] | {field: ALL}]
        assert_sound(page([with_run(light, **{kind: changed})]), known)


def test_epochs_are_text(light, known):
    rows = [{"epoch": "<script>alert(1)</script>", "train_loss": 1.0}]
    assert "<script>alert(1)</script>" in assert_sound(page([with_run(light, history=rows)]), known).text


@pytest.mark.parametrize("odd", [ALL, [ALL], {ALL: ALL}, None, True], ids=lambda odd: type(odd).__name__)
def test_results_with_other_things_for_numbers(light, known, odd):
    for field in light.run.result:
        assert_sound(page([with_result(light, **{field: odd})]), known)


def test_settings_with_other_texts(light, known):
    """Those that may have any text; the others are refused when a run is read."""
    names = [field.name for field in dataclasses.fields(light.run.settings) if field.metadata["choices"] == ()]
    texts = [name for name in names if isinstance(getattr(light.run.settings, name), str)]
    assert {"dataset", "model", "backend", "run_dir"} <= set(texts)
    for name in {*texts, "data_dir", "recipe"} - {"checkpoint_every"}:
        assert_sound(page([with_setting(light, name, ALL)]), known)


def test_why_data_is_missing_is_not_told(shown, known):
    """It names folders."""
    text = page([dataclasses.replace(shown, answers=None, split=None, missing="/home/somebody/data is not there")])
    assert "The data set was not found" in assert_sound(text, known).text
    assert "somebody" not in text


def page_of_files(folder, light):
    """The page of a run directory, or None where it is refused."""
    try:
        return page([dataclasses.replace(light, run=SavedRun.open(folder))])
    except UserError:
        return None


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the run."""
    return Path(shutil.copytree(finished.directory, tmp_path / "run"))


@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl", "intervals.jsonl"])
def test_markup_in_each_value_of_each_file(folder, light, known, name):
    text = (folder / name).read_text("utf-8")
    documents = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
    made = 0
    last = len(documents) - 1
    for path in places(documents):
        if name.endswith("l") and path[0] != last:
            continue  # one row tells for all
        changed = replaced(documents, path, ALL)
        lines = [json.dumps(row) + "\n" for row in changed] if name.endswith("l") else [json.dumps(changed)]
        (folder / name).write_text("".join(lines))
        found = page_of_files(folder, light)
        if found is not None:
            made += 1
            assert_sound(found, known)
    # Most values are refused, or cut the rows off; the rest must have been shown.
    assert made


def test_markup_in_each_text_of_a_models_description(folder, known):
    file = folder / "model.safetensors"
    description = redescribe(file, lambda description: description)
    assert "classes" in description
    made = 0
    for path in places(description, kind=str):
        redescribe(file, lambda _, path=path: replaced(description, path, ALL))
        try:
            shown = contents_of(SavedRun.open(folder), on="numpy")
        except UserError:
            continue
        made += 1
        assert_sound(page([shown]), known)
    assert made
