"""The command line's flags, made from the fields of `Settings`."""

import argparse
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from xnn._version import __version__
from xnn.errors import SettingError, suggest
from xnn.runs.settings import FIELDS, Settings, flag, kind

GROUPS = {
    "data": "data",
    "model": "model",
    "training": "training (default: what suits the model)",
    "muon": "muon (only for --optimizer muon, which trains all but the hidden layers with sgd)",
    "run": "run",
}

METAVARS = {str: "NAME", int: "N", float: "X", tuple: "A,B"}

BESIDE_RESUME = (
    *("epochs", "backend", "dtype", "precision", "threads", "data_dir", "keep", "checkpoint_every", "tensorboard"),
    "quiet",
)
"""Settings that may change when a run is resumed."""

_MOST_SEEDS = 1000


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises its complaints as one-line exceptions; it has --version."""

    def __init__(self, **options: Any) -> None:
        formatter = functools.partial(argparse.HelpFormatter, max_help_position=28)
        super().__init__(allow_abbrev=False, formatter_class=formatter, **options)
        self.add_argument("--version", action="version", version=f"xnn {__version__}")

    def error(self, message: str) -> NoReturn:
        """Raise the complaint instead of printing the usage and exiting."""
        # argparse says "argument --lr: ..."
        raise SettingError(message.removeprefix("argument "))


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command line asks for: a new run, the rest of an earlier one, or one of the flags that train nothing."""

    settings: Settings
    changes: dict[str, Any]
    resume: str | None
    summary: bool
    download: bool
    find_lr: str | None
    warm_up: bool
    ranks: str
    seeds: tuple[int, ...] | None


def parse(argv: Sequence[str] | None = None) -> Command:
    """Read the arguments of ``xnn-train``.

    Raises
    ------
    SettingError
        A flag is unknown, or a value is not allowed.
    """
    parser = _parser()
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        refuse(unknown[0], parser)
    given = vars(values)
    config = given.pop("config", None)
    resume, summary, download, find_lr, warm_up, ranks, seeds = (
        given.pop(name, None) for name in ("resume", "summary", "download", "find_lr", "warm_up", "ranks", "seeds")
    )
    if ranks not in (None, "auto", "1"):
        raise SettingError(f"--ranks {ranks}: expected auto or 1; mpiexec -n {ranks} xnn-train ... starts so many")
    if resume is not None:
        for name in given:
            if name not in BESIDE_RESUME:
                allowed = ", ".join(map(flag, BESIDE_RESUME))
                raise SettingError(f"{flag(name)}: a resumed run keeps its settings; only {allowed} may change")
        others = {"--config": config, "--summary": summary, "--find-lr": find_lr, "--warm-up": warm_up}
        for name, asked in others.items():
            if asked:
                raise SettingError(f"{name}: not together with --resume")
    elif download:
        raise SettingError("--download: is for --resume; a new run downloads its data set where it is missing")
    if seeds is not None:
        others = {"--resume": resume, "--summary": summary, "--find-lr": find_lr, "--warm-up": warm_up}
        for name, asked in (others | {"--seed": given.get("seed")}).items():
            if asked is not None:
                raise SettingError(f"{name}: not together with --seeds")
    chosen = chosen_settings(given, config)
    if seeds is not None:
        chosen.pop("seed", None)  # a file's
    return Command(
        Settings(**chosen),
        chosen,
        resume,
        bool(summary),
        bool(download),
        find_lr,
        bool(warm_up),
        ranks or "auto",
        None if seeds is None else _seeds(seeds),
    )


def chosen_settings(given: Mapping[str, Any], config: str | None) -> dict[str, Any]:
    """Return the settings that flags give, over those of a file.

    Raises
    ------
    SettingError
        A value is not allowed, or the file is not.
    """
    chosen = {name: read_option(name, value) for name, value in given.items()}
    if config is None:
        return chosen
    from xnn.cli.config import read_config

    return read_config(config).below(chosen)


