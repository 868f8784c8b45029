"""What the files of a run may hold: one description of each, which every reader uses to check it.

A value of another type, a number that is not finite or is out of its range, or a text or list that is too long raises a
`ValueError` that names the place, such as ``$.train_accuracy``. Keys that are not described are left out, except in
rows, to which callbacks may add their own values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

import msgspec
from msgspec import Meta

from xnn import tensors
from xnn.errors import RunError
from xnn.paths import explained
from xnn.strict_json import Count, Name, Size, checked
from xnn.training import history

Epoch = Annotated[int, Meta(ge=1, le=10**9)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Positive = Annotated[float, Meta(gt=0, le=1e300)]
NonNegative = Annotated[float, Meta(ge=0, le=1e300)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(max_length=10_000)]
Views = Annotated[int, Meta(ge=1, le=1000)]

MOST_CLASSES = 100_000


class EpochRow(TypedDict):
    """A line of metrics.jsonl, and an entry of a checkpoint's history."""

    epoch: Epoch
    train_loss: Number
    train_accuracy: Share | None
    test_loss: NotRequired[Number | None]
    test_accuracy: NotRequired[Share | None]
    test_top5_accuracy: NotRequired[Share | None]
    validation_loss: NotRequired[Number | None]
    validation_accuracy: NotRequired[Share | None]
    validation_top5_accuracy: NotRequired[Share | None]
    lr: NonNegative | None
    seconds: NonNegative
    images_per_second: NonNegative


class IntervalRow(TypedDict):
    """A line of intervals.jsonl."""

    epoch: Epoch
    step: Count
    passes: NonNegative
    minibatch_loss: Number
    interval_loss: Number
    lr: NonNegative | None
    loss_scale: NotRequired[NonNegative]
    skipped_steps: NotRequired[Count]


Config = Annotated[dict[Name, Any], Meta(max_length=1000)]
"""config.json: settings by name, which `Settings.from_dict` checks."""


_INTERVAL = msgspec.json.Decoder(IntervalRow)


class Machine(TypedDict, total=False):
    """What a run was computed on; `cores` are the machine's, `threads` those that computed."""

    processor: Name
    system: Name
    cores: Count | None
    threads: Count
    memory_mib: NonNegative | None
    computed_by: Name


class Result(TypedDict, total=False):
    """result.json."""

    dataset: Text
    recipe: Name
    backend: Name
    epochs: Epoch
    best_epoch: Epoch
    lr: NonNegative
    final_train_loss: Number
    test_loss: Number
    test_accuracy: Share
    test_views: Views
    seconds: NonNegative
    peak_memory_mib: NonNegative | None
    parameters: Count
    seed: Annotated[int, Meta(ge=0)]
    ranks: Count
    training_images: Count
    finished: Name
    machine: Machine
    versions: Annotated[dict[Name, Name], Meta(max_length=100)]


class Sums(TypedDict):
    """The sums of an epoch or an interval that is under way."""

    loss: Number
    images: Count
    correct: Count | None
    top5: Count | None


class Entry(TypedDict):
    """A parameter's place in the flat vector."""

    name: Name
    shape: Annotated[list[Count], Meta(max_length=32)]
    start: Count


class LossScale(TypedDict):
    """How float16's loss is scaled."""

    scale: Positive
    good_steps: Count
    skipped_steps: Count


class State(TypedDict):
    """Everything that a checkpoint holds besides its arrays."""

    epoch: Annotated[int, Meta(ge=0, le=10**9)]
    batch: Count
    step: Count
    lr: NonNegative
    last_lr: NotRequired[NonNegative | None]
    random_counter: Count
    epoch_sums: Sums
    interval_sums: Sums
    seconds: NonNegative
    epoch_seconds: NonNegative
    history: list[Any]
    layout: list[Entry]
    dtype: Literal["float32", "float64"]
    optimizer_steps: Count
    average_steps: NotRequired[Count]
    loss_scaling: NotRequired[LossScale]
    data: NotRequired[dict[Name, Count]]
    made_with: NotRequired[dict[Name, Name]]
    model: NotRequired[dict[str, Any]]
    """A `Description`, which is checked where it is used: to go on, none is needed."""


class Scale(TypedDict):
    """How a model's images were normalised."""

    mean: Annotated[list[Number], Meta(max_length=1000)]
    std: Annotated[list[Positive], Meta(max_length=1000)]


class Description(TypedDict):
    """What it takes to use model.safetensors, or a checkpoint."""

    model: Name
    image_shape: tuple[Size, Size, Size]
    classes: Annotated[list[Name], Meta(min_length=1, max_length=MOST_CLASSES)]
    normalization: Scale
    settings: dict[Name, Any]
    division: NotRequired[Count]
    tensors: NotRequired[tensors.Tensors]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while reading a file into a `RunError` that names it."""
    try:
        with explained(RunError, f"cannot read {path}"):
            yield
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{path} is damaged: {' '.join(str(error).split())}") from error


def epoch_row(value: Any) -> history.Row:
    """Return an epoch's row, including what callbacks have added."""
    typed = checked(value, EpochRow)
    return cast(history.Row, {**value, **typed})


def interval_row(line: bytes) -> history.IntervalRow:
    """Return the row in a line of intervals.jsonl, without what callbacks have added.

    There may be millions, so each is read and checked in one call.
    """
    try:  # faster than `shallow`
        return _INTERVAL.decode(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def state(value: Any) -> State:
    """Return a checkpoint's state after checking that its parts fit each other."""
    found: State = checked(value, State)
    history = [epoch_row(row) for row in value["history"]]
    if [row["epoch"] for row in history] != list(range(1, found["epoch"] + 1)):
        raise ValueError(f"its history does not fit its {found['epoch']} epochs")
    if found["batch"] and not found["epoch_sums"]["images"]:
        raise ValueError(f"it is at batch {found['batch']} of an epoch, but has seen none of its images")
    return {**found, "history": history}
