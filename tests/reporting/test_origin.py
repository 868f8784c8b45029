"""Where a run comes from: the command that repeats it, its machine, its layers."""

import dataclasses
import html
import re
import shlex

import pytest

from tests.runs.rows import quick
from xnn import nn
from xnn.cli.arguments import parse
from xnn.reporting.contents import contents_of
from xnn.reporting.origin import layers, origin
from xnn.reporting.saved import SavedRun
from xnn.runs.assembly import prepare
from xnn.runs.finishing import PLACES
from xnn.runs.run import train


def command_in(drawn):
    (words,) = re.findall(r"<code>(.*?)</code>", str(drawn))
    return shlex.split(html.unescape(re.sub("<[^>]*>", "", words)))


def computed(settings):
    return {name: value for name, value in settings.to_dict().items() if name not in PLACES}


def test_the_command_names_what_the_recipe_does_not_set_and_gives_the_same_run(shown):
    command, *flags = command_in(origin(shown.run, shown.task))
    assert command == "xnn-train"
    named = {word.partition("=")[0] for word in flags}
    given = {"model", "hidden", "lr", "average", "label_smoothing", "epochs", "batch_size"}
    assert named <= {"--" + name.replace("_", "-") for name in given}
    assert {"--model", "--hidden", "--average"} <= named
    assert computed(prepare(parse(flags).settings).settings) == computed(shown.run.settings)


def test_without_the_facts_about_its_data_every_setting_is_named(shown):
    few, all_ = (command_in(origin(shown.run, task)) for task in (shown.task, None))
    assert len(all_) > len(few)
    assert set(few[1:]) <= set(all_[1:])


@pytest.mark.parametrize("changes", [{}, {"validation": 0.2}])
def test_a_run_of_an_earlier_version_has_its_facts_from_the_data(tmp_path, changes):
    result = train(quick(tmp_path / "run", epochs=1, **changes))
    run = SavedRun.open(result.directory)
    before = {
        name: value for name, value in run.result.items() if name not in ("training_images", "machine", "finished")
    }
    found, expected = contents_of(dataclasses.replace(run, result=before)), contents_of(run)
    assert found.task == expected.task
    assert found.task.images == run.result["training_images"] == prepare(run.settings).train.images
    drawn = origin(dataclasses.replace(run, result=before), found.task)
    assert "processor" not in drawn
    assert "Versions" in drawn


def test_the_machine_and_the_moment_are_told(shown):
    drawn = str(origin(shown.run, shown.task))
    noted = shown.run.result["machine"]
    assert html.escape(noted["processor"]) in drawn
    assert re.search(r"<dt>finished</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d UTC</dd>", drawn)
    assert re.search(r"<dt>memory</dt><dd>[\d.,]+ (GiB|MiB)</dd>", drawn)
    assert noted["threads"] >= 1
    assert noted["computed_by"].startswith("numpy ")


def test_places_are_not_told(shown):
    settings = dataclasses.replace(shown.run.settings, from_="/home/somebody/first", data_dir="/home/somebody/data")
    drawn = str(origin(dataclasses.replace(shown.run, settings=settings), shown.task))
    assert "somebody" not in drawn
    assert "--from=first" in command_in(drawn)


@pytest.mark.parametrize(
    ("value", "told"),
    [("2026-11-30T14:08:42+00:00", "2026-11-30 14:08 UTC"), ("yesterday", "yesterday"), (["x"], "x"), (7, "7")],
    ids=str,
)
def test_any_moment_is_text(shown, value, told):
    run = dataclasses.replace(shown.run, result=shown.run.result | {"finished": value})
    assert f"<dt>finished</dt><dd>{told}</dd>" in origin(run, None)


def test_the_table_of_layers_is_the_summary():
    model = nn.Sequential(nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5)).build((6, 6, 1), backend="numpy")
    model.freeze("0")
    summary = model.summary()
    drawn = str(layers(summary))
    for row in summary.rows:
        assert f">{row.layer}</td>" in drawn
        assert f">{row.parameters:,}</td>" in drawn
    assert f"{summary.parameters:,} parameters, {summary.parameters - summary.trainable:,} of them frozen" in drawn
