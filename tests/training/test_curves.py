"""curves.png is drawn for any history."""

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xnn.training import curves
from xnn.training.history import History

LOSS = st.floats(0, 1e3)
SHARE = st.floats(0, 1) | st.none()
ROW = st.fixed_dictionaries(
    {"train_loss": LOSS, "train_accuracy": SHARE, "test_loss": LOSS, "test_accuracy": SHARE, "lr": st.floats(0, 1)}
)
INTERVAL = st.fixed_dictionaries({"passes": st.floats(0, 3), "interval_loss": LOSS, "lr": st.floats(0, 1)})


@given(
    rows=st.lists(ROW, min_size=1, max_size=3),
    intervals=st.lists(INTERVAL, max_size=3),
    title=st.text("aé%,", max_size=9),
)
def test_any_history_can_be_drawn(tmp_path_factory, rows, intervals, title):
    path = tmp_path_factory.mktemp("curves") / "curves.png"
    history = History({"epoch": epoch + 1, **row} for epoch, row in enumerate(rows))
    curves.draw(path, history, intervals, title=title)
    with Image.open(path) as picture:
        assert picture.size == (1440, 504)


def test_what_is_held_out_shows_in_the_picture(tmp_path):
    rows = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1}]
    curves.draw(tmp_path / "without.png", History(rows))
    curves.draw(tmp_path / "with.png", History([rows[0] | {"test_loss": 0.8, "test_accuracy": 0.6}]))
    orange = tuple(int(curves.HELD_OUT[place : place + 2], 16) for place in (1, 3, 5))
    for name, there in (("without", False), ("with", True)):
        with Image.open(tmp_path / f"{name}.png") as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
        assert (orange in colours) == there
