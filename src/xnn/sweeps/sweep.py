"""A sweep on disk: which trials there are, who runs which, and what came of them.

All that must outlast a kill is in the study's journal and in the trials' run directories. A trial that is under way has
the state RUNNING in the study, and its process holds a lock of the system's. A kill drops the lock, not the state: so
whoever finds a running trial without a lock goes on with it, with the same settings in the same folder.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from xnn.errors import RunError
from xnn.files import Folder
from xnn.paths import explained
from xnn.runs import lock
from xnn.sweeps.space import Space
from xnn.sweeps.storage import held, locks_of, open_storage

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SCORES: Final[dict[str, Literal["maximize", "minimize"]]] = {"accuracy": "maximize", "loss": "minimize"}
"""What trials are judged by on the validation images."""
NAME = "xnn-sweep"
JOURNAL = "study.journal"
"""The study's file in a sweep's folder, unless another is named."""
MOST_DEATHS = 3
"""How often a trial's process may die before the trial counts as failed."""

_DEFINITION, _FOLDER, _DEATHS = "xnn", "folder", "deaths"
_CLAIMS, _WINNER = "claims", "winner"


@dataclass(frozen=True)
class Definition:
    """What makes a sweep the same one when its command is given again.

    Attributes
    ----------
    settings
        Those of all trials, as JSON has them.
    space
        SPECs by the names of settings.
    score
        A key of `SCORES`.
    """

    settings: dict[str, Any]
    space: dict[str, str]
    score: str = "accuracy"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self.settings.items()}
        return {"settings": plain, "space": self.space, "score": self.score}

    @property
    def metric(self) -> str:
        """The column of the history by which trials are judged."""
        return f"validation_{self.score}"


@dataclass(frozen=True)
class Claim:
    """A trial that is this process's to run."""

    number: int
    trial_id: int
    params: dict[str, Any]
    told: frozenset[int]


class Sweep:
    """A study and its trials' folders; make it by `opened`.

    Attributes
    ----------
    study : optuna.Study
    definition : Definition
    space : Space
    folder : Path
        Of the trials' run directories.
    """

    def __init__(self, study: "Study", storage: Any, definition: Definition, folder: Path, locks: Folder) -> None:
        self.study, self.definition, self.folder = study, definition, folder
        self.space = Space(definition.space)
        self._storage, self._locks = storage, locks
        self._study_id = storage.get_study_id_from_name(study.study_name)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, storage: Path, definition: Definition | None = None) -> "Iterator[Sweep]":
        """Yield the sweep in a folder and a file.

        Parameters
        ----------
        folder
            Of the trials.
        storage
            Of the study.
        definition
            What it should be. A sweep that is there already must be the same; None takes it as it is.

        Raises
        ------
        RunError
            It was begun with another definition, or cannot be used.
        """
        with ExitStack() as stack:
            with explained(RunError, f"--run-dir {folder}: cannot be used"):
                folder.mkdir(parents=True, exist_ok=True)
            locks = stack.enter_context(locks_of(storage))
            backend = open_storage(storage, locks)
            with held(locks, _CLAIMS, wait=True):
                study, found = _study(backend, definition, storage)
            if definition is not None:
                _check_same(found, definition, storage)
            yield cls(study, backend, found, folder, locks)

    def place(self, number: int) -> Path:
        """Return the run directory of a trial, on whichever machine it was begun."""
        there = self.trial(number).user_attrs.get(_FOLDER)
        return Path(there) if there else self.folder / f"trial-{number:03d}"

    def trial(self, number: int) -> "FrozenTrial":
        """Return a trial as it is now."""
        return self.trials()[number]

    def trials(self) -> "list[FrozenTrial]":
        """Return all trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def finished(self) -> "list[FrozenTrial]":
        """Return the trials that are over, whatever came of them."""
        return [trial for trial in self.trials() if trial.state.is_finished()]

    @contextmanager
    def claimed(self, most: int) -> Iterator[Claim | None]:
        """Yield a trial to run, which no other process gets during the ``with`` block; None if there is none now.

        A trial that its process has left comes first, then, up to `most` in all, a new one.
        """
        with ExitStack() as stack:
            with held(self._locks, _CLAIMS, wait=True):
                number = self._abandoned(stack)
                if number is None and len(self.trials()) < most:
                    number = len(self.trials())
                    stack.enter_context(held(self._locks, _owner(number)))
                    self._add(number)
            yield None if number is None else self._claim(number)

    def _abandoned(self, stack: ExitStack) -> int | None:
        """Return a trial under way that nobody runs, now locked; one whose process died too often becomes a failure."""
        from optuna.trial import TrialState

        for trial in self.trials():
            if trial.state != TrialState.RUNNING:
                continue
            with ExitStack() as attempt:
                try:
                    attempt.enter_context(held(self._locks, _owner(trial.number)))
                except lock.Held:
                    continue
                if self.trial(trial.number).state != TrialState.RUNNING:  # it ended just now
                    continue
                deaths = trial.user_attrs.get(_DEATHS, 0)
                if deaths >= MOST_DEATHS:
                    self.tell(trial.number, TrialState.FAIL, why=f"its process died {deaths} times")
                    continue
                stack.push(attempt.pop_all())
                return trial.number
        return None

    def _claim(self, number: int) -> Claim:
        trial = self.trial(number)
        place = self.folder / f"trial-{number:03d}"
        recorded = trial.user_attrs.get(_FOLDER)
        if recorded is None or not Path(recorded).is_dir():
            self.note(number, _FOLDER, str(place.absolute()))
        return Claim(number, self._id(number), trial.params, frozenset(trial.intermediate_values))

    def _add(self, number: int) -> None:
        """Add a trial with all that is drawn for it, in one line of the journal, so that no kill leaves half of it."""
        from optuna.trial import TrialState, create_trial

        params, distributions = self._drawn(number), self.space.distributions
        self.study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=distributions))

    def _drawn(self, number: int) -> dict[str, Any]:
        """Draw settings that no earlier trial has, unless all have been tried."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState, create_trial

        # The draws depend on the trial's number alone, whichever process makes them and however often it was killed.
        seed = int(np.random.SeedSequence((self.definition.settings.get("seed", 0), number)).generate_state(1)[0])
        # Trials under way count as bad ones, so that two workers do not look at the same place.
        sampler = TPESampler(seed=seed, constant_liar=True)
        blank = create_trial(state=TrialState.RUNNING)
        tried = [trial.params for trial in self.trials()]
        distributions = self.space.distributions
        params: dict[str, Any] = {}
        for _ in range(20):
            params = {
                name: sampler.sample_independent(self.study, blank, name, distribution)
                for name, distribution in distributions.items()
            }
            if params not in tried:
                return params
        if self.space.size <= len(tried):
            return params
        left = [each for each in self.space.combinations() if each not in tried]
        return left[seed % len(left)] if left else params

    def most(self, wanted: int) -> int:
        """Return how many trials make sense: no more than there are combinations."""
        return int(min(wanted, self.space.size))

    def live(self, claim: Claim) -> Any:
        """Return Optuna's handle of a trial that was claimed."""
        from optuna.pruners import MedianPruner
        from optuna.trial import Trial

        # The first epoch says little about where training ends: high learning rates are fast at first.
        self.study.pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=2)
        return Trial(self.study, claim.trial_id)

    def tell(self, number: int, state: Any, value: float | None = None, **notes: Any) -> None:
        """End a trial; its notes are there before its state says so."""
        for name, note in notes.items():
            self.note(number, name, note)
        self.study.tell(number, value, state=state)

    def note(self, number: int, name: str, value: Any) -> None:
        """Keep something about a trial."""
        self._storage.set_trial_user_attr(self._id(number), name, value)

    def count_death(self, number: int) -> None:
        """Note that a trial's process died, unless the trial had ended before."""
        trial = self.trial(number)
        if not trial.state.is_finished():
            self.note(number, _DEATHS, trial.user_attrs.get(_DEATHS, 0) + 1)

    def _id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))

    def winner(self) -> "FrozenTrial | None":
        """Return the best complete trial; of several with the same score the one with the lowest validation loss."""
        from optuna.trial import TrialState

        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        sign = -1 if SCORES[self.definition.score] == "maximize" else 1

        def rank(trial: "FrozenTrial") -> tuple[float, float, int]:
            return sign * (trial.value or 0.0), trial.user_attrs.get("validation_loss", 0.0), trial.number

        return min(complete, key=rank, default=None)

    @contextmanager
    def testing(self) -> Iterator[None]:
        """Let one process at a time give the winner the test set."""
        with held(self._locks, _WINNER, wait=True):
            yield


