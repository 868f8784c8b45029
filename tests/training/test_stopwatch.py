"""Time, read from another thread while the clock starts and stops."""

import threading

from xnn.training.stopwatch import Stopwatch


def test_time_goes_on_from_where_it_was():
    clock = Stopwatch(5.0)
    assert clock.elapsed == 5.0
    with clock.running():
        first = clock.elapsed
        assert clock.elapsed >= first >= 5.0
    stopped = clock.elapsed
    assert stopped >= first
    assert clock.elapsed == stopped


def test_it_may_be_stopped_between_two_looks(monkeypatch):
    """What the bar's thread sees when training ends in the middle of `elapsed`."""
    clock, now, stopping = Stopwatch(), [0.0], threading.Event()
    running = clock.running()

    def read():
        if stopping.is_set():
            stopping.clear()
            running.__exit__(None, None, None)
        return now[0]

    monkeypatch.setattr("xnn.training.stopwatch.perf_counter", read)
    running.__enter__()
    now[0] = 3.0
    stopping.set()
    assert clock.elapsed == 3.0
    assert clock.elapsed == 3.0
