"""Several runs on one page: one chart of all, and a table of what tells them apart."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.reader import Reader
from xnn.reporting.overview import COLOURS, MOST_DRAWN, overview
from xnn.reporting.saved import SavedRun
from xnn.reporting.table import summary
from xnn.training.history import History


@pytest.fixture(scope="module")
def run(finished):
    """The run as its files tell it."""
    return SavedRun.open(finished.directory)


def runs_of(run, changes):
    """Runs of other settings, in folders run-0, run-1, ..."""
    return [
        dataclasses.replace(run, path=Path(f"run-{place}"), settings=dataclasses.replace(run.settings, **each))
        for place, each in enumerate(changes)
    ]


def titles_and_rows(drawn):
    titles = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', drawn)
    body = drawn.partition("<tbody>")[2]
    return titles, [re.sub("<[^>]*>", "|", row) for row in body.split("</tr>")[:-1]]


CHANGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.sampled_from([0.1, 0.2]),
            "batch_size": st.sampled_from([10, 20]),
            "augment": st.sampled_from([("none",), ("flip",)]),
            "label_smoothing": st.sampled_from([0.0, 0.1]),
            "seed": st.integers(0, 2),
        },
    ),
    min_size=2,
    max_size=5,
)


@given(CHANGES)
def test_a_column_differs_or_is_told_once(run, changes):
    runs = runs_of(run, changes)
    drawn = str(overview(runs))
    titles, rows = titles_and_rows(drawn)
    told = re.search(r"In all of them: ([^<]*)\.", drawn)[1]
    for name in summary(run):
        values = {summary(each)[name] for each in runs}
        assert (name in titles) != (f"{name} {values.copy().pop()}" in told.split(", "))
        if len(values) > 1:
            assert name in titles
    for name in ("batch_size", "augment", "label_smoothing", "seed"):
        differs = len({getattr(each.settings, name) for each in runs}) > 1
        assert (name.replace("_", " ") in titles) == differs
    assert len(rows) == len(runs)
    for place, row in enumerate(rows):
        assert f"run-{place}|" in row


@given(CHANGES)
def test_what_came_of_a_run_stands_before_what_was_chosen(run, changes):
    drawn = str(overview(runs_of(run, changes)))
    titles, rows = titles_and_rows(drawn)
    first = ["run", "test accuracy", "final training loss", "seconds"]
    assert titles[: len(first)] == first
    row = summary(run)
    for each in rows:
        assert [text for text in each.split("|") if text][1 : len(first)] == [row[name] for name in first[1:]]


def test_the_number_of_threads_is_named_but_has_no_column(run):
    changes = [{"threads": 1, "seed": 1}, {"threads": 2, "seed": 2}, {"threads": None, "seed": 3}]
    drawn = str(overview(runs_of(run, changes)))
    titles, _ = titles_and_rows(drawn)
    assert "threads" not in titles
    assert "seed" in titles
    assert "They also differ in threads." in drawn
    assert "They also differ" not in overview(runs_of(run, [each | {"threads": 1} for each in changes]))


def test_each_run_is_a_line_of_each_chart_and_has_its_own_look(run):
    runs = runs_of(run, [{"seed": seed} for seed in range(MOST_DRAWN)])
    drawn = str(overview(runs))
    charts = re.findall(r'<svg class="chart".*?</svg>', drawn, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        assert len(set(re.findall(r'<path class="line (run-\d dash-\d)', chart))) == MOST_DRAWN
        assert len(re.findall(r"run-\d+ ends at", chart)) == MOST_DRAWN
    legend = drawn.partition('<ul class="legend">')[2].partition("</ul>")[0]
    assert re.findall(r'href="#(run-\d+)"', legend) == [f"run-{place}" for place in range(1, MOST_DRAWN + 1)]
    assert f"run-{COLOURS} dash-1" in legend


def test_of_very_many_runs_the_first_are_drawn_and_all_are_listed(run):
    drawn = str(overview(runs_of(run, [{"seed": seed} for seed in range(MOST_DRAWN + 3)])))
    assert f"The first {MOST_DRAWN} of {MOST_DRAWN + 3} runs are drawn." in drawn
    assert len(titles_and_rows(drawn)[1]) == MOST_DRAWN + 3


def test_settings_that_differ_beyond_the_columns_are_named(run):
    one = {"momentum": 0.5, "weight_decay": 0.1, "l2": 0.1, "clip_norm": 2.0, "average": 0.5, "seed": 4, "log_every": 9}
    one |= {"optimizer": "sgd", "batch_size": 7, "from_": "/home/somebody/other"}
    drawn = str(overview(runs_of(run, [{}, one])))
    assert "They also differ in " in drawn
    titles, _ = titles_and_rows(drawn)
    named = re.search(r"They also differ in ([^<]*)\.", drawn)[1].split(", ")
    expected = {name.strip("_").replace("_", " ") for name in one if name != "log_every"}
    assert {*named, *titles} - {*summary(run)} == expected
    assert "somebody" not in drawn


def test_time_is_that_of_all_epochs_so_far(run):
    rows = [row | {"seconds": 100.0} for row in run.history]
    drawn = str(overview([dataclasses.replace(run, history=History(rows))] * 2))
    (chart,) = [svg for svg in re.findall(r"<svg.*?</svg>", drawn, re.DOTALL) if "seconds of training steps" in svg]
    # The three points lie at a third, two thirds and the end of the axis.
    places = [float(x) for x in re.findall(r'<circle class="dot run-1 dash-1" cx="([\d.]+)"', chart)]
    assert places == pytest.approx([60 + 386 / 3, 60 + 2 * 386 / 3, 446], abs=0.1)
    assert ">300<" in chart


rows = st.lists(st.fixed_dictionaries({"epoch": st.integers(1, 9), "train_loss": st.floats()}), max_size=4)


@given(st.lists(rows, min_size=2, max_size=3))
def test_any_rows_can_be_drawn(run, histories):
    runs = [dataclasses.replace(run, history=History(each)) for each in histories]
    Reader(f"<div>{overview(runs)}</div>")


def test_runs_that_were_judged_on_different_images_are_told_apart(run):
    rows = [{name.replace("test_", "validation_"): value for name, value in row.items()} for row in run.history]
    other = dataclasses.replace(run, history=History(rows))
    assert "Test accuracy against time" in overview([run, run])
    assert "Validation loss" in overview([other, other])
    mixed = overview([run, other])
    assert "Held-out accuracy" in mixed
    assert "Some runs were judged on validation images" in mixed
    assert "<svg" in mixed


def test_runs_without_an_epoch_have_a_table_alone(run):
    none = dataclasses.replace(run, history=History(), result=None)
    drawn = overview([none, none])
    assert "How they learned" not in drawn
    assert "All runs" in drawn
