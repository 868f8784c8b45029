"""Fixtures of this folder."""

import signal

import pytest

from tests.reporting.runs import finished, of_folder

__all__ = ["finished", "of_folder"]


@pytest.fixture(scope="module", autouse=True)
def _undrawn(undrawn):
    """Of the runs that are trained in the process of the tests."""


@pytest.fixture(autouse=True)
def _heeded_interrupts():
    """A shell's ``&`` may have had these tests ignore SIGINT, and so the commands, too."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
