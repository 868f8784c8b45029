"""Optimizers, gradient clipping, weight averaging and learning-rate schedules.

An optimizer updates the model's flat parameter vector in a few vector operations, run by run of trainable
parameters (`Optimizer`). A schedule is a pure function of the step number; whoever trains assigns its value
to ``optimizer.lr``.
"""

from xnn.optim.adam import Adam, AdamW
from xnn.optim.averaging import ExponentialMovingAverage
from xnn.optim.clipping import clip_gradient_norm
from xnn.optim.groups import Groups, Part, last_layer, split
from xnn.optim.muon import Muon, hidden_matrices, orthogonalize
from xnn.optim.optimizer import Model, Optimizer
from xnn.optim.rmsprop import RMSprop
from xnn.optim.schedules import Constant, Cosine, Linear, OneCycle, Schedule, Step
from xnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "ExponentialMovingAverage",
    "Groups",
    "Linear",
    "Model",
    "Muon",
    "OneCycle",
    "Optimizer",
    "Part",
    "RMSprop",
    "Schedule",
    "Step",
    "clip_gradient_norm",
    "hidden_matrices",
    "last_layer",
    "orthogonalize",
    "split",
]
