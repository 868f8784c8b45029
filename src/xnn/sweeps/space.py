"""What is searched: ``NAME=SPEC`` for each setting, as typed."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnn.errors import SettingError, suggest
from xnn.runs.defaults import check_names
from xnn.runs.settings import FIELDS, Settings, flag, kind

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SAME = "it changes nothing in the training"
NOT_SEARCHED = {
    "dataset": "it is what all trials are judged on",
    "labels": "it is what all trials are judged on",
    "validation": "it is what all trials are judged on",
    "skip_bad": "it is what all trials are judged on",
    "seed": "it chooses the validation images, so that trials could not be compared",
    "data_dir": "it says where the data is",
    "test_views": "it is for the test set, which no trial sees",
    "threads": "it is the share of a worker",
    "batch_norm": "it is for several ranks, and a trial has one",
    **dict.fromkeys(("backend", "run_dir", "keep", "checkpoint_every", "log_every", "tensorboard", "quiet"), _SAME),
}
"""Settings that are the same for all trials, and why."""

SEARCHED = tuple(name for name in FIELDS if name not in NOT_SEARCHED)

_RANGE = re.compile(r"(log:)?(.+?)\.\.(.+)")
_MOST_COMBINATIONS = 100_000
"""Combinations that are listed; of more than these no two trials draw the same by accident."""

Value = str | int | float | bool


@dataclass(frozen=True)
class Choices:
    """Some values; of a setting with a list of names, such as ``flip+crop``, each is a list joined with ``+``."""

    name: str
    values: tuple[Value, ...]

    @property
    def distribution(self) -> "BaseDistribution":
        """What Optuna draws from."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that must be allowed."""
        return self.values


@dataclass(frozen=True)
class Range:
    """All numbers between two, both included; whole ones where the setting is one."""

    name: str
    low: float
    high: float
    log: bool

    @property
    def distribution(self) -> "BaseDistribution":
        """What Optuna draws from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that must be allowed."""
        return self.low, self.high

    @property
    def values(self) -> tuple[Value, ...] | None:
        """All of them if they are whole and not very many, else None."""
        low, high = self.low, self.high
        if isinstance(low, int) and isinstance(high, int) and high - low < _MOST_COMBINATIONS:
            return tuple(range(low, high + 1))
        return None


class Space:
    """The settings that a sweep searches.

    Parameters
    ----------
    texts
        By the setting's name, the SPEC as typed: ``a,b,c`` for some values, ``a..b`` for a range, ``log:a..b`` for one
        in which each factor is as likely as any other.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.parts = tuple(_part(name, text) for name, text in self.texts.items())

    @classmethod
    def parse(cls, arguments: Iterable[str]) -> "Space":
        """Read arguments such as ``lr=log:0.01..0.5``.

        Raises
        ------
        SettingError
            A name is unknown, is there twice or may not be searched, or a SPEC does not fit its setting.
        """
        texts: dict[str, str] = {}
        for argument in arguments:
            given, equals, text = argument.partition("=")
            if not equals:
                raise SettingError(f"unexpected argument '{argument}'; expected NAME=SPEC such as lr=log:0.01..0.5")
            name = name_of(given)
            if name in texts:
                raise SettingError(f"{argument}: {given} is there twice")
            texts[name] = text
        return cls(texts)

    def check(self, fixed: Mapping[str, Any]) -> None:
        """Raise a `SettingError` unless each value is allowed beside the fixed settings."""
        if not self.parts:
            raise SettingError("nothing to search; give NAME=SPEC such as lr=log:0.01..0.5 or batch_size=128,500")
        for part in self.parts:
            if part.name in fixed:
                raise SettingError(
                    f"{flag(part.name)}: {part.name} is searched too ({part.name}={self.texts[part.name]}); leave one "
                    "of the two out"
                )
        searched = {part.name for part in self.parts}
        for part in self.parts:
            for value in part.examples:
                settings = Settings(**{**fixed, **self.settings({part.name: value})})
                # Another setting that is searched may mend what does not go together here; --from names a model too.
                if settings.from_ is None and not searched & ({"recipe", "model", "from_"} - {part.name}):
                    check_names(settings)

    @property
    def distributions(self) -> "dict[str, BaseDistribution]":
        """What Optuna draws from, by name."""
        return {part.name: part.distribution for part in self.parts}

    @property
    def size(self) -> float:
        """How many different combinations there are; infinite if they are not counted."""
        values = [part.values for part in self.parts]
        if any(each is None for each in values):
            return math.inf
        size = math.prod(len(each or ()) for each in values)
        return size if size <= _MOST_COMBINATIONS else math.inf

    def combinations(self) -> list[dict[str, Value]]:
        """Return all combinations, where `size` is finite."""
        names = [part.name for part in self.parts]
        return [
            dict(zip(names, each, strict=True))
            for each in itertools.product(*(part.values or () for part in self.parts))
        ]

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what Optuna drew as values of settings."""
        return {
            name: tuple(value.split("+")) if kind(FIELDS[name]) is tuple else value for name, value in params.items()
        }


