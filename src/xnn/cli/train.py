"""``xnn-train``: train an image classifier from the command line."""

import contextlib
import io
import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xnn._typing import Report
from xnn.cli.arguments import Command, parse
from xnn.cli.frame import delivered, fault_of, make_console
from xnn.cli.ranks import Crew
from xnn.cli.signals import StopSignals
from xnn.cli.streams import Outlet, outlets
from xnn.errors import RunError, SettingError
from xnn.paths import expanded, explained, reason
from xnn.runs.directory import StoppedAtOnce
from xnn.texts import printable

PROGRAM = "xnn-train"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done. 1: the run directory was deleted or renamed. 2: bad input. 3: the loss became NaN or infinite. 129, 130,
    143: stopped by SIGHUP, SIGINT, SIGTERM, and saved if there was something to save.
    """
    with outlets() as (out, _):
        return delivered(PROGRAM, out, lambda: _code_of(argv, out))


def _code_of(argv: Sequence[str] | None, out: Outlet) -> int:
    signals, crew = StopSignals(), Crew(PROGRAM)
    try:
        with signals.installed():
            try:
                return _run(_parsed(argv, crew), signals, out, crew)
            except Exception as error:
                fault = fault_of(error, "; try a smaller --batch-size or --hidden")
                if fault is not None:
                    return crew.end(*fault, orderly=not isinstance(error, MemoryError | RuntimeError))
                if crew.world is None:
                    raise
                return crew.end_by_bug(error)
    except KeyboardInterrupt as stop:
        advice = f"; {_how_to_go_on(stop.directory)}" if isinstance(stop, StoppedAtOnce) else ""
        return crew.end(f"stopped immediately{advice}", signals.exit_code, orderly=False)


def _parsed(argv: Sequence[str] | None, crew: Crew) -> Command:
    # --help and --version print and exit; one of several processes is enough for that.
    with contextlib.nullcontext() if crew.leads else contextlib.redirect_stdout(io.StringIO()):
        try:
            command = parse(argv)
        except SettingError:
            with contextlib.suppress(SettingError):
                crew.join()  # only this process may have been started with it
            raise
    if command.ranks == "1":
        crew.part()
    if not crew.is_several:
        return command
    from xnn.runs.together import Together

    crew.join()
    if command.seeds is not None:
        raise SettingError("--seeds: starts processes by itself; leave out mpiexec")
    asked = {"--resume": command.resume, "--find-lr": command.find_lr}
    flags = {"--summary": command.summary, "--warm-up": command.warm_up, "--download": command.download}
    Together(crew.world).agree_on(asked | flags)
    return command


def _warn(line: str) -> None:
    print(f"{PROGRAM}: {printable(line)}", file=sys.stderr)


def _how_to_go_on(directory: Path) -> str:
    return f"go on with: xnn-train --resume {shlex.quote(str(directory))}"


def _run(command: Command, signals: StopSignals, out: Outlet, crew: Crew) -> int:
    if command.seeds is not None:
        from xnn.cli.seeds import train_seeds

        return train_seeds(command.settings, command.changes, command.seeds, signals)
    # Imported only now: they load libraries that draw and print, which --help and a mistyped flag do not need.
    from xnn.runs import run
    from xnn.runs.assembly import prepare
    from xnn.runs.progress import print_result
    from xnn.runs.together import Together
    from xnn.runs.warming import warm_up
    from xnn.training.progress import print_line, reporter

    console = make_console(quiet=command.settings.quiet or not crew.leads)
    report = partial(print_line, console)
    if command.summary:
        if crew.leads:
            print(prepare(command.settings, report).model.summary())
        return 0
    if command.find_lr is not None:
        if crew.is_several:
            raise SettingError("--find-lr: is for one process; start it without mpiexec")
        return _find_lr(command.settings, command.find_lr, report)
    if command.warm_up:
        if crew.leads_host:
            warm_up(command.settings, report)
        return 0
    shown = reporter(console)
    heard: dict[str, Any] = {"warn": _warn, "report": report} if crew.leads else {"warn": lambda line: None}
    heard |= {"world": crew.world, "progress": False}
    try:
        if command.resume is None:
            result = run.train(command.settings, callbacks=[shown, signals], **heard)
        else:
            heard["download"] = command.download
            result = run.resume(command.resume, callbacks=[shown, signals], **heard, **command.changes)
    finally:
        shown.close()
    code, end = 0, f"results are in {result.directory}"
    if result.values is None:
        # The signal may have come to another rank.
        code = 128 + (Together(crew.world).most(signals.received or 0) or signal.SIGINT)
        end = f"stopped and saved; {_how_to_go_on(result.directory)}"
    elif not result.was_complete and crew.leads:
        print_result(console, result.values)
    if not result.was_complete:  # then it was said already
        report(end)
    _forgive(out, end)
    return code


def _find_lr(settings: Any, picture: str, report: Report) -> int:
    from xnn.runs import rate_picture
    from xnn.runs.assembly import prepare
    from xnn.runs.trainer import make_trainer
    from xnn.training.rate_finder import find_lr

    place = expanded(picture, "--find-lr", SettingError)
    place = place / "lr.png" if place.is_dir() else place
    if not place.parent.is_dir():
        raise SettingError(f"--find-lr {picture}: there is no folder {place.parent}")
    job = prepare(settings, report)
    found = find_lr(make_trainer(job, []), job.train)
    with explained(RunError, f"--find-lr {picture}: cannot be written"):
        place.write_bytes(rate_picture.draw(found, used=job.settings.lr))
    if found.suggested is None:
        print("the loss did not fall at any learning rate, so none is suggested")
    else:
        print(f"--lr {found.suggested:.2g}: a tenth of the learning rate with the lowest loss")
    print(f"the settings have --lr {job.settings.lr:g}; the losses are drawn in {printable(str(place))}")
    return 0


def _forgive(out: Outlet, end: str) -> None:
    """Say on standard error if output was lost; the exit code stays, since the run is what counts."""
    lost = out.settle()
    if lost is not None:
        _warn(f"some of the output could not be written ({reason(lost)}); {end}")


if __name__ == "__main__":
    sys.exit(main())
