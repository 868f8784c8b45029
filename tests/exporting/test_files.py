"""What is in a file besides the layers, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

import xnn
from tests.exporting.sessions import assert_same, built, onnx, outputs
from xnn import data, nn
from xnn.data import Normalization
from xnn.errors import BackendError, RunError
from xnn.training.view_averaging import predictor

COLOURS = Normalization((0.2, 0.5, 0.4), (0.3, 0.1, 0.25))


def small(*last, shape=(5, 4, 3), seed=0):
    return built(nn.Sequential(nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3), *last), shape, seed)


def bytes_of(shape, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("views", [1, 2, 6])
def test_images_come_in_as_bytes_and_probabilities_go_out(tmp_path, views):
    model, images = small(), bytes_of((5, 4, 3))
    options = {"normalization": COLOURS, "classes": ["a", "b", "ü"], "views": views}
    exported = xnn.export_onnx(model, tmp_path / "model.onnx", **options)
    expected, _ = xnn.functional.softmax(predictor(model, views)(COLOURS(images)))
    assert_same(outputs(exported, images), expected)
    assert_same(outputs(exported, images[:1]), expected[:1])

    proto = onnx.load(exported.path)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(properties["classes"]) == ["a", "b", "ü"]
    assert properties["views"] == str(views) == str(exported.views)
    assert (proto.producer_name, proto.producer_version) == ("xnn", xnn.__version__)
    (given,), (made,) = proto.graph.input, proto.graph.output
    assert (given.name, made.name) == ("images", "probabilities") == (exported.input, exported.output)
    lengths = [[d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim] for each in (given, made)]
    assert lengths == [["batch", 5, 4, 3], ["batch", 3]]
    assert exported.size == exported.path.stat().st_size
    # However many views there are, the network is there once.
    assert [node.op_type for node in proto.graph.node].count("Conv") == 1


@pytest.mark.parametrize("last", [nn.Softmax, nn.LogSoftmax])
def test_probabilities_are_not_made_of_probabilities(tmp_path, last):
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    exported = xnn.export_onnx(small(last()), tmp_path / "model.onnx", classes=["a", "b", "c"])
    assert_same(outputs(exported, x), small().predict_proba(x))


def test_a_model_by_itself_is_what_it_returns(tmp_path):
    exported = xnn.export_onnx(small(), tmp_path / "model.onnx")
    assert (exported.input, exported.input_dtype, exported.output) == ("x", "float32", "outputs")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"opset": 17}, ValueError, "opset must be a whole number from 18 to"),
        ({"opset": 1000}, ValueError, "opset must be a whole number from 18 to"),
        ({"opset": "21"}, ValueError, "not '21'"),
        ({"views": 3}, ValueError, "views must be one of 1, 2, 6, not 3"),
        ({"classes": ["a"]}, ValueError, r"there are 1 classes, but the model's outputs are \(3,\)"),
        ({"classes": "abc"}, TypeError, "classes must be a sequence of names, not 'abc'"),
        ({"classes": [0, 1, 2]}, TypeError, "classes must be a sequence of names"),
        ({"normalization": Normalization((0.5,), (1.0,))}, ValueError, "the normalization is of 1 channels"),
    ],
)
def test_odd_arguments_are_refused(tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        xnn.export_onnx(small(), tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_model_needs_shapes_and_views_need_images(tmp_path):
    with pytest.raises(ValueError, match="call build"):
        xnn.export_onnx(nn.Linear(3), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="views are of images"):
        xnn.export_onnx(nn.Linear(3).build((4,)), tmp_path / "model.onnx", views=2)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"xnn\.sklearn, not of type dict"):
        xnn.export_onnx({}, tmp_path / "model.onnx")


def test_a_model_too_large_for_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("xnn.exporting.files._MOST_BYTES", 100)
    with pytest.raises(ValueError, match="has 30 numbers, and an ONNX file holds 25 at most"):
        xnn.export_onnx(nn.Linear(5).build((5,)), tmp_path / "model.onnx")


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*nowhere"):
        xnn.export_onnx(small(), tmp_path / "nowhere" / "model.onnx")


@pytest.mark.parametrize("name", ["onnx", "ndonnx"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda wanted: None if wanted == name else found(wanted))
    with pytest.raises(BackendError, match=rf"needs {name}, which is not installed: pip install '\.\[onnx\]'"):
        xnn.export_onnx(small(), tmp_path / "model.onnx")


def test_it_needs_no_onnxruntime(tmp_path):
    program = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "onnxruntime" else found(name, *more)
sys.modules["onnxruntime"] = None
import xnn
from xnn import nn
layers = nn.Conv2d(2, 3), nn.BatchNorm(), nn.GELU(), nn.Flatten(), nn.Linear(3)
model = nn.Sequential(*layers).build((4, 4, 1), backend="numpy")
xnn.export_onnx(model, {str(tmp_path / "other.onnx")!r}, views=6, opset=18)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)
    layers = nn.Conv2d(2, 3), nn.BatchNorm(), nn.GELU(), nn.Flatten(), nn.Linear(3)
    model = nn.Sequential(*layers).build((4, 4, 1), backend="numpy")
    xnn.export_onnx(model, tmp_path / "model.onnx", views=6, opset=18)
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


def test_the_normalization_is_that_of_the_data(tmp_path):
    digits = data.load("digits")
    model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy")
    normalization = Normalization.of(digits.train)
    exported = xnn.export_onnx(model, tmp_path / "model.onnx", normalization=normalization)
    images = digits.test.images[:5]
    assert_same(outputs(exported, images), model(normalization(images)))
