"""How far twins may be from their references, beyond rounding."""

BOUNDS = {
    # Where a variance nearly vanishes, rounding is multiplied by up to 1 / sqrt(eps), in numbers that should cancel.
    "batch_norm": {"rtol": 1e-2, "atol": 1e-4},
    "batch_norm_inference": {"atol": 1e-6},
    "layer_norm": {"rtol": 1e-2, "atol": 1e-4},
    # A single class has no gradient but what rounding leaves.
    "softmax_cross_entropy": {"atol": 1e-7},
    # Φ is exact to an absolute 1e-7, so a call with nothing but small results may differ by more than their share.
    "gelu": {"atol": 1e-6},
    "silu": {"atol": 1e-6},
    "sigmoid": {"atol": 1e-6},
    "tanh": {"atol": 1e-6},
}
