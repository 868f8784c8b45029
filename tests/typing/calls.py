"""Calls that mypy accepts and calls that it refuses; nothing here runs.

A refused call has a comment that expects the error, and under ``--strict`` a comment without its error is one itself.
"""

from typing import Any

import array_api_strict
import cupy
import numpy as np
import numpy.typing as npt
import torch

import xnn
from xnn import functional as F
from xnn import nn, optim, testing, training
from xnn.typing import ArrayObject


def takes_an_array(x: ArrayObject) -> None:
    """Stand for every function that takes one."""


def accepted(
    anything: npt.NDArray[Any],
    floats: npt.NDArray[np.floating[Any]],
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    parameter: torch.nn.Parameter,
) -> None:
    """Give arrays of each library and type."""
    takes_an_array(anything)
    takes_an_array(floats)
    takes_an_array(matrix)
    takes_an_array(np.zeros(3, np.float16))
    takes_an_array(np.zeros(3, np.uint8))
    takes_an_array(np.zeros(3, np.bool_))
    takes_an_array(np.zeros(3) > 0.0)
    takes_an_array(np.memmap("images", np.uint8))
    takes_an_array(torch.zeros(3))
    takes_an_array(torch.zeros(3).relu()[None, :])
    takes_an_array(parameter)
    takes_an_array(cupy.zeros(3))
    takes_an_array(array_api_strict.zeros(3))


def refused(model: nn.Layer, trainer: training.Trainer, x: npt.NDArray[np.float32]) -> None:
    """Give what is no array."""
    takes_an_array([1.0, 2.0])  # type: ignore[arg-type]
    takes_an_array((1.0, 2.0))  # type: ignore[arg-type]
    takes_an_array("abc")  # type: ignore[arg-type]
    takes_an_array(1.0)  # type: ignore[arg-type]
    takes_an_array(None)  # type: ignore[arg-type]
    takes_an_array(np)  # type: ignore[arg-type]
    model("abc")  # type: ignore[arg-type]
    model([[1.0, 2.0]])  # type: ignore[arg-type]
    model.predict("abc")  # type: ignore[arg-type]
    model.predict(3)  # type: ignore[arg-type]
    model.predict_proba({"x": x})  # type: ignore[arg-type]
    trainer.fit(3, x, epochs=1)  # type: ignore[arg-type]
    trainer.fit(x, x, epochs=1)  # type: ignore[arg-type]
    trainer.fit((x, "abc"), epochs=1)  # type: ignore[arg-type]
    trainer.evaluate(x)  # type: ignore[arg-type]
    training.ArrayBatches(x, [1, 2], 1, backend=model.backend)  # type: ignore[arg-type]
    training.find_lr(trainer, x)  # type: ignore[arg-type]
    training.F1().update(x, [1, 2])  # type: ignore[arg-type]
    nn.MSE().forward(x, 1.0)  # type: ignore[arg-type]
    F.relu([1, 2])  # type: ignore[arg-type]
    F.linear(x, "abc")  # type: ignore[arg-type]
    F.concatenate("abc")  # type: ignore[arg-type]
    F.softmax_cross_entropy(x, [0, 1])  # type: ignore[arg-type]
    optim.orthogonalize([[1.0]])  # type: ignore[arg-type]
    optim.Adam(model.parameters)  # type: ignore[arg-type]
    xnn.data.Split("abc", [1])  # type: ignore[arg-type]
    xnn.data.Split(x, 3)  # type: ignore[arg-type]
    xnn.data.Batches((x, x), 1, backend=model.backend)  # type: ignore[arg-type]
    xnn.backend().asarray("abc")  # type: ignore[arg-type]
    xnn.backend().to_numpy("abc")  # type: ignore[arg-type]
    testing.check_layer(model, (2,), x="abc")  # type: ignore[arg-type]
