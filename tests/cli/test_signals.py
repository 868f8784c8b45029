"""The first signal asks, the second ends at once."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from tests.cli.commands import CODES
from xnn.cli import train
from xnn.cli.signals import NUMBERS, StopSignals


class Trainer(SimpleNamespace):
    def request_stop(self, reason, *, to_resume):
        self.asked = (reason, to_resume)


def test_a_signal_before_training_ends_the_command():
    signals = StopSignals()
    with signals.installed(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == signal.SIGINT


def test_the_first_signal_asks_the_trainer_and_the_second_ends_at_once():
    signals, trainer = StopSignals(), Trainer()
    with signals.installed():
        signals.fit_begin(trainer)
        os.kill(os.getpid(), signal.SIGTERM)
        assert trainer.asked == ("SIGTERM", True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("first", ["SIGHUP", "SIGTERM"])
def test_a_terminal_that_closes_sends_its_signal_twice(first):
    """Its shell does, and so does the system."""
    signals, trainer = StopSignals(), Trainer()
    with signals.installed():
        signals.fit_begin(trainer)
        os.kill(os.getpid(), getattr(signal, first))
        os.kill(os.getpid(), signal.SIGHUP)
        assert trainer.asked == (first, True)
        assert signals.received == getattr(signal, first)
        signals.fit_end(trainer)
        os.kill(os.getpid(), signal.SIGHUP)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in NUMBERS]
    with StopSignals().installed():
        assert not set(before) & {signal.getsignal(number) for number in NUMBERS}
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_is_ignored_stays_so(number):
    """As under nohup, and of a job in the background of a script."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopSignals().installed():
            assert signal.getsignal(number) is signal.SIG_IGN
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_another_thread_leaves_the_handlers_alone():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def look():
        with StopSignals().installed():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_signal_while_loading_is_one_line(monkeypatch, capsys, number, code):
    monkeypatch.setattr(train, "parse", lambda argv: os.kill(os.getpid(), number))
    assert train.main([]) == code
    assert capsys.readouterr().err == "xnn-train: error: stopped immediately\n"
