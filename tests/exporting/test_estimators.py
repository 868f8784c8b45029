"""Estimators of `xnn.sklearn` as files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnn
from tests.exporting.sessions import built, onnx, outputs
from xnn import nn
from xnn.data import Normalization

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from tests.sklearn.drawn import classifier, examples, regressor, seeds

LABELS = {"text": np.array(["ü", "a", "b"]), "numbers": np.array([7, -1, 3]), "flags": np.array([True, False])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("estimators")


def drawn(seed, images):
    """Return examples around a mean of their own, and the network's layers for them."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 6, 3)) if images else (rng.integers(1, 6),)
    x = rng.normal(rng.normal(0.0, 5.0, shape[-1]), rng.uniform(0.1, 9.0, shape[-1]), (20, *shape))
    layers = [nn.Conv2d(3, 2), nn.BatchNorm(), nn.ReLU()] if images else None
    return x, {"layers": layers, "hidden": None if images else 6}


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, np.max(np.abs(expected))))


@given(
    seed=seeds,
    images=st.booleans(),
    normalize=st.booleans(),
    labels=st.sampled_from(list(LABELS)),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_classifiers_file_answers_as_predict_proba(folder, seed, images, normalize, labels, dtype):
    x, options = drawn(seed, images)
    names = LABELS[labels]
    network = classifier(normalize=normalize, dtype=dtype, **options).fit(x, names[np.arange(len(x)) % len(names)])
    exported = xnn.export_onnx(network, folder / "model.onnx")
    assert (exported.input, exported.input_dtype, exported.output) == ("x", "float32", "probabilities")
    assert exported.input_shape == network.input_shape_ == x.shape[1:]
    assert_close(outputs(exported, x), network.predict_proba(x))
    assert_close(outputs(exported, x[:1]), network.predict_proba(x[:1]))
    properties = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert json.loads(properties["classes"]) == [str(name) for name in sorted(names.tolist())]


@given(seed=seeds, images=st.booleans(), normalize=st.booleans(), targets=st.integers(0, 2))
def test_a_regressors_file_answers_as_predict(folder, seed, images, normalize, targets):
    x, options = drawn(seed, images)
    y = np.random.default_rng(seed).normal(size=(len(x), targets) if targets else len(x))
    network = regressor(normalize=normalize, **options).fit(x, y)
    exported = xnn.export_onnx(network, folder / "model.onnx")
    assert (exported.output, exported.output_shape) == ("predictions", (targets,) if targets else ())
    assert_close(outputs(exported, x), network.predict(x))
    assert not any(entry.key == "classes" for entry in onnx.load(exported.path).metadata_props)


def test_rows_that_are_images_and_a_recipes_views(tmp_path):
    x, labels = examples(0, features=192)
    network = classifier(recipe="speed", image_shape=(8, 8, 3), hidden=None, max_iter=1).fit(x, labels)
    exported = xnn.export_onnx(network, tmp_path / "model.onnx")
    assert exported.views == 6
    assert_close(outputs(exported, x.reshape(-1, 8, 8, 3)), network.predict_proba(x))


def test_a_model_that_ends_in_a_softmax_answers_as_its_estimator(tmp_path):
    x, labels = examples(0)
    model = built(nn.Sequential(nn.Linear(3), nn.Softmax()), (5,), seed=0)
    network = classifier(layers=model, hidden=None).fit(x, labels)
    assert_close(outputs(xnn.export_onnx(network, tmp_path / "model.onnx"), x), network.predict_proba(x))


def test_large_numbers_keep_their_differences(tmp_path):
    """As in the estimator, the mean goes first; a product of numbers far from 0 would round their differences away."""
    x, labels = examples(0)
    # These float32 holds exactly, and their mean too.
    x = np.round(x * 64)
    x = np.concatenate([x, -x]) + 2.0**20
    network = classifier(normalize=True, dtype="float32").fit(x, np.concatenate([labels, labels]))
    assert_close(outputs(xnn.export_onnx(network, tmp_path / "model.onnx"), x), network.predict_proba(x))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_an_estimator_that_is_not_fitted_is_refused(tmp_path, make):
    with pytest.raises(ValueError, match=r"^the (Classifier|Regressor) is not fitted: call fit before exporting it$"):
        xnn.export_onnx(make(), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "options", [{"views": 2}, {"classes": ["a", "b", "c"]}, {"normalization": Normalization((0.5,), (1.0,))}]
)
def test_an_estimator_has_what_it_needs(tmp_path, options):
    network = classifier().fit(*examples(0))
    with pytest.raises(ValueError, match="an estimator has its own normalization, classes and views: leave them out"):
        xnn.export_onnx(network, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_other_estimators_are_refused(tmp_path):
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(classifier()).fit(*examples(0))
    with pytest.raises(TypeError, match=r"a Classifier or Regressor of xnn\.sklearn, not of type Pipeline"):
        xnn.export_onnx(pipeline, tmp_path / "model.onnx")


def test_a_model_is_exported_without_scikit_learn(tmp_path):
    program = f"""
import sys, xnn
xnn.export_onnx(xnn.nn.Linear(3).build((4,), backend="numpy"), {str(tmp_path / "model.onnx")!r})
assert "sklearn" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)
