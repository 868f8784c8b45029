"""How long the recipes train on few images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks import DIGITS
from xnn.recipes import RECIPES
from xnn.recipes.recipe import long_enough
from xnn.tasks import Task

COUNTS = st.integers(0, 10_000)


@given(images=COUNTS, batch=st.integers(1, 600), epochs=st.integers(1, 60), steps=st.integers(1, 2_000))
def test_there_are_enough_steps_and_no_epoch_too_many(images, batch, epochs, steps):
    found = long_enough(images, batch, epochs, steps)
    an_epoch = -(-max(images, 1) // batch)
    assert found["epochs"] * an_epoch >= steps
    assert found["epochs"] == epochs or (found["epochs"] - 1) * an_epoch < steps
    assert found["epochs"] >= epochs
    judged = found["epochs"] // found["evaluate_every"]
    assert epochs <= judged < 2 * epochs


@given(images=st.integers(2, 999), shape=st.sampled_from([(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3)]))
def test_cnn_takes_hundreds_of_steps_on_any_small_set(images, shape):
    settings = RECIPES["cnn"].settings(Task("folder", shape, 2, images))
    assert settings["epochs"] * -(-images // settings["batch_size"]) >= 600


@pytest.mark.parametrize(("name", "batch", "epochs"), [("cnn", 32, 10), ("mlp", 64, 20), ("speed", 100, 8)])
def test_the_digits_are_not_few(name, batch, epochs):
    settings = RECIPES[name].settings(DIGITS)
    assert (settings["batch_size"], settings["epochs"]) == (batch, epochs)