def _seeds(text: str) -> tuple[int, ...]:
    """Read seeds such as ``0-4`` or ``0,3,8-9``: different ones, in the given order."""
    parts = [re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part) for part in text.split(",")]
    ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part is not None]
    found = [seed for each in ranges for seed in each[: _MOST_SEEDS + 1]]
    if None in parts or not all(ranges) or len(set(found)) != len(found) or len(found) > _MOST_SEEDS:
        raise SettingError(
            f"--seeds {text}: expected different seeds such as 0-4 or 0,3,8-9, at most {_MOST_SEEDS:,} of them"
        )
    return tuple(found)


def _parser() -> Parser:
    parser = Parser(
        prog="xnn-train",
        usage="%(prog)s [--dataset NAME] [--recipe NAME | --model NAME] [...]\n       %(prog)s --resume RUN_DIR",
        description="Train an image classifier. Without flags: handwritten digits, in seconds.",
        argument_default=argparse.SUPPRESS,
    )
    groups = add_settings(parser)
    groups["run"].add_argument("--resume", metavar="RUN_DIR", help="continue an earlier run from its last checkpoint")
    groups["run"].add_argument("--download", action="store_true", help="with --resume: download missing data")
    groups["run"].add_argument(
        "--find-lr",
        metavar="PNG",
        nargs="?",
        const="lr.png",
        help="suggest a learning rate, draw how the loss goes with it, and exit",
    )
    groups["run"].add_argument(
        "--ranks",
        metavar="auto|1",
        help="auto: processes that mpiexec or srun started together train one model; 1: each trains its own",
    )
    groups["run"].add_argument(
        "--seeds",
        metavar="0-4",
        help="a run for each of these seeds, several at once, in folders of --run-dir; the same command goes on",
    )
    groups["run"].add_argument("--summary", action="store_true", help="show the model's layers and exit")
    groups["run"].add_argument("--warm-up", action="store_true", help="compile all that this run would need and exit")
    return parser


def add_settings(parser: Parser) -> "dict[str, argparse._ArgumentGroup]":
    """Add the flags of all settings, and --config, to a parser, and return its groups by name."""
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    for field in dataclasses.fields(Settings):
        add_option(groups[field.metadata["group"]], field.name)
    groups["run"].add_argument(
        "--config",
        metavar="FILE",
        help="settings from the config.json of a run, or from TOML; flags win over them",
    )
    return groups


def add_option(group: "argparse._ArgumentGroup", name: str) -> None:
    """Add the flag of a setting to a group of the parser's."""
    field = FIELDS[name]
    text, choices, wanted = field.metadata["help"], field.metadata["choices"], kind(field)
    if wanted is bool:
        group.add_argument(flag(name), dest=name, action="store_true", help=text)
        return
    if choices:
        text = f"{text}: {', '.join(choices)}" if text else ", ".join(choices)
    if field.default not in (None, 0, 0.0, ()):
        text = f"{text} (default: {field.default})"
    # A list may also be given flag by flag.
    action = "append" if wanted is tuple else "store"
    metavar = field.metadata["metavar"] or METAVARS[wanted]
    group.add_argument(flag(name), dest=name, action=action, metavar=metavar, help=text)


def read_option(name: str, given: Any) -> Any:
    """Turn a flag's argument into a value of the setting's type; the dataclass checks the value itself."""
    wanted = kind(FIELDS[name])
    if wanted is tuple:
        return tuple(part for each in given for part in each.split(",") if part)
    if wanted in (str, bool):
        return given
    try:
        return wanted(given)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}[wanted]
        raise SettingError(f"{flag(name)} {given}: expected {expected}") from None


def refuse(argument: str, parser: Parser) -> NoReturn:
    """Raise a `SettingError` for an argument that the parser does not know."""
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        raise SettingError(f"unexpected argument '{argument}'; every value follows its --flag")
    known = [option for action in parser._actions for option in action.option_strings]
    raise SettingError(f"unknown flag {name}.{suggest(name, known) or f' See {parser.prog} --help'}")
