"""Data sets, batches and augmentation."""

from xnn.data.augmentation import AlternatingFlip, Compose, Cutout, HorizontalFlip, RandomCrop
from xnn.data.batches import Batches
from xnn.data.normalization import Normalization
from xnn.data.sources import load, names
from xnn.data.splits import Dataset, Split, validation_split
from xnn.data.whitening import whitening_filters

__all__ = [
    "AlternatingFlip",
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
    "whitening_filters",
]