def _owner(number: int) -> str:
    return f"trial-{number:03d}"


def _study(backend: Any, definition: Definition | None, storage: Path) -> "tuple[Study, Definition]":
    """Return the study in a storage, made if it should be, and its definition; call it with the lock of the claims."""
    from optuna import create_study, load_study
    from optuna.exceptions import StorageInternalError

    try:
        names = [study.study_name for study in backend.get_all_studies()]
        if NAME not in names:
            if names or definition is None:
                raise RunError(f"--storage {storage}: holds no sweep of xnn's; give another file")
            made = create_study(study_name=NAME, storage=backend, direction=SCORES[definition.score])
            made.set_user_attr(_DEFINITION, json.dumps(definition.to_dict()))
            return made, definition
        study = load_study(study_name=NAME, storage=backend)
        told = study.user_attrs.get(_DEFINITION)
        if told is None:  # killed between the two lines
            if definition is None:
                raise RunError(f"--storage {storage}: the sweep in it does not say what it searches")
            study.set_user_attr(_DEFINITION, json.dumps(definition.to_dict()))
            return study, definition
        found = json.loads(told)
        return study, Definition(dict(found["settings"]), dict(found["space"]), str(found["score"]))
    except (ValueError, KeyError, TypeError, StorageInternalError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"--storage {storage}: is damaged: {type(error).__name__}: {error}") from error


def _check_same(found: Definition, wanted: Definition, storage: Path) -> None:
    then, now = found.to_dict(), wanted.to_dict()
    advice = "give another --run-dir or --storage"
    for part, form in (("space", "{}={}"), ("settings", "{} {}")):
        old, new = then[part], now[part]
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                raise RunError(
                    f"{form.format(name, _told(new, name))}: the sweep in {storage} was begun with "
                    f"{form.format(name, _told(old, name))}; {advice}"
                )
    if then["score"] != now["score"]:
        raise RunError(f"--score {now['score']}: the sweep in {storage} was begun with {then['score']}; {advice}")


def _told(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) if name in values else "not given"
