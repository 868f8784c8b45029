"""Sweeps: searching for good settings with Optuna (extra `sweep`), trial by trial, in one process or many.

A trial is a run that is judged on validation images. The test set is met once, by the winner.
"""

from xnn.sweeps.pruning import Pruning

__all__ = ["Pruning"]
