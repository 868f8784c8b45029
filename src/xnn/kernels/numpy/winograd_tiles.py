"""The tiles of Winograd's F(4x4, 3x3) and F(8x8, 3x3), and how all of their linear maps are laid out.

For a 4 x 4 tile y of outputs and the 6 x 6 tile x of inputs that it sees (A. Lavin, S. Gray, "Fast algorithms for
convolutional neural networks", 2015)::

    y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A

`winograd_inputs`, `winograd_outputs` and `winograd_weights` have the maps and their adjoints, compiled by Numba, and
`winograd_eight` those of the larger tiles; the first two take one over all tiles of one image. Images come padded: with
a margin, rounded up to whole tiles, and with channels rounded up to whole vectors, so that no tile is an exception. The
transformed tiles lie in planes, one for each position inside a tile, of one row a tile, in an order that the caller
gives; those of the adjoint of outputs in panels, as a right matrix of `products` does.

A tile may have three outputs along an axis in place of four, and five positions in place of six: F(3x3, 3x3), by the
same maps. The tile after it begins three pixels on, and writes over what would be the fourth. A tile of eight may have
seven likewise, and nine positions in place of ten.
"""

from typing import Any, NamedTuple

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.simd import load, store


class Tiling(NamedTuple):
    """How an image is cut into tiles.

    Attributes
    ----------
    height, width, inputs : of the image
    top, left : its margin
    out_height, out_width, outputs : of the result
    rows, columns : of tiles
    whole_rows, whole_columns : the first of them, which have four outputs; the others have three
    wide_inputs, wide_outputs : channels, rounded up to whole vectors, and to whole panels of `products`
    size : outputs of a whole tile along an axis, 4 or 8
    """

    height: int
    width: int
    inputs: int
    top: int
    left: int
    out_height: int
    out_width: int
    outputs: int
    rows: int
    columns: int
    whole_rows: int
    whole_columns: int
    wide_inputs: int
    wide_outputs: int
    size: int


@compiled
def positions(size: int) -> int:
    """Positions inside a transformed tile of `size` x `size` outputs: planes."""
    return (size + 2) ** 2


def tiles_along(length: int, size: int) -> tuple[int, int]:
    """Return the tiles along an axis, and how many of them are whole, with the fewest positions in all."""

    def others(whole: int) -> int:
        return max(-(-(length - size * whole) // (size - 1)), 0)

    most = -(-length // size)
    whole = min(range(most, -1, -1), key=lambda whole: positions_along(whole + others(whole), whole, size))
    return whole + others(whole), whole


def positions_along(tiles: int, whole: int, size: int) -> int:
    """Return the positions of all tiles along an axis."""
    return (size + 1) * tiles + whole


@inlined
def begin(tile: int, whole: int, size: int) -> int:
    """Return the first pixel of a tile along an axis, where the first `whole` ones have `size` outputs."""
    return size * tile - max(tile - whole, 0)


@inlined
def place(tile: int, t: Tiling, line: int, channels: int) -> Any:
    """Return where a tile begins in the image of all, and whether it has `size` rows of outputs, and columns."""
    row, column = tile // t.columns, tile % t.columns
    corner = begin(row, t.whole_rows, t.size) * line + begin(column, t.whole_columns, t.size) * channels
    return corner, row < t.whole_rows, column < t.whole_columns


@inlined
def covered(t: Tiling, size: int) -> Any:
    """Return the rows and columns that all tiles take up, each of so many pixels."""
    return begin(t.rows - 1, t.whole_rows, t.size) + size, begin(t.columns - 1, t.whole_columns, t.size) + size


@inlined
def load6(planes: Any, at: int, step: int) -> Any:
    """Return six vectors, `step` numbers apart."""
    a, b, c = load(planes, at), load(planes, at + step), load(planes, at + 2 * step)
    d, e, f = load(planes, at + 3 * step), load(planes, at + 4 * step), load(planes, at + 5 * step)
    return a, b, c, d, e, f


@inlined
def store6(planes: Any, to: int, stride: int, values: Any) -> None:
    """Write six vectors, `stride` numbers apart."""
    store(planes, to, values[0])
    store(planes, to + stride, values[1])
    store(planes, to + 2 * stride, values[2])
    store(planes, to + 3 * stride, values[3])
    store(planes, to + 4 * stride, values[4])
    store(planes, to + 5 * stride, values[5])
