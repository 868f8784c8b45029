"""curves.png: the course of a run in three charts."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xnn.training.history import History, IntervalRow
from xnn.training.plotting import FAINT, HELD_OUT, INK, TRAIN, needs_logarithm, plain_figure
from xnn.training.view_averaging import of_one_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    history: History,
    intervals: Sequence[IntervalRow] = (),
    *,
    title: str = "",
    held_out: str = "test",
    views: int = 1,
) -> bytes:
    """Return the picture of loss, accuracy and learning rate over the epochs, as the bytes of a PNG file.

    Parameters
    ----------
    history
        One row per epoch, at least one.
    intervals
        Rows of intervals.jsonl, whose losses are drawn faintly behind those of the epochs.
    title
        Shown above.
    held_out
        Prefix of the columns for the held-out data.
    views
        Over how many views of each image the accuracy in the title is averaged. If there are several, the legends say
        that the curves are of one.
    """
    with plain_figure((12.0, 4.2)) as figure:
        return _picture(figure, history, intervals, title, held_out, of_one_view(held_out, views))


def _picture(
    figure: "Figure", history: History, intervals: Sequence[IntervalRow], title: str, held_out: str, label: str
) -> bytes:
    loss, accuracy, rate = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 0.8))
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK, parse_math=False)
    _draw_loss(loss, history, intervals, held_out, label)
    _draw_accuracy(accuracy, history, held_out, label)
    _draw_rate(rate, history, intervals)
    for axes in (loss, accuracy, rate):
        _dress(axes, len(history))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_loss(axes: "Axes", history: History, intervals: Sequence[IntervalRow], held_out: str, label: str) -> None:
    axes.set_title("loss")
    losses = [row["interval_loss"] for row in intervals]
    if len(intervals) > 1:
        positions = [row["passes"] for row in intervals]
        axes.plot(positions, losses, color=FAINT, linewidth=1.0, label="train, by interval", zorder=1)
    _line(axes, history, "train_loss", TRAIN, "train, whole epoch")
    _line(axes, history, f"{held_out}_loss", HELD_OUT, label)
    drawn = losses + history.column("train_loss") + history.column(f"{held_out}_loss")
    known = [loss for loss in drawn if loss is not None]
    if needs_logarithm(known):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    elif len(history) == 1:
        # A single point says little on a stretched axis, so show how far it is above 0.
        axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=9, loc="best")


def _draw_accuracy(axes: "Axes", history: History, held_out: str, label: str) -> None:
    axes.set_title("accuracy (%)")
    _line(axes, history, "train_accuracy", TRAIN, "train", 100.0)
    _line(axes, history, f"{held_out}_accuracy", HELD_OUT, label, 100.0)
    accuracies = zip(history.column(f"{held_out}_accuracy"), history, strict=True)
    known = [(accuracy, row["epoch"]) for accuracy, row in accuracies if accuracy]
    if known:
        best, epoch = max(known, key=lambda pair: (pair[0], -pair[1]))
        axes.plot(
            [epoch],
            [100 * best],
            "o",
            markersize=11,
            markerfacecolor="none",
            color=HELD_OUT,
            label=f"best {label}: {100 * best:.2f} % (epoch {epoch})",
            clip_on=False,
        )
    if len(history) == 1:
        axes.set_ylim(0.0, 100.0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="best", markerscale=0.7)


def _draw_rate(axes: "Axes", history: History, intervals: Sequence[IntervalRow]) -> None:
    axes.set_title("learning rate")
    found = {(row["passes"], row["lr"]) for row in intervals} | {(row["epoch"], row["lr"]) for row in history}
    points = sorted((x, rate) for x, rate in found if rate is not None)
    axes.plot([x for x, _ in points], [rate for _, rate in points], color=INK, linewidth=1.5)
    if len(points) == 1:
        axes.plot(*points[0], "o", color=INK, markersize=4)
    axes.set_ylim(0.0, 1.08 * max((rate for _, rate in points), default=0.0) or 1.0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))


def _line(axes: "Axes", history: History, name: str, color: str, label: str, scale: float = 1.0) -> None:
    values = zip(history.column(name), history, strict=True)
    points = [(row["epoch"], scale * value) for value, row in values if value is not None]
    if points:
        epochs, heights = zip(*points, strict=True)
        marker = "o" if len(points) <= 30 else None
        axes.plot(epochs, heights, color=color, marker=marker, markersize=4, linewidth=2.0, label=label, clip_on=False)


def _dress(axes: "Axes", epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epochs done", color=INK)
    axes.set_xlim(0.0, 1.03 * epochs)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(epochs, 8) + 1))
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.title.set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
