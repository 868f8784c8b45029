"""The benchmarks of a user's own folders make the folders that they describe; what anything reaches is not tested."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import fine_tuning, folders, machine, photographs
from benchmarks.folders import Outcome
from xnn import data
from xnn.data.preparing import prepared

SEEDS = st.integers(0, 1000)


@pytest.fixture
def small_set(monkeypatch):
    """A data set of 12 training and 6 test images in three classes, which the benchmarks load."""

    def images(part, count):
        return np.random.default_rng(part).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)

    train, test = (data.Split(images(part, count), np.arange(count) % 3) for part, count in ((0, 12), (1, 6)))
    found = replace(data.load("digits"), name="small", train=train, test=test, classes=("a/b", "c", "d"))
    monkeypatch.setattr("xnn.data.load", lambda name, data_dir: found)
    return found


@pytest.fixture
def commands(monkeypatch):
    """The commands that would be run; each later one is more accurate by a point, and takes a second more."""
    asked = []

    def train(run, options, environment=None):
        asked.append((run, [*map(str, options)], environment))
        return Outcome(50.0 + len(asked), float(len(asked)))

    monkeypatch.setattr(folders, "train", train)
    monkeypatch.setattr(machine, "pin", lambda threads: None)
    return asked


def rows(text):
    """Return the cells of a Markdown table's body."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# --- folders ---


def of(**changes):
    return argparse.Namespace(**{"classes": 2, "images": 2, "tests": 1, "choosing": False} | changes)


def written(folder):
    return {str(path.relative_to(folder)): np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))}


def test_a_folder_has_other_training_images_by_another_seed_and_the_same_test_images(small_set, tmp_path):
    made = [written(folders.make(tmp_path / str(seed), small_set, of(), seed)) for seed in (0, 1)]
    made.append(written(folders.make(tmp_path / "choosing", small_set, of(choosing=True), 0)))
    for each in made:
        parts = [tuple(name.split("/")[:2]) for name in each]
        assert sorted(parts) == [("test", "a-b"), ("test", "c"), *[("train", "a-b")] * 2, *[("train", "c")] * 2]
        for name, pixels in each.items():
            part, kind, number = name.split("/")
            split = small_set.train if part == "train" else small_set.test
            np.testing.assert_array_equal(pixels, split.images[int(number[:-4])])
            assert split.labels[int(number[:-4])] == ["a-b", "c"].index(kind)
    tests = [{name for name in each if name.startswith("test")} for each in made]
    assert tests[0] == tests[1]
    assert not tests[0] & tests[2]
    assert set(made[0]) != set(made[1])
    assert set(made[0]) - tests[0] == set(made[2]) - tests[2]


def test_a_folder_that_is_there_stays_and_too_many_images_are_refused(small_set, tmp_path):
    assert folders.make(tmp_path, small_set, of(images=99), 0) == tmp_path
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="there are 4 images of class 0, and 99 are wanted"):
        folders.make(tmp_path / "new", small_set, of(images=99), 0)
    assert not (tmp_path / "new").exists()


def test_a_run_is_trained_once(tmp_path):
    options = ("--dataset", "digits", "--model", "mlp", "--hidden", 2, "--epochs", 1, "--backend", "numpy")
    outcome = folders.train(tmp_path / "run", options)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert outcome.accuracy == 100 * result["test_accuracy"]
    assert outcome.seconds > result["seconds"]
    assert folders.train(tmp_path / "run", ("--no-such-flag",)) == outcome


def test_the_words_of_a_way_to_train(tmp_path):
    way = "--dataset FOLDER --lr 0.1"
    assert folders.filled_in(way, FOLDER=tmp_path / "a b") == ["--dataset", str(tmp_path / "a b"), "--lr", "0.1"]
    assert folders.file_name(f"{way} --from runs/a") == "dataset-FOLDER-lr-0.1-from-runs_a"


def test_accuracies_are_shown_with_their_mean():
    assert folders.accuracies([Outcome(50.0, 1.0), Outcome(51.5, 2.0)]) == "50.75 % (50.00, 51.50)"
    assert folders.accuracies([Outcome(50.0, 1.0)]) == "50.00 %"


# --- photographs ---


@given(SEEDS)
def test_a_photograph_is_as_large_as_the_benchmark_says(seed):
    image = np.zeros((32, 32, 3), np.uint8)
    height, width, _ = photographs.photograph(image, np.random.default_rng(seed)).shape
    least, most = photographs.SIDES
    assert least <= min(height, width) <= most
    assert max(height, width) <= photographs.LONGEST * min(height, width)


