"""What belongs to the whole process is as before once the last thread is out, in whatever order they come and go."""

import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from xnn.data.quiet import Together, _shared_filters, _stderr_dropped, no_stderr, no_warnings


def crosswise(context, check):
    """Enter and leave a context from two threads, neither within the other; check it at each step."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        first.submit(context.__enter__).result()
        check(False)
        second.submit(context.__enter__).result()
        check(False)
        first.submit(context.__exit__, None, None, None).result()
        check(False)
        second.submit(context.__exit__, None, None, None).result()
        check(True)


def test_threads_that_come_and_go_crosswise_leave_standard_error_as_it_was(capfd):
    def check(audible):
        os.write(2, b"text")
        assert capfd.readouterr().err == ("text" if audible else "")

    check(True)
    before = os.fstat(2)
    crosswise(no_stderr, check)
    assert os.path.samestat(os.fstat(2), before)


def test_threads_that_come_and_go_crosswise_leave_the_filters_as_they_were():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        before = list(warnings.filters)

        def check(audible):
            assert (warnings.filters == before) == audible

        crosswise(_shared_filters, check)
        with no_warnings():
            warnings.warn("no", stacklevel=1)
        warnings.warn("yes", stacklevel=1)
    assert [str(each.message) for each in told] == ["yes"]


@pytest.mark.parametrize("flag", [False, True])
def test_filters_of_each_thread_are_left_apart(monkeypatch, flag):
    class Flags:
        context_aware_warnings = flag

    monkeypatch.setattr(sys, "flags", Flags)
    assert (no_warnings() is _shared_filters) == (not flag)


def test_an_error_within_is_passed_on_and_the_context_left():
    depth = []

    class Context:
        def __enter__(self):
            depth.append(1)

        def __exit__(self, *error):
            depth.pop()

    together = Together(Context)
    with pytest.raises(KeyError), together, together:
        raise KeyError
    assert depth == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_hears_what_another_thread_silenced(capfd):
    silence = Together(_stderr_dropped)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(silence.__enter__).result()
        child = os.fork()
        if child == 0:
            os.write(2, b"child")
            with silence:
                os.write(2, b"silent")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.write(2, b"silent")
        thread.submit(silence.__exit__, None, None, None).result()
    assert capfd.readouterr().err == "child"
