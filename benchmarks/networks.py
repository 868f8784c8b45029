"""The networks that are timed, each written once for xnn and once for PyTorch.

JAX and Keras get their networks from xnn's layers (`benchmarks.peers_jax`, `benchmarks.peers_keras`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn import nn
from xnn.recipes import network
from xnn.tasks import Task

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """One network for all libraries.

    Attributes
    ----------
    input_shape : (h, w, c)
    classes : int
    batches : batch sizes to time training steps with
    xnn, torch : callables that make the network; torch's takes images (n, c, h, w)
    inference_batches : batch sizes to time inference with
    hidden : widths of the hidden layers if the network consists of affine layers with ReLU between them, else empty
    """

    input_shape: Shape
    classes: int
    batches: tuple[int, ...]
    xnn: Callable[[], nn.Layer]
    torch: Callable[[], Any]
    inference_batches: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


def _mlp(side: int, channels: int, hidden: int, classes: int, batches: tuple[int, ...]) -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        inputs = side * side * channels
        return tnn.Sequential(tnn.Flatten(), tnn.Linear(inputs, hidden), tnn.ReLU(), tnn.Linear(hidden, classes))

    def make_xnn() -> nn.Layer:
        return nn.Sequential(nn.Flatten(), nn.Linear(hidden), nn.ReLU(), nn.Linear(classes))

    return Network((side, side, channels), classes, batches, make_xnn, make_torch, hidden=(hidden,))


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


def _speed() -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        def norm(width: int) -> Any:
            # xnn's has no scale; PyTorch's always has one, so it is not trained.
            layer = tnn.BatchNorm2d(width)
            layer.weight.requires_grad_(False)
            return layer

        first = tnn.Conv2d(3, 24, 2).requires_grad_(False)
        layers: list[Any] = [first, tnn.GELU()]
        inputs = 24
        for width in (64, 256, 256):
            layers += [tnn.Conv2d(inputs, width, 3, padding=1, bias=False), tnn.MaxPool2d(2)]
            layers += [norm(width), tnn.GELU()]
            layers += [tnn.Conv2d(width, width, 3, padding=1, bias=False), norm(width), tnn.GELU()]
            inputs = width
        return tnn.Sequential(*layers, tnn.MaxPool2d(3), tnn.Flatten(), tnn.Linear(256, 10, bias=False))

    def make_xnn() -> nn.Layer:
        return network("speed", Task("cifar10", (32, 32, 3), 10, 50_000))

    return Network((32, 32, 3), 10, (100, 500), make_xnn, make_torch, inference_batches=(1, 256))


def _residual() -> Network:
    def make_torch() -> Any:
        from torch import nn as tnn

        class Block(tnn.Module):
            def __init__(self, inputs: int, width: int, stride: int) -> None:
                super().__init__()
                self.body = tnn.Sequential(
                    *(tnn.Conv2d(inputs, width, 3, stride, 1, bias=False), tnn.BatchNorm2d(width), tnn.ReLU()),
                    *(tnn.Conv2d(width, width, 3, 1, 1, bias=False), tnn.BatchNorm2d(width)),
                )
                self.shortcut: Any = tnn.Identity()
                if stride != 1 or inputs != width:
                    self.shortcut = tnn.Sequential(
                        tnn.Conv2d(inputs, width, 1, stride, bias=False), tnn.BatchNorm2d(width)
                    )
                self.activation = tnn.ReLU()

            def forward(self, x: Any) -> Any:
                return self.activation(self.body(x) + self.shortcut(x))

        stem = [tnn.Conv2d(3, 32, 3, padding=1, bias=False), tnn.BatchNorm2d(32), tnn.ReLU()]
        blocks = [Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2)]
        return tnn.Sequential(*stem, *blocks, tnn.AdaptiveAvgPool2d(1), tnn.Flatten(), tnn.Linear(128, 10))

    def block(inputs: int, width: int, stride: int) -> list[nn.Layer]:
        body = nn.Sequential(
            *(nn.Conv2d(width, 3, stride, 1, bias=False), nn.BatchNorm(), nn.ReLU()),
            *(nn.Conv2d(width, 3, 1, 1, bias=False), nn.BatchNorm()),
        )
        shortcut = None
        if stride != 1 or inputs != width:
            shortcut = nn.Sequential(nn.Conv2d(width, 1, stride, bias=False), nn.BatchNorm())
        return [nn.Residual(body, shortcut), nn.ReLU()]

    def make_xnn() -> nn.Layer:
        stem = [nn.Conv2d(32, 3, padding=1, bias=False), nn.BatchNorm(), nn.ReLU()]
        blocks = [*block(32, 32, 1), *block(32, 64, 2), *block(64, 128, 2)]
        return nn.Sequential(*stem, *blocks, nn.GlobalAvgPool2d(), nn.Linear(10))

    return Network((32, 32, 3), 10, (128,), make_xnn, make_torch)


NETWORKS = {
    "mlp 784-128-10": _mlp(28, 1, 128, 10, (1, 128, 512)),
    "mlp 3072-256-10": _mlp(32, 3, 256, 10, (1, 128)),
    "mlp 3072-1024-100": _mlp(32, 3, 1024, 100, (1, 128)),
    "conv32-pool-conv64-pool-dense": _conv_pool_dense(),
    "LeNet-5": _lenet5(),
    "conv-norm 32-64-128": _conv_norm(),
    "residual": _residual(),
    "speed": _speed(),
}
