"""Small estimators, and examples for them."""

import numpy as np
from hypothesis import strategies as st

from xnn.sklearn import Classifier, Regressor

QUIET = {"backend": "numpy", "n_iter_no_change": np.inf}
seeds = st.integers(0, 2**32 - 1)


def classifier(**options):
    return Classifier(**{"hidden": 6, "max_iter": 3, "random_state": 0} | QUIET | options)


def regressor(**options):
    return Regressor(**{"hidden": 6, "max_iter": 3, "random_state": 0} | QUIET | options)


def examples(seed, count=24, features=5, classes=3):
    """Return rows in float64 and labels of which none is missing."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    return rng.normal(size=(count, features)), labels
