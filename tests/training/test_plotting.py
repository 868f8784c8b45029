"""Curves of histories, and histories as tables."""

import base64
import io
import math
import sys

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.markup import Page
from xnn.training import History

NUMBER = st.floats(0, 1e3) | st.none()
ROWS = st.lists(
    st.fixed_dictionaries(
        {"train_loss": st.floats(0, 1e3), "train_accuracy": NUMBER, "lr": NUMBER},
        optional={"validation_loss": st.floats(0, 1e3), "validation_accuracy": NUMBER, "validation_f1": NUMBER},
    ),
    min_size=1,
    max_size=4,
)


def history_of(rows):
    return History({"epoch": epoch + 1, **row} for epoch, row in enumerate(rows))


@pytest.fixture(autouse=True)
def no_screen():
    import matplotlib.pyplot as plt

    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


def drawn(axes):
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}


def points(history, name, factor=1.0):
    values = zip(history.column("epoch"), history.column(name), strict=True)
    return [(epoch, factor * value) for epoch, value in values if value is not None]


@given(ROWS)
def test_the_curves_are_the_columns_that_have_values(rows):
    import matplotlib.pyplot as plt

    history = history_of(rows)
    axes = history.plot()
    for place, metric, factor in zip(axes, ("loss", "accuracy"), (1.0, 100.0), strict=False):
        names = {"train": f"train_{metric}", "validation": f"validation_{metric}"}
        judged = any("validation_loss" in row for row in history)
        expected = {label: points(history, name, factor) for label, name in names.items() if judged or label == "train"}
        assert drawn(place) == {label: found for label, found in expected.items() if found}
    assert 1 <= len(axes) <= 2
    assert all(drawn(place) for place in axes)
    plt.close("all")


def test_several_histories_share_axes_and_differ_in_colour():
    first = history_of([{"train_loss": 3.0, "test_loss": 2.0}, {"train_loss": 1.0, "test_loss": 1.5}])
    second = history_of([{"train_loss": 4.0, "test_loss": 3.0}])
    axes = first.plot(["loss"], label="one")
    assert second.plot(["loss"], axes=axes[0], label="two")[0] is axes[0]
    assert list(drawn(axes[0])) == ["one, train", "one, test", "two, train", "two, test"]
    colours = [line.get_color() for line in axes[0].get_lines()]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_any_column_can_be_drawn():
    row = {"train_loss": 3.0, "lr": 0.5, "my_val_loss": 2.0, "my_val_focal_loss": 1.0, "my_val_top5_accuracy": 0.5}
    history = history_of([row])
    assert history.plot("loss")[0].get_title() == history.plot(["loss"])[0].get_title()
    axes = history.plot(["loss", "lr", "focal_loss", "top5_accuracy"])
    assert [drawn(place) for place in axes] == [
        {"train": [(1, 3.0)], "my_val": [(1, 2.0)]},
        {"lr": [(1, 0.5)]},
        {"my_val": [(1, 1.0)]},
        {"my_val": [(1, 50.0)]},
    ]


def test_losses_that_fall_far_have_a_logarithmic_axis():
    assert history_of([{"train_loss": 1.0}, {"train_loss": 0.9}]).plot()[0].get_yscale() == "linear"
    assert history_of([{"train_loss": 1.0}, {"train_loss": 0.001}]).plot()[0].get_yscale() == "log"


@pytest.mark.parametrize(
    ("history", "metrics", "complaint"),
    [
        (History(), None, "no epochs"),
        (history_of([{"train_loss": 1.0}]), ["f1"], "has no f1; its columns are epoch, train_loss"),
    ],
)
def test_what_cannot_be_drawn_is_said(history, metrics, complaint):
    with pytest.raises(ValueError, match=complaint):
        history.plot(metrics)


def test_the_number_of_axes_must_fit():
    history = history_of([{"train_loss": 1.0, "train_accuracy": 0.5}])
    with pytest.raises(ValueError, match="loss, accuracy need 2 axes, not 1"):
        history.plot(axes=history.plot(["loss"]))


@settings(max_examples=8)  # each is a picture
@given(ROWS, st.text(max_size=20))
def test_a_notebook_shows_the_curves(rows, name):
    history = history_of(rows)
    history[-1][f"<b>{name}"] = 1.0
    (attributes,) = Page(history._repr_html_()).images()
    with Image.open(io.BytesIO(base64.b64decode(attributes["src"].partition(",")[2]))) as picture:
        assert picture.size == (1104, 384)


def test_a_notebook_shows_that_there_are_no_epochs():
    assert Page(History()._repr_html_()).texts == ["History(no epochs)"]


@given(st.lists(st.fixed_dictionaries({"train_loss": NUMBER}, optional={"test_f1": NUMBER}), max_size=4))
def test_a_data_frame_has_the_rows_values(rows):
    pytest.importorskip("pandas", reason="pandas is not installed")
    history = history_of(rows)
    frame = history.to_pandas()
    assert frame.index.name == "epoch"
    assert list(frame.index) == history.column("epoch")
    for name in frame.columns:
        assert frame[name].dtype == float
        for found, expected in zip(frame[name], history.column(name), strict=True):
            assert found == expected or (expected is None and math.isnan(found))


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs pandas, .*pip install '\.\[pandas\]' in a clone"):
        History().to_pandas()
