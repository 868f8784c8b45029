"""The networks that are timed, each written once for xnn and once for PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """One network for both libraries.

    Attributes
    ----------
    input_shape : (h, w, c)
    classes : int
    batches : batch sizes to time
    xnn, torch : callables that make the network; torch's takes images (n, c, h, w)
    """

    input_shape: Shape
    classes: int
    batches: tuple[int, ...]
    xnn: Callable[[], nn.Layer]
    torch: Callable[[], Any]


def _mlp(side: int, channels: int, hidden: int, classes: int, batches: tuple[int, ...]) -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        inputs = side * side * channels
        return tnn.Sequential(tnn.Flatten(), tnn.Linear(inputs, hidden), tnn.ReLU(), tnn.Linear(hidden, classes))

    def make_xnn() -> nn.Layer:
        return nn.Sequential(nn.Flatten(), nn.Linear(hidden), nn.ReLU(), nn.Linear(classes))

    return Network((side, side, channels), classes, batches, make_xnn, make_torch)


def _conv_pool_dense() -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        return tnn.Sequential(
            *(tnn.Conv2d(1, 32, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2)),
            *(tnn.Conv2d(32, 64, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2)),
            *(tnn.Flatten(), tnn.Linear(7 * 7 * 64, 10)),
        )

    def make_xnn() -> nn.Layer:
        return nn.Sequential(
            *(nn.Conv2d(32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(10)),
        )

    return Network((28, 28, 1), 10, (128,), make_xnn, make_torch)


def _lenet5() -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        return tnn.Sequential(
            *(tnn.Conv2d(1, 6, 5, padding=2), tnn.Tanh(), tnn.AvgPool2d(2)),
            *(tnn.Conv2d(6, 16, 5), tnn.Tanh(), tnn.AvgPool2d(2)),
            *(tnn.Flatten(), tnn.Linear(400, 120), tnn.Tanh(), tnn.Linear(120, 84), tnn.Tanh()),
            tnn.Linear(84, 10),
        )

    def make_xnn() -> nn.Layer:
        return nn.Sequential(
            *(nn.Conv2d(6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(16, 5), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(120), nn.Tanh(), nn.Linear(84), nn.Tanh()),
            nn.Linear(10),
        )

    return Network((28, 28, 1), 10, (128,), make_xnn, make_torch)


def _conv_norm() -> Network:
    widths = (32, 64, 128)

    def make_torch() -> Any:
        from torch import nn as tnn

        layers, inputs = [], 3
        for width in widths:
            layers += [tnn.Conv2d(inputs, width, 3, padding=1, bias=False), tnn.BatchNorm2d(width)]
            layers += [tnn.ReLU(), tnn.MaxPool2d(2)]
            inputs = width
        return tnn.Sequential(*layers, tnn.Flatten(), tnn.Linear(4 * 4 * widths[-1], 10))

    def make_xnn() -> nn.Layer:
        layers: list[nn.Layer] = []
        for width in widths:
            layers += [nn.Conv2d(width, 3, padding=1, bias=False), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(10))

    return Network((32, 32, 3), 10, (128,), make_xnn, make_torch)


NETWORKS = {
    "mlp 784-128-10": _mlp(28, 1, 128, 10, (1, 128, 512)),
    "mlp 3072-256-10": _mlp(32, 3, 256, 10, (1, 128)),
    "mlp 3072-1024-100": _mlp(32, 3, 1024, 100, (1, 128)),
    "conv32-pool-conv64-pool-dense": _conv_pool_dense(),
    "LeNet-5": _lenet5(),
    "conv-norm 32-64-128": _conv_norm(),
}
