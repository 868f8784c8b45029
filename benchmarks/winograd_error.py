"""Compare the rounding errors of convolution by Winograd's algorithm and as a plain sum of products.

Usage: ``python -m benchmarks.winograd_error``. All compute in float32; the reference computes the same in float64. An
error is the root mean square of the differences, or the largest of them, relative to the root mean square of the
result. Winograd's algorithm has tiles of four outputs along an axis, or of eight, as ``--precision tf32`` allows; TF32
itself is the plain sum in float64 of factors that are rounded to ten bits after the point.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from xnn import functional as F
from xnn.functional.windows import windows
from xnn.kernels.numpy import direct, winograd

SHAPES = ((32, 16, 32), (32, 64, 64), (16, 128, 128), (8, 256, 256))


def main() -> None:
    """Print two Markdown tables."""
    rows = list(measured())
    for kind, title in enumerate(("Root mean square", "Largest")):
        print(f"{title}\n")
        print("| image, channels | result | plain | Winograd | Winograd, tiles of eight | TF32 |")
        print("|---|---|---|---|---|---|")
        for shape, name, found in rows:
            print(f"| {shape} | {name} | {' | '.join(f'{error[kind]:.1e}' for error in found)} |")
        print()


def measured() -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
    """Yield the errors of each way, for each shape and result."""
    generator = np.random.default_rng(0)
    for side, inputs, outputs in SHAPES:
        x = generator.normal(size=(8, side, side, inputs)).astype(np.float32)
        weight = generator.normal(size=(3, 3, inputs, outputs)).astype(np.float32)
        dy = generator.normal(size=(8, side, side, outputs)).astype(np.float32)
        geometry = windows("conv2d", (side, side), 3, 1, 1)
        plain = partial(F.conv2d, bias=None, stride=1, padding=1)
        ways = [
            partial(way, bias=None, windows=geometry)
            for way in (direct.conv2d, winograd.conv2d, partial(winograd.conv2d, large=True))
        ]
        expected = results(plain, *(a.astype(float) for a in (x, weight, dy)))
        found = [results(way, x, weight, dy) for way in ways]
        found.append(results(plain, *(as_tf32(a).astype(float) for a in (x, weight, dy))))
        for name, exact, *by_way in zip(("y", "dx", "dweight"), expected, *found, strict=True):
            yield f"{side} x {side}, {inputs} to {outputs}", name, [errors(result, exact) for result in by_way]


def results(conv2d: Callable[..., Any], x: Any, weight: Any, dy: Any) -> tuple[Any, ...]:
    """Return y, dx and dweight."""
    y, pullback = conv2d(x, weight)
    return (y, *pullback(dy)[:2])


def as_tf32(x: Any) -> Any:
    """Return float32 numbers rounded to ten bits after the point."""
    return ((x.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)


def errors(found: Any, exact: Any) -> tuple[float, float]:
    """Return the root mean square and the largest of the differences, relative to the result's root mean square."""
    differences = np.abs(found - exact)
    scale = np.sqrt(np.mean(exact**2))
    return float(np.sqrt(np.mean(differences**2)) / scale), float(np.max(differences) / scale)


if __name__ == "__main__":
    main()
