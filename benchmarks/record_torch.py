"""The public record's program for CIFAR-10 in eager PyTorch, on the CPU and in float32.

It is K. Jordan's "airbench94_muon" (https://github.com/KellerJordan/cifar10-airbench, 2024) by its numbers, written
anew: eight epochs in batches of 2,000, whitened patches, filters that begin as identities, Muon for the filters and SGD
for the rest, and six views of each test image. The record computes in float16, and Muon's iterations in bfloat16.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.networks import NETWORKS
from xnn import data

EPOCHS, BATCH = 8, 2000
MUON_LR, MUON_MOMENTUM = 0.24, 0.6
HEAD_LR, BIAS_LR, MOMENTUM = 0.67, 0.053, 0.85
DECAY = 2e-6 * BATCH
"""The share of the biases and the last layer that each step takes at the full learning rate."""
FIRST_BIAS_EPOCHS = 3
LABEL_SMOOTHING = 0.2
SHIFT = 2
"""Most pixels by which a training image is moved along each axis."""
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 3


def train(
    dataset: data.Dataset, report: Callable[[float, float], None], *, epochs: int = EPOCHS, seed: int = 0
) -> None:
    """Train on a data set, and report after each epoch the seconds of training so far and the test accuracy.

    Seconds are those of the steps and of preparing their batches; evaluation does not count.
    """
    import torch

    torch.manual_seed(seed)
    normalization = data.Normalization.of(dataset.train)
    (images, labels), test = (tensors(split, normalization) for split in (dataset.train, dataset.test))
    network = Record(normalization(dataset.train.images[:5000]))
    batches = Batches(images, labels, min(BATCH, len(images)))
    del images
    optimizer = Optimizer(network, epochs * len(batches), FIRST_BIAS_EPOCHS * len(batches))
    loss = torch.nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING, reduction="sum")
    seconds = 0.0
    for epoch in range(epochs):
        began = time.perf_counter()
        network.layers.train()
        for x, y in batches.epoch(epoch):
            optimizer.begin_step()
            loss(network(x), y).backward()
            optimizer.end_step()
        seconds += time.perf_counter() - began
        report(seconds, accuracy(network, *test))


def tensors(split: data.Split, normalization: data.Normalization) -> tuple[Any, Any]:
    """Return images (n, c, h, w), with the channels last in memory, which is faster here, and their labels."""
    import torch

    images = torch.from_numpy(np.ascontiguousarray(normalization(split.images))).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.array(split.labels, np.int64))


class Record:
    """The network: that of the recipe `speed`, with the record's own numbers.

    Parameters
    ----------
    images : (n, h, w, c) array
        Normalized, for the filters of the first layer.
    """

    def __init__(self, images: Any) -> None:
        import torch

        self.layers = NETWORKS["speed"].torch()
        self.first, self.head = self.layers[0], self.layers[-1]
        self.filters = []
        with torch.no_grad():
            whitening = data.whitening_filters(images)
            self.first.weight.copy_(torch.from_numpy(whitening.transpose(3, 2, 0, 1).copy()))
            self.head.weight.div_(self.head.weight.std())
            for layer in self.layers[1:]:
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.dirac_(layer.weight[: layer.in_channels])
                    self.filters.append(layer.weight)
                elif isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum, layer.eps = 0.4, 1e-12
        self.layers.to(memory_format=torch.channels_last)
        norms = [layer for layer in self.layers if isinstance(layer, torch.nn.BatchNorm2d)]
        self.biases = [layer.bias for layer in norms]

    def __call__(self, x: Any) -> Any:
        """Return the logits."""
        return self.layers(x) / self.head.in_features


class Batches:
    """The batches of an epoch: shuffled, mirrored in every other epoch, and moved by up to two pixels."""

    def __init__(self, images: Any, labels: Any, size: int) -> None:
        import torch

        self.side = images.shape[-1]
        self.padded = torch.nn.functional.pad(images, (SHIFT,) * 4, "reflect")
        self.labels, self.size = labels, size
        self.mirrored_first = torch.rand(len(images)) < 0.5

    def __len__(self) -> int:
        return len(self.labels) // self.size

    def epoch(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """Yield the epoch's batches; the images that are left over are not used."""
        import torch

        order = torch.randperm(len(self.labels))
        for start in range(0, len(self) * self.size, self.size):
            chosen = order[start : start + self.size]
            mirrored = self.mirrored_first[chosen] ^ bool(epoch % 2)
            images = self.padded[chosen]
            images[mirrored] = images[mirrored].flip(-1)
            yield moved(images, self.side), self.labels[chosen]


