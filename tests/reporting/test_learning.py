"""How a run learned is shown whatever its rows hold, and in bounded size."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.reader import Reader
from xnn.reporting.learning import MOST_ROWS, learning
from xnn.reporting.saved import SavedRun
from xnn.training.history import History

FIELDS = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "seconds", "images_per_second")
values = (
    st.floats() | st.none() | st.integers() | st.text(max_size=3) | st.sampled_from([0, 10**400, 1.7e308, -1.7e308])
)


@pytest.fixture(scope="module")
def run(finished):
    """The run as its files tell it."""
    return SavedRun.open(finished.directory)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), values), max_size=5))
def test_any_rows_can_be_shown(run, rows):
    intervals = [{"passes": row.get("epoch"), "interval_loss": row.get("lr")} for row in rows]
    shown = Reader(str(learning(dataclasses.replace(run, history=History(rows), intervals=intervals))))
    assert len(shown.all("tr")) == (len(rows) + 1 if rows else 0)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=6))
def test_epochs_may_repeat_and_go_back(run, numbers):
    rows = History([{"epoch": number, "train_loss": 1.0 / (1 + number), "seconds": 0} for number in numbers])
    shown = Reader(str(learning(dataclasses.replace(run, history=rows, intervals=[]))))
    assert len(shown.all("tr")) == len(numbers) + 1


@pytest.mark.parametrize("count", [MOST_ROWS, MOST_ROWS + 1, 2500, 100_000])
def test_of_many_epochs_some_are_shown_and_the_last_is_among_them(run, count):
    rows = History([{"epoch": number, "train_loss": 1.0 / number} for number in range(1, count + 1)])
    drawn = str(learning(dataclasses.replace(run, history=rows)))
    shown = Reader(drawn)
    assert MOST_ROWS / 2 < len(shown.all("tr")) - 1 <= MOST_ROWS
    assert f'<tr><th scope="row" class="number">{count}</th>' in drawn
    assert len(drawn) < 500_000
    assert ("The epochs in numbers, " in shown.text) == (count > MOST_ROWS)
