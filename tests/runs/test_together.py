"""Runs of several ranks, which are threads here: the same run, whatever their number, and one that writes."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.distributed.threads import worlds
from xnn import data
from xnn.errors import DataError, RunError, SettingError
from xnn.runs import checkpoints
from xnn.runs.run import resume, train
from xnn.runs.settings import Settings
from xnn.runs.together import Together
from xnn.training.callbacks import Callback

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = {"epochs": 2, "batch_size": 200, "dtype": "float64", "backend": "numpy", "hidden": 4, "checkpoint_every": "3"}
RUNS = {
    "mlp": {"model": "mlp", "augment": ("crop", "mixup"), "average": 0.9, "class_weights": "balanced"},
    "speed": {
        "recipe": "speed", "hidden": 2, "first_layer": "whitening", "first_bias_epochs": 1, "test_views": 6,
        "window": 6, "window_share": 0.5, "augment": ("alternating-flip",),
    },
    "best": {"model": "mlp", "validation": 0.2, "keep_best": True, "early_stopping": 1, "lr": 0.3, "epochs": 6},
}  # fmt: skip


def run(size, path, **changes):
    given = Settings(**{**SMALL, **changes}, run_dir=str(path))
    return worlds(size, lambda world: train(given, world=world))


def numbers(result):
    """The result and the history but for times, of which there are no two alike."""
    rows = [{n: v for n, v in row.items() if n not in ("seconds", "images_per_second")} for row in result.history]
    left_out = ("seconds", "peak_memory_mib", "versions", "ranks", "finished", "machine")
    return rows, {name: value for name, value in result.values.items() if name not in left_out}


def assert_alike(found, expected):
    (rows, values), (other_rows, other_values) = numbers(found), numbers(expected)
    for row, other in zip([*rows, values], [*other_rows, other_values], strict=True):
        assert row.keys() == other.keys()
        for name, value in other.items():
            assert row[name] == (value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-8))
    weights, others = (each.model.parameters.flat for each in (found, expected))
    np.testing.assert_allclose(weights, others, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("what", RUNS)
def test_any_number_of_ranks_makes_the_same_run(tmp_path, what):
    (alone,) = run(1, tmp_path / "1", **RUNS[what])
    for size in (2, 3):
        every = run(size, tmp_path / str(size), **RUNS[what])
        for result in every:
            assert_alike(result, alone)
            assert result.values["ranks"] == size
            assert result.directory == tmp_path / str(size)
    assert "ranks" not in alone.values
    names = {str(path.relative_to(tmp_path / "1")) for path in (tmp_path / "1").rglob("*")}
    assert names == {str(path.relative_to(tmp_path / "3")) for path in (tmp_path / "3").rglob("*")}


class StopAt(Callback):
    """Asks one rank to stop after a step."""

    def __init__(self, step):
        self.step = step

    def step_end(self, trainer):
        if trainer.step == self.step:
            trainer.request_stop("SIGTERM", to_resume=True)


@settings(max_examples=4)
@given(before=st.integers(1, 3), after=st.integers(1, 3), step=st.integers(1, 12), asked=st.integers(0, 2))
def test_a_run_goes_on_with_any_number_of_ranks(tmp_path_factory, before, after, step, asked):
    path = tmp_path_factory.mktemp("runs") / "run"
    given = Settings(**SMALL, model="mlp", run_dir=str(path))

    def first(world):
        return train(given, world=world, callbacks=[StopAt(step)] if world.rank == asked % before else [])

    stopped = worlds(before, first)
    assert {result.values for result in stopped} == {None}
    saved, damaged = checkpoints.newest_valid(path / "checkpoints")
    assert (saved.info["step"], damaged) == (step, [])
    resumed = worlds(after, lambda world: resume(path, world=world))
    whole = run(before, path.with_name("whole"), model="mlp")
    for result in resumed:
        assert_alike(result, whole[0])
    if before == after:
        assert numbers(resumed[0]) == numbers(whole[0])
        np.testing.assert_array_equal(resumed[0].model.parameters.flat, whole[0].model.parameters.flat)


def test_batch_norm_takes_what_was_asked_for(tmp_path):
    """Of one rank both are the same; of two, local statistics train differently, also once the run is resumed."""
    small, weights = {"model": "cnn", "hidden": 4, "batch_size": 100, "epochs": 1}, {}
    for kind, size in itertools.product(("sync", "local"), (1, 2)):
        results = run(size, tmp_path / f"{kind}-{size}", **small, batch_norm=kind)
        weights[kind, size] = results[0].model.parameters.flat
    np.testing.assert_array_equal(weights["local", 1], weights["sync", 1])
    np.testing.assert_allclose(weights["sync", 2], weights["sync", 1], rtol=1e-6, atol=1e-9)
    assert np.max(np.abs(weights["local", 2] - weights["sync", 2])) > 1e-4
    given = Settings(**SMALL | small, batch_norm="local", run_dir=str(tmp_path / "run"))
    worlds(2, lambda world: train(given, world=world, callbacks=[StopAt(7)]))
    resumed = worlds(2, lambda world: resume(tmp_path / "run", world=world))
    np.testing.assert_array_equal(resumed[0].model.parameters.flat, weights["local", 2])


class Saves(Callback):
    """Notes after which steps the weights were saved, by looking at the folder as any rank can."""

    def __init__(self, path):
        self.path, self.seen = path, set()

    def step_end(self, trainer):
        self.seen |= {path.name for path in self.path.glob("checkpoints/step-*")}


def test_the_first_ranks_clock_says_when_all_save(tmp_path):
    """All ranks must come to it after the same step, or they wait for each other forever."""
    given = Settings(**SMALL | {"checkpoint_every": "0.02s", "epochs": 3}, model="mlp", run_dir=str(tmp_path / "run"))
    watch = Saves(tmp_path / "run")
    worlds(3, lambda world: train(given, world=world, callbacks=[watch] if world.rank == 0 else []))
    assert watch.seen


def test_ranks_write_and_report_nothing_but_the_first(tmp_path, monkeypatch):
    told, written, save = [], [], checkpoints.save

    def noted(*arguments):
        written.append(save(*arguments).name)
        return tmp_path / "run" / "checkpoints" / written[-1]

    monkeypatch.setattr(checkpoints, "save", noted)
    given = Settings(**SMALL, model="mlp", run_dir=str(tmp_path / "run"))
    worlds(2, lambda world: train(given, world=world, report=told.append if world.rank == 0 else None))
    assert re.fullmatch(r"2 ranks on 1 host, with (1 thread|\d+ threads) each, share every batch", told[0])
    assert told.count(f"results go to {tmp_path / 'run'}") == 1
    assert any(f"xnn-train --resume {tmp_path / 'run'}" in line for line in told)
    assert len(written) == len(set(written)) > 2
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "ranks" not in config
    assert config["threads"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "--seed 1, rank 0 has 0"),
        ({"lr": 0.5}, "--lr 0.5, rank 0 has None"),
        ({"augment": ()}, "--augment"),
    ],
)
def test_ranks_with_different_settings_are_noticed(tmp_path, changes, words):
    """All of them raise it, and nothing is written."""

    def work(world):
        mine = changes if world.rank == 2 else {}
        with pytest.raises(SettingError, match=f"rank 2 has {words}"):
            train(Settings(**{**SMALL, **mine}, model="mlp", run_dir=str(tmp_path / "run")), world=world)
        return True

    assert worlds(3, work) == [True] * 3
    assert not (tmp_path / "run").exists()


def test_ranks_may_differ_in_where_they_are(tmp_path):
    def work(world):
        mine = Settings(**SMALL, model="mlp", run_dir=str(tmp_path / "run"), quiet=world.rank > 0)
        return train(mine, world=world)

    assert worlds(2, work)[0].values


@settings(max_examples=8)
@given(size=st.integers(2, 4), odd=st.integers(0, 3), image=st.integers(0, 99), pixel=st.integers(0, 48))
def test_ranks_with_different_images_are_noticed(size, odd, image, pixel):
    def work(world):
        images = np.zeros((100, 7, 7, 1), np.uint8)
        if world.rank == odd % size:
            images.reshape(100, 49)[image, pixel] = 1
        split = data.Split(images, np.arange(100) % 3)
        whole = data.Split(np.zeros((9, 7, 7, 1), np.uint8), np.arange(9) % 3)
        own = data.Dataset("x", whole, split, ("a", "b", "c"), "here")
        with pytest.raises(SettingError, match=r"must have the same data: rank \d has checksum of the test images"):
            Together(world).agree_on_data(own, "numpy")
        return True

    assert all(worlds(size, work))


@settings(max_examples=8)
@given(size=st.integers(2, 4), failing=st.sets(st.integers(0, 3), min_size=1))
def test_all_raise_the_error_of_the_lowest_rank(size, failing):
    ranks = sorted({rank % size for rank in failing})

    def work(world):
        def act():
            if world.rank in ranks:
                raise DataError(f"no data on rank {world.rank}")
            return world.rank

        with pytest.raises(DataError, match=f"^no data on rank {ranks[0]}$"):
            Together(world).all(act)
        return Together(world).first(lambda: ["all", "well"])

    assert worlds(size, work) == [["all", "well"]] * size


@settings(max_examples=8)
@given(size=st.integers(2, 5), hosts=st.integers(1, 3))
def test_data_is_read_by_one_rank_of_each_host_first(size, hosts):
    order = []

    def work(world):
        world.host, world.local_rank = world.rank % hosts, world.rank // hosts
        Together(world).by_host(lambda: order.append(world.local_rank))

    worlds(size, work)
    assert order == sorted(order, key=bool)
    assert len(order) == size


def test_a_directory_that_cannot_be_used_is_refused_by_all(tmp_path):
    (tmp_path / "file").write_text("mine")

    def work(world):
        with pytest.raises(RunError, match="is not empty"):
            train(Settings(**SMALL, model="mlp", run_dir=str(tmp_path)), world=world)
        with pytest.raises(RunError, match="no run in it"):
            resume(tmp_path, world=world)
        return True

    assert worlds(2, work) == [True, True]


def test_a_complete_run_stays_as_it_is_for_all(tmp_path):
    run(2, tmp_path / "run", model="mlp")
    again = worlds(3, lambda world: resume(tmp_path / "run", world=world))
    for result in again:
        assert result.was_complete
        assert result.values == again[0].values
        assert [row["epoch"] for row in result.history] == [1, 2]
    more = worlds(2, lambda world: resume(tmp_path / "run", world=world, epochs=3))
    assert [len(result.history) for result in more] == [3, 3]


def test_a_world_of_one_is_a_process_alone(tmp_path):
    (alone,) = run(1, tmp_path / "run", model="mlp")
    plain = train(dataclasses.replace(Settings(**SMALL, model="mlp"), run_dir=str(tmp_path / "plain")))
    assert numbers(alone) == numbers(plain)
