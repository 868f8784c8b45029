"""curves.png is drawn for any history, whatever Matplotlib has been told."""

import os
import subprocess
import sys

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xnn.runs import curves
from xnn.training.history import History

LOSS = st.floats(0, 1e3)
SHARE = st.floats(0, 1) | st.none()
ROW = st.fixed_dictionaries(
    {"train_loss": LOSS, "train_accuracy": SHARE, "test_loss": LOSS, "test_accuracy": SHARE, "lr": st.floats(0, 1)}
)
INTERVAL = st.fixed_dictionaries({"passes": st.floats(0, 3), "interval_loss": LOSS, "lr": st.floats(0, 1)})


@settings(max_examples=max(settings().max_examples // 3, 2))  # each is a picture
@given(
    rows=st.lists(ROW, min_size=1, max_size=3),
    intervals=st.lists(INTERVAL, max_size=3),
    title=st.text("aé%,", max_size=9),
)
def test_any_history_can_be_drawn(tmp_path_factory, rows, intervals, title):
    path = tmp_path_factory.mktemp("curves") / "curves.png"
    history = History({"epoch": epoch + 1, **row} for epoch, row in enumerate(rows))
    path.write_bytes(curves.draw(history, intervals, title=title))
    with Image.open(path) as picture:
        assert picture.size == (1440, 504)


def test_what_is_held_out_shows_in_the_picture(tmp_path):
    rows = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1}]
    (tmp_path / "without.png").write_bytes(curves.draw(History(rows)))
    (tmp_path / "with.png").write_bytes(curves.draw(History([rows[0] | {"test_loss": 0.8, "test_accuracy": 0.6}])))
    orange = tuple(int(curves.HELD_OUT[place : place + 2], 16) for place in (1, 3, 5))
    for name, there in (("without", False), ("with", True)):
        with Image.open(tmp_path / f"{name}.png") as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
        assert (orange in colours) == there


@pytest.mark.parametrize(
    ("losses", "logarithmic"),
    [([], False), ([1, 20], False), ([21, 1], True), ([0, 1], False), ([1e-301, 1e-299], False), ([1, 1e6], False)],
)
def test_losses_that_fall_far_but_not_to_nothing_need_a_logarithm(losses, logarithmic):
    assert curves.needs_logarithm(losses) == logarithmic


ONE_EPOCH = History([{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1}])


def pixels(path):
    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()


def test_a_title_is_no_formula(tmp_path):
    (tmp_path / "curves.png").write_bytes(curves.draw(ONE_EPOCH, title="a folder named $x^$"))


def test_the_users_settings_neither_change_the_picture_nor_are_changed(tmp_path):
    (tmp_path / "plain.png").write_bytes(curves.draw(ONE_EPOCH))
    backend = matplotlib.get_backend()
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9.0, "axes.facecolor": "black"}):
        (tmp_path / "curves.png").write_bytes(curves.draw(ONE_EPOCH))
        assert matplotlib.rcParams["lines.linewidth"] == 9.0
        assert matplotlib.get_backend() == backend
    assert pixels(tmp_path / "curves.png") == pixels(tmp_path / "plain.png")


def words(monkeypatch, **options):
    """The texts of a picture."""
    found = []
    monkeypatch.setattr("matplotlib.text.Text.draw", lambda text, *rest, **more: found.append(text.get_text()))
    row = ONE_EPOCH[0] | {"test_loss": 0.8, "test_accuracy": 0.6}
    curves.draw(History([row]), **options)
    return set(found)


def test_where_the_title_is_of_several_views_the_legends_say_that_they_are_of_one(monkeypatch):
    assert {"test", "best test: 60.00 % (epoch 1)"} <= words(monkeypatch)
    assert {"test, one view", "best test, one view: 60.00 % (epoch 1)"} <= words(monkeypatch, views=2)
    assert not [text for text in words(monkeypatch) if "view" in text]


def test_a_letter_that_the_font_does_not_have_is_no_warning(tmp_path, recwarn):
    (tmp_path / "curves.png").write_bytes(curves.draw(ONE_EPOCH, title="\u6f22"))
    assert not recwarn.list


AFTERWARDS = """
import os
from pathlib import Path
from xnn.runs import curves
from xnn.training.history import History
history = History([{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1}])
Path("curves.png").write_bytes(curves.draw(history))
import matplotlib
print(os.environ["MPLBACKEND"], matplotlib.get_backend().lower())
"""


@pytest.mark.parametrize(
    ("name", "then"),
    [("module://matplotlib_inline.backend_inline", ""), ("nonsense", "agg"), ("svg", "svg")],
    ids=["a notebook's", "none", "another"],
)
def test_the_backend_of_the_environment_is_no_obstacle_and_stays(tmp_path, name, then):
    """Notebooks set MPLBACKEND for the commands they start, to one that may not be installed there."""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS],
        cwd=tmp_path,
        env=environment | {"MPLBACKEND": name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Matplotlib takes a notebook's where matplotlib-inline is installed.
    assert done.stdout.startswith(f"{name} {then}")
    assert pixels(tmp_path / "curves.png")
