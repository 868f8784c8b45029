"""The tiles of Winograd's F(4x4, 3x3) and F(8x8, 3x3), and the layout that all of their linear maps use.

For a 4 x 4 tile y of outputs and the 6 x 6 tile x of inputs that it sees (A. Lavin, S. Gray, "Fast algorithms for
convolutional neural networks", 2015)::

    y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A

`winograd_inputs`, `winograd_outputs` and `winograd_weights` have the maps and their adjoints, compiled by Numba, and
`winograd_eight` has those of the larger tiles; the first two apply a map to all tiles of an image. Images are padded:
with a margin, rounded up to whole tiles, and with channels rounded up to whole vectors, so that no tile is an
exception. The transformed tiles lie in planes, one for each position inside a tile, with one row per tile, in an order
that the caller gives; for the adjoint of outputs the planes are in panels, like a right matrix of `products`.

A tile may have three outputs along an axis instead of four, and five positions instead of six: F(3x3, 3x3), with the
same maps. The next tile begins three pixels later and overwrites what would be the fourth. In the same way, a tile of
eight may have seven outputs, and nine positions instead of ten.
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
    whole_rows, whole_columns : how many of them, the first ones, have `size` outputs; the others have one fewer
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
    """Return the number of positions inside a transformed tile of `size` x `size` outputs, that is, of planes."""
    return (size + 2) ** 2


def tiles_along(length: int, size: int) -> tuple[int, int]:
    """Return how many tiles to use along an axis, and how many of them whole, for the fewest positions in all."""

    def others(whole: int) -> int:
        return max(-(-(length - size * whole) // (size - 1)), 0)

    most = -(-length // size)
    whole = min(range(most, -1, -1), key=lambda whole: positions_along(whole + others(whole), whole, size))
    return whole + others(whole), whole


def positions_along(tiles: int, whole: int, size: int) -> int:
    """Return the number of positions in all tiles along an axis."""
    return (size + 1) * tiles + whole


@inlined
def begin(tile: int, whole: int, size: int) -> int:
    """Return the first pixel of a tile along an axis; the first `whole` tiles have `size` outputs."""
    return size * tile - max(tile - whole, 0)


@inlined
def place(tile: int, t: Tiling, line: int, channels: int) -> Any:
    """Return where a tile begins in the image of all tiles, and whether it has `size` rows and columns of outputs."""
    row, column = tile // t.columns, tile % t.columns
    corner = begin(row, t.whole_rows, t.size) * line + begin(column, t.whole_columns, t.size) * channels
    return corner, row < t.whole_rows, column < t.whole_columns


@inlined
def covered(t: Tiling, size: int) -> Any:
    """Return how many rows and columns all tiles take up if each has `size` pixels along an axis."""
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
