"""Whether a model is right as often as it says: its probabilities against the share of right answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn import _checks


@dataclass(frozen=True, eq=False)
class Calibration:
    """Answers in bins of equal width by their confidence; made by `calibration`.

    Attributes
    ----------
    images
        (bins,) of int64: how many answers each bin has. Bin b holds the confidences above b / bins, up to
        (b + 1) / bins; the first one holds 0 too.
    confidence
        (bins,) of float64: their mean confidence, NaN in an empty bin.
    accuracy
        (bins,) of float64: the share of them that is right, NaN in an empty bin.

    Examples
    --------
    >>> from xnn import training
    >>> found = training.calibration([0.9, 0.9, 0.6], [True, True, False], bins=2)
    >>> found.images.tolist()
    [0, 3]
    >>> round(found.error, 4)
    0.1333
    """

    images: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over the answers of \\|accuracy - confidence\\| of their bins."""
        filled = self.images > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.sum(gaps * self.images[filled]) / np.sum(self.images))


def calibration(confidence: Any, right: Any, bins: int = 15) -> Calibration:
    """Return how often answers of each confidence are right.

    The expected calibration error is that of M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated
    probabilities using Bayesian binning", AAAI 2015; the confidence is that of the chosen class, as in C. Guo et al.,
    "On calibration of modern neural networks", ICML 2017, who take 15 bins.

    Parameters
    ----------
    confidence
        NumPy array (n,) of the probabilities that a model gave to its answers, at least one.
    right
        NumPy array (n,) of bool: whether each answer is right.
    bins
        1 or more.

    Raises
    ------
    ValueError
        The arrays do not fit each other, are empty, or a confidence is not in [0, 1].
    """
    bins = _checks.count("bins", bins, 1)
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right)
    if confidence.ndim != 1 or confidence.shape != right.shape or right.dtype != np.bool_ or not len(right):
        raise ValueError(
            f"confidence and right must be two arrays (n,) of one length, the second of bool, not {confidence.shape} "
            f"and {right.shape} of {right.dtype}"
        )
    if not ((confidence >= 0.0) & (confidence <= 1.0)).all():
        raise ValueError("each confidence must be a probability, from 0 to 1")
    number = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], confidence)
    images = np.bincount(number, minlength=bins)
    sums = (np.bincount(number, weights, minlength=bins) for weights in (confidence, right))
    means = (np.where(images > 0, total / np.maximum(images, 1), np.nan) for total in sums)
    return Calibration(images, *means)
