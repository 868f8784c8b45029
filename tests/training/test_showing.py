"""Progress: nothing in a script unless it is asked for, and one place of the output in a notebook."""

import io
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.training.small import make_batches, make_trainer
from xnn.training import Callback
from xnn.training.notebook import bundle_of
from xnn.training.showing import in_notebook


class Output:
    """A cell's output: what was displayed, and what it has become."""

    def __init__(self):
        self.bundles, self.threads = [], []

    def display(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.update(bundle, raw=True)
        return self

    def update(self, bundle, *, raw):
        assert raw
        self.bundles.append(bundle)
        self.threads.append(threading.current_thread())


class ZMQInteractiveShell:
    kernel = object()


@pytest.fixture
def notebook(monkeypatch):
    """The output of a cell of a notebook."""
    output = Output()
    shell = ZMQInteractiveShell()
    # By this Rich would know, and display what it prints by itself.
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=output))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=output.display))
    return output


def fit(trainer, **options):
    batches = make_batches(trainer)
    return trainer.fit(batches, batches, epochs=2, **options)


def test_a_script_prints_nothing(capsys):
    trainer = make_trainer()
    fit(trainer)
    trainer.evaluate(make_batches(trainer))
    assert capsys.readouterr() == ("", "")


def test_a_script_prints_lines_where_it_is_asked_to(capsys):
    trainer = make_trainer()
    fit(trainer, progress=True)
    assert capsys.readouterr().out.count("train loss") == 2
    assert trainer.callbacks == []


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=None)])
def test_a_terminals_ipython_is_no_notebook(monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()


def test_a_notebook_shows_the_epochs_lines_and_in_the_end_no_bar(notebook, capsys):
    trainer = make_trainer()
    history = fit(trainer)
    first, last = notebook.bundles[0], notebook.bundles[-1]
    assert "epoch 1/2" in first["text/plain"]
    assert [line[:10] for line in last["text/plain"].splitlines()] == ["epoch 1/2:", "epoch 2/2:"]
    assert f"{history[0]['train_loss']:.4f}" in last["text/html"]
    assert last["text/html"].startswith("<pre")
    assert capsys.readouterr() == ("", "")
    assert trainer.callbacks == []


def test_a_notebook_stays_empty_where_no_progress_is_wanted(notebook):
    trainer = make_trainer()
    fit(trainer, progress=False)
    trainer.evaluate(make_batches(trainer), progress=False)
    assert notebook.bundles == []


def test_the_bar_goes_on_while_training_does(notebook):
    class Wait(Callback):
        def interval(self, trainer, row):
            if row["step"] == 3:
                # The bar's own thread writes; a deadline, not a measurement.
                end, before = time.monotonic() + 20, len(notebook.bundles)
                while len(notebook.bundles) < before + 2 and time.monotonic() < end:
                    time.sleep(0.01)

    fit(make_trainer(callbacks=[Wait()], log_every=3))
    seen = [bundle["text/plain"] for bundle in notebook.bundles]
    assert any("images/s" in text and "left" in text for text in seen[:-1])
    assert len({thread.name for thread in notebook.threads}) == 2


def test_an_error_takes_the_bar_away(notebook):
    class Fail(Callback):
        def epoch_end(self, trainer, row):
            raise KeyError

    trainer = make_trainer(callbacks=[Fail()])
    before = threading.active_count()
    with pytest.raises(KeyError):
        fit(trainer)
    assert len(trainer.callbacks) == 1
    assert threading.active_count() == before
    assert "epoch 1/2 " not in notebook.bundles[-1]["text/plain"]


def test_a_long_training_keeps_its_last_lines(notebook):
    trainer = make_trainer()
    batches = make_batches(trainer)
    trainer.fit(batches, epochs=30)
    lines = notebook.bundles[-1]["text/plain"].splitlines()
    assert lines[0] == "... 5 lines before"
    assert [line.split(":")[0] for line in lines[1:]] == [f"epoch {number:2}/30" for number in range(6, 31)]


def test_a_short_evaluation_shows_nothing(notebook):
    trainer = make_trainer()
    trainer.evaluate(make_batches(trainer))
    assert notebook.bundles == []


def test_a_long_evaluation_shows_a_bar(notebook, monkeypatch):
    monkeypatch.setattr("xnn.training.notebook._PATIENCE", 0.01)
    trainer = make_trainer()
    plain = trainer.predict

    def predict(x):
        end = time.monotonic() + 20
        while not notebook.bundles and time.monotonic() < end:
            time.sleep(0.01)
        return plain(x)

    trainer.predict = predict
    metrics = trainer.evaluate(make_batches(trainer))
    assert metrics.images == 48
    assert "evaluating" in notebook.bundles[0]["text/plain"]
    assert notebook.bundles[-1]["text/plain"].strip() == "evaluated 7 of 7 batches, 48 images in all"


@given(st.text(max_size=40) | st.sampled_from(["<script>", "[bold]x[/bold]", ":smile:"]))
def test_texts_are_escaped(text):
    from rich.text import Text

    from tests.markup import Page
    from xnn.texts import printable

    html = bundle_of([Text(printable(text))])["text/html"]
    page = Page(
        html.replace("<pre", "<div").replace("</pre>", "</div>").replace("<span", "<div").replace("</span>", "</div>")
    )
    assert "".join(page.texts).strip("\n ") == printable(text).strip("\n ")


def test_a_terminal_has_a_bar_while_it_evaluates(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, _environ={})
    monkeypatch.setattr("rich.console.Console", lambda: console)
    trainer = make_trainer()
    trainer.evaluate(make_batches(trainer), progress=True)
    assert "evaluating" in console.file.getvalue()
