"""The rows that training records, one for each epoch, and one every so many steps."""

import importlib
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from xnn import _markup
from xnn.errors import to_install
from xnn.training.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Row(TypedDict):
    """What is recorded of an epoch; see `History`. The trainer's metrics and callbacks may add values of their own."""

    epoch: int
    train_loss: float
    train_accuracy: float | None
    test_loss: NotRequired[float | None]
    test_accuracy: NotRequired[float | None]
    test_top5_accuracy: NotRequired[float | None]
    validation_loss: NotRequired[float | None]
    validation_accuracy: NotRequired[float | None]
    validation_top5_accuracy: NotRequired[float | None]
    lr: float | None
    seconds: float
    images_per_second: float


class IntervalRow(TypedDict):
    """What is recorded every `log_every` steps; see `Callback.interval`."""

    epoch: int
    step: int
    passes: float
    minibatch_loss: float
    interval_loss: float
    lr: float | None
    loss_scale: NotRequired[float]
    skipped_steps: NotRequired[int]


class History(list[Row]):
    """A list with one dict for each epoch.

    Each has ``epoch`` (from 1), ``train_loss``, ``train_accuracy``, ``lr`` (of the epoch's last step), ``seconds``
    (spent on the training steps, but not on compiling kernels) and ``images_per_second`` (0 where no second was
    counted); and, where there is data to judge by, the loss, the accuracies and the trainer's `metrics` on it under
    ``validation_`` (or the trainer's other `held_out` name). A notebook shows it as curves.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> x, labels = [[0.0], [1.0]], [0, 1]
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.zeros).build((1,), backend="numpy")
    >>> history = training.Trainer(model, optim.SGD(model, lr=1.0)).fit((x, labels), epochs=3)
    >>> [round(loss, 3) for loss in history.column("train_loss")]
    [0.693, 0.584, 0.51]
    >>> history.best("train_loss")
    3
    """

    def __repr__(self) -> str:
        if not self:
            return "History(no epochs)"
        last = ", ".join(f"{name} {_cell(value)}" for name, value in self[-1].items() if name != "epoch")
        return f"History({len(self):,} epoch{'s' * (len(self) != 1)}; the last: {last})"

    def column(self, name: str) -> list[Any]:
        """Return one value of each row, None where a row has none."""
        return [row.get(name) for row in self]

    def best(self, name: str, *, rises: bool = False) -> int | None:
        """Return the epoch, from 1, that has the lowest value of a column, or the highest; None where none has one.

        Of equal ones the first; NaN is no value.
        """
        sign = -1.0 if rises else 1.0
        values = zip(self.column(name), self, strict=True)
        known = [(sign * value, row["epoch"]) for value, row in values if value is not None and not math.isnan(value)]
        return min(known)[1] if known else None

    def table(self) -> str:
        """Return the rows as a plain table with a header."""
        names = list(dict.fromkeys(name for row in self for name in row))
        cells = [[name.replace("_", " ") for name in names]]
        cells += [[_cell(row.get(name)) for name in names] for row in self]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
        )

    def plot(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        axes: "Axes | Sequence[Axes] | None" = None,
        label: str | None = None,
    ) -> "Sequence[Axes]":
        """Draw the curves with Matplotlib, and return the axes.

        Parameters
        ----------
        metrics
            What to draw, each in axes of its own, or the name of one: ``"loss"`` stands for the losses of all data
            sets; so do ``"accuracy"``, ``"top5_accuracy"`` and the trainer's own metrics, such as ``"f1"``. A column's
            name, such as ``"lr"``, stands for itself. By default the loss and, where there is one, the accuracy.
        axes
            Those that an earlier call returned, or others of your own, to draw several histories over one another.
        label
            What the legend calls this history. With a label each history has its own colour, and training is dashed.

        Returns
        -------
        sequence of Axes
            One for each metric; ``axes[0].figure`` is the figure.

        Raises
        ------
        ValueError
            There are no epochs, no such metric, or not as many axes as metrics.

        Examples
        --------
        >>> import matplotlib
        >>> matplotlib.use("agg")  # only where there is no screen
        >>> from xnn.training import History
        >>> fast = History([{"epoch": 1, "train_loss": 0.9}, {"epoch": 2, "train_loss": 0.2}])
        >>> slow = History([{"epoch": 1, "train_loss": 0.9}, {"epoch": 2, "train_loss": 0.7}])
        >>> axes = fast.plot(label="lr 0.1")
        >>> axes = slow.plot(axes=axes, label="lr 0.01")
        >>> len(axes)
        1
        """
        from xnn.training import plotting

        return plotting.plot(self, metrics, axes, label)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each epoch, by its number, and NaN where there is no value.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.

        Examples
        --------
        >>> from xnn.training import History
        >>> rows = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25, "test_loss": 0.75}]
        >>> frame = History(rows).to_pandas()
        >>> float(frame["train_loss"].min())
        0.25
        """
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"to_pandas needs pandas, which is not installed: {to_install('pandas')}", name=error.name
            ) from error
        names = dict.fromkeys(["epoch", *(name for row in self for name in row)])
        frame = pandas.DataFrame({name: self.column(name) for name in names})
        # What has no value at all would be of objects.
        empty = {name: float for name in names if name != "epoch" and frame[name].isna().all()}
        return frame.astype({"epoch": int} | empty).set_index("epoch")

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the curves."""
        if not self:
            return str(_markup.paragraph(self))
        from xnn.data.png import as_uri
        from xnn.training import plotting

        last = "; ".join(f"{name.replace('_', ' ')} {_cell(value)}" for name, value in self[-1].items())
        curves = _markup.image(as_uri(plotting.picture(self)), f"Curves of {len(self)} epochs", width=plotting.WIDTH)
        return str(_markup.paragraph(f"The last row: {last}") + curves)


def judged_on(rows: Iterable[Row]) -> str:
    """Return ``validation`` if the epochs of a run were judged on such images, else ``test``."""
    return "validation" if any(row.get("validation_loss") is not None for row in rows) else "test"


def is_judged(epoch: int, every: int, last: int) -> bool:
    """Return whether held-out data is evaluated after an epoch, counted from 1: each `every`-th one, and the last."""
    return epoch % every == 0 or epoch == last


def epoch_row(epoch: int, train: Metrics, held_out: Metrics | None, name: str, lr: float | None, seconds: float) -> Row:
    """Return the row of an epoch, counted from 1; `name` is that of the held-out data, if there is any."""
    row: dict[str, Any] = {"epoch": epoch, "train_loss": train.loss, "train_accuracy": train.accuracy}
    if held_out is not None:
        row |= {f"{name}_loss": held_out.loss, f"{name}_accuracy": held_out.accuracy}
        if held_out.top5_accuracy is not None:
            row[f"{name}_top5_accuracy"] = held_out.top5_accuracy
        row |= {f"{name}_{metric}": value for metric, value in held_out.values.items()}
    # An epoch may pass while another thread compiles, and no time is counted.
    row |= {"lr": lr, "seconds": seconds, "images_per_second": train.images / seconds if seconds else 0.0}
    return cast(Row, row)  # the names of some columns are the caller's


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