def moved(padded: Any, side: int) -> Any:
    """Return a random window of each padded image."""
    import torch

    rows, columns = torch.randint(2 * SHIFT + 1, (2, len(padded)))
    images = torch.empty((len(padded), 3, side, side)).to(memory_format=torch.channels_last)
    for row in range(2 * SHIFT + 1):
        for column in range(2 * SHIFT + 1):
            here = (rows == row) & (columns == column)
            images[here] = padded[here, :, row : row + side, column : column + side]
    return images


class Optimizer:
    """Muon for the filters, SGD for the rest, with rates that fall to 0."""

    def __init__(self, network: Record, steps: int, first_bias_steps: int) -> None:
        import torch

        groups = [
            {"params": parameters, "lr": lr, "weight_decay": DECAY / lr}
            for parameters, lr in (
                ([network.first.bias], BIAS_LR),
                (network.biases, BIAS_LR),
                ([network.head.weight], HEAD_LR),
            )
        ]
        self.network, self.steps, self.first_bias_steps = network, steps, first_bias_steps
        self.sgd = torch.optim.SGD(groups, lr=BIAS_LR, momentum=MOMENTUM, nesterov=True, fused=True)
        self.rates = [group["lr"] for group in groups]
        self.velocities = [torch.zeros_like(weight) for weight in network.filters]
        self.step = 0

    def begin_step(self) -> None:
        """Say what is trained in this step: the first layer's bias only in the first epochs."""
        self.network.first.bias.requires_grad_(self.step < self.first_bias_steps)

    def end_step(self) -> None:
        """Update the network, and forget the gradients."""
        import torch

        left = 1 - self.step / self.steps
        first_left = max(0.0, 1 - self.step / self.first_bias_steps)
        for number, (group, lr) in enumerate(zip(self.sgd.param_groups, self.rates, strict=True)):
            group["lr"] = lr * (left if number else first_left)
        self.sgd.step()
        with torch.no_grad():
            for weight, velocity in zip(self.network.filters, self.velocities, strict=True):
                muon(weight, velocity, lr=MUON_LR * left, momentum=MUON_MOMENTUM, dtype=torch.float32)
        self.network.layers.zero_grad(set_to_none=True)
        self.step += 1


def muon(weight: Any, velocity: Any, lr: float, momentum: float, dtype: Any) -> None:
    """Take Muon's step for one weight, with the iterations in a dtype; the record has bfloat16."""
    velocity.mul_(momentum).add_(weight.grad)
    direction = weight.grad.add(velocity, alpha=momentum)
    weight.mul_(len(weight) ** 0.5 / weight.norm())
    x = direction.reshape(len(direction), -1).to(dtype)
    x = x / (x.norm() + 1e-7)
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if is_tall else x
    weight.add_(x.view(weight.shape), alpha=-lr)


def accuracy(network: Record, images: Any, labels: Any) -> float:
    """Return the share of images whose class is the likeliest by the mean over six views."""
    import torch

    network.layers.eval()
    with torch.inference_mode():
        parts = range(math.ceil(len(images) / BATCH))
        found = [six_views(network, images[BATCH * part : BATCH * (part + 1)]).argmax(1) for part in parts]
        return float((torch.cat(found) == labels).double().mean())


def six_views(network: Callable[[Any], Any], images: Any) -> Any:
    """Return the outputs for each image and its mirror image, and for both moved by a pixel, averaged."""
    import torch

    def both(x: Any) -> Any:
        return (network(x) + network(x.flip(-1))) / 2

    side = images.shape[-1]
    padded = torch.nn.functional.pad(images, (1,) * 4, "reflect")
    corners = both(padded[..., :side, :side]) + both(padded[..., 2:, 2:])
    return (both(images) + corners / 2) / 2
