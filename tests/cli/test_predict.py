"""``xnn-predict`` as a person uses it."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest

from tests.cli.commands import refusal_by
from tests.reporting.runs import StopAfter, redescribe
from tests.runs.rows import quick
from xnn.cli.predict import main
from xnn.data import load, pictures
from xnn.data.png import png
from xnn.reporting.evaluation import evaluate
from xnn.reporting.pictures import read_picture
from xnn.reporting.saved import load_model
from xnn.runs.run import train

assert_refused = refusal_by(main, silent=True)


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A working directory with a run and some test images as files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XNN_BACKEND", "numpy")
    shutil.copytree(finished.directory, tmp_path / "run")
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(load("digits").test.images[number]))
    return tmp_path


def test_an_image_of_the_data_set_gets_the_answer_it_gets_there(here, capsys):
    answers = evaluate(load_model("run"), load("digits").test)
    assert main(["run", "0.png", "1.png", "2.png", "--json", "--top", "10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [answer["image"] for answer in found] == ["0.png", "1.png", "2.png"]
    for number, answer in enumerate(found):
        probabilities = [entry["probability"] for entry in answer["top"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0)
        assert answer["top"][0]["index"] == answers.predicted[number]
        assert probabilities[0] == pytest.approx(answers.confidence[number], rel=1e-4)


def test_lines_for_people(here, capsys):
    assert main(["run", "0.png", "1.png", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert (lines[0], lines[3]) == ("0.png", "1.png")
    assert re.fullmatch(r"  \d  [ \d]{2}\d\.\d\d %(  ━+)?", lines[1])


def test_plainer_signs_where_the_terminal_has_no_others(here, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    odd = (here / "0.png").rename(here / "\u00e9\udcff.png")
    assert main(["run", odd.name]) == 0
    out.flush()
    lines = out.buffer.getvalue().decode("ascii").splitlines()
    assert lines[0] == r"?\udcff.png"
    assert re.fullmatch(r"  \d  [ \d]{2}\d\.\d\d %  -+", lines[1])


def test_ink_on_paper_can_be_inverted(here, capsys):
    (here / "paper.png").write_bytes(png(255 - load("digits").test.images[0]))
    assert main(["run", "0.png", "--json"]) == 0
    straight = json.loads(capsys.readouterr().out)[0]["top"]
    assert main(["run", "paper.png", "--invert", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["top"] == straight


@pytest.mark.parametrize(
    ("form", "answered"),
    [
        ([], lambda out: re.findall(r"^\S.*", out, re.MULTILINE)),
        (["--json"], lambda out: [answer["image"] for answer in json.loads(out)]),
        (["--csv"], lambda out: [row["image"] for row in csv.DictReader(io.StringIO(out))]),
    ],
    ids=["lines", "json", "csv"],
)
def test_a_bad_picture_is_named_and_the_others_are_answered(here, capsys, form, answered):
    (here / "text.png").write_text("hello")
    assert main(["run", "0.png", "text.png", "nowhere.png", "1.png", *form]) == 2
    out, error = capsys.readouterr()
    assert answered(out) == ["0.png", "1.png"]
    first, second, last = error.splitlines()
    assert first.startswith("xnn-predict: text.png: not a readable picture")
    assert second.startswith("xnn-predict: picture nowhere.png") or second.startswith("xnn-predict: nowhere.png")
    assert last == "xnn-predict: error: 2 of 4 pictures could not be read"


@pytest.mark.parametrize(
    ("form", "nothing"), [([], ""), (["--json"], "[]\n"), (["--csv", "--top", "1"], "image,class_1,probability_1\n")]
)
def test_nothing_is_a_document_too(here, capsys, form, nothing):
    assert main(["run", "nowhere.png", "nor-here.png", *form]) == 2
    out, error = capsys.readouterr()
    assert out == nothing
    assert error.endswith("xnn-predict: error: 2 of 2 pictures could not be read\n")


def test_a_folder_stands_for_its_pictures(here, capsys):
    for name in ("b/2.PNG", "b/a/0.png", "b/1.png", "b/.hidden.png", "b/__MACOSX/1.png", "b/notes.txt"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "0.png", here / name)
    assert main(["run", "b", "1.png", "--json"]) == 0
    found = [answer["image"].replace("\\", "/") for answer in json.loads(capsys.readouterr().out)]
    assert found == ["b/1.png", "b/2.PNG", "b/a/0.png", "1.png"]


def test_paths_come_from_standard_input(here, capsys, monkeypatch):
    odd = here / "b" / "a name.png"
    odd.parent.mkdir()
    shutil.copy(here / "0.png", odd)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1.png\r\n\nb\nnowhere.png\n2.png")))
    assert main(["run", "0.png", "-", "--json"]) == 2
    out, error = capsys.readouterr()
    found = [answer["image"].replace("\\", "/") for answer in json.loads(out)]
    assert found == ["0.png", "1.png", "b/a name.png", "2.png"]
    assert "nowhere.png" in error
    assert "1 of 5 pictures" in error


def test_an_interrupted_run_answers_and_says_how_far_it_was(here, capsys):
    train(quick(here / "stopped"), callbacks=[StopAfter(30)])
    assert main(["stopped", "0.png", "--top", "1"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("0.png\n")
    assert error == "xnn-predict: stopped is not complete: its model is as it was after epoch 1 of 2, batch 7\n"
    assert main(["stopped", "--dataset", "digits"]) == 0


def test_csv_has_a_row_for_each_picture(here, capsys):
    assert main(["run", "0.png", "1.png", "--json", "--top", "2"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert main(["run", "0.png", "1.png", "--csv", "--top", "2"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["image", "class_1", "probability_1", "class_2", "probability_2"]
    assert rows[1:] == [
        [answer["image"], *(str(entry[key]) for entry in answer["top"] for key in ("class", "probability"))]
        for answer in answers
    ]
    assert main(["run", "0.png", "--csv", "--top", "99"]) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert len(header) == len(row) == 21


def test_pictures_are_answered_before_the_last_one_is_named(here, monkeypatch, capsys):
    """A batch at a time, so that neither pictures nor answers fill the memory."""
    monkeypatch.setattr("xnn.reporting.answers._MOST_IN_BATCH", 2)
    seen = []

    class Names(io.BytesIO):
        def readline(self, most=-1):
            seen.append(capsys.readouterr().out)
            return super().readline(most)

    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": Names(b"0.png\n1.png\n2.png\n0.png\n1.png\n")}))
    assert main(["run", "-", "--csv", "--top", "1"]) == 0
    text = [seen[0], *seen[1:], capsys.readouterr().out]
    assert [part.count("\n") for part in text] == [0, 0, 3, 0, 2, 0, 1]


def test_nobody_is_answered_who_has_stopped_reading(here, monkeypatch):
    monkeypatch.setattr("xnn.reporting.answers._MOST_IN_BATCH", 1)
    read = []
    monkeypatch.setattr("xnn.reporting.answers.read_picture", lambda *a, **b: read.append(a) or read_picture(*a, **b))

    class Left(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Left())
    assert main(["run", "0.png", "1.png", "2.png", "--csv"]) == 0
    assert len(read) == 1


def test_evaluation_agrees_with_the_run(here, finished, capsys):
    assert main(["run", "--dataset", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == finished.values["test_accuracy"]
    assert found["loss"] == pytest.approx(finished.values["test_loss"], rel=1e-5)
    assert np.trace(found["confusion"]) == round(found["accuracy"] * found["images"])
    assert main(["run", "--dataset", "digits", "--split", "train"]) == 0
    shown = capsys.readouterr().out
    assert found["views"] == 1
    assert "digits, 1,437 train images\n" in shown
    assert "confusion: rows are what an image is" in shown


def test_evaluation_on_a_folder_of_images_matches_classes_by_name(here, capsys):
    test = load("digits").test
    for number in range(40):
        place = here / "mine" / str(test.labels[number])
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(png(test.images[number]))
    assert main(["run", "--dataset", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 10
    assert found["accuracy"] > 0.5
    for path in list((here / "mine").iterdir()):
        path.rename(path.with_name(f"digit {path.name}"))
    assert main(["run", "--dataset", "mine"]) == 0
    assert "taken in the same order" in capsys.readouterr().err


def test_images_that_an_earlier_version_trained_on_are_not_its_test_images(of_folder, capsys):
    assert main(["run", "--dataset", "folder", "--backend", "numpy"]) == 0
    assert "folder, 4 test images" in capsys.readouterr().out

    def earlier(description):
        return {name: value for name, value in description.items() if name != "division"}

    redescribe(of_folder.directory / "model.safetensors", earlier)
    assert_refused(capsys, ["run", "--dataset", "folder"], "--dataset folder", "tested it on other images of it")


def test_bad_input_is_one_clear_line(here, capsys):
    (here / "text.png").write_text("hello")
    (here / "empty").mkdir()
    assert_refused(capsys, ["run"], "expected one IMAGE")
    assert_refused(capsys, [], "RUN_DIR")
    assert_refused(capsys, ["run", "text.png"], "text.png: not a readable picture")
    assert_refused(capsys, ["run", "nowhere.png"], "nowhere.png", "No such file")
    assert_refused(capsys, ["run", "x" * 300], "File name too long")
    assert_refused(capsys, ["run", "empty"], "empty: there is no picture in this folder")
    assert_refused(capsys, ["run", "0.png", "--csv", "--json"], "--csv: not together with --json")
    assert_refused(capsys, ["run", "--dataset", "digits", "--csv"], "--csv: not together with --dataset")
    assert_refused(capsys, ["nowhere", "0.png"], "nowhere", "no such folder")
    assert_refused(capsys, ["empty", "0.png"], "no run in it")
    assert_refused(capsys, ["run", "0.png", "--dataset", "digits"], "--dataset digits", "not together")
    assert_refused(capsys, ["run", "0.png", "--data-dir", "."], "--data-dir", "--dataset")
    assert_refused(capsys, ["run", "--dataset", "digit"], "'digit'", "Did you mean 'digits'?")
    assert_refused(capsys, ["run", "--dataset", "digits", "--split", "validation"], "--split validation")
    for top in ("0", "-1", "many", "1.5", "²"):
        assert_refused(capsys, ["run", "0.png", f"--top={top}"], f"--top {top}", "a whole number")
    (here / "run" / "model.safetensors").unlink()
    assert_refused(capsys, ["run", "0.png"], "there is no model in it")


def test_pictures_of_a_folder_are_made_as_large_as_the_models(here, capsys):
    for number in range(40):
        pixels = load("digits").test.images[number]
        place = here / "large" / str(load("digits").test.labels[number]) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(np.kron(pixels, np.ones((2 + number % 2, 2, 1), np.uint8))))
    assert main(["run", "--dataset", "large", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 10


def test_data_of_another_shape_is_one_clear_line(here, capsys):
    for name in "ab":
        for number in range(5):
            place = here / "colour" / name / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(png(np.full((8, 9, 3), number, np.uint8)))
    assert_refused(capsys, ["run", "--dataset", "colour"], "2 classes")
    for name, digit in (("a", "3"), ("b", "4")):
        (here / "colour" / name).rename(here / "colour" / digit)
    assert_refused(capsys, ["run", "--dataset", "colour"], "8x8x3", "the model takes 8x8x1")


def test_a_decompression_bomb_is_one_clear_line(here, capsys, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 40)
    assert_refused(capsys, ["run", "0.png"], "0.png: 8x8 pixels are more than the 40 that are allowed")


@pytest.fixture
def odd_classes(here):
    """The run, with class names that hold what a terminal would obey, and a long one."""
    classes = [f"{name}\x1b]0;title\x07\u202e\n" for name in range(9)] + ["nine" * 200]
    redescribe(here / "run" / "model.safetensors", lambda description: description | {"classes": classes})
    return classes


def test_control_characters_are_shown_as_escapes(odd_classes, capsys):
    assert main(["run", "0.png", "--top", "10"]) == 0
    out = capsys.readouterr().out
    assert r"0\x1b]0;title\x07\u202e\n" in out
    lines = out.splitlines()
    assert len(lines) == 11
    assert {line.index(" %") for line in lines[1:]} == {lines[1].index(" %")}
    assert main(["run", "--dataset", "digits"]) == 0
    captured = capsys.readouterr()
    assert r"\x1b]0;title\x07\u202e\n taken for " in captured.out
    assert r"taken in the same order" in captured.err
    for text in (out, captured.out, captured.err):
        assert text.replace("\n", "").replace("…", "").isprintable()
        assert max(map(len, text.splitlines())) < 500


def test_json_has_the_names_as_they_are(odd_classes, capsys):
    assert main(["run", "--dataset", "digits", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["classes"] == odd_classes
    assert out.isascii()


def test_csv_has_controls_as_escapes(odd_classes, capsys):
    assert main(["run", "0.png", "--csv"]) == 0
    out = capsys.readouterr().out
    assert r"\x1b]0;title\x07\u202e\n" in out
    assert out.replace("\n", "").isprintable()
    assert out.count("\n") == 2


@pytest.mark.parametrize("dataset", ["cifar10", "mnist"])
def test_whoever_names_a_data_set_asks_for_it(here, monkeypatch, capsys, dataset):
    fetched = []
    monkeypatch.setenv("XNN_CACHE_DIR", str(here / "cache"))
    monkeypatch.setattr("xnn.data.sources.fetch", lambda files, folder, report: fetched.append(folder.name))
    assert_refused(capsys, ["run", "--dataset", dataset], dataset)
    assert fetched == [dataset]


def test_the_runs_own_data_set_is_fetched_by_nobody_else(here, monkeypatch):
    """Not because config.json names one."""
    config = json.loads((here / "run" / "config.json").read_text())
    (here / "run" / "config.json").write_text(json.dumps(config | {"dataset": "cifar10"}))
    monkeypatch.setattr("xnn.data.sources.fetch", lambda *arguments: pytest.fail("it was to be fetched"))
    assert main(["run", "0.png"]) == 0
    assert main(["run", "--dataset", "digits"]) == 0
