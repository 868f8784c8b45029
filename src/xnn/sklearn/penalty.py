"""The weight decay that an estimator's `alpha` stands for."""

from xnn.optim import Groups, Optimizer


def decay_of(alpha: float, batch_size: int, weight: float) -> float:
    """Return the weight decay: scikit-learn divides `alpha` by the examples, or their weights, of a batch."""
    return alpha / (batch_size * weight)


def set_decay(optimizer: Optimizer, decay: float) -> None:
    """Give an optimizer a weight decay, unless it has it already.

    Parameters
    ----------
    optimizer
        One of several parts gets the decay for its first; a step removes the same share of the others, as
        `xnn.optim.tables.make_optimizer` has it.
    decay
        At least 0.
    """
    first, *others = optimizer.optimizers if isinstance(optimizer, Groups) else (optimizer,)
    if first.weight_decay == decay:
        return
    first.weight_decay = decay
    for other in others:
        other.weight_decay = decay * (first.lr / other.lr)
