"""The table at the end of a run."""

import io

import pytest
from rich.console import Console

from tests.training import small
from xnn.runs.progress import print_result
from xnn.training.progress import Lines
from xnn.training.view_averaging import predictor

RESULT = {
    "dataset": "digits",
    "recipe": "cnn",
    "epochs": 3,
    "lr": 0.1,
    "final_train_loss": 0.25,
    "test_accuracy": 0.875,
    "test_views": 1,
    "parameters": 12345,
    "seconds": 4.56,
}


def terminal(width=120):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={})


@pytest.mark.parametrize("console", [terminal(120), terminal(60), Console(file=io.StringIO())])
def test_the_result_is_shown_whole(console):
    print_result(console, RESULT)
    shown = console.file.getvalue()
    for word in ("digits", "cnn", "0.1", "0.2500", "87.50 %", "12,345", "4.6", "step size", "final training loss"):
        assert word in shown


@pytest.mark.parametrize("console", [terminal(120), terminal(60), Console(file=io.StringIO())])
def test_a_data_set_is_named_as_it_is(console):
    """Its name is no markup, no emoji's, and moves no cursor."""
    print_result(console, RESULT | {"dataset": "[/red]:smile:\x1b[2J"})
    assert r"[/red]:smile:\x1b[2J" in console.file.getvalue()


@pytest.mark.parametrize("views", [1, 2, 6])
def test_where_the_result_is_of_several_views_both_accuracies_say_so(views):
    console = Console(file=io.StringIO())
    trainer = small.make_trainer(callbacks=[Lines(console)])
    trainer.predict = predictor(trainer.model, views)
    batches = small.make_batches(trainer)
    trainer.fit(batches, batches, epochs=1)
    print_result(console, RESULT | {"test_views": views})
    line, *table = console.file.getvalue().splitlines()
    assert ("% (one view); " in line) == (views > 1)
    assert line.count("view") == (views > 1)
    (told,) = [row.strip() for row in table if "test accuracy" in row]
    assert told.split("  ")[0] == ("test accuracy" if views == 1 else f"test accuracy, {views} views")
