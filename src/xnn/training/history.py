"""The rows that training records, one for each epoch."""

from typing import Any

from xnn.training.metrics import Metrics

Row = dict[str, Any]


class History(list[Row]):
    """A list with one dict for each epoch.

    Each has ``epoch`` (from 1), ``train_loss``, ``train_accuracy``, ``lr`` (of the epoch's last step), ``seconds``
    (spent on the training steps, but not on compiling kernels) and ``images_per_second``; and, where there is data to
    judge by, the loss and the accuracies on it under ``validation_`` (or the trainer's other `held_out` name).
    """

    def __repr__(self) -> str:
        if not self:
            return "History(no epochs)"
        last = ", ".join(f"{name} {_cell(value)}" for name, value in self[-1].items() if name != "epoch")
        return f"History({len(self):,} epoch{'s' * (len(self) != 1)}; the last: {last})"

    def column(self, name: str) -> list[Any]:
        """Return one value of each row, None where a row has none."""
        return [row.get(name) for row in self]

    def table(self) -> str:
        """Return the rows as a plain table with a header."""
        names = list(dict.fromkeys(name for row in self for name in row))
        cells = [[name.replace("_", " ") for name in names]]
        cells += [[_cell(row.get(name)) for name in names] for row in self]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
        )


def epoch_row(epoch: int, train: Metrics, held_out: Metrics | None, name: str, lr: float | None, seconds: float) -> Row:
    """Return the row of an epoch, counted from 1; `name` is that of the data it was judged on, if it was."""
    row: Row = {"epoch": epoch, "train_loss": train.loss, "train_accuracy": train.accuracy}
    if held_out is not None:
        row |= {f"{name}_loss": held_out.loss, f"{name}_accuracy": held_out.accuracy}
        if held_out.top5_accuracy is not None:
            row[f"{name}_top5_accuracy"] = held_out.top5_accuracy
    return row | {"lr": lr, "seconds": seconds, "images_per_second": train.images / seconds}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
