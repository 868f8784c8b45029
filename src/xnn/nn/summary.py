"""A table of a model's layers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xnn import _markup
from xnn._typing import Shape

if TYPE_CHECKING:
    from xnn.nn.layer import Layer


@dataclass(frozen=True)
class SummaryRow:
    """One layer that contains no others.

    Attributes
    ----------
    name : str
        As in the names of its parameters.
    layer : str
        Its class.
    output_shape : tuple of int
        Without the batch axis.
    parameters : int
        How many numbers, frozen ones included.
    flops : int
        Of the products for one image in the forward pass; a multiplication and an addition count as two.

    Examples
    --------
    >>> from xnn import nn
    >>> (row,) = nn.Conv2d(16, 3).build((32, 32, 3), backend="numpy").summary().rows
    >>> row.output_shape, row.parameters, row.flops
    ((30, 30, 16), 448, 777600)
    """

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """The rows of a model's table; ``str(summary)`` is the table, and a notebook shows it as one of its own.

    Attributes
    ----------
    input_shape : tuple of int
    rows : tuple of SummaryRow
    trainable : int
        How many of the parameters are trained.

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy")
    >>> print(model.summary())
    layer           output     parameters  FLOPs
    --------------------------------------------
    input           8 x 8 x 1
    0      Flatten  64                  0      0
    1      Linear   10                650  1,280
    --------------------------------------------
    total                             650  1,280
    """

    input_shape: Shape
    rows: tuple[SummaryRow, ...]
    trainable: int

    @property
    def parameters(self) -> int:
        """Numbers in all parameters, frozen ones included."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating-point operations of the products for one image in the forward pass."""
        return sum(row.flops for row in self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        """Return the table's texts: a header, the input, the layers, the total."""
        cells = [("layer", "", "output", "parameters", "FLOPs"), ("input", "", _shape(self.input_shape), "", "")]
        cells += [
            (row.name, row.layer, _shape(row.output_shape), f"{row.parameters:,}", f"{row.flops:,}")
            for row in self.rows
        ]
        return [*cells, ("total", "", "", f"{self.parameters:,}", f"{self.flops:,}")]

    def _note(self) -> str:
        frozen = self.parameters - self.trainable
        return f" ({frozen:,} frozen)" if frozen else ""

    def _repr_html_(self) -> str:
        header, *rows = self._cells()
        made = _markup.table(header, rows, right=(3, 4))
        return str(made + _markup.paragraph(self._note().strip())) if self._note() else str(made)

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        lines = [
            "  ".join(
                text.ljust(width) if column < 3 else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        rule = "-" * max(len(line) for line in lines)
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1] + self._note()])


def summarize(model: "Layer", layers: "Mapping[str, Layer]") -> Summary:
    """Return the summary of a built model, given its layers by name."""
    rows = tuple(
        SummaryRow(
            name or "model",
            type(layer).__name__,
            layer.output_shape,
            sum(math.prod(parameter.shape) for parameter in layer._parameters.values()),
            layer.flops(),
        )
        for name, layer in layers.items()
        if not layer._children
    )
    trainable = sum(segment.stop - segment.start for segment in model.segments())
    return Summary(model.input_shape, rows, trainable)


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "one number"
