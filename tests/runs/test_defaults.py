"""What fills in the settings that are left open, and what cannot be filled in."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks import CIFAR10, DIGITS, every_task
from xnn.cli.arguments import parse
from xnn.errors import SettingError
from xnn.optim.tables import OPTIMIZERS, TAKEN, takers
from xnn.recipes import RECIPES
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.defaults import GENTLER, RATES, resolve, without_defaults

LEFT_OPEN = {"image_size", "data_dir", "run_dir", "backend", "threads", "from_"}

every_recipe = pytest.mark.parametrize("name", RECIPES)


@every_recipe
@every_task
def test_a_recipe_fills_in_what_is_not_given_and_nothing_else(name, task):
    settings = resolve(Settings(recipe=name), task)
    chosen = RECIPES[name].settings(task)
    assert {key: getattr(settings, key) for key in chosen} == chosen
    assert settings.model == name.partition("-")[0]
    open_ = {key for key, value in settings.to_dict().items() if value is None}
    assert open_ == LEFT_OPEN | {key for key in TAKEN if settings.optimizer not in takers(key)}
    # The next time, as on resuming, nothing is left to fill in.
    assert resolve(settings, task) == settings

    given = {"epochs": 77, "lr": 0.123, "augment": ("cutout",), "label_smoothing": 0.3, "test_views": 2, "hidden": 7}
    overridden = resolve(Settings(recipe=name, **given), task)
    assert {key: getattr(overridden, key) for key in given} == given


@every_recipe
@pytest.mark.parametrize("choice", [{"early_stopping": 3}, {"keep_best": True}])
def test_what_chooses_among_epochs_has_each_evaluated_unless_told_otherwise(name, choice):
    assert resolve(Settings(recipe=name, **choice), CIFAR10).evaluate_every == 1
    assert resolve(Settings(recipe=name, evaluate_every=5, **choice), CIFAR10).evaluate_every == 5


GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 300),
        "lr": st.sampled_from([0.001, 0.1, 0.123]),
        "batch_size": st.sampled_from([64, 500]),
        "optimizer": st.sampled_from(["sgd", "adam", "adamw"]),
        "schedule": st.sampled_from(["constant", "cosine"]),
        "augment": st.sampled_from([("none",), ("flip", "crop")]),
        "validation": st.sampled_from([0.1, 500.0]),
        "evaluate_every": st.integers(1, 5),
        "keep_best": st.booleans(),
        "test_views": st.sampled_from([1, 2]),
        "seed": st.integers(0, 3),
    },
)


@every_recipe
@every_task
@given(chosen=GIVEN)
def test_what_is_left_without_defaults_means_the_same_and_no_flag_of_it_is_idle(name, task, chosen):
    try:
        whole = resolve(Settings(recipe=name, **chosen), task)
    except SettingError:
        return
    fewer = without_defaults(whole, task)
    assert resolve(fewer, task) == whole
    asked = {flag.partition("=")[0] for flag in Settings(recipe=name, **chosen).to_argv()}
    left = fewer.to_argv()
    assert {flag.partition("=")[0] for flag in left} <= asked
    for place in range(len(left)):
        flags = left[:place] + left[place + 1 :]
        try:
            assert resolve(parse(flags).settings, task) != whole
        except SettingError:
            continue


@every_recipe
@every_task
def test_of_a_recipe_alone_only_its_name_is_left(name, task):
    assert without_defaults(resolve(Settings(recipe=name), task), task) == Settings(recipe=name)


@every_recipe
def test_a_models_name_stands_for_the_recipe_of_that_name(name):
    settings = resolve(Settings(model=name), CIFAR10)
    assert dataclasses.replace(settings, recipe=name) == resolve(Settings(recipe=name), CIFAR10)


@every_recipe
@every_task
def test_few_images_follow_another_runs_weights_at_a_gentler_rate(name, task):
    settings, begun = resolve(Settings(model=name), task), resolve(Settings(model=name, from_="other"), task)
    factor = GENTLER if task.small else 1.0
    gentler = {rate: getattr(settings, rate) * factor for rate in RATES if getattr(settings, rate) is not None}
    assert begun == dataclasses.replace(settings, from_="other", **gentler)
    assert resolve(Settings(model=name, from_="other", lr=0.5), task).lr == 0.5
    assert resolve(begun, task) == begun


@every_recipe
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_optimizer_brings_what_it_takes_and_nothing_else(name, optimizer):
    own = resolve(Settings(model=name), DIGITS)
    settings = resolve(Settings(model=name, optimizer=optimizer), DIGITS)
    if optimizer == own.optimizer:
        assert settings == own
    else:
        expected = dict.fromkeys(TAKEN) | OPTIMIZERS[optimizer].settings | {"decay": "weights"}
        assert {key: getattr(settings, key) for key in expected} == expected
        assert settings.epochs == own.epochs
        assert settings.first_layer == own.first_layer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_has_its_defaults_where_the_recipe_says_nothing(monkeypatch, optimizer):
    bare = {"hidden": 2, "optimizer": optimizer, "batch_size": 9, "epochs": 1}
    monkeypatch.setitem(RECIPES, "cnn", dataclasses.replace(RECIPES["cnn"], settings=lambda task: dict(bare)))
    settings = resolve(Settings(), DIGITS)
    expected = bare | dict.fromkeys(TAKEN) | OPTIMIZERS[optimizer].settings
    assert {key: getattr(settings, key) for key in expected} == expected


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_optimizer_does_not_take_is_refused(name, optimizer):
    given = {name: OPTIMIZERS[takers(name)[0]].settings[name]}
    if optimizer in takers(name):
        assert getattr(resolve(Settings(optimizer=optimizer, **given), DIGITS), name) == given[name]
        return
    known = ", ".join(takers(name))
    message = f"^--{name.replace('_', '-')} {given[name]}: {optimizer} does not take it; it is for {known}$"
    with pytest.raises(SettingError, match=message):
        Settings(optimizer=optimizer, **given)


def test_what_the_recipes_optimizer_does_not_take_is_refused():
    with pytest.raises(SettingError, match=r"--bias-lr 0\.1: adamw does not take it; it is for muon"):
        resolve(Settings(model="mlp", bias_lr=0.1), DIGITS)


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
    cnn = RECIPES["cnn"]
    inexact = dataclasses.replace(cnn, settings=lambda task: cnn.settings(task) | {"precision": "tf32"})
    monkeypatch.setitem(RECIPES, "cnn", inexact)
    job = prepare(Settings(recipe="cnn", backend=backend, hidden=1, **given))
    assert job.settings.precision == job.model.precision == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": "sped"}, rf"--recipe sped: unknown; choose one of {', '.join(RECIPES)}\. Did you mean 'speed'"),
        ({"model": "lab"}, rf"--model lab: unknown; choose one of {', '.join(RECIPES)}\. Did you mean 'lab6'"),
        ({"recipe": "speed", "model": "cnn"}, "--model cnn: the recipe speed is for another model; leave one"),
        ({"first_layer": "whitening"}, "--first-layer whitening: the model cnn has no frozen first layer; speed has"),
        (
            {"model": "mlp", "first_bias_epochs": 2},
            "--first-bias-epochs 2: the model mlp has no frozen first layer; speed has one",
        ),
        ({"whitening_eps": 0.1}, "--whitening-eps 0.1: needs --first-layer whitening too"),
        ({"model": "mlp", "shrink": 2}, "--shrink 2: the model mlp does not shrink images; cnn does"),
        ({"window": 5}, "--window 5: needs --window-share too"),
        ({"window_share": 0.5}, "--window-share 0.5: needs --window too"),
        ({"window": 9, "window_share": 0.5}, "--window 9: expected at most 8, for images of 8x8"),
        (
            {"model": "mlp", "window": 5, "window_share": 0.5},
            "--window 5: the model mlp does not take images of 5x5: .*25",
        ),
        ({"model": "lab6", "init": "dirac"}, "--init dirac: the model lab6 has no convolutions"),
        ({"epochs": 3, "warmup": 3}, "--warmup 3: expected fewer epochs than --epochs 3"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(SettingError, match=message):
        prepare(Settings(backend="numpy", **given))
