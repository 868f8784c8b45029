"""What a run's files hold is taken as it was written, and refused where it is anything else."""

import contextlib
import json
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.documents import places, replaced
from xnn.runs import schema
from xnn.strict_json import checked
from xnn.training import history

ROW = {
    **{"epoch": 1, "train_loss": 0.5, "train_accuracy": None, "test_loss": 0.25, "test_accuracy": 0.75},
    **{"lr": 0.1, "seconds": 2.0, "images_per_second": 100.0},
}
INTERVAL = {"epoch": 1, "step": 3, "passes": 0.5, "minibatch_loss": 1.0, "interval_loss": 1.5, "lr": 0.1}
SUMS = {"loss": 0.0, "images": 0, "correct": 0, "top5": None}
STATE = {
    **{"epoch": 1, "batch": 0, "step": 10, "lr": 0.1, "random_counter": 0, "seconds": 1.0, "epoch_seconds": 0.0},
    **{"epoch_sums": SUMS, "interval_sums": SUMS, "history": [ROW], "dtype": "float32", "optimizer_steps": 10},
    "layout": [{"name": "0.weight", "shape": [2, 3], "start": 0}],
}
RESULT = {"dataset": "digits", "epochs": 1, "test_accuracy": 0.5, "test_views": 2, "versions": {"xnn": "0.1"}}
DESCRIPTION = {
    **{"model": "cnn", "image_shape": [8, 8, 1], "classes": ["0", "1"], "settings": {"seed": 0}},
    "normalization": {"mean": [0.5], "std": [0.25]},
}
KINDS = {
    "epoch row": (schema.epoch_row, ROW),
    "interval row": (lambda value: schema.interval_row(json.dumps(value).encode()), INTERVAL),
    "state": (schema.state, STATE),
    "result": (lambda value: checked(value, schema.Result), RESULT),
    "description": (lambda value: checked(value, schema.Description), DESCRIPTION),
}
ODD = st.sampled_from(
    [True, -1, 0.5, 2**70, 1e308, float("nan"), float("inf"), "", "x" * 20_000, [], {}, [[]], {"a": {}}, "\x1b"]
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_taken_as_it_is(kind):
    check, value = KINDS[kind]
    found = check(json.loads(json.dumps(value)))
    assert json.loads(json.dumps(found)) == value


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_odd_value_is_refused_or_taken_and_nothing_else(kind, data):
    check, value = KINDS[kind]
    path = data.draw(st.sampled_from([(), *places(value)]))
    odd = replaced(value, path, data.draw(ODD))
    with contextlib.suppress(ValueError):
        # What is unknown may have been left out; a whole number may have become a float, a list a tuple.
        for key, inner in check(odd).items():
            assert (list(inner) if isinstance(inner, tuple) else inner) == odd[key]


@pytest.mark.parametrize(
    ("kind", "path", "odd"),
    [
        ("epoch row", ("epoch",), True),
        ("epoch row", ("epoch",), 1.0),
        ("epoch row", ("train_loss",), None),
        ("epoch row", ("test_accuracy",), 1.5),
        ("epoch row", ("seconds",), -1.0),
        ("interval row", ("interval_loss",), "x"),
        ("interval row", ("passes",), float("inf")),
        ("state", ("step",), 2**60),
        ("state", ("dtype",), "float16"),
        ("state", ("epoch",), 2),
        ("state", ("history", 0, "epoch"), 2),
        ("state", ("batch",), 3),
        ("state", ("layout", 0, "shape"), [1] * 33),
        ("result", ("versions", "xnn"), {}),
        ("result", ("test_views",), 0),
        ("description", ("image_shape",), [8, 8]),
        ("description", ("classes",), []),
        ("description", ("normalization", "std"), [0.0]),
    ],
)
def test_odd_values_that_must_be_refused(kind, path, odd):
    check, value = KINDS[kind]
    with pytest.raises(ValueError, match=r"."):
        check(replaced(value, path, odd))


@pytest.mark.parametrize("kind", ["epoch row", "interval row"])
def test_a_row_without_a_value_is_refused(kind):
    check, value = KINDS[kind]
    for name in value:
        if name.startswith("test_"):
            continue  # of a run without such data
        with pytest.raises(ValueError, match=name):
            check({key: inner for key, inner in value.items() if key != name})


@given(
    added=st.dictionaries(
        st.text(max_size=5).filter(lambda name: name not in ROW),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=150) | st.dictionaries(st.text(max_size=3), inner, max_size=150),
            max_leaves=5,
        ),
        max_size=150,
    )
)
def test_what_a_callback_adds_to_a_row_stays(added):
    row = ROW | added
    assert json.dumps(schema.epoch_row(row)) == json.dumps(row)
    assert schema.state(STATE | {"history": [row]})["history"] == [row]


@pytest.mark.parametrize("name", ["EpochRow", "IntervalRow"])
def test_rows_are_described_as_training_makes_them(name):
    """Training does not know the schema, which adds the ranges of the numbers."""
    described, made = getattr(schema, name), getattr(history, name.removeprefix("Epoch"))
    assert get_type_hints(described) == get_type_hints(made)
    assert described.__required_keys__ == made.__required_keys__
