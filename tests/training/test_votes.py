"""Decisions that all ranks reach together, each from what all have said."""

from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import Meeting
from xnn.training import Callback
from xnn.training.team import Alone
from xnn.training.votes import Votes

ASKED = st.tuples(st.none() | st.just("enough"), st.booleans())
"""For what reason a rank is to stop, if it is, and whether to resume later."""


class Rank:
    def __init__(self, meeting, rank):
        self._meeting, self.rank = meeting, rank

    def votes(self, own):
        return self._meeting.gathered(self.rank, own)


def of_all(count, work):
    """Return ``work(rank, votes)`` of so many ranks."""
    meeting = Meeting(count)
    return meeting.run(lambda rank: work(rank, Votes(Rank(meeting, rank))))


@given(st.lists(ASKED, min_size=2, max_size=5))
def test_all_ranks_stop_if_any_was_asked(asked):
    found = of_all(len(asked), lambda rank, votes: votes.stop(*asked[rank]))
    first = next((rank for rank, (reason, _) in enumerate(asked) if reason), None)
    if first is None:
        assert found == [None] * len(asked)
    else:
        reasons = [reason or f"rank {first} was asked to stop" for reason, _ in asked]
        assert found == [(reason, asked[first][1]) for reason in reasons]


@given(st.integers(2, 4), st.data())
def test_all_ranks_save_after_the_step_that_follows_the_first_ranks_time(count, data):
    due = data.draw(st.lists(st.lists(st.booleans(), min_size=count, max_size=count), max_size=6))

    def steps(rank, votes):
        saves = []
        for now in due:
            saves.append(votes.save(now[rank]))
            assert votes.stop(None, False) is None
        return saves

    expected = []
    for step in range(len(due)):
        expected.append(step > 0 and due[step - 1][0] and not expected[-1])
    assert of_all(count, steps) == [expected] * count


@given(ASKED, st.booleans())
def test_one_rank_decides_by_itself(asked, due):
    votes = Votes(Alone())
    assert votes.stop(*asked) == (asked if asked[0] else None)
    assert votes.save(due) == due


class Watches(Callback):
    def step_end(self, trainer):
        """Look at a gradient, perhaps."""


class Listens(Callback):
    def epoch_end(self, trainer, row):
        """Look at a gradient, perhaps."""


@given(st.lists(st.sampled_from([None, Listens, Watches]), min_size=1, max_size=4))
def test_what_a_callback_of_any_rank_may_read_is_known_to_all(kinds):
    def ask(rank, votes):
        votes.ask_who_reads([kinds[rank]()] if kinds[rank] else [])
        return votes.reads_steps, votes.reads_intervals

    assert of_all(len(kinds), ask) == [(Watches in kinds, any(kinds))] * len(kinds)
