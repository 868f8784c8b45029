"""Compare the rounding errors of convolution by Winograd's algorithm and as a plain sum of products.

Usage: ``python -m benchmarks.winograd_error``. Both compute in float32; the reference computes the same in float64. An
error is the root mean square of the differences, and the largest of them, each relative to the root mean square of
the result.
"""

from typing import Any

import numpy as np

from xnn import functional as F
from xnn.functional.windows import windows
from xnn.kernels.numpy import direct, winograd

SHAPES = ((32, 16, 32), (32, 64, 64), (16, 128, 128), (8, 256, 256))


def main() -> None:
    """Print a Markdown table."""
    print("| image, channels | result | plain, rms | Winograd, rms | plain, largest | Winograd, largest |")
    print("|---|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    for side, inputs, outputs in SHAPES:
        x = generator.normal(size=(8, side, side, inputs)).astype(np.float32)
        weight = generator.normal(size=(3, 3, inputs, outputs)).astype(np.float32)
        dy = generator.normal(size=(8, side, side, outputs)).astype(np.float32)
        exact, pullback = F.conv2d(x.astype(float), weight.astype(float), None, 1, 1)
        expected = (exact, *pullback(dy.astype(float))[:2])
        geometry = windows("conv2d", (side, side), 3, 1, 1)
        found = []
        for way in (direct, winograd):
            y, pullback = way.conv2d(x, weight, None, geometry)
            found.append((y, *pullback(dy)[:2]))
        for name, exact, by_sums, by_winograd in zip(("y", "dx", "dweight"), expected, *found, strict=True):
            (rms, worst), (rms_w, worst_w) = (errors(a, exact) for a in (by_sums, by_winograd))
            shape = f"{side} x {side}, {inputs} to {outputs}"
            print(f"| {shape} | {name} | {rms:.1e} | {rms_w:.1e} | {worst:.1e} | {worst_w:.1e} |")


def errors(found: Any, exact: Any) -> tuple[float, float]:
    """Return the root mean square and the largest of the differences, relative to the result's root mean square."""
    differences = np.abs(found - exact)
    scale = np.sqrt(np.mean(exact**2))
    return float(np.sqrt(np.mean(differences**2)) / scale), float(np.max(differences) / scale)


if __name__ == "__main__":
    main()
