"""The training loop, what it measures, and what it leaves on disk."""

from xnn.training.callbacks import Callback, Checkpoint, EarlyStopping, JsonLines
from xnn.training.history import History
from xnn.training.loaders import ArrayBatches, Loader
from xnn.training.metrics import Metrics
from xnn.training.precision import LossScaler, LossScaling
from xnn.training.settings import Settings
from xnn.training.trainer import Trainer

__all__ = [
    "ArrayBatches",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JsonLines",
    "Loader",
    "LossScaler",
    "LossScaling",
    "Metrics",
    "Settings",
    "Trainer",
]
