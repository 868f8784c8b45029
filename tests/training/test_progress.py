"""What is shown while a model trains: the bar on a terminal, lines elsewhere."""

import io
import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.training import small
from xnn.kernels.compiling import Compilations
from xnn.training import Callback
from xnn.training.progress import Bar, Lines, clock_time, epoch_line, print_line, reporter


def terminal(width=120):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={})


def test_a_terminal_gets_a_bar_and_a_file_gets_lines():
    assert isinstance(reporter(terminal()), Bar)
    assert type(reporter(Console(file=io.StringIO(), force_terminal=False))) is Lines


def test_the_bar_shows_where_training_is_and_goes_away():
    console = terminal()
    bar = Bar(console)
    seen = []

    class Look(Callback):
        def interval(self, trainer, row):
            bar._progress.refresh()
            seen.append(console.file.getvalue())

    trainer = small.make_trainer(callbacks=[bar, Look()], log_every=10)
    batches = small.make_batches(trainer)
    trainer.fit(batches, batches, epochs=2)
    assert "epoch 2/2" in seen[0]
    assert "images/s" in seen[0]
    assert "left" in seen[0]
    assert bar._progress is None
    lines = console.file.getvalue()
    assert "epoch 1/2: train loss" in lines
    assert "epoch 2/2: train loss" in lines
    bar.close()


@pytest.fixture
def compiling(monkeypatch):
    """What is compiled here alone; between `begin` and `end` lie 10 seconds."""
    now, found = [0.0], Compilations()
    monkeypatch.setattr("xnn.kernels.compiling.perf_counter", lambda: perf_counter() + now[0])
    monkeypatch.setattr("xnn.training.progress.compilations", found)

    def compile_it(*names, look=lambda: None):
        for name in names:
            found.begin(name)
            now[0] += 10.0
            look()
            found.end()

    return compile_it


def test_the_bar_says_what_is_compiled(compiling):
    console = terminal()
    bar = Bar(console)
    trainer = small.make_trainer(callbacks=[bar])
    bar.fit_begin(trainer)
    compiling("winograd", look=lambda: bar._progress.refresh())
    bar.close()
    assert "compiling (once): winograd" in console.file.getvalue()
    assert "compiling the kernels" not in console.file.getvalue()


@pytest.mark.parametrize("kind", [Bar, Lines])
def test_a_line_says_what_was_compiled_and_how_long_that_took(compiling, kind):
    console = terminal(300) if kind is Bar else Console(file=io.StringIO(), width=300)

    class Compile(Callback):
        def epoch_begin(self, trainer):
            if not trainer.epoch:
                compiling("pooling", "winograd", "pooling")

    shown = kind(console)
    trainer = small.make_trainer(callbacks=[shown, Compile()])
    trainer.fit(small.make_batches(trainer), epochs=2)
    compiling("linear")  # after the end, which is no matter of this run's
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", console.file.getvalue())
    told = re.findall(
        r"compiling the kernels.*|compiled .*? in .*? s; later runs find them in a cache|epoch ./2: train", text
    )
    before = ["compiling the kernels that this run needs (once) ..."] if kind is Lines else []
    compiled = "compiled pooling, winograd in 30.0 s; later runs find them in a cache"
    assert told == [*before, compiled, "epoch 1/2: train", "epoch 2/2: train"]


def test_the_bar_says_when_it_evaluates():
    console = terminal()
    bar = Bar(console)
    trainer = small.make_trainer(callbacks=[bar])
    bar.fit_begin(trainer)
    trainer.evaluating = True
    bar._progress.refresh()
    bar.close()
    assert "looking at the validation images" in console.file.getvalue()


def test_a_line_has_no_markup():
    console = Console(file=io.StringIO(), width=20)
    trainer = small.make_trainer(callbacks=[Lines(console)])
    trainer.fit(small.make_batches(trainer), epochs=1)
    assert console.file.getvalue().count("\n") == 1


def test_lines_line_up_and_leave_out_what_is_not_known():
    row = {"epoch": 3, "train_loss": 1.5, "train_accuracy": None, "seconds": 2.0, "images_per_second": 1234.5}
    assert epoch_line(row, 12, "test") == "epoch  3/12: train loss 1.5000; 2.0 s, 1,234 images/s"
    row |= {"test_loss": 0.5, "test_accuracy": 0.25}
    assert "; test loss 0.5000, accuracy 25.00 %; " in epoch_line(row, 12, "test")


@given(st.integers(0, 10**6))
def test_times_count_the_seconds(seconds):
    parts = [int(part) for part in clock_time(seconds).split(":")]
    assert sum(part * 60**place for place, part in enumerate(reversed(parts))) == seconds
    assert all(part < 60 for part in parts[1:])


def test_lines_are_printed_as_they_are():
    console = Console(file=io.StringIO(), width=20)
    print_line(console, "runs/[bold]x[/bold]/:smile: \x9b2J\n\u2028 " + "a" * 50)
    assert console.file.getvalue() == r"runs/[bold]x[/bold]/:smile: \x9b2J\n\u2028 " + "a" * 50 + "\n"
