"""What a file is made of: a model, and what it takes to answer as its run or its estimator does."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xnn._typing import Shape
from xnn.data import Normalization
from xnn.data.splits import HostArray
from xnn.nn import Layer
from xnn.nn.predicting import last_function
from xnn.reporting.saved import SavedModel, load_model
from xnn.training.view_averaging import Averaged


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and what is computed before it and after it.

    Attributes
    ----------
    model : Layer
    normalization : Normalization or None
        Of images of uint8.
    scale : (mean, deviation) or None
        What is subtracted from numbers, and what they are divided by then; each is for the last axis.
    classes : sequence of str or None
    views : int
    output : str
        The output's name.
    softmax : bool
        Whether the softmax of the model's outputs is taken.
    single : bool
        Whether the model's only output is taken out of its axis.
    """

    model: Layer
    normalization: Normalization | None = None
    scale: tuple[HostArray, HostArray] | None = None
    classes: Sequence[str] | None = None
    views: int = 1
    output: str = "outputs"
    softmax: bool = False
    single: bool = False

    @property
    def input(self) -> str:
        """The input's name."""
        return "x" if self.normalization is None else "images"

    @property
    def output_shape(self) -> Shape:
        """The shape of what the graph makes, without the batch axis."""
        return () if self.single else self.model.output_shape


def subject_of(given: Any, normalization: Normalization | None, classes: Sequence[str] | None, views: int) -> Subject:
    """Return what `xnn.export_onnx` is given, as one.

    Raises
    ------
    TypeError
        It is no model, no run and no estimator of `xnn.sklearn`.
    ValueError
        It has some of the arguments itself, or is an estimator that is not fitted.
    """
    if isinstance(given, Layer):
        return _of_model(given, normalization, classes, views)
    is_estimator = _is_estimator(given)
    if not is_estimator and not isinstance(given, SavedModel | str | os.PathLike):
        raise TypeError(
            "the model must be a layer, a saved model, the path of a run, or a Classifier or Regressor of xnn.sklearn, "
            f"not of type {type(given).__name__}"
        )
    if normalization is not None or classes is not None or views != 1:
        what = "an estimator" if is_estimator else "a run"
        raise ValueError(f"{what} has its own normalization, classes and views: leave them out")
    if is_estimator:
        return _of_estimator(given)
    saved = given if isinstance(given, SavedModel) else load_model(os.fspath(given), "numpy")
    return _of_model(saved.model, saved.normalization, saved.classes, saved.settings.test_views or 1)


def _of_model(model: Layer, normalization: Normalization | None, classes: Sequence[str] | None, views: int) -> Subject:
    if classes is None:
        return Subject(model, normalization, views=views)
    # A model without shapes is refused later.
    softmax = last_function(model) != "softmax"
    return Subject(model, normalization, None, classes, views, "probabilities", softmax)


def _is_estimator(given: Any) -> bool:
    # Whoever has an estimator has imported its module; nobody else should wait for scikit-learn.
    module = sys.modules.get("xnn.sklearn.estimator")
    return module is not None and isinstance(given, module.Estimator)


def _of_estimator(estimator: Any) -> Subject:
    from sklearn.exceptions import NotFittedError

    if not estimator.__sklearn_is_fitted__():
        raise NotFittedError(f"the {type(estimator).__name__} is not fitted: call fit before exporting it")
    model = estimator.model_
    scale = None if estimator.mean_ is None else (estimator.mean_, estimator.scale_)
    views = estimator._predict.views if isinstance(estimator._predict, Averaged) else 1
    if hasattr(estimator, "predict_proba"):
        # Always by the softmax, as in `predict_proba`, whatever the model ends in.
        classes = [str(label) for label in estimator.classes_]
        return Subject(model, None, scale, classes, views, "probabilities", softmax=True)
    return Subject(model, None, scale, None, views, "predictions", single=estimator._is_single)
