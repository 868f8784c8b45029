"""Who started a process, and how several end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import Aborted, worlds
from xnn.distributed import starting
from xnn.distributed.starting import Started, ended, share_of_cores, started

ALONE = [
    {},
    {"PMI_SIZE": "1", "PMI_RANK": "0"},
    {"OMPI_COMM_WORLD_SIZE": "4"},
    {"PMI_SIZE": "many", "PMI_RANK": "0"},
    # A batch script of Slurm, which has not called srun.
    {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
]


@pytest.mark.parametrize("environment", ALONE)
def test_a_process_alone_has_no_others(environment):
    assert started(environment) is None


@given(size=st.integers(2, 5000), data=st.data())
@pytest.mark.parametrize(
    "names",
    [
        ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    ],
)
def test_the_environment_tells_of_the_others(names, size, data):
    rank = data.draw(st.integers(0, size - 1))
    local = data.draw(st.integers(0, rank))
    environment = dict(zip(names, map(str, (size, rank, local)), strict=True))
    assert started(environment) == Started(size, rank, local)
    del environment[names[2]]
    assert started(environment) == Started(size, rank, rank)


@given(size=st.integers(1, 5), hosts=st.integers(1, 3), data=st.data())
def test_no_core_is_shared_out_twice(size, hosts, data):
    """Where cores are many enough, and those of one machine are nothing to another's."""
    usable = [data.draw(st.sets(st.integers(0, 15), min_size=1)) for _ in range(size)]

    def work(world):
        world.host = world.rank % hosts
        return share_of_cores(world, usable[world.rank])

    shares = worlds(size, work)
    for host in range(hosts):
        ranks = range(host, size, hosts)
        if ranks:
            every = set().union(*(usable[rank] for rank in ranks))
            assert sum(shares[rank] for rank in ranks) <= max(len(every), len(ranks)) + len(ranks) - 1
            if all(usable[rank] == every for rank in ranks):
                assert {shares[rank] for rank in ranks} == {max(len(every) // len(ranks), 1)}
    assert all(1 <= share <= len(own) for share, own in zip(shares, usable, strict=True))


@given(size=st.integers(2, 4), data=st.data())
def test_an_error_is_told_once_by_the_lowest_rank_that_has_it(size, data):
    lines = data.draw(st.lists(st.sampled_from("abc"), min_size=size, max_size=size))
    told = []

    def work(world):
        line = lines[world.rank]
        return ended(world, line, 2, lambda: told.append((world.rank, line)), orderly=True)

    assert worlds(size, work) == [2] * size
    assert sorted(told) == sorted((lines.index(line), line) for line in set(lines))


@pytest.mark.parametrize("orderly", [True, False])
def test_a_rank_that_ends_alone_ends_all(monkeypatch, orderly):
    monkeypatch.setattr(starting, "_PATIENCE", 0.05)
    told = []

    def work(world):
        if world.rank == 1:
            ended(world, "disk full", 2, lambda: told.append(world.rank), orderly=orderly)

    with pytest.raises(Aborted, match="2"):
        worlds(3, work)
    assert told == [1]


def test_disorder_ends_all_even_where_all_fail(monkeypatch):
    monkeypatch.setattr(starting, "_PATIENCE", 0.05)
    told = []

    def work(world):
        ended(world, "stopped", 130, lambda: told.append(world.rank), orderly=False)

    with pytest.raises(Aborted, match="130"):
        worlds(2, work)
    assert told == [0]
