"""Weights that make up for classes with fewer images than others."""

import numpy as np

from xnn.data.splits import HostArray


def balanced(labels: HostArray, classes: int) -> tuple[float, ...]:
    """Return a weight for each class, so that every class counts alike, however many images it has.

    With n images of k classes, a class of m images gets n / (k m), as ``class_weight="balanced"`` does in scikit-learn,
    after G. King and L. Zeng, "Logistic regression in rare events data", Political Analysis 9(2), 2001. The mean of the
    images' weights is 1. A class without images does not count among the k, and has the weight 1, which nothing uses.

    Parameters
    ----------
    labels
        (n,) class indices, of the training images.
    classes
        How many there are.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn.training.class_weights import balanced
    >>> balanced(np.asarray([0, 0, 0, 1]), classes=2)
    (0.6666666666666666, 2.0)
    """
    counts = np.bincount(labels, minlength=classes).tolist()
    present = sum(count > 0 for count in counts)
    return tuple(len(labels) / (present * count) if count else 1.0 for count in counts)
