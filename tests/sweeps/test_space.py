"""``NAME=SPEC``: what is understood, what is drawn, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import SettingError
from xnn.runs.settings import FIELDS, Settings, kind
from xnn.sweeps.space import NOT_SEARCHED, SEARCHED, Space

optuna = pytest.importorskip("optuna", reason="a sweep needs optuna")

POSITIVE = st.floats(1e-6, 1e6, allow_nan=False)


def drawn(space, count=20):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask(space.distributions).params for _ in range(count)]


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@given(ends=st.tuples(POSITIVE, POSITIVE).filter(lambda ends: ends[0] < ends[1]), log=st.booleans())
def test_a_range_of_numbers_is_drawn_from_within(ends, log):
    low, high = ends
    space = Space.parse([f"lr={'log:' * log}{low}..{high}"])
    assert all(low <= params["lr"] <= high for params in drawn(space))
    assert space.distributions["lr"].log == log
    assert space.size == math.inf


@given(ends=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).filter(lambda ends: ends[0] < ends[1]))
def test_a_range_of_a_whole_setting_gives_whole_numbers(ends):
    low, high = ends
    space = Space.parse([f"batch-size={low}..{high}"])
    values = [params["batch_size"] for params in drawn(space)]
    assert all(type(value) is int and low <= value <= high for value in values)
    assert space.size in (high - low + 1, math.inf)


@given(values=st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True))
def test_values_are_those_of_the_settings_type(values):
    text = ",".join(map(str, values))
    space = Space.parse([f"batch_size={text}", f"lr={text}"])
    assert {params["batch_size"] for params in drawn(space)} <= set(values)
    assert space.size == len(values) ** 2 == len(space.combinations())
    for params in drawn(space):
        assert [type(params[name]) for name in ("batch_size", "lr")] == [int, float]
        Settings(**space.settings(params))


def test_lists_and_switches_have_values_too():
    space = Space.parse(["augment=none,flip+crop", "keep_best=true,false", "optimizer=sgd,adam"])
    found = [space.settings(each) for each in space.combinations()]
    assert {each["augment"] for each in found} == {("none",), ("flip", "crop")}
    assert {each["keep_best"] for each in found} == {True, False}
    space.check({"validation": 0.1})


@pytest.mark.parametrize(
    "name",
    # All that belongs to how a run is written, and what is judged or computed alike in all trials.
    [name for name, field in FIELDS.items() if field.metadata["group"] == "run"]
    + ["dataset", "data-dir", "labels", "validation", "skip_bad", "seed", "test_views", "threads", "backend"]
    + ["batch_norm"],
)
def test_what_all_trials_have_in_common_is_not_searched(name):
    with pytest.raises(SettingError, match="cannot be searched"):
        Space.parse([f"{name}=1,2"])


def test_every_setting_is_searched_or_has_its_reason():
    assert set(NOT_SEARCHED) <= set(FIELDS)
    assert set(SEARCHED) | set(NOT_SEARCHED) == set(FIELDS)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("lr", "expected NAME=SPEC"),
        ("lrr=0.1..0.2", "unknown setting 'lrr'. Did you mean 'lr'"),
        ("zzzz=1,2", "See xnn-sweep --help"),
        ("lr=0.1", "nothing to search; give it as --lr"),
        ("lr=0.1,0.1", "there twice"),
        ("lr=0.5..0.1", "from a smaller number to a larger"),
        ("lr=log:0..0.1", "above 0"),
        ("lr=0.1..nan", "finite"),
        ("lr=0.1..inf", "finite"),
        ("lr=log:0.1,0.2", "expected numbers such as"),
        ("lr=a..b", "not 'a'"),
        ("batch_size=1.5,2", "whole numbers"),
        ("batch_size=16..2.5", "whole numbers"),
        ("optimizer=log:a..b", "names such as"),
        ("optimizer=sgd,", "names such as"),
        ("keep_best=yes,no", "true,false"),
    ],
)
def test_what_makes_no_sense_is_refused(argument, words):
    with pytest.raises(SettingError) as caught:
        Space.parse([argument])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "fixed", "words"),
    [
        ([], {}, "nothing to search"),
        (["lr=-1..1"], {}, "--lr -1.0: expected a number above 0"),
        (["momentum=0.5..1"], {}, "--momentum 1.0: expected at least 0 and below 1"),
        (["optimizer=sgd,adm"], {}, "Did you mean 'adam'"),
        (["augment=none+flip,crop"], {}, "cannot be combined"),
        (["recipe=cnn,cmm"], {}, "--recipe cmm: unknown"),
        (["optimizer=sgd,adam"], {"momentum": 0.9}, "adam does not take it"),
        (["lr=0.1,0.2"], {"lr": 0.1}, "searched too"),
    ],
)
def test_values_are_checked_as_those_of_flags_are(arguments, fixed, words):
    with pytest.raises(SettingError) as caught:
        Space.parse(arguments).check(fixed)
    assert words in str(caught.value)


def test_a_name_is_given_once():
    with pytest.raises(SettingError, match="there twice"):
        Space.parse(["batch_size=1,2", "batch-size=3,4"])


@pytest.mark.parametrize("name", SEARCHED)
def test_all_settings_that_are_searched_take_values(name):
    wanted = kind(FIELDS[name])
    choices = FIELDS[name].metadata["choices"]
    texts = {int: "1,2", float: "0.25,0.5", bool: "true,false"}
    texts |= {str: ",".join(choices[:2]) or "a,b", tuple: ",".join(choices[:2]) or "a+b,c"}
    for each in Space.parse([f"{name}={texts[wanted]}"]).combinations():
        assert set(each) == {name}
