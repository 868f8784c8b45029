"""One commit beside another."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import commits, tasks
from benchmarks.networks import NETWORKS
from benchmarks.tasks import Task
from tests.benchmarks.commands import tables
from xnn.kernels import threads

TIMES = st.floats(0.001, 1000)
PAIRS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=15)
ALLOWED = st.sampled_from([0.03, 0.25])


def judged(pairs, allowed):
    return commits.judge([old for old, _ in pairs], [new for _, new in pairs], allowed)


@given(PAIRS, ALLOWED)
def test_the_verdict_on_pairs(pairs, allowed):
    verdict = judged(pairs, allowed)
    ratios = sorted(new / old for old, new in pairs)
    middle = ratios[(len(ratios) - 1) // 2 : len(ratios) // 2 + 1]
    assert middle[0] <= verdict.ratio <= middle[-1]
    assert verdict.slower == sum(new > old for old, new in pairs)
    # So that of seven pairs one may disagree, of fourteen two.
    disagree = len(pairs) - verdict.slower
    assert verdict.fails == (verdict.ratio > 1 + allowed and 7 * disagree <= len(pairs))


@given(PAIRS, ALLOWED, st.data())
def test_a_slower_turn_never_mends_a_verdict(pairs, allowed, data):
    slower = [(old, new * data.draw(st.floats(1, 10))) for old, new in pairs]
    assert judged(slower, allowed).fails or not judged(pairs, allowed).fails


@pytest.mark.parametrize(("number", "needed"), [(1, 1), (3, 3), (6, 6), (7, 6), (13, 12), (14, 12)])
@given(st.data(), ALLOWED)
def test_six_of_seven_have_to_agree(number, needed, data, allowed):
    old = data.draw(st.lists(TIMES, min_size=number, max_size=number))
    slower = data.draw(st.integers(0, number))
    pairs = [(time, time * (1.5 if index < slower else 0.99)) for index, time in enumerate(old)]
    assert judged(pairs, allowed).fails == (slower >= needed)


@given(st.lists(TIMES, min_size=1), ALLOWED)
def test_what_is_allowed_passes(old, allowed):
    assert not judged([(time, time * (1 + 0.99 * allowed)) for time in old], allowed).fails
    assert judged([(time, time * (1 + 1.01 * allowed)) for time in old], allowed).fails


def test_plain_descent_image_by_image_may_lose_a_quarter():
    allowed = {task: commits.allowance(task) for network in NETWORKS.values() for task in tasks.tasks(network)}
    assert {task for task, share in allowed.items() if share != 0.03} == {Task("training", 1, "sgd")}
    assert allowed[Task("training", 1, "sgd")] == 0.25


def test_only_what_both_commits_have_is_timed():
    one, two = Task("training", 1, "sgd"), Task("training", 2, "sgd")
    old = {"a": [one, two], "ab": [one], "gone, a": [one]}
    new = {"ab": [two, one], "a": [one], "new, a": [one], "b": [one]}
    rows = commits.rows_of_both(old | {"b": [one]}, new, lambda name, task: "a" in name)
    assert rows == [("ab", one), ("a", one)]


def test_two_checkouts_take_turns(run, monkeypatch, tmp_path):
    root, path = commits.ROOT, tmp_path / "figures.json"
    options = [root, root, "--pairs", "2", "--seconds", "0.001", "--threads", threads.count(), "--only", "LeNet"]
    monkeypatch.setattr(commits, "allowance", lambda task: np.inf)
    ((row,),) = tables(run(commits, *options, "--json", path).out)
    assert (row["network"], row["what"], row["batch"]) == ("LeNet-5", "training", "128")
    (figure,) = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert row["new / old"] == f"{figure['ratio']:.3f}"
    assert row["pairs slower"] == f"{figure['slower']} of 2"
    assert {side: len(turns) for side, turns in figure["turns"].items()} == {"old": 2, "new": 2}
    assert min(figure["turns"]["old"] + figure["turns"]["new"]) > 0

    # A row that looks too slow is timed again, in twice as many pairs, and only they count.
    monkeypatch.setattr(commits, "judge", lambda old, new, allowed: commits.Verdict(2.0, 2, fails=len(old) == 2))
    ((row,),) = tables(run(commits, *options).out)
    assert (row["pairs slower"], row["verdict"]) == ("2 of 4", "ok")

    monkeypatch.setattr(commits, "judge", lambda old, new, allowed: commits.Verdict(2.0, 2, fails=True))
    with pytest.raises(SystemExit, match="1 of 1 rows are too slow"):
        run(commits, *options)


def test_commits_are_checked_out_for_the_time_being(monkeypatch, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setattr(commits, "ROOT", tmp_path)

    def git(*words):
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, stdout=subprocess.PIPE)

    git("init", "--quiet")
    for text in ("old", "new"):
        (tmp_path / "file").write_text(text, encoding="utf-8")
        git("add", "file")
        git("commit", "--quiet", "-m", text)
    with commits.checkout("HEAD~1") as old, commits.checkout("HEAD") as new:
        assert [(folder / "file").read_text(encoding="utf-8") for folder in (old, new)] == ["old", "new"]
    assert not old.exists()
    assert not list((tmp_path / ".git" / "worktrees").glob("*"))
    missing = "no-such-commit is neither a folder that is a checkout of xnn nor a commit: .*no-such-commit"
    with pytest.raises(SystemExit, match=missing), commits.checkout("no-such-commit"):
        pass


def test_a_worker_refuses_another_xnn(tmp_path):
    with pytest.raises(SystemExit, match="xnn is imported from"):
        commits.serve(tmp_path)


def test_a_worker_that_ends_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(SystemExit, match="has ended"), commits.worker(tmp_path):
        pass
