"""Dropout."""

from xnn import _checks
from xnn._typing import Array, ArrayObject, Pullback
from xnn.functional._common import check_floating, namespace
from xnn.functional.replicas import numbers_before
from xnn.random import Random


def dropout(x: ArrayObject, rate: float, random: Random) -> tuple[Array, Pullback]:
    """Set each number to zero with probability `rate`, and scale the others so that the expectation stays the same.

    With a mask m of independent [u >= rate], u uniform in [0, 1)::

        y = m x / (1 - rate)      dx = m dy / (1 - rate), with the same mask

    Parameters
    ----------
    x : any shape
    rate : float in [0, 1)
    random : Random
        Draws the mask, on x's device. Where the batch is spread over replicas, all draw from the same stream, each the
        numbers of its own images.

    Returns
    -------
    y : x's shape
    pullback : dy -> dx

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import functional as F
    >>> from xnn.random import Random
    >>> random = Random(xnn.backend("numpy"), seed=0)
    >>> y, pullback = F.dropout(np.ones(10_000), 0.2, random)
    >>> np.unique(y), round(float(y.mean()), 1)
    (array([0.  , 1.25]), 1.0)
    >>> bool((pullback(np.ones(10_000)) == y).all())  # the same mask
    True
    """
    check_floating("dropout", x=x)
    _checks.fraction("dropout: rate", rate)
    xp = namespace(x)
    kept = random.uniform(x.shape, first=numbers_before(x)) >= rate
    scale = 1.0 / (1.0 - rate)

    def apply(values: Array) -> Array:
        return xp.where(kept, values * scale, xp.zeros_like(values))

    return apply(x), apply
