"""Output that cannot be written ends no command with a traceback, and no training at all."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trouble import failing
from xnn.cli.frame import guarded
from xnn.cli.streams import Outlet, outlets
from xnn.errors import FolderGone

QUICK = "--model mlp --hidden 8 --epochs 1 --batch-size 64 --backend numpy"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
needs_shell = pytest.mark.skipif(os.name == "nt", reason="this system has no sh")


class Broken(io.StringIO):
    """Fails as often as it is told to."""

    def __init__(self, faults):
        super().__init__()
        self.faults = faults

    def write(self, text):
        if self.faults:
            self.faults -= 1
            raise OSError(errno.ENOSPC, "full")
        return super().write(text)


@given(faults=st.integers(0, 4), lines=st.lists(st.text("ab", min_size=1), max_size=6))
def test_what_can_be_written_is_and_the_first_fault_is_told_once(faults, lines):
    stream = Broken(faults)
    outlet = Outlet(stream)
    for line in lines:
        assert outlet.write(line) == len(line)
    assert stream.getvalue() == "".join(lines[faults:])
    lost = outlet.settle()
    assert (lost is not None) == (faults > 0 and bool(lines))
    assert outlet.settle() is None


def test_no_stream_loses_what_is_written_and_nothing_else():
    outlet = Outlet(None)
    outlet.flush()
    assert outlet.settle() is None
    print("a line", file=outlet, flush=True)
    assert outlet.settle().errno == errno.EBADF
    assert (outlet.isatty(), outlet.encoding, outlet.writable()) == (False, "utf-8", True)
    with pytest.raises(io.UnsupportedOperation):
        outlet.fileno()


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "caf? ?"), ("latin-1", "café ?"), ("utf-8", "café ?")])
def test_a_sign_that_the_encoding_has_not_is_a_question_mark(encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    outlet = Outlet(stream)
    print("café \udcff", file=outlet, end="")
    outlet.flush()
    assert stream.buffer.getvalue().decode(encoding) == shown
    assert outlet.encoding == encoding


def test_the_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with outlets() as (out, err):
        assert (sys.stdout, sys.stderr) == (out, err)
    assert (sys.stdout, sys.stderr) == before
    with pytest.raises(ZeroDivisionError):
        guarded("xnn-report", lambda: 1 / 0)
    assert (sys.stdout, sys.stderr) == before


def test_a_folder_that_is_gone_is_one_line(capsys):
    assert guarded("xnn-report", failing(FolderGone("the folder\nrun was deleted"))) == 1
    assert capsys.readouterr().err == "xnn-report: error: the folder run was deleted\n"


@pytest.fixture
def shell(finished, tmp_path):
    """A function that runs a command of the project as part of a line of sh; gives its code, stdout and stderr."""

    def run(line, **variables):
        # Without buffers nothing would be left to fail at the interpreter's end.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        # To load Numba takes each process longer than all that it does here.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "XNN_NUM_THREADS": "1", "XNN_TWINS": "0"}
        environment["RUN"] = str(finished.directory)
        for name in ("train", "report", "predict", "compare"):
            environment[name.upper()] = f"{sys.executable} -m xnn.cli.{name}"
        environment["TRAIN"] += f" {QUICK} --run-dir run"
        unread, pipe = os.pipe()
        os.close(unread)
        # Standard input is the end of a pipe that nobody reads, for the line to send output to.
        options = {"stdin": pipe, "cwd": tmp_path, "env": environment | variables, "timeout": 120}
        done = subprocess.run(["sh", "-c", line], **options, capture_output=True, text=True, check=False)
        os.close(pipe)
        return done.returncode, done.stdout, done.stderr

    return run


LOST = "xnn-train: some of the output could not be written ({}); results are in run\n"


@needs_shell
@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param("$TRAIN > /dev/full", LOST.format(os.strerror(errno.ENOSPC)), marks=needs_full),
        pytest.param("$TRAIN > /dev/full 2> /dev/full", "", marks=needs_full),
        ("$TRAIN >&0", LOST.format(os.strerror(errno.EPIPE))),
        ("$TRAIN >&0 2>&0", ""),
        ("$TRAIN >&-", LOST.format(os.strerror(errno.EBADF))),
        ("$TRAIN --quiet >&-", ""),
        ("$TRAIN <&- >&- 2>&-", ""),
    ],
)
def test_lost_output_neither_ends_training_nor_changes_how_it_ends(shell, tmp_path, line, error):
    assert shell(line) == (0, "", error)
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "curves.png").exists()


@needs_shell
def test_lost_output_does_not_hide_an_error(shell):
    code, _, error = shell("$TRAIN --model cn >&0")
    assert code == 2
    assert error.startswith("xnn-train: error: --model cn")
    assert error.count("\n") == 1
    assert shell("$TRAIN --model cn 2>&0") == (2, "", "")


PRODUCTS = [
    "$TRAIN --help",
    "$TRAIN --summary",
    "$REPORT $RUN --no-html",
    "$REPORT $RUN --no-html --markdown -",
    "$PREDICT $RUN --dataset digits --json",
    "$COMPARE --epochs 1 --hidden 4 --json",
]


@needs_shell
@pytest.mark.parametrize("command", PRODUCTS)
def test_a_reader_that_has_seen_enough_is_no_error(shell, command):
    assert shell(f"{command} >&0") == (0, "", "")


@needs_shell
@pytest.mark.parametrize(
    ("command", "place", "code"),
    [pytest.param(command, "/dev/full", errno.ENOSPC, marks=needs_full) for command in PRODUCTS]
    + [(command, "&-", errno.EBADF) for command in ("$TRAIN --version", "$REPORT $RUN --no-html --markdown -")],
)
def test_a_product_that_cannot_be_written_is_one_line(shell, command, place, code):
    program = f"xnn-{command[1:].split()[0].lower()}"
    line = f"{program}: error: standard output cannot be written: {os.strerror(code)}\n"
    assert shell(f"{command} >{place}") == (2, "", line)


@needs_shell
def test_a_page_is_written_whatever_becomes_of_the_table(shell, tmp_path):
    assert shell("$REPORT $RUN --html page.html >&0") == (0, "", "")
    assert (tmp_path / "page.html").read_text().endswith("</html>\n")


@needs_shell
def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path):
    program = (
        "from xnn.cli.streams import outlets\nwith outlets(), open('file', 'w') as file: file.write(str(file.fileno()))"
    )
    subprocess.run(["sh", "-c", f'{sys.executable} -c "{program}" <&- >&- 2>&-'], cwd=tmp_path, check=True)
    assert int((tmp_path / "file").read_text()) > 2


@needs_full
@needs_shell
def test_a_bar_that_cannot_be_shown_is_no_obstacle(shell):
    assert shell("$TRAIN > /dev/full", FORCE_COLOR="1") == (0, "", LOST.format(os.strerror(errno.ENOSPC)))
