"""``xnn-report`` as a person uses it."""

import json
import shutil

import pytest

from tests.cli.commands import refusal_by
from xnn.cli.report import main

assert_refused = refusal_by(main)


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of a finished run in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XNN_BACKEND", raising=False)
    shutil.copytree(finished.directory, tmp_path / "run")
    return tmp_path / "run"


def test_one_run_gets_its_page_beside_it(run, capsys):
    assert main(["run"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "test accuracy" in captured.out
    assert captured.out.splitlines()[-1] == "wrote run/report.html"
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_several_runs_get_a_page_each_or_one_together(run, capsys):
    shutil.copytree(run, run.parent / "other")
    assert main(["run", "other"]) == 0
    assert (run / "report.html").exists()
    assert (run.parent / "other" / "report.html").exists()
    assert main(["run", "other", "--html", "all.html", "--markdown", "table.md"]) == 0
    assert (run.parent / "all.html").read_text().count("<article") == 2
    assert len((run.parent / "table.md").read_text().splitlines()) == 4
    assert capsys.readouterr().out.splitlines()[-2:] == ["wrote table.md", "wrote all.html"]


def test_the_table_alone_needs_neither_data_nor_model(run, capsys):
    (run / "model.safetensors").unlink()
    before = sorted(run.iterdir())
    assert main(["run", "--no-html", "--markdown", "-"]) == 0
    assert capsys.readouterr().out.startswith("| run | data set | model |")
    assert sorted(run.iterdir()) == before


def test_a_name_that_is_no_text_is_no_obstacle(run, capsys):
    """On Linux a file's name is any bytes."""
    odd = renamed(run, "run\udcff")
    assert main([odd.name, "--markdown", "table.md"]) == 0
    assert r"wrote run\udcff/report.html" in capsys.readouterr().out
    assert r"| run\\udcff |" in (run.parent / "table.md").read_text()
    assert r"run\udcff" in (odd / "report.html").read_text()


def test_a_page_is_the_same_when_it_is_made_again(run):
    assert main(["run"]) == 0
    first = (run / "report.html").read_bytes()
    assert main(["run"]) == 0
    assert (run / "report.html").read_bytes() == first


def test_bad_input_is_one_clear_line(run, capsys):
    assert_refused(capsys, [], "RUN_DIR")
    assert_refused(capsys, ["nowhere"], "nowhere", "no such folder")
    assert_refused(capsys, ["."], "no run in it")
    assert_refused(capsys, ["run", "--no-html", "--html", "x"], "--html")
    assert_refused(capsys, ["run", "--bogus"], "--bogus")
    assert_refused(capsys, ["run", "--backend", "cuppy"], "Did you mean 'cupy'?")
    assert_refused(capsys, ["run", "--html", "nowhere/x.html"], "cannot write", "x.html")
    assert_refused(capsys, ["run", "--html", "a" * 300], "--html", "File name too long")
    assert_refused(capsys, ["run", "--data-dir", "nowhere"], "nowhere", "does not exist")
    (run / "model.safetensors").write_bytes(b"no model")
    assert_refused(capsys, ["run"], "model.safetensors is damaged")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version(argument, capsys):
    with pytest.raises(SystemExit) as left:
        main([argument])
    assert left.value.code == 0
    assert capsys.readouterr().out


@pytest.fixture
def elsewhere(run, monkeypatch):
    """The run, which says that it was trained on data that is not here, and the files that were to be fetched."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"dataset": "cifar10"}))
    fetched = []
    monkeypatch.setenv("XNN_CACHE_DIR", str(run.parent / "cache"))
    monkeypatch.setattr("xnn.data.sources.fetch", lambda files, folder, report: fetched.append(folder.name))
    return fetched


def test_without_its_data_a_run_gets_a_page_that_says_so(elsewhere, run, capsys):
    assert main(["run"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    lacking = "the page lacks the parts that need the data set: cifar10 is not in the cache"
    assert line.startswith(f"xnn-report: run: {lacking}")
    assert "--data-dir" in line
    assert "--download" in line
    page = (run / "report.html").read_text()
    assert "The data set was not found" in page
    assert "Loss of an epoch" in page
    assert "First layer" in page
    assert "Confusion matrix" not in page
    assert elsewhere == []


def test_data_is_fetched_when_that_is_asked_for(elsewhere, run, capsys):
    assert_refused(capsys, ["run", "--download"], "cifar10")
    assert elsewhere == ["cifar10"]


def renamed(run, name):
    try:
        return run.rename(run.with_name(name))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")


def test_control_characters_are_shown_as_escapes(run, capsys):
    """In the table, the Markdown, the names of files and errors."""
    odd = renamed(run, "run\x1b[2J\u202e")
    assert main([odd.name, "--markdown", "table.md"]) == 0
    assert main([odd.name, "--markdown", "-"]) == 0
    captured = capsys.readouterr()
    (odd / "config.json").write_text("{")
    assert_refused(capsys, [odd.name], r"run\x1b[2J\u202e", "config.json is damaged")
    for text in (captured.out, captured.err, (run.parent / "table.md").read_text()):
        assert text.replace("\n", "").isprintable()


def test_the_table_is_as_wide_as_its_escapes(run, capsys):
    renamed(run, "run\x1b\x1b\x1b")
    assert main(["run\x1b\x1b\x1b", "--no-html"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert r"run\x1b\x1b\x1b" in lines[3]
    assert len({len(line) for line in lines}) == 1
