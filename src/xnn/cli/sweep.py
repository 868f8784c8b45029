"""``xnn-sweep``: search for good settings, trial by trial, several at once."""

import argparse
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xnn.cli.arguments import BESIDE_RESUME, Parser, add_settings, read_option, refuse
from xnn.cli.frame import BAD_INPUT, code_of, complain, delivered, make_console
from xnn.cli.signals import StopSignals
from xnn.cli.streams import outlets
from xnn.errors import RunError, SettingError
from xnn.paths import expanded
from xnn.runs.settings import Settings
from xnn.sweeps.space import Space, name_of
from xnn.texts import printable

if TYPE_CHECKING:
    from rich.console import Console

    from xnn.sweeps.sweep import Definition, Sweep

PROGRAM = "xnn-sweep"
TRIALS, MOST_TRIALS, MOST_WORKERS = 20, 100_000, 256
VALIDATION = 0.1
"""Share of the training images on which trials are judged, unless --validation or the data set says otherwise."""

_OWN = tuple(name for name in (*BESIDE_RESUME, "run_dir") if name not in ("epochs", "dtype", "precision"))
"""Settings that may change when the command is given again."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes
    ----------
    given
        The fixed settings.
    """

    given: dict[str, Any]
    space: Space
    trials: int
    workers: int
    storage: str | None
    score: str
    prune: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: all trials are over. 1: a folder was deleted or renamed. 2: bad input. 3: every trial diverged. 129, 130, 143:
    stopped by SIGHUP, SIGINT, SIGTERM; the same command goes on.
    """
    with outlets() as (out, _):
        return delivered(PROGRAM, out, lambda: _guarded(argv))


def _guarded(argv: Sequence[str] | None) -> int:
    signals = StopSignals()
    try:
        with signals.installed():
            return code_of(PROGRAM, lambda: _run(parse(argv), signals))
    except KeyboardInterrupt:
        return complain(PROGRAM, "stopped; the same command goes on", signals.exit_code)


def parse(argv: Sequence[str] | None = None) -> Asked:
    """Read the arguments.

    Raises
    ------
    SettingError
        A flag or a name is unknown, or a value is not allowed.
    """
    parser = _parser()
    values, others = parser.parse_known_args(argv)
    for argument in others:
        if argument.startswith("-"):
            refuse(argument, parser)
    given = vars(values)
    asked = {name: given.pop(name, None) for name in ("trials", "workers", "storage", "score", "config", "no_pruning")}
    fixed = {name: read_option(name, value) for name, value in given.items()}
    specs, config = list(others), None
    if asked["config"] is not None:
        from xnn.cli.config import read_config

        config = read_config(asked["config"], searches=True)
        typed = {name_of(spec.partition("=")[0]) for spec in others}
        specs += [f"{name}={text}" for name, text in config.search.items() if name_of(name) not in typed]
    space = Space.parse(specs)
    if config is not None:
        below = config.below(fixed, space.texts)
        if "validation" not in fixed and below.get("validation") == 0:
            del below["validation"]  # of a run that held nothing out
        fixed = below
    if fixed.get("validation") == 0:
        raise SettingError("--validation 0: trials are judged on validation images; leave it out, or give a share")
    space.check(fixed)
    score = asked["score"] or "accuracy"
    if score not in ("accuracy", "loss"):
        raise SettingError(f"--score {score}: expected accuracy or loss")
    return Asked(
        fixed,
        space,
        _count("--trials", asked["trials"], TRIALS, MOST_TRIALS),
        _count("--workers", asked["workers"], 1, MOST_WORKERS),
        asked["storage"],
        score,
        not asked["no_pruning"],
    )


def _count(name: str, text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise SettingError(f"{name} {text}: expected a whole number from 1 to {most}")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s NAME=SPEC [NAME=SPEC ...] [--trials N] [--workers N] [--dataset NAME] [--recipe NAME] [...]",
        description="Search for good settings. NAME=SPEC is a setting that is searched: lr=log:0.001..0.1 (a range in "
        "which each factor is as likely as any other), momentum=0.5..0.99, batch_size=32,64,128 (some values), "
        "augment=none,flip+crop (lists). The flags of xnn-train give what all trials have.",
        argument_default=argparse.SUPPRESS,
    )
    group = parser.add_argument_group("sweep")
    group.add_argument("--trials", metavar="N", help=f"how many in all (default: {TRIALS})")
    group.add_argument("--workers", metavar="N", help="trials at once, which share the cores (default: 1)")
    group.add_argument(
        "--storage",
        metavar="FILE",
        help="the study's file, which several machines may share (default: study.journal in --run-dir)",
    )
    group.add_argument(
        "--score", metavar="NAME", help="what trials are judged by on validation images: accuracy (default), loss"
    )
    group.add_argument("--no-pruning", action="store_true", help="train every trial to its end")
    add_settings(parser)
    return parser


def _run(asked: Asked, signals: StopSignals) -> int:
    # Imported only now: they load libraries that compute, draw and print, which --help and a mistyped flag don't need.
    from xnn.cli.sweep_workers import Workers, share
    from xnn.sweeps.sweep import Sweep
    from xnn.training.progress import print_line

    settings = Settings(**asked.given)
    console = make_console(quiet=settings.quiet)
    say = partial(print_line, console)
    definition = _definition(asked, settings, say)
    folder = _folder(settings, definition)
    storage = folder / "study.journal" if asked.storage is None else expanded(asked.storage, "--storage", RunError)
    with Sweep.opened(folder, storage, definition) as sweep:
        trials = sweep.most(asked.trials)
        each = share(settings, asked.workers)
        what = ", ".join(f"{name}={text}" for name, text in definition.space.items())
        say(f"searching {what}; results go to {folder}")
        _say_how(asked, trials, sweep, each, say)
        changes = {name: asked.given[name] for name in _OWN if name in asked.given and name not in ("run_dir", "quiet")}
        order = {
            "folder": str(folder),
            "storage": str(storage),
            "trials": trials,
            "prune": asked.prune,
            "changes": {"keep": 1} | changes | ({} if each is None else {"threads": each}),
        }
        workers = Workers(sweep, order, asked.workers, console)
        signals.fit_begin(cast(Any, workers))
        try:
            if len(sweep.finished()) < trials:
                workers.sail(asked.workers)
        finally:
            signals.fit_end(cast(Any, workers))
        return _end(sweep, workers.fault, changes, signals, console)


def _say_how(asked: Asked, trials: int, sweep: "Sweep", each: int | None, say: Any) -> None:
    done = len(sweep.finished())
    fewer = f" (there are no more combinations than these; {asked.trials} were asked for)" * (trials < asked.trials)
    threads = "" if each is None else f", {each} thread{'s' * (each > 1)} each"
    before = f", {done} of them over already" if done else ""
    say(f"{trials} trials{fewer}{before}; {asked.workers} worker{'s' * (asked.workers > 1)}{threads}")


def _definition(asked: Asked, settings: Settings, say: Any) -> "Definition":
    """Return what the sweep is, after reading the data once, before several processes want it."""
    from xnn import data
    from xnn.runs.assembly import load_data
    from xnn.runs.checks import check_validation
    from xnn.sweeps.sweep import Definition
    from xnn.training.tensorboard import check_installed

    # What would fail in every trial is said before the first one.
    if settings.tensorboard:
        check_installed("--tensorboard")

    dataset = load_data(settings, report=say)
    check_validation(dataset, settings)
    fixed = {name: value for name, value in asked.given.items() if name not in _OWN}
    for name in ("dataset", "from_"):
        path = Path(fixed.get(name, "")).expanduser()
        if name in fixed and path.exists() and fixed[name] not in data.names():
            fixed[name] = str(path.absolute())
    if dataset.validation is None and "validation" not in fixed:
        fixed["validation"] = VALIDATION
    return Definition(fixed, asked.space.texts, asked.score)


def _folder(settings: Settings, definition: "Definition") -> Path:
    """Return the sweep's folder, the same one whenever the same command is given."""
    from xnn.runs.directory import default_path

    if settings.run_dir is not None:
        return expanded(settings.run_dir, "--run-dir", RunError).absolute()
    digest = hashlib.sha256(json.dumps(definition.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    stem = default_path(settings.dataset, settings.recipe or settings.model or "model")
    name = re.sub(r"-\d{8}-\d{6}$", f"-sweep-{digest}", stem.name)
    return stem.with_name(name).absolute()


def _end(sweep: "Sweep", fault: int, changes: dict[str, Any], signals: StopSignals, console: "Console") -> int:
    from xnn.runs.progress import table
    from xnn.sweeps import outcome, picture
    from xnn.training.progress import print_line

    say = partial(print_line, console)
    outcome.write_csv(sweep)
    if signals.received is not None:
        say(f"stopped; {len(sweep.finished())} trials are over; the same command goes on")
        return signals.exit_code
    if not console.is_terminal:
        console.width = 120
    names = outcome.columns(sweep)
    console.print(table(names, outcome.rows(sweep), left=names[1:2]))
    if fault:
        print(f"{PROGRAM}: error: not complete; the same command goes on", file=sys.stderr)
        return fault if fault > 0 else BAD_INPUT
    picture.write(sweep, _warn)
    best = sweep.winner()
    if best is None:
        return complain(PROGRAM, "no trial was trained to its end; the table says why", 3)
    result = outcome.finish_winner(sweep, changes, _warn)
    say(f"the best is trial {best.number}: {outcome.named(sweep, best)}")
    if result is None:
        say(f"its folder, {sweep.place(best.number)}, is not here: give the same command where it is, for the test set")
    else:
        say(f"on the test set, which it met once and no other trial saw: {100 * result['test_accuracy']:.2f} %")
    again = replace(outcome.settings_of(sweep, best), **changes)
    say(f"to train it on all training images: xnn-train {shlex.join(again.to_argv())}")
    files = ", ".join((outcome.CSV, outcome.PICTURE, outcome.WINNER))
    say(f"results are in {sweep.folder}: {files}, and a folder for each trial")
    return 0


def _warn(line: str) -> None:
    print(f"{PROGRAM}: {printable(line)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
