"""What a model should learn, as far as its size and its settings depend on it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """The facts about a data set that a model's size and settings depend on.

    Examples
    --------
    >>> from xnn.tasks import Task
    >>> task = Task("cifar10", image_shape=(32, 32, 3), classes=10, images=50_000)
    >>> task.inputs, task.grey, task.small
    (3072, False, False)
    """

    dataset: str
    image_shape: tuple[int, ...]
    classes: int
    images: int

    @property
    def inputs(self) -> int:
        """Numbers in an image."""
        return math.prod(self.image_shape)

    @property
    def grey(self) -> bool:
        """Whether the images have one channel."""
        return self.image_shape[-1] == 1

    @property
    def small(self) -> bool:
        """Whether there are so few images that small batches are fast enough."""
        return self.images < 10_000

    @property
    def tiny(self) -> bool:
        """Whether the images are as small as those of the digits."""
        return min(self.image_shape[:2]) < 16
