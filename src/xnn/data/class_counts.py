"""How many images each class has, in a line for people."""

from collections.abc import Sequence

import numpy as np

from xnn.data.splits import HostArray
from xnn.texts import printable

_FEW_CLASSES, _FAR_APART, _LONGEST = 10, 3, 40


def class_counts(labels: HostArray, classes: Sequence[str]) -> list[str]:
    """Return a line on how many training images each class has, and another where the counts are far apart.

    Parameters
    ----------
    labels : (n,) array of int64
        Those of the training images.
    classes : sequence of str
        The names of the classes.
    """
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    names = [printable(name, _LONGEST) for name in classes]
    least, most = min(counts), max(counts)
    smallest, largest = names[counts.index(least)], names[counts.index(most)]
    if least == most:
        return [f"training images of each class: {least:,}"]
    if len(classes) <= _FEW_CLASSES:
        each = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    else:
        each = f"from {least:,} ({smallest}) to {most:,} ({largest})"
    lines = [f"training images of each class: {each}"]
    if most > _FAR_APART * least:
        lines.append(
            f"warning: {largest} has {most:,} training images and {smallest} {least:,}, so a model may learn to answer "
            f"{largest} too often; --class-weights balanced evens that out"
        )
    return lines
