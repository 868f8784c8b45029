"""One dataclass: its checks, and its way to JSON and back."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import SettingError
from xnn.optim.tables import TAKEN, takers
from xnn.runs import Settings
from xnn.runs.settings import (
    ABOVE_ZERO,
    ALPHA,
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    BELOW_ONE,
    EVERY,
    FIELDS,
    SHRINKS,
    VIEWS,
    WIDTH,
    flag,
    kind,
    known,
)


def values(field):
    """Values of one setting that are allowed by themselves."""
    choices, check, wanted = field.metadata["choices"], field.metadata["check"], kind(field)
    if wanted is tuple and not choices:
        found = st.lists(st.text("abc.0", min_size=1, max_size=4), max_size=3).map(tuple)
    elif wanted is tuple:
        found = st.just(("none",)) | st.lists(
            st.sampled_from([name for name in choices if name != "none"]), unique=True
        ).map(tuple)
    elif choices:
        found = st.sampled_from(choices)
    elif check == EVERY:
        found = st.integers(0, 10**9).map(str) | st.builds(
            "{}{}".format, st.decimals(0, 10**6, places=2), st.sampled_from("smh")
        )
    elif check == SHRINKS:
        found = st.sampled_from([1, 2, 4, 8])
    elif check == VIEWS:
        found = st.sampled_from([1, 2, 6])
    elif wanted is bool:
        found = st.booleans()
    elif wanted is int:
        found = st.integers(0 if check == AT_LEAST_ZERO else 1, 10**6 if check == WIDTH else 10**9)
    elif wanted is float:
        below_one = check == BELOW_ONE
        found = st.floats(0, 1 if below_one else 1e6, exclude_max=below_one, exclude_min=check in (ABOVE_ZERO, ALPHA))
        assert check in (ABOVE_ZERO, ALPHA, AT_LEAST_ZERO, BELOW_ONE)
    else:
        found = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
    return found if field.default is not None else st.none() | found


def go_together(chosen):
    if chosen.get("optimizer"):
        unused = {name: None for name in TAKEN if name in chosen and chosen["optimizer"] not in takers(name)}
        chosen = chosen | unused
    if chosen.get("validation", 0) > 1:
        chosen = chosen | {"validation": float(int(chosen["validation"]))}
    if chosen.get("dtype") == "float64":
        chosen = chosen | {"precision": "float32"}
    return chosen


SETTINGS = st.fixed_dictionaries({}, optional={name: values(field) for name, field in FIELDS.items()}).map(
    lambda chosen: Settings(**go_together(chosen))
)


@given(SETTINGS)
def test_json_and_back(settings):
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict(), allow_nan=False))) == settings


@given(SETTINGS)
def test_arguments_give_the_settings_back(settings):
    from xnn.cli.arguments import parse

    assert parse(settings.to_argv()).settings == settings


def test_defaults_are_allowed_and_need_no_arguments():
    assert Settings().to_argv() == []
    assert Settings().dataset == "digits"


def test_every_setting_has_a_help_text_or_speaks_for_itself():
    assert {name for name, field in FIELDS.items() if not field.metadata["help"]} <= {"optimizer"}


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if kind(field) is float])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(name, value):
    with pytest.raises(SettingError, match=f"^{flag(name)} (nan|inf|-inf): expected a finite number"):
        Settings(**{name: value})


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if kind(field) in (int, float)])
def test_no_number_is_negative(name):
    with pytest.raises(SettingError, match=f"^{flag(name)} -1(.0)?: expected "):
        Settings(**{name: -1})


@pytest.mark.parametrize(
    "name",
    [n for n, field in FIELDS.items() if field.metadata["check"] in (AT_LEAST_ONE, ABOVE_ZERO, ALPHA, WIDTH)],
)
def test_zero_is_refused_where_it_makes_no_sense(name):
    counts = ("image_size", "hidden", "epochs", "batch_size", "keep", "log_every", "evaluate_every", "threads")
    assert name in (*counts, "whitening_eps", "body_lr", "mixup_alpha", "cutmix_alpha", *TAKEN)
    with pytest.raises(SettingError, match=f"^{flag(name)} 0(.0)?: expected "):
        Settings(**{name: 0})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 1.5}, "--epochs 1.5: expected a whole number"),
        ({"hidden": 1_000_001}, "--hidden 1000001: expected a whole number from 1 to 1000000"),
        ({"epochs": True}, "--epochs True: expected a whole number"),
        ({"epochs": "3"}, "--epochs '3': expected a whole number"),
        ({"dataset": None}, "--dataset None: expected text"),
        ({"lr": "x"}, "--lr 'x': expected a number"),
        ({"quiet": 1}, "--quiet 1: expected true or false"),
        ({"momentum": 1.0}, "--momentum 1.0: expected at least 0 and below 1"),
        ({"optimizer": "adm"}, "--optimizer adm: expected one of .*Did you mean 'adam'"),
        ({"schedule": "cosin"}, "--schedule cosin: .*Did you mean 'cosine'"),
        ({"dtype": "float16"}, "--dtype float16: expected one of float32, float64"),
        ({"precision": "half"}, "--precision half: expected one of float32, tf32, float16, bfloat16"),
        ({"precision": "tf32", "dtype": "float64"}, "--precision tf32: works only with --dtype float32, not float64"),
        ({"augment": ("flop",)}, "--augment flop: .*Did you mean 'flip'"),
        ({"test_views": 3}, "--test-views 3: expected 1, 2 or 6"),
        ({"shrink": 3}, "--shrink 3: expected 1, 2, 4 or 8"),
        ({"decay": "some"}, "--decay some: expected one of weights, all"),
        ({"augment": ("none", "flip")}, "--augment none,flip: 'none' cannot be combined with others"),
        ({"augment": "flip"}, "--augment 'flip': expected a list of names"),
        ({"mixup_alpha": 0.0}, "--mixup-alpha 0.0: expected a number above 0, at most 1000000"),
        ({"cutmix_alpha": 2e6}, "--cutmix-alpha 2000000.0: expected a number above 0, at most 1000000"),
        ({"optimizer": "adamw", "momentum": 0.9}, "--momentum 0.9: adamw does not take it"),
        (
            {"checkpoint_every": "soon"},
            "--checkpoint-every soon: expected a number of steps such as 500, a time such as 90s, 10m or 2h",
        ),
        ({"checkpoint_every": "-3"}, "--checkpoint-every -3: expected a number of steps"),
        ({"checkpoint_every": "1.5"}, "--checkpoint-every 1.5: expected a number of steps"),
        ({"checkpoint_every": 500}, "--checkpoint-every 500: expected text"),
        ({"validation": 1.5}, "--validation 1.5: expected a share below 1 or a whole number"),
    ],
)
def test_what_cannot_be_trained_with_is_refused_by_name(values, message):
    with pytest.raises(SettingError, match=message) as caught:
        Settings(**values)
    assert "\n" not in str(caught.value)


def test_paths_and_whole_numbers_are_taken():
    settings = Settings(data_dir=Path("a") / "b", lr=1, augment=["flip"])
    assert (settings.data_dir, settings.lr, settings.augment) == ("a/b", 1.0, ("flip",))
    assert isinstance(settings.lr, float)


@pytest.mark.parametrize(
    ("given_", "model"),
    [
        ({}, "cnn"),
        ({"model": "mlp"}, "mlp"),
        ({"recipe": "speed"}, "speed"),
        ({"recipe": "speed-long"}, "speed"),
        ({"recipe": "speed", "model": "cnn"}, "cnn"),
        ({"recipe": "speed", "from_": "runs/other"}, "speed"),
        ({"model": "cnn", "from_": "runs/other"}, "cnn"),
        ({"from_": "runs/other"}, None),
    ],
)
def test_a_recipe_brings_its_model_where_none_is_given(given_, model):
    settings = Settings(**given_)
    assert settings.model == model
    assert Settings(**settings.to_dict()) == settings


def test_an_unknown_name_is_suggested():
    with pytest.raises(SettingError, match=r"unknown setting 'epoch'\. Did you mean 'epochs'"):
        Settings.from_dict({"epoch": 3})


def test_what_was_not_resolved_is_noticed():
    assert known(0) == 0
    with pytest.raises(ValueError, match="not resolved"):
        known(None)


NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(2**70)])
ODD = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.just("x" * 10_000),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(name=st.sampled_from([field.name for field in dataclasses.fields(Settings)]), odd=ODD)
def test_an_odd_value_is_taken_or_refused_in_one_line(name, odd):
    try:
        settings = Settings.from_dict({name: odd})
    except SettingError as error:
        complaint = str(error)
    else:
        complaint = ""
        json.dumps(settings.to_dict(), allow_nan=False)
        assert Settings.from_dict(settings.to_dict()) == settings
    assert len(complaint) < 1000
