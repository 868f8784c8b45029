"""``xnn-train``: train an image classifier from the command line."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from xnn.cli.arguments import Command, parse
from xnn.cli.frame import BAD_INPUT, DIVERGED, complain, is_out_of_memory
from xnn.cli.signals import StopSignals
from xnn.errors import NonFiniteLoss, UserError
from xnn.training.run_directory import StoppedAtOnce

SIGNALLED = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done. 2: bad input. 3: the loss became NaN or infinite. 130, 143: stopped by SIGINT, SIGTERM, and saved if
    there was something to save.
    """
    signals = StopSignals()
    try:
        with signals.installed():
            return _run(parse(argv), signals)
    except UserError as error:
        return _complain(error, BAD_INPUT)
    except NonFiniteLoss as error:
        return _complain(error, DIVERGED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(f"out of memory ({error}); try a smaller --batch-size or --hidden", BAD_INPUT)
    except KeyboardInterrupt as stop:
        code = SIGNALLED + (2 if signals.received is None else signals.received.value)
        if isinstance(stop, StoppedAtOnce):
            return _complain(f"stopped at once; {_how_to_go_on(stop.directory)}", code)
        return _complain("stopped at once", code)


def _complain(error: object, code: int) -> int:
    return complain("xnn-train", error, code)


def _how_to_go_on(directory: Path) -> str:
    return f"go on with: xnn-train --resume {shlex.quote(str(directory))}"


def _run(command: Command, signals: StopSignals) -> int:
    # These load what draws and prints; --help and a mistyped flag do without.
    from rich.console import Console

    from xnn.texts import printable
    from xnn.training import progress, run
    from xnn.training.assembly import prepare

    console = Console(quiet=command.settings.quiet)

    def report(line: str) -> None:
        progress.print_line(console, line)

    def warn(line: str) -> None:
        print(f"xnn-train: {printable(line)}", file=sys.stderr)

    if command.summary:
        print(prepare(command.settings, report).model.summary())
        return 0
    shown = progress.reporter(console)
    try:
        if command.resume is None:
            result = run.train(command.settings, callbacks=[shown, signals], report=report)
        else:
            heard = {"report": report, "warn": warn}
            result = run.resume(command.resume, callbacks=[shown, signals], **heard, **command.changes)
    finally:
        shown.close()
    if result.values is None:
        report(f"stopped and saved; {_how_to_go_on(result.directory)}")
        return SIGNALLED + (signals.received.value if signals.received else 2)
    progress.print_result(console, result.values)
    report(f"results are in {result.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
