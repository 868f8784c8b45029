"""The harness sees each kind of harm, done by a command that does only that; the real ones do none in a few cases.

``nox -s hostile`` tries many more of these.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.page import faults_of_page

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "pidfd_open") and Path("/proc/self/statm").exists()), reason="the harness needs Linux"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program = [sys.executable, "-m", "tests.hostile.fakes", str(tmp_path_factory.mktemp("fakes"))]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


EXPECTED = {
    "behaves": [],
    "refuses": [],
    "raises": ["traceback: KeyError: 'a name'"],
    "is_killed": ["exit code -6: nothing said"],
    "leaves_oddly": ["exit code 4: xnn-report: error: it is no run"],
    "says_nothing": ["0 lines of error with exit code 2"],
    "says_too_much": ["2 lines of error with exit code 2"],
    "warns": ["a stray line on standard error: file.py:3: RuntimeWarning: overflow"],
    "colours": ["control characters on standard output: ['\\x1b']"],
    "writes_outside": ["changed outside/authorized_keys"],
    "writes_a_new_file": ["changed work/run/other.html"],
    "writes_elsewhere": ["tried to write '/nowhere-that-a-command-may-write'"],
    "moves_elsewhere": ["tried to write '/nowhere-that-a-command-may-write'"],
    "removes_elsewhere": ["tried to write '/nowhere-that-a-command-may-write'"],
    "follows_a_link": ["tried to write '/dev/full'"],
    "fetches": ["tried socket.getaddrinfo"],
    "starts_a_program": ["tried subprocess.Popen"],
    "computes": ["met its limit of time"],
    "sleeps": ["met its limit of time"],
    "hoards": ["met its limit of memory"],
    "hoards_for_a_while": ["met its limit of memory"],
    "writes_no_page": ["wrote no page"],
    "writes_markup": ["the page has a foreign tag <script>"],
}


@pytest.mark.parametrize("fake", EXPECTED)
def test_a_command_that_does_harm_is_seen(found, fake):
    assert found[fake] == EXPECTED[fake]


def test_a_real_process_is_watched_as_well(found):
    assert found["a real process, fetching"][0] == "tried socket.getaddrinfo"
    assert found["a real process, writing"][0] == "tried to write '/nowhere-that-a-command-may-write'"
    assert found.keys() == EXPECTED.keys() | {"a real process, fetching", "a real process, writing"}


@pytest.mark.parametrize(
    ("markup", "fault"),
    [
        ("<p onclick=x>", "a foreign attribute onclick of <p>"),
        ("<planted>", "a foreign tag <planted>"),
        ("<a href='https://example.org'>x</a>", "an address in href of <a>: 'https://example.org'"),
        ("<img src='data:text/html,x'>", "an address in src of <img>: 'data:text/html,x'"),
        ("<meta http-equiv=refresh content='0;url=x'>", "a meta tag for 'refresh'"),
        ("<p style='background: url(x)'>", "an address in the style of <p>"),
        ("<!-- a comment -->", "a comment"),
    ],
)
def test_what_does_not_belong_into_a_page_is_seen(markup, fault):
    policy = '<meta http-equiv="Content-Security-Policy" content="">'
    assert faults_of_page(f"<html>{policy}<p>1 &lt; 2</p><a href='#run-1'>x</a></html>") == []
    assert fault in faults_of_page(f"<html>{policy}{markup}</html>")


def test_a_page_without_a_policy_is_seen():
    assert faults_of_page("<html></html>") == ["0 policies, not one"]


def test_no_file_that_is_handed_to_a_command_does_harm(request):
    if "numpy" not in request.config.getoption("--backends").split(","):
        pytest.skip("the harness computes on NumPy, which is not among the backends of this run")
    # Other tests run beside it, and a command that waits for its turn is not slow.
    options = ("--cases", "200", "--workers", "1", "--seconds", "20")
    program = [sys.executable, "-m", "tests.hostile", *options]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
