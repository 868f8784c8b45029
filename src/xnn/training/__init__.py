"""The training loop and what it measures."""

from xnn.training.callbacks import Callback, EarlyStopping
from xnn.training.history import History
from xnn.training.loaders import ArrayBatches, Loader
from xnn.training.loss_scaling import LossScaler, LossScaling
from xnn.training.metrics import Metrics
from xnn.training.trainer import Trainer

__all__ = [
    "ArrayBatches",
    "Callback",
    "EarlyStopping",
    "History",
    "Loader",
    "LossScaler",
    "LossScaling",
    "Metrics",
    "Trainer",
]
