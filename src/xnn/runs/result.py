"""What a run returns."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from xnn import _markup
from xnn.runs import complete, schema
from xnn.training.history import History


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes
    ----------
    directory
        Where everything was written.
    history
        The rows of the epochs.
    values
        The content of result.json; None if the run was interrupted, or not to meet the test set.
    was_complete
        Whether the run was complete already, so that `resume` had nothing to do.
    was_stopped
        Whether a signal or a callback stopped the run before its end, so that `resume` goes on with the training.

    Examples
    --------
    >>> import tempfile
    >>> import xnn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = xnn.Settings(model="mlp", hidden=8, epochs=1, backend="numpy", run_dir=f"{folder}/run")
    ...     result = xnn.train(settings)
    ...     (result.directory / "model.safetensors").is_file()
    True
    >>> len(result.history), result.values["dataset"], type(result.model).__name__
    (1, 'digits', 'Sequential')
    """

    directory: Path
    history: History
    values: schema.Result | None
    _model: Any = dataclasses.field(repr=False)
    was_complete: bool = False
    was_stopped: bool = False

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where the run is, its accuracy, the curves."""
        values = self.values
        if values is not None:
            # The file of an earlier version may lack one of them.
            about = f"test accuracy {100 * values['test_accuracy']:.2f} %" if "test_accuracy" in values else "complete"
            about += f", in {values['seconds']:.1f} s" if "seconds" in values else ""
        elif self.was_stopped:
            about = "the run was stopped; resume it"
        else:
            about = "trained, not tested; resume it for its test accuracy"
        return str(_markup.paragraph(f"{self.directory}: {about}")) + self.history._repr_html_()

    @functools.cached_property
    def model(self) -> Any:
        """The trained model, or the half-trained one.

        If the run was complete already, the model is made on first use, from the data and the last checkpoint.
        """
        return complete.trained_model(self.directory) if self.was_complete else self._model
