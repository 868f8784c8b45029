"""Clipping of gradients."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from xnn import _checks, kernels
from xnn._typing import Array
from xnn.optim.optimizer import Model


def clip_gradient_norm(model: Model, max_norm: float) -> Array:
    """Scale the gradients of trainable parameters in place, so that their 2-norm is at most `max_norm`.

    ``g ← g min(1, max_norm / ‖g‖)``, after R. Pascanu et al., "On the difficulty of training recurrent neural
    networks", ICML 2013, algorithm 1. Nothing is read back to the host. The squares are summed in the model's
    dtype; if the norm overflows there, finite gradients become 0 and the others NaN.

    Parameters
    ----------
    model : Model
        A built model; gradients of frozen parameters are neither counted nor scaled.
    max_norm : float
        Above 0.

    Returns
    -------
    array
        The norm before scaling, 0-d, on the model's device.

    Raises
    ------
    ValueError
        If `max_norm` is not a finite number above 0.

    Examples
    --------
    >>> from xnn import nn, optim
    >>> model = nn.Linear(1, bias=False).build((2,), backend="numpy")
    >>> model.gradients.flat[...] = [3.0, 4.0]  # a pullback's work
    >>> float(optim.clip_gradient_norm(model, 1.0))
    5.0
    >>> model.gradients.flat.round(3)
    array([0.6, 0.8], dtype=float32)
    """
    max_norm = _checks.positive("max_norm", max_norm)
    flat = model.gradients.flat
    with model.backend.current():
        return clip_vectors(model, [flat[s.start : s.stop] for s in model.segments(decay_all=True)], max_norm)


def clip_vectors(model: Model, gradients: Sequence[Array], max_norm: float) -> Array:
    """Do to some of a model's gradients, each a vector, what `clip_gradient_norm` does to all; return their norm."""
    backend, xp = model.backend, model.backend.xp
    twin = kernels.single_pass(backend, model.dtype, "clip_norm")
    if twin is not None:
        return twin(gradients, max_norm)
    squares = [xp.sum(gradient * gradient) for gradient in gradients]
    nothing = xp.zeros((), dtype=backend.dtype(model.dtype), device=backend.device)
    norm = xp.sqrt(reduce(add, squares, nothing))
    bound = xp.full_like(norm, max_norm)
    # min(1, max_norm / norm), but also defined for a norm of 0. Both are arrays, since PyTorch divides a Python number
    # by multiplying it by a reciprocal, which may miss 1.
    factor = bound / xp.maximum(norm, bound)
    for gradient in gradients:
        gradient *= factor
    return norm
