"""One trial: a run that is judged on validation images and never meets the test set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnn.errors import NonFiniteLoss, SettingError
from xnn.runs import run
from xnn.runs.settings import Settings
from xnn.sweeps.pruning import Pruning
from xnn.sweeps.sweep import Claim, Sweep
from xnn.training.callbacks import Callback
from xnn.training.history import History

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


@dataclass(frozen=True)
class Ended:
    """How a trial ended: in words, or not at all, if it was stopped and is to go on."""

    over: bool
    told: str


class _Watch(Callback):
    """Keeps what is to be known of a training, whatever ends it."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None

    def fit_begin(self, trainer: "Trainer") -> None:
        self.trainer = trainer

    @property
    def notes(self) -> dict[str, Any]:
        if self.trainer is None:
            return {"epochs": 0, "seconds": 0.0}
        return {"epochs": self.trainer.epoch, "seconds": self.trainer.clock.elapsed}


def run_trial(
    sweep: Sweep,
    claim: Claim,
    changes: Mapping[str, Any],
    callbacks: Sequence[Callback] = (),
    *,
    prune: bool = True,
    is_out_of_memory: Callable[[MemoryError | RuntimeError], bool] = lambda error: isinstance(error, MemoryError),
) -> Ended:
    """Run a trial that was claimed, or go on with it, and tell the study what came of it.

    Parameters
    ----------
    sweep, claim
        Whose trial it is.
    changes
        Settings that say how it is computed here, such as ``threads``.
    callbacks
        Called before the study is told of an epoch.
    prune
        Whether the study's pruner may end it early.
    is_out_of_memory
        Tells errors for lack of memory from others.

    Raises
    ------
    UserError
        Something that concerns all trials, such as a full disk; this one is to go on some other time.
    """
    from optuna import TrialPruned
    from optuna.trial import TrialState

    watch, number = _Watch(), claim.number
    live = sweep.live(claim)
    told = Pruning(live if prune else _NeverPruned(live), sweep.definition.metric, told=claim.told)
    place = sweep.place(number)
    heard = [watch, *callbacks, told]
    try:
        if (place / "config.json").exists():
            result = run.resume(place, callbacks=heard, test=False, **changes)
        else:
            chosen = {**sweep.definition.settings, **changes, **sweep.space.settings(claim.params)}
            settings = Settings(**chosen, run_dir=str(place))
            result = run.train(settings, callbacks=heard, test=False)
    except TrialPruned:
        why = f"pruned after epoch {watch.notes['epochs']}"
        sweep.tell(number, TrialState.PRUNED, why=why, **watch.notes)
        return Ended(True, why)
    except NonFiniteLoss:
        # The study learns from a pruned trial that this was no good place; from a failed one it learns nothing.
        why = f"diverged in epoch {watch.notes['epochs'] + 1}"
        sweep.tell(number, TrialState.PRUNED, why=why, **watch.notes)
        return Ended(True, why)
    except SettingError as error:
        return _failed(sweep, number, watch, str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _failed(sweep, number, watch, f"out of memory ({error})")
    assert watch.trainer is not None
    if watch.trainer.interrupted:
        return Ended(False, f"stopped after epoch {watch.trainer.epoch}")
    return _complete(sweep, number, watch, result.history)


def _failed(sweep: Sweep, number: int, watch: _Watch, why: str) -> Ended:
    from optuna.trial import TrialState

    sweep.tell(number, TrialState.FAIL, why=why, **watch.notes)
    return Ended(True, f"failed: {why}")


def _complete(sweep: Sweep, number: int, watch: _Watch, history: History) -> Ended:
    from optuna.trial import TrialState

    row = judged_row(history, best=_keeps_best(sweep, number))
    accuracy, loss = row["validation_accuracy"], row["validation_loss"]
    if accuracy is None or loss is None:
        sweep.tell(number, TrialState.PRUNED, why="diverged: no finite loss", **watch.notes)
        return Ended(True, "diverged: no finite loss")
    score = accuracy if sweep.definition.score == "accuracy" else loss
    notes = {**watch.notes, "validation_accuracy": accuracy, "validation_loss": loss, "why": "complete"}
    sweep.tell(number, TrialState.COMPLETE, score, **notes)
    return Ended(True, f"{100 * accuracy:.2f} %, loss {loss:.4f} after {watch.notes['epochs']} epochs")


def _keeps_best(sweep: Sweep, number: int) -> bool:
    chosen = {**sweep.definition.settings, **sweep.trial(number).params}
    return bool(chosen.get("keep_best"))


def judged_row(history: History, *, best: bool = False) -> dict[str, Any]:
    """Return the row of the model that a run ends with: the last that was evaluated, or that of the lowest loss."""
    rows = [dict(row) for row in history if "validation_loss" in row]
    found = history.best("validation_loss") if best else None
    return dict(history[found - 1]) if found is not None else rows[-1]


class _NeverPruned:
    """A trial that is told of its epochs and goes on to the end."""

    def __init__(self, trial: Any) -> None:
        self.report = trial.report

    def should_prune(self) -> bool:
        return False
