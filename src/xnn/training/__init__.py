"""The training loop and what it measures."""

from xnn.training.calibration import Calibration, calibration
from xnn.training.callbacks import Callback, EarlyStopping
from xnn.training.history import History
from xnn.training.loaders import ArrayBatches, Loader
from xnn.training.loss_scaling import LossScaler, LossScaling
from xnn.training.metrics import Metrics
from xnn.training.rate_finder import RangeTest, find_lr
from xnn.training.scores import F1, ClassScores, Metric, Precision, Recall, TopKAccuracy, class_scores
from xnn.training.tensorboard import TensorBoard
from xnn.training.trainer import Trainer

__all__ = [
    "F1",
    "ArrayBatches",
    "Calibration",
    "Callback",
    "ClassScores",
    "EarlyStopping",
    "History",
    "Loader",
    "LossScaler",
    "LossScaling",
    "Metric",
    "Metrics",
    "Precision",
    "RangeTest",
    "Recall",
    "TensorBoard",
    "TopKAccuracy",
    "Trainer",
    "calibration",
    "class_scores",
    "find_lr",
]
