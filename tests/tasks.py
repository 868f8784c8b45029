"""The tasks that recipes are tried on: small and large, grey and coloured, of few and of many classes."""

import pytest

from xnn.tasks import Task

DIGITS = Task("digits", (8, 8, 1), 10, 1437)
FASHION = Task("fashion-mnist", (28, 28, 1), 10, 60_000)
CIFAR10 = Task("cifar10", (32, 32, 3), 10, 50_000)
CIFAR100 = Task("cifar100", (32, 32, 3), 100, 50_000)

every_task = pytest.mark.parametrize("task", [DIGITS, FASHION, CIFAR10, CIFAR100], ids=lambda task: task.dataset)
