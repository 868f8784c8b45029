"""The recipes' networks: what they fit, and how their weights begin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks import CIFAR10, CIFAR100, DIGITS, FASHION, every_task
from xnn import nn, recipes
from xnn.backends import backend as make_backend
from xnn.tasks import Task


@pytest.mark.parametrize("name", recipes.RECIPES)
@every_task
def test_every_network_fits_every_data_set(name, task):
    hidden = recipes.RECIPES[name].settings(task)["hidden"]
    model = recipes.network(name, task).build(task.image_shape, backend="numpy")
    assert model.output_shape == (task.classes,)
    layers = [layer for layer in model.layers if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert hidden in [layer.output_shape[-1] for layer in layers]
    assert recipes.RECIPES[name].convolutions == any(isinstance(layer, nn.Conv2d) for layer in layers)


@given(
    name=st.sampled_from(list(recipes.RECIPES)),
    shape=st.tuples(st.integers(4, 40), st.integers(4, 40), st.sampled_from([1, 3])),
    classes=st.integers(1, 120),
)
def test_every_network_fits_images_of_any_size(name, shape, classes):
    backend = make_backend("numpy")
    model = recipes.network(name, Task("folder", shape, classes, 100), hidden=2).build(shape, backend=backend)
    logits, pullback = model.forward(backend.xp.zeros((2, *shape), dtype=backend.dtype("float32")), train=True)
    assert logits.shape == (2, classes)
    pullback(logits, input_gradient=False)


@pytest.mark.parametrize(
    ("side", "shrink"), [(8, 1), (32, 1), (63, 1), (64, 2), (128, 4), (224, 4), (256, 8), (600, 8)]
)
def test_cnn_shrinks_large_images_and_keeps_its_weights(side, shrink):
    task = Task("folder", (side, side + 9, 3), 10, 100)
    assert recipes.RECIPES["cnn"].settings(task)["shrink"] == shrink
    model = recipes.network("cnn", task, hidden=4)
    model.count(task.image_shape)
    second = next(layer for layer in model.layers[1:] if isinstance(layer, nn.Conv2d))
    seen = min(second.input_shape[:2])
    assert seen == side if side == 8 else 16 <= seen < 32 or side >= 512
    if side >= 32:
        small = recipes.network("cnn", CIFAR10, hidden=4).build(CIFAR10.image_shape, backend="numpy")
        large = model.build(task.image_shape, backend="numpy")
        assert [(e["name"], e["shape"]) for e in large.layout()] == [(e["name"], e["shape"]) for e in small.layout()]


@pytest.mark.parametrize(("side", "last"), [(32, 4), (64, 4), (96, 6), (128, 4), (224, 7)])
def test_the_residual_net_sees_few_pixels_at_its_end(side, last):
    model = recipes.network("residual", Task("folder", (side, side, 3), 10, 100))
    model.count((side, side, 3))
    assert model.layers[-2].input_shape == (last, last, 256)


@pytest.mark.parametrize(("task", "hidden"), [(DIGITS, 128), (FASHION, 128), (CIFAR10, 256), (CIFAR100, 1024)])
def test_lab6_is_the_labs_network_with_its_settings(task, hidden):
    settings = recipes.RECIPES["lab6"].settings(task)
    model = recipes.network("lab6", task).build(task.image_shape, backend="numpy")
    inputs = math.prod(task.image_shape)
    assert model.parameters.flat.shape[0] == (inputs + 1) * hidden + (hidden + 1) * task.classes
    assert (settings["batch_size"], settings["optimizer"], settings["momentum"]) == (1, "sgd", 0.0)
    assert settings["weight_decay"] == 1e-3
    assert settings["lr"] == (1e-3 if task == DIGITS else 1e-4)
    assert settings["epochs"] == (1 if task == FASHION else 20)


@pytest.mark.parametrize(("name", "count"), [("cnn", 5), ("speed", 6)])
@pytest.mark.parametrize("init", ["dirac", "kaiming"])
def test_dirac_passes_channels_on(name, count, init):
    model = recipes.network(name, CIFAR10, init=init).build(CIFAR10.image_shape, backend="numpy")
    filters = [layer.weight for layer in model.layers if isinstance(layer, nn.Conv2d) and layer.weight.trainable]
    assert len(filters) == count
    for weight in filters:
        centre = weight.value[1, 1]
        passes = np.array_equal(centre[:, : centre.shape[0]], np.eye(*centre.shape)[:, : centre.shape[0]])
        assert passes == (init == "dirac")


def test_the_speed_net_begins_with_equally_likely_classes():
    model = recipes.network("speed", CIFAR10).build(CIFAR10.image_shape, backend="numpy")
    x = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    logits, _ = model.forward(x, train=True)
    assert np.abs(logits).max() < 1.0
    assert not any(name.endswith(".weight") and view.ndim == 1 for name, view in model.parameters.items())
