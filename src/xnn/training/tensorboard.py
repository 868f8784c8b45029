"""What TensorBoard shows of a training: curves, weights, mistakes, hyper-parameters."""

import importlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn import _checks
from xnn.data.png import png
from xnn.data.splits import HostArray
from xnn.errors import RunError, SettingError, to_install
from xnn.files import Folder
from xnn.paths import explained
from xnn.training.callbacks import Callback
from xnn.training.event_files import EventFiles
from xnn.training.history import IntervalRow, Row, is_judged
from xnn.training.loaders import Data, loader_of
from xnn.training.mistakes import confident_mistakes, sheet

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

_BINS = 50
_LARGEST, _SMALLEST = 1e140, 1e-140
"""The range of numbers that are told apart in a histogram."""
_LOOKED_AT = 1000
"""Images among which mistakes are looked for after an epoch."""
_MARK = "loss/train"
"""The tag that every epoch has."""


class TensorBoard(Callback):
    """Writes events for TensorBoard: ``tensorboard --logdir DIRECTORY`` shows them while the model trains.

    ========================  =============================================================================
    tag                       what it shows
    ========================  =============================================================================
    loss/train,               the columns of the history, after each epoch; an ``f1`` of the trainer's
    accuracy/validation, ...  metrics is ``f1/validation``
    epoch/...                 the other columns: ``lr``, ``seconds``, ``images_per_second``
    interval/...              every `log_every` steps: ``minibatch_loss``, ``interval_loss``, ``lr``
    weights/...               the distribution of each parameter, after each epoch
    mistakes                  the images that the model gets most confidently wrong, after each evaluation
    HPARAMS                   the hyper-parameters beside the last values of the curves
    ========================  =============================================================================

    Every value stands at the number of steps done. When training resumes from an earlier step, after `load_state_dict`,
    what was written after that step is removed, and epochs that are missing are added from the history, so no step is
    there twice. Put it before callbacks that save: then nothing of an epoch is lost if the process is killed between
    the two. Of several ranks the first one writes.

    Parameters
    ----------
    directory
        Where the events go; made if it does not exist. Other files in it are left alone. An open `xnn.files.Folder`
        may be given too.
    images
        `Batches` or arrays ``(x, labels)`` of images ``(n, h, w, 1 or 3)`` to look for mistakes in, best those that the
        epochs are judged on. The first thousand are looked at. By default no mistakes are shown.
    classes
        The names of the classes, for the mistakes' captions; by default their numbers.
    hparams
        Hyper-parameters by name: texts, numbers, truth values, or lists of these. None counts as not given.
    histograms
        Whether to show the weights.
    most
        How many mistakes to show.
    replace
        Whether a training that begins at step 0 removes the events of an earlier one from the directory; by default it
        is refused.

    Raises
    ------
    SettingError
        TensorBoard is not installed.
    RunError
        By `fit`: the directory cannot be written to, or holds the events of another training.
    TypeError, ValueError
        A hyper-parameter is of another type; by `fit`: `images` are not images, or have no class indices.

    Examples
    --------
    >>> import tempfile
    >>> from xnn import data, nn, optim
    >>> from xnn.training import TensorBoard, Trainer
    >>> digits = data.load("digits")
    >>> train, test = [(split.images / 16.0, split.labels) for split in (digits.train, digits.test)]
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1))
    >>> directory = tempfile.mkdtemp()
    >>> watch = TensorBoard(directory, images=test, classes=digits.classes, hparams={"lr": 0.1})
    >>> trainer = Trainer(model, optim.SGD(model, lr=0.1), callbacks=[watch])
    >>> history = trainer.fit(train, test, epochs=2)

    Then ``tensorboard --logdir DIRECTORY`` shows the curves.
    """

    def __init__(
        self,
        directory: str | Path | Folder,
        *,
        images: Data | None = None,
        classes: Sequence[str] = (),
        hparams: Mapping[str, Any] | None = None,
        histograms: bool = True,
        most: int = 18,
        replace: bool = False,
    ) -> None:
        _checks.count("most", most, 1)
        check_installed()
        self.directory = directory if isinstance(directory, Folder) else Path(directory)
        self.images = images
        self.classes = tuple(classes)
        self.hparams = _writable(hparams or {})
        self.histograms = _checks.flag("histograms", histograms)
        self.most = most
        self.replace = _checks.flag("replace", replace)
        self._name = ""

    def fit_begin(self, trainer: "Trainer") -> None:
        """Cut back what an earlier session wrote after this step, and begin a new file."""
        if trainer.team.rank:
            return
        with self._files() as files:
            later = [step for step in files.steps() if step > trainer.step]
            if later and not trainer.step and not self.replace:
                raise RunError(
                    f"{files.folder.path} holds TensorBoard's events of another training, up to step {max(later)}; "
                    "give a new folder, or replace=True"
                )
            files.cut_back(trainer.step)
            files.begin(trainer.step)
            if self.hparams:
                files.write(0, _session_start(self.hparams))
            self._catch_up(files, trainer)

    def interval(self, trainer: "Trainer", row: IntervalRow) -> None:
        """Write the interval's values."""
        if not trainer.team.rank:
            named = {name: value for name, value in row.items() if name not in ("epoch", "step", "passes")}
            self._write(row["step"], _scalars({f"interval/{name}": value for name, value in named.items()}))

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Write the epoch's values, the weights and, if the epoch was judged, the mistakes."""
        if trainer.team.rank:
            return
        values = _scalars(_tagged(row, trainer.held_out))
        if self.histograms:
            values += _weights(trainer)
        if self.images is not None and is_judged(row["epoch"], trainer.evaluate_every, trainer.epochs):
            values.append(self._mistakes(trainer, self.images))
        self._write(trainer.step, values)

    def fit_end(self, trainer: "Trainer") -> None:
        """Note that the session has ended, unless it is to be resumed."""
        if self.hparams and not trainer.team.rank and not trainer.interrupted:
            self._write(trainer.step, [_session_end()])

    def _write(self, step: int, values: Any) -> None:
        with self._files() as files:
            files.write(step, values)

    @contextmanager
    def _files(self) -> Iterator[EventFiles]:
        """Open the directory for a block: it need not be held open between two epochs."""
        if isinstance(self.directory, Folder):
            files = EventFiles(self.directory, self._name)
            yield files
        else:
            with explained(RunError, f"cannot use {self.directory}"):
                self.directory.mkdir(parents=True, exist_ok=True)
                folder = Folder(self.directory)
            with folder:
                files = EventFiles(folder, self._name)
                yield files
        self._name = files.name

    def _catch_up(self, files: EventFiles, trainer: "Trainer") -> None:
        """Write the epochs that are not there: the process was killed before, or had no such callback."""
        if trainer.epoch * trainer.batches + trainer.batch != trainer.step:
            return  # epochs had other lengths, so their steps are not known
        there = files.steps(_MARK)
        for row in trainer.history:
            step = row["epoch"] * trainer.batches
            if step not in there:
                files.write(step, _scalars(_tagged(row, trainer.held_out)))

    def _mistakes(self, trainer: "Trainer", data: Data) -> Any:
        from tensorboard.compat.proto.summary_pb2 import Summary

        loader = loader_of(data, _LOOKED_AT, shuffle=False, model=trainer.model, loss=trainer.loss)
        with nullcontext() if trainer.average is None else trainer.average.applied():
            found = confident_mistakes(trainer.model, loader, self.most, _LOOKED_AT)
        pixels = sheet(found, self.classes)
        height, width, channels = pixels.shape
        encoded = png(pixels, smallest=False)
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
        return Summary.Value(tag="mistakes", image=image)


