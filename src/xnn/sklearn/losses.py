"""The losses of regression, scaled as scikit-learn scales them."""

from xnn import functional as F
from xnn._typing import Array, ArrayObject, Pullback
from xnn.nn import Huber


class SquaredError:
    """Half the squared error of an example, summed over its targets; the mean over the examples.

    loss = (1 / 2n) Σ_ij (prediction_ij - target_ij)², whose gradient is that of scikit-learn's ``MLPRegressor``. With k
    targets it is k/2 times `xnn.functional.mse`.
    """

    def forward(
        self, prediction: ArrayObject, target: ArrayObject, sample_weight: ArrayObject | None = None
    ) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> dprediction; all arrays are (n, targets)."""
        loss, pullback = F.mse(prediction, target, sample_weight)
        factor = prediction.shape[1] / 2
        return loss * factor, lambda dloss=1.0: pullback(factor * dloss)


LOSSES = {"squared_error": SquaredError, "huber": Huber}
"""By the names that `Regressor` takes."""