@pytest.mark.parametrize("kind", photographs.KINDS)
@given(SEEDS, st.sampled_from([(0, 1), (1, 0), (1, 1)]))
def test_a_photograph_prepared_again_is_the_image_upright(kind, seed, slope):
    rows, columns = np.mgrid[:32, :32]
    # Grows to one side: turned or mirrored it would be another.
    ramp = 40 + 5 * (slope[0] * rows + 0.2 * columns if slope[0] else columns + 0.2 * rows)
    image = np.stack([ramp, ramp, ramp], axis=-1).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(photographs, "kind_of", lambda numbers: kind)
        photographs.write_photograph(Path(folder, "0"), image, (seed, 0, 0))
        photographs.write_by_hand(Path(folder, "by-hand"), image, (seed, 0, 0))
        photograph, by_hand = (Image.open(path) for path in (*Path(folder).glob("0.*"), Path(folder, "by-hand.png")))
        found = prepared(photograph, (32, 32, 1)).astype(float)
        expected = prepared(by_hand, (32, 32, 1)).astype(float)
    # The middle may lie a sixteenth of the width aside, two pixels of 32.
    assert np.abs(found - expected).mean() < 2.5 * 5 + 5
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_photographs_are_of_all_kinds():
    kinds = [photographs.kind_of((0, 1, number)) for number in range(300)]
    assert set(kinds) == set(photographs.KINDS)
    assert kinds.count("turned jpeg") > kinds.count("grey jpeg")


def test_photographs_are_trained_on_beside_those_prepared_by_hand(small_set, commands, tmp_path, capsys):
    path = tmp_path / "figures.json"
    options = ["data", "--classes", "2", "--images", "2", "--tests", "1", "--seeds", "0", "1", "--also", "--lr 1"]
    photographs.main([*options, "--work", str(tmp_path), "--json", str(path)])
    first, by_hand, *also = rows(capsys.readouterr().out)
    assert first == ["mixed sizes", "`--dataset FOLDER`", "51.50 % (51.00, 52.00)", "-2.00", "1", "2"]
    assert by_hand == ["prepared by hand", "`--dataset FOLDER`", "53.50 % (53.00, 54.00)", "-", "3", "4"]
    assert [row[1] for row in also] == ["`--dataset FOLDER --lr 1`"] * 2
    assert len(json.loads(path.read_text())["figures"]) == 4
    for run, words, environment in commands:
        folder = words[words.index("--dataset") + 1]
        assert len([*Path(folder, "train").rglob("*.*")]) == 4
        assert run.name.startswith(Path(folder).name)
        # They are empty at first, so the first run compiles everything.
        assert environment["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
        assert environment["XNN_CACHE_DIR"].startswith(str(tmp_path))
    assert len({run for run, *_ in commands}) == 8


# --- fine-tuning ---


def test_fine_tuning_compares_with_training_from_scratch(small_set, commands, tmp_path, capsys):
    path = tmp_path / "figures.json"
    options = ["data", "--sets", "small", "--classes", "3", "--images", "2", "--tests", "1", "--seeds", "0", "1"]
    fine_tuning.main([*options, "--epochs", "4", "--also", "--lr 1", "--work", str(tmp_path), "--json", str(path)])
    out = capsys.readouterr().out
    assert "RUN: `--dataset cifar100 --epochs 4`, 51.00 % in 1 seconds" in out.splitlines()
    scratch, begun, *_, also = rows(out)
    assert scratch == ["small", "`--dataset FOLDER`", "52.50 % (52.00, 53.00)", "-", "2"]
    assert begun == ["small", "`--dataset FOLDER --from RUN`", "54.50 % (54.00, 55.00)", "+2.00", "4"]
    assert also[1] == "`--dataset FOLDER --from RUN --lr 1`"
    assert [row["way"] for row in json.loads(path.read_text())["figures"]] == [*fine_tuning.WAYS, also[1].strip("`")]
    (weights, *_), *trained = commands
    for _, words, _ in trained:
        seed, folder = words[-1], Path(words[words.index("--dataset") + 1])
        assert len([*folder.rglob("*.png")]) == 9
        assert folder.name.endswith(f"-{seed}")
        if "--from" in words:
            assert words[words.index("--from") + 1] == str(weights)
    assert len({run for run, *_ in commands}) == len(commands)


@pytest.mark.parametrize("module", [fine_tuning, photographs])
@pytest.mark.parametrize("options", [["--images", "0"], ["--classes", "1"]])
def test_options_without_sense_are_rejected(module, options, capsys):
    with pytest.raises(SystemExit, match="2"):
        module.main(["data", *options])
    assert "must be positive, --classes 2 or more" in capsys.readouterr().err
