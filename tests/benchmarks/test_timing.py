"""Taking turns, and the ratio of their times."""

from benchmarks import timing


def test_turns_rotate_and_steps_are_divided(monkeypatch):
    clock, log = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def costs(name, seconds):
        def function():
            # A call right after another function's is slow, and must not count.
            slow = log and log[-1] != name
            log.append(name)
            clock[0] += seconds + (100 if slow else 0)

        return function

    functions = {"a": costs("a", 1.0), "b": costs("b", 2.0), "c": costs("c", 4.0)}
    times = timing.alternate(functions, repeats=3, seconds=40, steps={"b": 4})
    assert times == {"a": [1.0] * 3, "b": [0.5] * 3, "c": [4.0] * 3}
    order = [name for name, before in zip(log, [None, *log], strict=False) if name != before]
    # To find how often each fits, then each repeat's.
    assert order == [*"abc", *"abc", *"bca", *"cab"]
    assert [log.count(name) for name in "abc"] == [4 + 3 * (40 + 2), 4 + 3 * (20 + 1), 4 + 3 * (10 + 1)]


def test_the_ratio_is_of_pairs():
    assert timing.median_ratio([2.0, 30.0, 4.0], [1.0, 10.0, 1.0]) == 3.0
