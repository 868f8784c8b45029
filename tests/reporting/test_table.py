"""The table has the lab's columns, and its Markdown is a table whatever the names are."""

import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from xnn.reporting.saved import SavedRun
from xnn.reporting.table import markdown, print_table, summary
from xnn.training.history import History


def test_a_complete_run(finished):
    row = summary(SavedRun.open(finished.directory))
    assert list(row) == [
        *("run", "data set", "model", "epochs", "step size"),
        *("final training loss", "test accuracy", "test views", "parameters", "seconds"),
    ]
    result = finished.values
    assert row["test accuracy"] == f"{100 * result['test_accuracy']:.2f} %"
    assert row["test views"] == "1"
    assert row["final training loss"] == f"{result['final_train_loss']:.4f}"
    assert (row["run"], row["data set"], row["model"], row["epochs"]) == ("finished", "digits", "mlp", "3")


def test_the_views_of_a_result_that_does_not_tell_them_are_those_of_the_settings(finished):
    run = SavedRun.open(finished.directory)
    before = {name: value for name, value in run.result.items() if name != "test_views"}
    for views in (None, 1, 6):
        settings = dataclasses.replace(run.settings, test_views=views)
        assert summary(dataclasses.replace(run, settings=settings, result=before))["test views"] == str(views or 1)
        assert summary(dataclasses.replace(run, settings=settings))["test views"] == "1"


def test_a_run_under_way(finished):
    run = SavedRun.open(finished.directory)
    run.history.pop()
    row = summary(dataclasses.replace(run, result=None))
    assert row["epochs"] == "2 of 3"
    assert row["test accuracy"] == "-"
    assert row["final training loss"] == f"{run.history[-1]['train_loss']:.4f}"


@given(st.lists(st.text("a|\\ \n-`é", min_size=1, max_size=12), min_size=1, max_size=4))
def test_markdown_has_a_line_a_run_with_all_its_cells(finished, names):
    run = SavedRun.open(finished.directory)
    runs = [dataclasses.replace(run, settings=dataclasses.replace(run.settings, dataset=name)) for name in names]
    lines = markdown(runs).splitlines()
    assert len(lines) == len(names) + 2
    for line in lines:
        bars = line.replace("\\\\", "").replace("\\|", "").count("|")
        assert bars == 11


def test_markdown_takes_no_name_for_html_a_link_or_code(finished):
    run = dataclasses.replace(SavedRun.open(finished.directory), path=Path("![x](y)<b>`z`"))
    assert r"| !\[x\](y)\<b\>\`z\` |" in markdown([run])


@pytest.mark.parametrize("value", ["text", None, True, [], {}, 10**400, 1.7e308, float("nan"), -1, 0])
def test_any_value_has_a_place_in_the_table(finished, value):
    run = SavedRun.open(finished.directory)
    result = dict.fromkeys(run.result, value)
    row = summary(dataclasses.replace(run, result=result))
    assert all(len(text) <= 101 for text in row.values())
    rows = History([dict.fromkeys(run.history[-1], value)])
    summary(dataclasses.replace(run, result=None, history=rows))


@pytest.mark.parametrize(("width", "terminal"), [(200, True), (60, True), (60, False)])
def test_no_value_is_cut_off_at_any_width(finished, width, terminal):
    run = dataclasses.replace(SavedRun.open(finished.directory), path=Path("a-rather-long-name-of-a-run-[bold]"))
    out = io.StringIO()
    print_table(Console(file=out, width=width, force_terminal=terminal, color_system=None), [run, run])
    for value in summary(run).values():
        assert out.getvalue().count(value) >= 2
