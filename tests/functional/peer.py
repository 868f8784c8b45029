"""Functions beside those of PyTorch."""

import numpy as np
import pytest


def dy_like(y, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(y.shape))


def assert_equals_torch(function, peer, *arrays, rtol=0.0, atol=1e-13):
    """Hold values and gradients to those of `peer`, which is called with PyTorch's tensors of the arrays."""
    torch = pytest.importorskip("torch")
    y, pullback = function(*arrays)
    dy = dy_like(y)
    gradients = pullback(dy)
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = peer(*leaves)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=rtol, atol=atol)
    for found, leaf in zip(gradients if isinstance(gradients, tuple) else (gradients,), leaves, strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=rtol, atol=atol)
