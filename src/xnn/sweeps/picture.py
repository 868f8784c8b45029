"""sweep.png: how the search went, what matters, and which settings go with which score."""

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from xnn._typing import Report
from xnn.files import write_atomically
from xnn.sweeps.outcome import PICTURE
from xnn.sweeps.space import Choices, Range
from xnn.sweeps.sweep import SCORES, Sweep
from xnn.training.plotting import FAINT, HELD_OUT, INK, TRAIN, plain_figure, spared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.trial import FrozenTrial

_FEWEST = 4
"""Complete trials below which nothing can be said of what matters."""
_LONGEST = 16
"""Letters of a value at an axis."""


def write(sweep: Sweep, warn: Report) -> None:
    """Write the picture into the sweep's folder; if that fails, `warn` gets a line, and the sweep is no worse."""
    with spared(PICTURE, "sweep", warn):
        write_atomically(sweep.folder / PICTURE, draw(sweep))


def draw(sweep: Sweep) -> bytes:
    """Return the picture as the bytes of a PNG file: history, importance and parallel coordinates."""
    with plain_figure((12.0, 7.6)) as figure:
        grid = figure.add_gridspec(2, 1)
        above, below = (figure.add_subfigure(grid[row]) for row in range(2))
        history, importance = above.subplots(1, 2)
        _draw_history(history, sweep)
        _draw_importance(importance, sweep)
        _draw_parallel(below.subplots(), sweep)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def complete(sweep: Sweep) -> "list[FrozenTrial]":
    """Return the trials that have a score."""
    from optuna.trial import TrialState

    return [trial for trial in sweep.trials() if trial.state == TrialState.COMPLETE]


def importances(sweep: Sweep) -> dict[str, float]:
    """Return how much each setting decides about a trial being among the best, by PED-ANOVA; shares of 1.

    Empty if there are too few complete trials, or all have the same score.

    References
    ----------
    Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces",
    IJCAI 2023.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    trials = complete(sweep)
    if len(trials) < _FEWEST or len({trial.value for trial in trials}) < 2:
        return {}
    with warnings.catch_warnings(action="ignore"):
        found = get_param_importances(sweep.study, evaluator=PedAnovaImportanceEvaluator())
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _draw_history(axes: "Axes", sweep: Sweep) -> None:
    from matplotlib.ticker import MaxNLocator

    trials = complete(sweep)
    rises = SCORES[sweep.definition.score] == "maximize"
    numbers, scores = [trial.number for trial in trials], [_score(sweep, trial) for trial in trials]
    best = [(max if rises else min)(scores[: at + 1]) for at in range(len(scores))]
    others = [trial for trial in sweep.finished() if trial.intermediate_values and trial not in trials]
    last = [_shown(sweep, trial.intermediate_values[max(trial.intermediate_values)]) for trial in others]
    axes.plot(
        [trial.number for trial in others], last, "x", color=INK, alpha=0.6, markersize=5, label="when it was pruned"
    )
    axes.plot(numbers, scores, "o", color=TRAIN, markersize=5, label="at its end")
    axes.step(numbers, best, where="post", color=HELD_OUT, linewidth=1.5, label="best so far")
    _plain(axes, "history", "trial", _named(sweep))
    axes.set_xlim(-0.5, max(len(sweep.trials()), 1) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9)


def _draw_importance(axes: "Axes", sweep: Sweep) -> None:
    found = importances(sweep)
    _plain(axes, "importance", "share", "")
    if not found:
        axes.text(0.5, 0.5, "too few complete trials to say", ha="center", va="center", color=INK)
        axes.set_axis_off()
        return
    names = sorted(found, key=lambda name: found[name])
    axes.barh(names, [found[name] for name in names], color=TRAIN)
    axes.set_xlim(0, 1)


def _draw_parallel(axes: "Axes", sweep: Sweep) -> None:
    """Draw a line for each complete trial through its value of each setting, from 0 to 1, the best in a colour."""
    trials = sorted(complete(sweep), key=lambda trial: _score(sweep, trial))
    parts = sweep.space.parts
    best = sweep.winner()
    scores = [_score(sweep, trial) for trial in trials]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    for trial in trials:
        heights = [_height(part, trial.params[part.name]) for part in parts]
        heights.append((_score(sweep, trial) - low) / ((high - low) or 1.0))
        is_best = best is not None and trial.number == best.number
        color, width = (HELD_OUT, 2.2) if is_best else (FAINT, 1.0)
        axes.plot(range(len(heights)), heights, color=color, linewidth=width, zorder=3 if is_best else 2)
    axes.set_title("each complete trial, the best one in orange", color=INK, fontsize=10)
    axes.set_xticks(range(len(parts) + 1), [*(part.name for part in parts), _named(sweep)], color=INK)
    axes.set_yticks([])
    axes.set_ylim(-0.08, 1.08)
    axes.margins(x=0.08)
    for side in ("top", "bottom", "left", "right"):
        axes.spines[side].set_visible(False)
    for at, marks in enumerate([*map(_marks, parts), [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]]):
        axes.axvline(at, color=INK, linewidth=0.8, zorder=1)
        for height, text in marks:
            _label(axes, text, at, height)


def _label(axes: "Axes", text: str, at: float, height: float) -> None:
    """Write a value left of its place, on a box that hides the lines that pass there."""
    axes.annotate(
        text,
        (at, height),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        zorder=4,
    )


def _score(sweep: Sweep, trial: "FrozenTrial") -> float:
    return _shown(sweep, trial.value or 0.0)


def _shown(sweep: Sweep, value: float) -> float:
    return 100 * value if sweep.definition.score == "accuracy" else value


def _named(sweep: Sweep) -> str:
    return "validation accuracy (%)" if sweep.definition.score == "accuracy" else "validation loss"


def _height(part: Choices | Range, value: Any) -> float:
    if not isinstance(part, Range):
        place: float = part.values.index(value) / max(len(part.values) - 1, 1)
        return place
    low, high, at = (math.log(each) if part.log else each for each in (part.low, part.high, value))
    return (at - low) / (high - low)


def _marks(part: Choices | Range) -> list[tuple[float, str]]:
    if isinstance(part, Range):
        return [(0.0, f"{part.low:.4g}"), (1.0, f"{part.high:.4g}")]
    return [(_height(part, value), str(value)[:_LONGEST]) for value in part.values]


def _plain(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