def check_installed(asker: str = "TensorBoard's callback") -> None:
    """Raise a `SettingError` that names who asks if TensorBoard cannot be imported."""
    try:
        importlib.import_module("tensorboard.compat.proto.event_pb2")
    except ImportError as error:
        raise SettingError(
            f"{asker}: needs TensorBoard, which cannot be imported ({error}): {to_install('tensorboard')}"
        ) from error


def _tagged(row: Row, held_out: str) -> dict[str, Any]:
    """Return the values of an epoch by their tags; those of one kind are beside each other."""
    tags = {}
    for name, value in row.items():
        for split in ("train", held_out):
            if name.startswith(f"{split}_"):
                tags[f"{name.removeprefix(f'{split}_')}/{split}"] = value
                break
        else:
            if name != "epoch":
                tags[f"epoch/{name}"] = value
    return tags


def _scalars(values: Mapping[str, Any]) -> list[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    numbers = {tag: value for tag, value in values.items() if isinstance(value, int | float)}
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]


def _weights(trainer: "Trainer") -> list[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    model = trainer.model
    arrays = {name: model.backend.to_numpy(value) for name, value in model.parameters.items()}
    return [Summary.Value(tag=f"weights/{name}", histo=histogram(values)) for name, values in arrays.items()]


def histogram(values: HostArray) -> Any:
    """Return the distribution of an array's finite numbers as TensorBoard's `HistogramProto`."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    # Squares of larger numbers would have no finite sum.
    numbers = np.clip(values[np.isfinite(values)].astype(np.float64), -_LARGEST, _LARGEST)
    if not numbers.size:
        return HistogramProto()
    low, high = numbers.min(), numbers.max()
    # Numbers that are almost equal leave no room for bins between them.
    room = max(1e-3 * max(abs(low), abs(high)), _SMALLEST)
    if high - low < room:
        low, high = low - room, high + room
    counts, edges = np.histogram(numbers, bins=_BINS, range=(low, high))
    # TensorBoard knows each bin by its right edge, so an empty one says where the first begins.
    return HistogramProto(
        min=numbers.min(),
        max=numbers.max(),
        num=numbers.size,
        sum=numbers.sum(),
        sum_squares=np.square(numbers).sum(),
        bucket_limit=edges,
        bucket=[0, *counts],
    )


def _session_start(hparams: Mapping[str, Any]) -> Any:
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    return hparams_pb(hparams).value


def _session_end() -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    return Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR)


def _writable(hparams: Mapping[str, Any]) -> dict[str, bool | float | str]:
    kept: dict[str, bool | float | str] = {}
    for name, value in hparams.items():
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if value is None:
            continue
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and math.isnan(value)):
            raise TypeError(f"hyper-parameter {name!r} must be a text, a number, True, False or None, not {value!r}")
        kept[name] = value
    return kept
