"""Recipes: what they set, what comes before them, and that their runs go on from any checkpoint."""

import dataclasses

import numpy as np
import pytest

from xnn import models, nn, recipes
from xnn.data import Split
from xnn.errors import SettingError
from xnn.runs import Settings, assembly
from xnn.runs.assembly import make_trainer, prepare
from xnn.tasks import Task
from xnn.training.view_averaging import predictor

DIGITS = Task("digits", (8, 8, 1), 10, 1437)
FASHION = Task("fashion-mnist", (28, 28, 1), 10, 60_000)
CIFAR10 = Task("cifar10", (32, 32, 3), 10, 50_000)
CIFAR100 = Task("cifar100", (32, 32, 3), 100, 50_000)
TASKS = [DIGITS, FASHION, CIFAR10, CIFAR100]
LEFT_OPEN = {"data_dir", "run_dir", "backend", "threads"}


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.dataset)
def test_a_recipe_fills_in_what_is_not_given_and_nothing_else(name, task):
    settings = models.resolve(Settings(recipe=name), task)
    chosen = recipes.RECIPES[name](task)
    assert {key: getattr(settings, key) for key in chosen} == chosen
    assert settings.model == name.partition("-")[0]
    open_ = {key for key, value in settings.to_dict().items() if value is None}
    assert open_ == LEFT_OPEN | (set() if settings.optimizer == "muon" else set(models.MUON_ALONE))
    # The next time, as on resuming, nothing is left to fill in.
    assert models.resolve(settings, task) == settings
    model = models.layers(settings, task).build(task.image_shape, backend="numpy")
    assert model.output_shape == (task.classes,)

    given = {"epochs": 77, "lr": 0.123, "augment": ("cutout",), "label_smoothing": 0.3, "test_views": 2}
    overridden = models.resolve(Settings(recipe=name, **given), task)
    assert {key: getattr(overridden, key) for key in given} == given


def test_another_optimizer_comes_with_its_own_rates():
    settings = models.resolve(Settings(recipe="speed", optimizer="adamw"), CIFAR10)
    assert (settings.lr, settings.head_lr) == (models.OPTIMIZER_DEFAULTS["adamw"]["lr"], None)
    assert settings.first_layer == "whitening"


@pytest.mark.parametrize(
    ("backend", "given", "expected"),
    [
        ("numpy", {}, "tf32"),
        ("numpy", {"precision": "float32"}, "float32"),
        ("numpy", {"dtype": "float64"}, "float32"),
        ("array_api_strict", {}, "float32"),
    ],
)
def test_a_recipes_precision_gives_way_where_it_cannot_be_had(monkeypatch, backend, given, expected):
    if backend != "numpy":
        pytest.importorskip(backend)
    monkeypatch.setitem(recipes.RECIPES, "cnn", lambda task: recipes.cnn(task) | {"precision": "tf32"})
    job = prepare(Settings(recipe="cnn", backend=backend, hidden=1, **given))
    assert job.settings.precision == job.model.precision == expected


