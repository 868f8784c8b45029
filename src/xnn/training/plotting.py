"""Curves of a history, drawn by Matplotlib."""

import contextlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn._typing import Report
from xnn.errors import FolderGone, RunError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xnn.training.history import History

TRAIN, HELD_OUT, FAINT, INK = "#2a6fbb", "#d9622b", "#9dbfe0", "#333333"
WIDTH = 780
"""Of the picture of two charts in a notebook, in its pixels."""
_MOST_MARKERS = 30

_ALONE = threading.Lock()
"""Matplotlib's settings belong to the whole process."""


@contextlib.contextmanager
def spared(picture: str, whole: str, warn: Report) -> Iterator[None]:
    """Draw and write a picture within; if that fails, the whole is complete without it, and `warn` gets a line."""
    try:
        yield
    except FolderGone:
        raise
    except Exception as error:  # noqa: BLE001 - Matplotlib may raise anything, and a picture is not worth a result
        kind = "" if isinstance(error, RunError) else f"{type(error).__name__}: "
        warn(f"no {picture}: {kind}{' '.join(str(error).split())}; the {whole} is complete without it")


def plot(
    history: "History", metrics: str | Sequence[str] | None, axes: "Sequence[Axes] | Axes | None", label: str | None
) -> "Sequence[Axes]":
    """Draw metrics of a history, each into axes of its own, and return these; see `History.plot`."""
    if not history:
        raise ValueError("the history has no epochs to draw")
    metrics = [metrics] if isinstance(metrics, str) else metrics
    columns = {metric: columns_of(history, metric) for metric in metrics or ("loss", "accuracy")}
    missing = [metric for metric, names in columns.items() if not names]
    if metrics is not None and missing:
        known = dict.fromkeys(name for row in history for name in row)
        raise ValueError(f"the history has no {missing[0]}; its columns are {', '.join(known)}")
    for metric in missing:  # what trains on no classes has no accuracy
        del columns[metric]
    places = _new_axes(len(columns)) if axes is None else _given_axes(axes)
    if len(places) != len(columns):
        raise ValueError(f"{', '.join(columns)} need {len(columns)} axes, not {len(places)}")
    for place, (metric, names) in zip(places, columns.items(), strict=True):
        draw(place, history, metric, names, label)
    return places


def _new_axes(count: int) -> "Sequence[Axes]":
    import matplotlib.pyplot as plt

    _, places = plt.subplots(1, count, squeeze=False, figsize=(5.0 * count, 3.6), layout="constrained")
    found: Sequence[Axes] = places[0]
    return found


def _given_axes(axes: Any) -> "Sequence[Axes]":
    found: Sequence[Axes] = axes.ravel() if hasattr(axes, "ravel") else axes if hasattr(axes, "__len__") else [axes]
    return found


def columns_of(history: "History", metric: str) -> list[str]:
    """Return the columns of a metric that have values: its own, such as ``lr``, or those of the data sets."""
    names = [metric, *(f"{split}_{metric}" for split in _splits(history))]
    return [name for name in names if any(value is not None for value in history.column(name))]


def _splits(history: "History") -> list[str]:
    """Return the names of the data sets, each of which has a loss; a metric of its own may end like that too."""
    losses = dict.fromkeys(name for row in history for name in row if name.endswith("_loss"))
    found = [name.removesuffix("_loss") for name in losses]
    return [name for name in found if not any(name.startswith(f"{other}_") for other in found)]


def draw(axes: "Axes", history: "History", metric: str, names: Sequence[str], label: str | None) -> None:
    """Draw the columns of a metric; of several histories in the same axes each has a colour of its own."""
    factor = 100.0 if metric.endswith("accuracy") else 1.0
    colour = None
    for name in names:
        split = name.removesuffix(metric).removesuffix("_")
        points = [(row["epoch"], factor * row[name]) for row in history if row.get(name) is not None]  # type: ignore[literal-required]
        faint = split == "train" and len(names) > 1
        style: dict[str, Any] = {"marker": "o" if len(points) <= _MOST_MARKERS else None, "markersize": 3.5}
        style |= {"linewidth": 1.2, "linestyle": "--"} if faint and label is not None else {"linewidth": 2.0}
        if label is None:
            style |= {"color": TRAIN if split == "train" else HELD_OUT, "label": split or metric}
        else:
            style |= {"color": colour, "label": f"{label}, {split}" if split and len(names) > 1 else label}
        (line,) = axes.plot(*zip(*points, strict=True), **style)
        colour = line.get_color()
    _dress(axes, f"{metric} (%)" if factor > 1 else metric)


def _dress(axes: "Axes", title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    heights = [float(y) for line in axes.get_lines() for y in np.asarray(line.get_ydata(), np.float64)]
    if title.endswith("loss") and needs_logarithm(heights):
        axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize="small")


def picture(history: "History") -> bytes:
    """Return the curves as the bytes of a PNG file, drawn with Matplotlib's own settings."""
    metrics = [metric for metric in ("loss", "accuracy") if columns_of(history, metric)]
    with plain_figure((9.2, 3.2)) as figure:
        if metrics:
            plot(history, metrics, figure.subplots(1, 2)[: len(metrics)], None)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def needs_logarithm(values: Sequence[float]) -> bool:
    """Return whether losses fall so far that a logarithm shows them better.

    A loss of zero, or close to it, would stretch a logarithmic axis too much.
    """
    return bool(values) and min(values) >= 1e-300 and 20.0 * min(values) < max(values) < 1e6 * min(values)


@contextlib.contextmanager
def plain_figure(size: tuple[float, float]) -> "Iterator[Figure]":
    """Give an empty figure of a size in inches, drawn with Matplotlib's own settings in the ``with`` block."""
    with _ALONE, _plain_matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, dpi=120, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        yield figure


@contextlib.contextmanager
def _plain_matplotlib() -> Iterator[None]:
    """Draw with Matplotlib's defaults, whatever the user's matplotlibrc and environment say, without changing them."""
    _import_matplotlib()
    import matplotlib

    # Its warnings are about appearance, such as a letter that the font lacks.
    with warnings.catch_warnings(action="ignore"):
        plain: dict[Any, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
        with matplotlib.rc_context(plain):
            yield


def _import_matplotlib() -> None:
    """Import Matplotlib even if MPLBACKEND names a backend that is not installed.

    Notebooks set it to their own backend for the commands that they start. Then the import of Matplotlib fails halfway
    and cannot be repeated.
    """
    if "matplotlib" in sys.modules:
        return
    name = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if name is not None:
            os.environ["MPLBACKEND"] = name
    if name:
        with contextlib.suppress(ValueError):  # it is not installed
            matplotlib.rcParams["backend"] = name
