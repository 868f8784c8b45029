"""Measure the basis of the convolution's choices: which algorithm suits a geometry, and how long blocks should be.

Usage: ``python -m benchmarks.geometry [--threads N] [--repeats N] [--seconds S] [--only TEXT] [--json FILE]``.
Prints Markdown tables for forward and both gradients together. In the first two tables a cell is the time of the plain
sum of products divided by that of Winograd's algorithm, the median of paired ratios; it is bold if the rule in
`xnn.kernels.numpy.conv` takes Winograd's, so the rule is right if exactly the bold cells are above 1. In the others a
cell is the median of milliseconds for the geometry in its row with the setting in its column; the chosen setting is
marked, and the fastest cell of a row is bold. The last two tables compare pooling along with Winograd's convolution and
after it, and the larger tiles that ``--precision tf32`` allows. ``--only`` selects rows by text in ``TABLE: ROW``.
"""

import contextlib
import functools
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.table import (
    circumstances,
    milliseconds,
    options,
    print_circumstances,
    print_heading,
    print_row,
    write,
)

_BATCH = 32


class Convolution(NamedTuple):
    """Square images and windows; inputs and outputs are channels."""

    images: int
    side: int
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    groups: int = 1

    def __str__(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        size = f"{self.images} x {self.side} x {self.side}, {self.inputs} to {self.outputs}"
        return f"{self.kernel} x {self.kernel}, {size}{stride}{groups}"


class Setting(NamedTuple):
    """A constant of a module, the values to try besides the chosen one, and their meaning."""

    title: str
    module: Any
    name: str
    values: tuple[int, ...]

    @property
    def chosen(self) -> int:
        """The value that the module has."""
        value: int = getattr(self.module, self.name)
        return value


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = options(__doc__, repeats=5, seconds=0.03)

    import xnn
    from xnn import kernels
    from xnn.kernels.numpy import conv, direct, grouped, winograd

    # The rule is asked as if Winograd's algorithm were allowed.
    os.environ.pop(conv.WINOGRAD_VARIABLE, None)
    about = circumstances(arguments)
    print_circumstances(about)
    runner = Runner(arguments.repeats, arguments.seconds, arguments.only)
    channels, sides, tiles = (8, 16, 24, 32, 64, 256), (4, 7, 8, 16, 32), (1, 2, 4, 8, 16, 32, 64)
    # As in a training loop.
    with kernels.Computing(xnn.backend("numpy", twins=True), "float32", "float32", {"conv2d"}).entered():
        runner.crossing(
            f"Winograd by channels and side of the image, {_BATCH} images; rule: channels >= {conv._WINOGRAD_CHANNELS}",
            {f"{c} to {c}": [Convolution(_BATCH, side, c, c) for side in sides] for c in channels},
            [f"{side} x {side}" for side in sides],
        )
        runner.crossing(
            f"Winograd by channels and tiles of 4 x 4 pixels in the batch; rule: tiles >= {conv._WINOGRAD_TILES}",
            {f"{c} to {c}": [Convolution(count, 4, c, c) for count in tiles] for c in (16, 64, 256)},
            [str(count) for count in tiles],
        )
        # Several images are taken together only if they have fewer pixels than a block.
        small = [Convolution(_BATCH, side, c, c) for side in (4, 7, 14) for c in (8, 64)]
        strided = [Convolution(_BATCH, 32, 32, 64, stride=2), Convolution(_BATCH, 32, 32, 64, 1, 2, 0)]
        runner.settings(
            Setting("Direct, pixels a block", direct, "_BLOCK_PIXELS", (64, 128, 256, 512, 1024)),
            [*small, Convolution(128, 14, 6, 16, 5, padding=0), *strided],
            by_plain_sum,
        )
        # Enough images that each thread has several blocks of the most tiles.
        many = 64 * arguments.threads
        runner.settings(
            Setting("Winograd, numbers of a block in a plane", winograd, "_PLANE", (2**12, 2**13, 2**14, 2**15, 2**16)),
            [Convolution(many, 16, 64, 64), Convolution(many, 16, 64, 256), Convolution(many, 8, 64, 64)],
            by_winograd,
        )
        runner.settings(
            Setting("Winograd, weights for each tile of a block", winograd, "_WEIGHTS", (2**7, 2**8, 2**9, 2**10)),
            [Convolution(many, 8, 128, 256), Convolution(many, 8, 256, 256)],
            by_winograd,
        )
        widths = ((2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (4, 16))
        runner.settings(
            # With 1, each group is computed on its own.
            Setting("Groups, channels taken together", grouped, "_CHANNELS", (1, 8, 16, 32, 64)),
            [Convolution(_BATCH, 16, 64, 64 // i * o, groups=64 // i) for i, o in widths],
            by_groups,
        )
        # Layers of the speed net, and of cnn.
        layers = ((31, 24, 64), (15, 64, 256), (7, 256, 256), (16, 64, 128), (8, 128, 256))
        layers_of_many = [Convolution(8 * _BATCH, *layer) for layer in layers]
        runner.comparison("Pooling along with Winograd", ("after it, ms", "along with it, ms"), layers_of_many, pooled)
        runner.comparison(
            "Winograd's tiles",
            ("of four, ms", "of eight, ms"),
            [*layers_of_many, Convolution(8 * _BATCH, 15, 64, 64)],
            tiled,
        )
    write(arguments.json, about, runner.figures)


class Runner:
    """Measures and prints tables, and keeps their figures."""

    def __init__(self, repeats: int, seconds: float, only: str) -> None:
        self.repeats, self.seconds, self.only = repeats, seconds, only
        self.figures: list[dict[str, Any]] = []

    def crossing(self, title: str, rows: dict[str, list[Convolution]], columns: Sequence[str]) -> None:
        """Print where Winograd's algorithm beats the plain sum, and where the rule takes it."""
        from benchmarks.timing import median_ratio

        for row in self._chosen(title, list(rows), ["channels", *columns]):
            cells = [row]
            for column, convolution in zip(columns, rows[row], strict=True):
                times = self._time({"direct": by_plain_sum(convolution), "winograd": by_winograd(convolution)})
                ratio, taken = median_ratio(times["direct"], times["winograd"]), takes_winograd(convolution)
                cells.append(f"**{ratio:.2f}**" if taken else f"{ratio:.2f}")
                self._keep(title, row, column, times, chosen="winograd" if taken else "direct", ratio=round(ratio, 3))
            print_row(cells)

    def settings(
        self, setting: Setting, convolutions: list[Convolution], way: Callable[[Convolution], Callable[[], object]]
    ) -> None:
        """Print how long convolutions take with each value of a setting."""
        values = sorted({*setting.values, setting.chosen})
        names = {value: f"{value} (chosen)" if value == setting.chosen else str(value) for value in values}
        title = f"{setting.title} (`{setting.module.__name__}.{setting.name}`), ms"
        by_name = {str(convolution): convolution for convolution in convolutions}
        for row in self._chosen(title, list(by_name), ["convolution", *names.values()]):
            call = way(by_name[row])
            times = self._time({str(value): with_value(setting, value, call) for value in values})
            medians = [statistics.median(times[str(value)]) for value in values]
            cells = [f"**{milliseconds(m)}**" if m == min(medians) else milliseconds(m) for m in medians]
            print_row([row, *cells])
            self._keep(title, row, setting.name, times, chosen=setting.chosen)

    def comparison(
        self,
        title: str,
        columns: tuple[str, str],
        convolutions: list[Convolution],
        way: Callable[[Convolution, bool], Callable[[], object]],
    ) -> None:
        """Print how long convolutions take with each of two ways."""
        from benchmarks.timing import median_ratio

        by_name = {str(convolution): convolution for convolution in convolutions}
        for row in self._chosen(title, list(by_name), ["convolution", *columns, "ratio"]):
            times = self._time({column: way(by_name[row], column is columns[1]) for column in columns})
            ratio = median_ratio(*(times[column] for column in columns))
            print_row([row, *(milliseconds(statistics.median(times[column])) for column in columns), f"{ratio:.2f}"])
            self._keep(title, row, columns[1], times, ratio=round(ratio, 3))

    def _chosen(self, title: str, rows: list[str], columns: Sequence[str]) -> Iterator[str]:
        """Print the table's head if any of its rows are selected, and yield those rows."""
        asked = [row for row in rows if self.only in f"{title}: {row}"]
        if asked:
            print(f"\n{title}\n")
            print_heading(columns)
        yield from asked

    def _time(self, calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
        from benchmarks.timing import alternate

        return alternate(calls, self.repeats, self.seconds)

    def _keep(self, table: str, row: str, column: str, times: dict[str, list[float]], **more: Any) -> None:
        medians = {name: milliseconds(statistics.median(some)) for name, some in times.items()}
        self.figures.append({"table": table, "row": row, "column": column, "ms": medians, **more})


def by_plain_sum(convolution: Convolution) -> Callable[[], object]:
    """Return forward and both gradients by `direct`."""
    from xnn.kernels.numpy import direct

    geometry = _windows(convolution)
    return _both_directions(convolution, lambda x, weight: direct.conv2d(x, weight, None, geometry))


def by_winograd(convolution: Convolution) -> Callable[[], object]:
    """Return forward and both gradients by `winograd`."""
    from xnn.kernels.numpy import winograd

    geometry = _windows(convolution)
    return _both_directions(convolution, lambda x, weight: winograd.conv2d(x, weight, None, geometry))


def pooled(convolution: Convolution, along: bool) -> Callable[[], object]:
    """Return forward and both gradients of convolution and pooling, in one call or in two."""
    from xnn.kernels.numpy import winograd
    from xnn.kernels.numpy.pooling import max_pool2d

    geometry, window = _windows(convolution), (2, 2)
    if along:
        return _both_directions(convolution, lambda x, weight: winograd.conv2d(x, weight, None, geometry, window), 2)

    def one_after_the_other(x: Any, weight: Any) -> Any:
        z, inner = winograd.conv2d(x, weight, None, geometry)
        y, outer = max_pool2d(z, window)
        return y, lambda dy, *needs: inner(outer(dy), *needs)

    return _both_directions(convolution, one_after_the_other, 2)


def tiled(convolution: Convolution, large: bool) -> Callable[[], object]:
    """Return forward and both gradients with tiles of four outputs along an axis, or of eight."""
    from xnn.kernels.numpy import winograd

    geometry = _windows(convolution)
    return _both_directions(convolution, lambda x, weight: winograd.conv2d(x, weight, None, geometry, large=large))


def by_groups(convolution: Convolution) -> Callable[[], object]:
    """Return forward and both gradients as the twin computes them."""
    from xnn.kernels.numpy import conv

    settings = {"stride": convolution.stride, "padding": convolution.padding, "groups": convolution.groups}
    return _both_directions(convolution, lambda x, weight: conv.conv2d(x, weight, **settings))


def takes_winograd(convolution: Convolution) -> bool:
    """Whether the twin takes Winograd's algorithm."""
    from xnn.kernels.numpy import conv

    return conv.suits_winograd(_windows(convolution), convolution.images, convolution.inputs, convolution.outputs)


def _windows(c: Convolution) -> Any:
    from xnn.functional.windows import windows

    return windows("conv2d", (c.side, c.side), c.kernel, c.stride, c.padding)


def _both_directions(c: Convolution, function: Callable[[Any, Any], Any], pool: int = 1) -> Callable[[], object]:
    """Return a call of (y, pullback) = function(x, weight) and then of the pullback, for random numbers."""
    import numpy as np

    generator = np.random.default_rng(0)
    shapes = (
        (c.images, c.side, c.side, c.inputs),
        (c.kernel, c.kernel, c.inputs // c.groups, c.outputs),
        (c.images, *(length // pool for length in _windows(c).output), c.outputs),
    )
    x, weight, dy = (generator.normal(size=shape).astype(np.float32) for shape in shapes)
    return lambda: function(x, weight)[1](dy)


def with_value(setting: Setting, value: int, call: Callable[[], object]) -> Callable[[], object]:
    """Return the call with another value of a setting, and with separate caches if the module has any."""
    caches = {
        name: functools.lru_cache(function.__wrapped__)
        for name, function in vars(setting.module).items()
        if hasattr(function, "cache_clear") and function.__module__ == setting.module.__name__
    }

    def with_it() -> object:
        with patched(setting.module, **{setting.name: value}, **caches):
            return call()

    return with_it


@contextlib.contextmanager
def patched(module: Any, **values: Any) -> Iterator[None]:
    """Give a module other values for the duration of the context."""
    before = {name: getattr(module, name) for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)


if __name__ == "__main__":
    main()
