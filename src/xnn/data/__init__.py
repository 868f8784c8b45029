"""Data sets, batches and augmentation."""

from xnn.data.augmentation import Compose, Cutout, HorizontalFlip, RandomCrop
from xnn.data.batches import Batches
from xnn.data.normalization import Normalization
from xnn.data.sources import load, names
from xnn.data.splits import Dataset, Split, validation_split

__all__ = [
    "Batches",
    "Compose",
    "Cutout",
    "Dataset",
    "HorizontalFlip",
    "Normalization",
    "RandomCrop",
    "Split",
    "load",
    "names",
    "validation_split",
]
