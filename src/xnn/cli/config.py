"""``--config FILE``: settings from the config.json of a run, or from TOML. A file is read, never executed."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xnn.data.torchvision import PREFIX
from xnn.errors import SettingError, suggest
from xnn.files import open_regular
from xnn.optim.tables import TAKEN, takers
from xnn.paths import expanded, explained
from xnn.runs.json_files import MOST_DOCUMENT
from xnn.runs.reading import EARLIER
from xnn.runs.settings import FIELDS, Settings
from xnn.strict_json import parsed, shallow

SEARCH = "search"
"""The table of a TOML file with what `xnn-sweep` searches."""


@dataclass(frozen=True)
class Config:
    """What such a file holds.

    Attributes
    ----------
    path
        As typed.
    settings
        By their fields' names, checked.
    search
        SPECs by name.
    """

    path: str
    settings: dict[str, Any] = field(default_factory=dict)
    search: dict[str, str] = field(default_factory=dict)

    def below(self, flags: Mapping[str, Any], searched: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return its settings with those of the flags over them, and without those that are searched.

        A recipe names a model and a model has its own recipe, so where a flag gives one of the two, or it is searched,
        the file's other one goes; and so do its settings that the flags' optimizer, or one of those that are searched,
        does not take.

        Parameters
        ----------
        flags
            Settings by their fields' names.
        searched
            SPECs by their fields' names.

        Raises
        ------
        SettingError
            torchvision's readers, some of which unpickle, would read a folder that only the file names.
        """
        searched = searched or {}
        both = {name: value for name, value in self.settings.items() if name not in searched} | dict(flags)
        named = {*flags, *searched}
        for given, other in (("recipe", "model"), ("model", "recipe")):
            if given in named and other not in flags:
                both.pop(other, None)
        optimizers = [flags["optimizer"]] if "optimizer" in flags else searched.get("optimizer", "").split(",")
        if "optimizer" in named:
            for name in TAKEN:
                if name not in flags and not {each.strip() for each in optimizers} <= set(takers(name)):
                    both.pop(name, None)
        if str(both.get("dataset", "")).startswith(PREFIX) and "data_dir" in both and "data_dir" not in flags:
            raise SettingError(
                f"--config {self.path}: torchvision's code would read the data in {both['data_dir']}, a folder that "
                "the file names; if you trust what is in it, name it again with --data-dir"
            )
        return both


def read_config(text: str, *, searches: bool = False) -> Config:
    """Read a file of settings: TOML if its name ends so, else JSON.

    Parameters
    ----------
    text
        The path, as typed.
    searches
        Whether it may say what to search.

    Raises
    ------
    SettingError
        It cannot be read, has a name that is none of a setting's, or a value that is not allowed.
    """
    path = expanded(text, "--config", SettingError)
    with explained(SettingError, f"--config {text}: cannot be read"), open_regular(path) as file:
        content = file.read(MOST_DOCUMENT + 1)
    if len(content) > MOST_DOCUMENT:
        raise SettingError(f"--config {text}: is larger than the {MOST_DOCUMENT:,} bytes that such a file may have")
    is_toml = path.suffix.lower() == ".toml"
    try:
        values = _toml(content) if is_toml else parsed(content)
    except ValueError as error:
        advice = "" if is_toml or path.suffix.lower() == ".json" else ", nor does its name end in .toml"
        raise SettingError(f"--config {text}: is no {'TOML' if is_toml else 'JSON'}{advice}: {error}") from error
    if not isinstance(values, dict):
        raise SettingError(f"--config {text}: expected settings by name")
    try:
        search = _search(values.pop(SEARCH, {}), searches)
        settings = {_field(name, searches): value for name, value in values.items()}
        if not is_toml and settings.pop("run_dir", None) is not None:
            # A run's own: its folder is taken, and what it had before there was a setting for it is not in the file.
            settings = EARLIER | settings
        return Config(text, _checked(settings), search)
    except SettingError as error:
        raise SettingError(f"--config {text}: {error}") from None


def _toml(content: bytes) -> dict[str, Any]:
    with shallow():
        return tomllib.loads(content.decode())


def _field(name: str, searches: bool) -> str:
    """Return the field that a name such as ``batch_size``, ``batch-size`` or ``from`` means."""
    plain = name.replace("-", "_")
    for each in (plain, f"{plain}_"):
        if each in FIELDS:
            return each
    known: Iterable[str] = [*FIELDS, SEARCH] if searches else FIELDS
    raise SettingError(f"unknown setting '{name}'.{suggest(plain, known)}")


def _search(value: Any, allowed: bool) -> dict[str, str]:
    if not value:
        return {}
    if not allowed:
        raise SettingError(f"[{SEARCH}] is for xnn-sweep")
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise SettingError(f'expected SPECs by name in [{SEARCH}], such as lr = "log:0.01..0.5"')
    return dict(value)


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as `Settings` has them; each is checked alone, since flags may replace the others."""
    return {name: getattr(Settings(**{name: value}), name) for name, value in values.items() if value is not None}
