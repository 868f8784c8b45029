"""What tests of several commands need."""

import re

from xnn.cli.signals import NUMBERS

CODES = dict(zip(NUMBERS, (130, 143, 129), strict=False))
"""The exit codes of commands that signals ended."""


def refusal_by(main, silent=False):
    """Return a function that checks that a command refuses its arguments: by one line, the only one if `silent`."""

    def assert_refused(capsys, arguments, *words):
        assert main(arguments) == 2
        out, error = capsys.readouterr()
        program = main.__module__.rpartition(".")[2]
        assert re.fullmatch(rf"xnn-{program}: error: [^\n]*\n", error)
        assert not (silent and out)
        for word in words:
            assert word in error

    return assert_refused
