"""The named models: sizes, defaults, and what overrides them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import models, nn
from xnn.backends import backend as make_backend
from xnn.errors import SettingError
from xnn.runs import Settings
from xnn.tasks import Task

DIGITS = Task("digits", (8, 8, 1), 10, 1437)
FASHION = Task("fashion-mnist", (28, 28, 1), 10, 60_000)
CIFAR10 = Task("cifar10", (32, 32, 3), 10, 50_000)
CIFAR100 = Task("cifar100", (32, 32, 3), 100, 50_000)
TASKS = [DIGITS, FASHION, CIFAR10, CIFAR100]


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.dataset)
def test_every_model_fits_every_data_set(name, task):
    settings = models.resolve(Settings(model=name), task)
    assert (
        None
        not in {
            key: value
            for key, value in settings.to_dict().items()
            if key not in ("data_dir", "run_dir", "backend", "threads", "recipe", *models.MUON_ALONE)
        }.values()
    )
    model = models.layers(settings, task).build(task.image_shape, backend="numpy")
    assert model.output_shape == (task.classes,)


@given(
    name=st.sampled_from(models.names()),
    shape=st.tuples(st.integers(4, 40), st.integers(4, 40), st.sampled_from([1, 3])),
    classes=st.integers(1, 120),
)
def test_every_model_fits_images_of_any_size(name, shape, classes):
    task = Task("folder", shape, classes, 100)
    model = models.layers(models.resolve(Settings(model=name, hidden=2), task), task)
    backend = make_backend("numpy")
    model.build(shape, backend=backend)
    logits, pullback = model.forward(backend.xp.zeros((2, *shape), dtype=backend.dtype("float32")), train=True)
    assert logits.shape == (2, classes)
    pullback(logits, input_gradient=False)


@pytest.mark.parametrize(("task", "hidden"), [(DIGITS, 128), (FASHION, 128), (CIFAR10, 256), (CIFAR100, 1024)])
def test_lab6_is_the_labs_network_with_its_settings(task, hidden):
    settings = models.resolve(Settings(model="lab6"), task)
    model = models.layers(settings, task).build(task.image_shape, backend="numpy")
    inputs = math.prod(task.image_shape)
    assert model.parameters.flat.shape[0] == (inputs + 1) * hidden + (hidden + 1) * task.classes
    assert (settings.batch_size, settings.optimizer, settings.momentum) == (1, "sgd", 0.0)
    assert settings.l2 > 0
    assert settings.lr == (1e-3 if task == DIGITS else 1e-4)
    assert settings.epochs == (1 if task == FASHION else 20)


def test_what_is_given_overrides_the_model():
    given_ = Settings(model="mlp", hidden=7, epochs=3, lr=0.5, l2=0.25, schedule="linear", augment=("none",))
    settings = models.resolve(given_, CIFAR10)
    for name in ("hidden", "epochs", "lr", "l2", "schedule", "augment"):
        assert getattr(settings, name) == getattr(given_, name)


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_another_optimizer_brings_its_own_learning_rate(name, optimizer):
    own = models.resolve(Settings(model=name), DIGITS)
    settings = models.resolve(Settings(model=name, optimizer=optimizer), DIGITS)
    if optimizer == own.optimizer:
        assert settings == own
    else:
        for name, value in models.OPTIMIZER_DEFAULTS[optimizer].items():
            assert getattr(settings, name) == value
    is_muon = [getattr(settings, name) is not None for name in models.MUON_ALONE]
    assert is_muon == [optimizer == "muon"] * len(is_muon)


def test_an_unknown_model_is_suggested():
    expected = r"--model lab: unknown; choose one of cnn, mlp, lab6, speed\. Did you mean 'lab6'"
    with pytest.raises(SettingError, match=expected):
        models.resolve(Settings(model="lab"), DIGITS)


def test_a_warm_up_that_never_ends_is_refused():
    with pytest.raises(SettingError, match="--warmup 3: expected fewer epochs than --epochs 3"):
        models.resolve(Settings(epochs=3, warmup=3), DIGITS)


@pytest.mark.parametrize("name", models.MUON_ALONE)
def test_what_muon_alone_has_is_refused_for_others(name):
    value = {"muon_steps": 3, "filter_norm": "fixed"}.get(name, 0.5)
    with pytest.raises(SettingError, match=rf"--{name.replace('_', '-')} {value}: adamw has none; it is for .*muon"):
        models.resolve(Settings(model="mlp", **{name: value}), DIGITS)
    assert getattr(models.resolve(Settings(model="mlp", optimizer="muon", **{name: value}), DIGITS), name) == value


def test_dirac_needs_convolutions():
    with pytest.raises(SettingError, match="--init dirac: the model lab6 has no convolutions"):
        models.resolve(Settings(model="lab6", init="dirac"), DIGITS)


@pytest.mark.parametrize("name", ["cnn", "speed"])
def test_dirac_passes_channels_on(name):
    for init, passed in (("dirac", True), ("kaiming", False)):
        settings = models.resolve(Settings(model=name, init=init), CIFAR10)
        model = models.layers(settings, CIFAR10).build(CIFAR10.image_shape, backend="numpy")
        filters = [layer.weight for layer in model.layers if isinstance(layer, nn.Conv2d) and layer.weight.trainable]
        assert len(filters) == {"cnn": 5, "speed": 6}[name]
        for weight in filters:
            centre = weight.value[1, 1]
            assert np.array_equal(centre[:, : centre.shape[0]], np.eye(*centre.shape)[:, : centre.shape[0]]) == passed


def test_the_speed_net_begins_with_equally_likely_classes():
    settings = models.resolve(Settings(model="speed"), CIFAR10)
    model = models.layers(settings, CIFAR10).build(CIFAR10.image_shape, backend="numpy")
    x = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    logits, _ = model.forward(x, train=True)
    assert np.abs(logits).max() < 1.0
    assert not any(name.endswith(".weight") and view.ndim == 1 for name, view in model.parameters.items())
