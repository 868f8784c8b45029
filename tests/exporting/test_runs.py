"""Each recipe's exported file classifies the test set as the run itself does."""

import json

import numpy as np
import pytest

import xnn
from tests.exporting.sessions import onnx, outputs
from tests.runs.rows import quick
from xnn import recipes
from xnn.data import load
from xnn.errors import RunError
from xnn.reporting.evaluation import evaluate, probabilities
from xnn.reporting.saved import load_model
from xnn.runs.run import train

pytestmark = pytest.mark.usefixtures("undrawn")

VIEWS = {"cnn": 2, "speed": 6}


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_a_recipe_s_file_has_the_accuracy_of_its_run(recipe, tmp_path):
    settings = quick(tmp_path / "run", model=recipe, epochs=1, batch_size=None, test_views=VIEWS.get(recipe, 1))
    result = train(settings)
    exported = xnn.export_onnx(result.directory, tmp_path / "model.onnx")
    digits = load("digits")
    found = outputs(exported, digits.test.images)
    accuracy = np.mean(found.argmax(axis=1) == digits.test.labels)
    assert accuracy == result.values["test_accuracy"]
    saved = load_model(result.directory)
    assert accuracy == evaluate(saved, digits.test).accuracy > 0.1
    np.testing.assert_allclose(found, probabilities(saved, digits.test.images), rtol=0, atol=1e-5)
    assert exported.views == VIEWS.get(recipe, 1)
    (classes,) = [entry.value for entry in onnx.load(exported.path).metadata_props if entry.key == "classes"]
    assert tuple(json.loads(classes)) == digits.classes


def test_a_saved_run_has_its_own_surroundings(tmp_path):
    train(quick(tmp_path / "run", epochs=1))
    saved = load_model(tmp_path / "run")
    exported = xnn.export_onnx(saved, tmp_path / "model.onnx")
    assert exported.output_shape == (10,)
    with pytest.raises(ValueError, match="a run has its own normalization, classes and views"):
        xnn.export_onnx(saved, tmp_path / "model.onnx", views=2)


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(RunError, match="nothing"):
        xnn.export_onnx(tmp_path / "nothing", tmp_path / "model.onnx")
