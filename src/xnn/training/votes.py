"""What ranks decide together after a step: whether to stop, whether to save, and who reads what they share out."""

from collections.abc import Sequence

from xnn.training.callbacks import Callback
from xnn.training.team import Alone, Team

_STOP, _TO_RESUME, _SAVE = 1, 2, 4
"""What a rank says after each step."""

_READS_STEPS, _READS_INTERVALS = 1, 2
"""What a rank's callbacks may do: read gradients, or the optimizer's state, after each step or at intervals."""


class Votes:
    """The decisions of a team; a team of one decides by itself.

    Parameters
    ----------
    team : Team

    Attributes
    ----------
    reads_steps, reads_intervals : bool
        Whether callbacks of any rank may read gradients or the optimizer's state after each step, or at intervals.
    """

    def __init__(self, team: Team) -> None:
        self._team = team
        self._wants_save = self._all_save = False
        self.reads_steps = self.reads_intervals = True

    def stop(self, reason: str | None, to_resume: bool) -> tuple[str, bool] | None:
        """Return why all ranks stop after this step, and whether to resume later; None if no rank was asked to stop.

        The arguments are what this rank was asked.
        """
        own = 0 if reason is None else _TO_RESUME if to_resume else _STOP
        votes = self._team.votes(own | _SAVE if self._wants_save else own)
        self._wants_save, self._all_save = False, any(vote & _SAVE for vote in votes)
        asked = [rank for rank, vote in enumerate(votes) if vote & (_STOP | _TO_RESUME)]
        if not asked:
            return None
        return reason or f"rank {asked[0]} was asked to stop", bool(votes[asked[0]] & _TO_RESUME)

    def save(self, due: bool) -> bool:
        """Return whether all ranks save after this step; see `Trainer.saves_together`."""
        if isinstance(self._team, Alone):
            return due
        if not self._all_save:
            self._wants_save |= due and self._team.rank == 0
        return self._all_save

    def ask_who_reads(self, callbacks: Sequence[Callback]) -> None:
        """Find out what the ranks' callbacks may read; each rank may have callbacks of its own."""
        others = [type(callback) for callback in callbacks if not _is_of_xnn(callback)]
        reads_steps = any(kind.step_end is not Callback.step_end for kind in others)
        own = (_READS_STEPS if reads_steps else 0) | (_READS_INTERVALS if others else 0)
        votes = self._team.votes(own)
        self.reads_steps = any(vote & _READS_STEPS for vote in votes)
        self.reads_intervals = any(vote & _READS_INTERVALS for vote in votes)


def _is_of_xnn(callback: Callback) -> bool:
    return type(callback).__module__.partition(".")[0] == "xnn"
