"""What compiling takes, and a clock that leaves it out."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from xnn.kernels import compiling
from xnn.kernels.compiling import Compilations, compilations
from xnn.training import Callback
from xnn.training.stopwatch import Stopwatch

EVENT = st.tuples(st.sampled_from(["begin", "keep", "end", "pass"]), st.integers(0, 9))


@given(st.lists(EVENT, max_size=30))
def test_each_second_is_either_work_or_compiling(events):
    now = [100.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "perf_counter", lambda: now[0])
        found, ends, compiled, worked = Compilations(), [], 0.0, 0.0
        for kind, seconds in events:
            if kind == "begin":
                found.begin("a")
                ends.append(found.end)
            elif kind == "keep":
                stack = ExitStack()
                stack.enter_context(found.keeping())
                ends.append(stack.close)
            elif kind == "end" and ends:
                ends.pop()()
            now[0] += seconds
            compiled, worked = compiled + seconds * bool(ends), worked + seconds * (not ends)
            assert found.seconds == compiled
            assert found.working_time() == 100.0 + worked
            assert (found.now is None) == (not ends or not found.names)


def test_what_a_thread_compiles_beside_the_work_does_not_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(compiling, "perf_counter", lambda: now[0])
    found, heard = Compilations(), []

    def compile_something():
        found.begin("a")
        now[0] += 1.0
        with found.keeping():
            now[0] += 1.0
        found.end()

    def beside():
        with found.beside():
            compile_something()

    with found.heard(heard.append):
        beside()
        assert (found.seconds, found.working_time(), found.now, heard) == (0.0, 2.0, None, [])
        found.begin("b")
        other = threading.Thread(target=beside)
        other.start()
        other.join()
        assert found.now == "b"
        found.end()
        compile_something()
    assert (found.seconds, found.working_time(), heard) == (4.0, 2.0, ["b", "a"])


def test_only_what_is_asked_for_is_named():
    """A kernel's parts are compiled within it."""
    found, heard = Compilations(), []
    with found.heard(heard.append):
        for name in ("a", "b", "a"):
            found.begin(name)
            found.begin("part")
            assert found.now == name
            found.end()
            found.end()
    found.begin("c")
    assert heard == ["a", "b", "a"]
    assert found.names == ["b", "a", "c"]


def test_numba_tells_what_it_compiles_and_what_it_finds_it_does_not(tmp_path, monkeypatch):
    """Writing machine code into the cache is a part of it."""
    pytest.importorskip("numba")
    from xnn.kernels.numpy.cache import _SealedFiles
    from xnn.kernels.numpy.compiled import compiled

    save, during = _SealedFiles.save, []

    def watched(*arguments):
        during.append(compilations.now)
        save(*arguments)

    monkeypatch.setattr(_SealedFiles, "save", watched)

    source = tmp_path / "some_kernel.py"
    source.write_text("def double(x):\n    for i in range(x.shape[0]):\n        x[i] *= 2\n")

    def kernel():
        namespace = {"__name__": "xnn.kernels.numpy.some_kernel"}
        exec(compile(source.read_text(), source, "exec"), namespace)
        return compiled(namespace["double"])

    heard, before = [], compilations.seconds
    with compilations.heard(heard.append):
        first = kernel()
        first(np.ones(3))
        assert heard == during == ["some kernel"]
        taken = compilations.seconds - before
        assert taken > 0
        first(np.ones(3))
        kernel()(np.ones(3))
    assert heard == ["some kernel"]
    assert compilations.seconds - before == taken
    assert compilations.now is None


@pytest.mark.parametrize("namespace", [{}, {"__name__": "theirs"}])
def test_other_peoples_functions_are_compiled_and_not_named(namespace):
    """Not even one that has no module, as after `exec`."""
    numba = pytest.importorskip("numba")
    exec("def add(x):\n    return x + 1", namespace)
    if "__name__" not in namespace:
        assert namespace["add"].__module__ in (None, "builtins")
    heard = []
    with compilations.heard(heard.append):
        assert numba.njit(namespace["add"])(1) == 2
    assert heard == []
    assert compilations.now is None


def test_an_epochs_seconds_are_those_of_its_steps(monkeypatch):
    """Not those of a kernel that was compiled meanwhile; all of it is in the run's own."""
    now = [0.0]
    for module in ("xnn.kernels.compiling", "xnn.training.stopwatch"):
        monkeypatch.setattr(f"{module}.perf_counter", lambda: now[0])

    class Compile(Callback):
        def step_end(self, trainer):
            now[0] += 1.0
            if trainer.step == 1:
                compilations.begin("a")
                now[0] += 50.0
                compilations.end()

    trainer = small.make_trainer(callbacks=[Compile()])
    row = trainer.fit(small.make_batches(trainer, batch_size=8), epochs=1)[0]
    assert row["seconds"] == 6.0
    assert row["images_per_second"] == 8.0
    assert trainer.clock.elapsed == 56.0
    clock = Stopwatch()
    with clock.running():
        now[0] += 1.0
    assert clock.elapsed == 1.0


def test_an_epoch_may_pass_while_another_thread_compiles():
    begun, ended = threading.Event(), threading.Event()

    def compile_something():
        compilations.begin("a")
        begun.set()
        assert ended.wait(timeout=60)
        compilations.end()

    other = threading.Thread(target=compile_something)
    other.start()
    try:
        assert begun.wait(timeout=60)
        trainer = small.make_trainer()
        row = trainer.fit(small.make_batches(trainer, batch_size=8), epochs=1)[0]
    finally:
        ended.set()
        other.join()
    assert row["seconds"] == row["images_per_second"] == 0