def name_of(given: str) -> str:
    """Return the field of a setting to be searched, by a name such as ``batch_size`` or ``batch-size``.

    Raises
    ------
    SettingError
        There is none, or it may not be searched.
    """
    plain = given.replace("-", "_")
    name = plain if plain in FIELDS else f"{plain}_"
    if name in NOT_SEARCHED:
        raise SettingError(f"{given}: cannot be searched: {NOT_SEARCHED[name]}; give it as {flag(name)}")
    if name not in FIELDS:
        raise SettingError(f"unknown setting '{given}'.{suggest(plain, SEARCHED) or ' See xnn-sweep --help'}")
    return name


def _part(name: str, text: str) -> Choices | Range:
    wanted = kind(FIELDS[name])
    found = _RANGE.fullmatch(text)
    if wanted in (int, float) and found is not None:
        return _range(name, text, wanted, *found.groups())
    if text.startswith("log:"):
        raise SettingError(f"{name}={text}: expected {_expected(wanted)}")
    values = tuple(_value(name, text, wanted, each) for each in text.split(","))
    if len(set(values)) != len(values):
        raise SettingError(f"{name}={text}: a value is there twice")
    if len(values) < 2:
        raise SettingError(f"{name}={text}: one value leaves nothing to search; give it as {flag(name)}, or add others")
    return Choices(name, values)


def _range(name: str, text: str, wanted: type, log: str | None, *ends: str) -> Range:
    low, high = (_value(name, text, wanted, end) for end in ends)
    if not (isinstance(low, int | float) and isinstance(high, int | float) and math.isfinite(low + high)):
        raise SettingError(f"{name}={text}: expected finite numbers")
    if low >= high:
        raise SettingError(f"{name}={text}: expected a range from a smaller number to a larger one")
    if log and low <= 0:
        raise SettingError(f"{name}={text}: expected a range above 0 after log:")
    return Range(name, low, high, bool(log))


_EXPECTED = {
    int: "whole numbers such as 32,64, a range such as 16..256, or log:16..256",
    float: "numbers such as 0.1,0.2, a range such as 0.1..0.5, or log:0.001..0.1",
    bool: "true,false",
    tuple: "names, joined with + where several go together, such as none,flip+crop",
    str: "names such as a,b",
}


def _expected(wanted: type) -> str:
    return _EXPECTED[wanted]


def _value(name: str, text: str, wanted: type, given: str) -> Value:
    given = given.strip()
    try:
        if wanted is bool:
            return {"true": True, "false": False}[given.lower()]
        if wanted in (int, float):
            number: Value = wanted(given)
            return number
    except (ValueError, KeyError):
        raise SettingError(f"{name}={text}: expected {_expected(wanted)}, not '{given}'") from None
    if not given:
        raise SettingError(f"{name}={text}: expected {_expected(wanted)}")
    return given
