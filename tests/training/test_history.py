"""The rows of training, as text."""

from hypothesis import given
from hypothesis import strategies as st

from xnn.training.history import History

ROW = st.dictionaries(
    st.sampled_from(["train_loss", "train_accuracy", "lr", "mine"]), st.floats() | st.none() | st.text()
)


def test_a_history_says_how_many_epochs_it_has_and_what_the_last_was():
    first = {"epoch": 1, "train_loss": 1.23456, "train_accuracy": None, "lr": 0.1}
    assert repr(History([first])) == "History(1 epoch; the last: train_loss 1.235, train_accuracy -, lr 0.1)"
    assert repr(History([first, {"epoch": 2, "train_loss": 1.0}])) == "History(2 epochs; the last: train_loss 1)"
    assert repr(History()) == "History(no epochs)"


@given(st.lists(ROW, max_size=5))
def test_any_rows_have_one(rows):
    assert repr(History(rows)).startswith("History(")