@pytest.mark.parametrize("name", models.names())
def test_a_models_name_stands_for_the_recipe_of_that_name(name):
    settings = models.resolve(Settings(model=name), CIFAR10)
    assert dataclasses.replace(settings, recipe=name) == models.resolve(Settings(recipe=name), CIFAR10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": "sped"}, r"--recipe sped: unknown; choose one of cnn, mlp, lab6, speed\. Did you mean 'speed'"),
        ({"recipe": "speed", "model": "cnn"}, "--model cnn: the recipe speed is of another; leave one of the two out"),
        ({"first_layer": "whitening"}, "--first-layer whitening: the model cnn has no frozen first layer; speed has"),
        (
            {"model": "mlp", "first_bias_epochs": 2},
            "--first-bias-epochs 2: the model mlp has no frozen first layer; speed has",
        ),
        ({"whitening_eps": 0.1}, "--whitening-eps 0.1: needs --first-layer whitening too"),
        ({"window": 5}, "--window 5: needs --window-share too"),
        ({"window_share": 0.5}, "--window-share 0.5: needs --window too"),
        ({"window": 9, "window_share": 0.5}, "--window 9: expected at most 8, for images of 8x8"),
        (
            {"model": "mlp", "window": 5, "window_share": 0.5},
            "--window 5: the model mlp does not take images of 5x5: .*25",
        ),
        ({"model": "mlp", "bias_lr": 0.1}, "--bias-lr 0.1: adamw has none; it is for --optimizer muon"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(SettingError, match=message):
        prepare(Settings(backend="numpy", **given))


# --- the recipe of the speed records, on few images and narrow ---


@pytest.fixture
def job():
    return few_images()


def few_images(**changes):
    job = prepare(Settings(recipe="speed", backend="numpy", hidden=4, batch_size=40, epochs=4, seed=3, **changes))
    split = job.train.split
    job.train.split = Split(split.images[:120], split.labels[:120])
    job.train.images = 120
    return job


def test_the_first_layer_whitens_the_training_images(job):
    first = job.model.layers[0]
    x = job.normalization(job.train.split.images)
    outputs, _ = nn.Conv2d.forward(first, x)
    square = np.mean(np.asarray(outputs - first.bias.value, np.float64)[..., :4] ** 2, axis=(0, 1, 2))
    np.testing.assert_allclose(square, 1.0, rtol=0.2)
    assert not first.weight.trainable
    np.testing.assert_array_equal(first.weight.value, prepare(job.settings).model.layers[0].weight.value)


def test_what_whitening_adds_to_the_variances_is_a_setting():
    # A filter has the norm 1 / √(variance + eps).
    variances = {
        eps: 1.0 / np.sum(few_images(whitening_eps=eps).model.parameters["0.weight"] ** 2, axis=(0, 1, 2)) - eps
        for eps in (0.01, 0.3)
    }
    np.testing.assert_allclose(variances[0.01], variances[0.3], atol=1e-4)


@pytest.mark.parametrize("stop", range(1, 12, 2))
def test_a_run_goes_on_bit_for_bit(stop):
    def trainer_until(last, start=None):
        from xnn.training.callbacks import Callback

        class Stop(Callback):
            def step_end(self, trainer):
                if trainer.step == last:
                    trainer.request_stop("tested", to_resume=True)

        job = few_images(augment=("alternating-flip", "shift"), average=0.9, window=6, window_share=0.5)
        trainer = make_trainer(job, [Stop()])
        if start is not None:
            trainer.load_state_dict(*start)
        trainer.fit(job.train, epochs=4)
        return trainer

    whole = trainer_until(None)
    stopped = trainer_until(stop)
    assert stopped.step == stop
    resumed = trainer_until(None, stopped.state_dict())
    assert resumed.step == whole.step == 12
    arrays, expected = resumed.state_dict()[0], whole.state_dict()[0]
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize(("share", "small"), [(0.0, 0), (0.2, 0), (0.5, 2), (0.7, 2), (0.99, 3)])
def test_the_first_epochs_see_windows(share, small):
    job = few_images(window=6, window_share=share)
    sides = [{x.shape[1] for x, _ in job.train.epoch(epoch)} for epoch in range(4)]
    assert sides == [{6}] * small + [{8}] * (4 - small)


def test_the_first_bias_is_trained_for_three_epochs(job):
    seen = []

    class Watch(assembly.Callback):
        def epoch_end(self, trainer, row):
            seen.append(job.model.parameters["0.bias"].copy())

    weight = job.model.parameters["0.weight"].copy()
    make_trainer(job, [Watch()]).fit(job.train, epochs=4)
    assert [bool((after != before).any()) for before, after in zip([0.0 * seen[0], *seen], seen, strict=False)] == [
        *(True, True, True),
        False,
    ]
    np.testing.assert_array_equal(job.model.parameters["0.weight"], weight)


def test_views_are_averaged_at_the_end_and_epochs_see_one():
    job = few_images(test_views=6)
    trainer = make_trainer(job, [])
    history = trainer.fit(job.train, job.held_out, epochs=1)
    plain = make_trainer(few_images(test_views=1), [])
    assert plain.fit(job.train, job.held_out, epochs=1)[-1]["test_loss"] == history[-1]["test_loss"]
    assert plain.evaluate(job.test).loss == history[-1]["test_loss"]

    x, labels = next(job.test.epoch(0))
    loss, _ = trainer.loss.forward(predictor(job.model, 6)(x), labels)
    assert trainer.evaluate((x, labels)).loss == pytest.approx(float(loss), rel=1e-6)
    assert trainer.evaluate(job.test).loss != history[-1]["test_loss"]
