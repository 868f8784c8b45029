"""Every setting of a run, in one place: the source of the command's flags and help, of config.json and of the API.

A field's metadata carries its help, the group it is shown in, and the values it allows. None stands for "what the
model does best with"; `xnn.runs.defaults.resolve` replaces it.
"""

import dataclasses
import functools
import math
import os
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from xnn import data, recipes
from xnn.backends import PRECISIONS
from xnn.data.mixing import MOST_ALPHA
from xnn.errors import SettingError, suggest
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, TAKEN, takers
from xnn.runs.every import FORM

MIXINGS: Final = ("mixup", "cutmix")
AUGMENTATIONS: Final = (
    *("flip", "alternating-flip", "crop", "shift", "cutout"),
    *("resized-crop", "rotate", "colour"),
    *MIXINGS,
    "none",
)
DTYPES: Final = ("float32", "float64")

_LARGEST: Final = 2**63 - 1
_LONGEST: Final = 4096
"""Most letters in a text, or names in a list: what systems allow for a path."""

T = TypeVar("T")
Check = tuple[str, Callable[[Any], object]]
ABOVE_ZERO: Final[Check] = ("a number above 0", lambda value: value > 0)
AT_LEAST_ZERO: Final[Check] = ("0 or more", lambda value: value >= 0)
AT_LEAST_ONE: Final[Check] = ("a whole number, 1 or more", lambda value: value >= 1)
WIDTH: Final[Check] = ("a whole number from 1 to 1000000", lambda value: 1 <= value <= 1_000_000)
EVERY: Final[Check] = (
    "a number of steps such as 500, a time such as 90s, 10m or 2h, or 0 to save only after epochs",
    FORM.fullmatch,
)
SHRINKS: Final[Check] = ("1, 2, 4 or 8", lambda value: value in (1, 2, 4, 8))
VIEWS: Final[Check] = ("1, 2 or 6", lambda value: value in (1, 2, 6))
ALPHA: Final[Check] = ("a number above 0, at most 1000000", lambda value: 0 < value <= MOST_ALPHA)
BELOW_ONE: Final[Check] = ("at least 0 and below 1", lambda value: 0 <= value < 1)


def _setting(
    group: str, help: str, default: Any = None, *, metavar: str = "", choices: Iterable[str] = (), check: Any = None
) -> Any:
    metadata = {"group": group, "help": help, "metavar": metavar, "choices": tuple(choices), "check": check}
    return dataclasses.field(default=default, metadata=metadata)


_data, _model, _training, _muon, _run = (
    functools.partial(_setting, group) for group in ("data", "model", "training", "muon", "run")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What to train, on what, and how. None means the recipe's or the model's own default.

    Raises
    ------
    SettingError
        One line that names the flag, the given value and what is allowed.

    Examples
    --------
    >>> import xnn
    >>> settings = xnn.Settings(recipe="mlp", epochs=3, lr=0.01)
    >>> " ".join(settings.to_argv())
    '--recipe=mlp --epochs=3 --lr=0.01'
    >>> xnn.Settings(lr=-1.0)
    Traceback (most recent call last):
        ...
    xnn.errors.SettingError: --lr -1.0: expected a number above 0
    """

    dataset: str = _data(
        f"{', '.join(data.names())}, torchvision:NAME, a folder of class/image.png, or a CSV file of path,label",
        "digits",
    )
    data_dir: str | None = _data("where the data set's files already are, so that nothing is downloaded", metavar="DIR")
    labels: str = _data("which labels of cifar100", "fine", choices=("fine", "coarse"))
    image_size: int | None = _data(
        "side of the squares to which pictures are scaled and cut (default: where they differ in size, the median of "
        "their shorter sides, at most 64)",
        check=AT_LEAST_ONE,
    )
    skip_bad: bool = _data("leave out files of a folder that are no pictures, or damaged, and name them", False)
    validation: float = _data(
        "share (below 1) or number of training images to hold out; epochs are then judged on these, not on the test "
        "set",
        0.0,
        check=AT_LEAST_ZERO,
    )
    augment: tuple[str, ...] | None = _data("random changes to training images", choices=AUGMENTATIONS)
    mixup_alpha: float = _data(
        "of --augment mixup: the two images' shares are drawn from Beta(A, A)", 0.2, metavar="A", check=ALPHA
    )
    cutmix_alpha: float = _data(
        "of --augment cutmix: the two images' shares of the area, also from Beta(A, A)", 1.0, metavar="A", check=ALPHA
    )
    window: int | None = _data(
        "the first epochs train on squares of this side, cut at random from the training images; 0 for none",
        check=AT_LEAST_ZERO,
    )
    window_share: float | None = _data("share of the epochs that train on the squares of --window", check=BELOW_ONE)

    recipe: str | None = _model(
        f"a model with its whole training: {', '.join(recipes.RECIPES)}; other flags override it"
    )
    model: str = _model(
        f"{', '.join(f'{name} ({recipe.about})' for name, recipe in recipes.RECIPES.items())}; default: the recipe's, "
        "that of --from, or cnn"
    )
    hidden: int | None = _model("width of the hidden layers, or of the first convolution", check=WIDTH)
    shrink: int | None = _model(
        "how many times smaller cnn makes images at its beginning; by default 32 to 63 pixels are left of the shorter "
        "side",
        check=SHRINKS,
    )
    init: str | None = _model("initial values of the convolutions' filters", choices=recipes.INITIALIZERS)
    first_layer: str | None = _model("filters of speed's frozen first layer", choices=("random", "whitening"))
    whitening_eps: float | None = _model("added to the variances that whitening divides by", check=ABOVE_ZERO)
    first_bias_epochs: int | None = _model(
        "epochs for which the bias of a frozen first layer is trained", check=AT_LEAST_ZERO
    )
    from_: str | None = _model(
        "begin with the weights of that run that fit; its model and width are the defaults", metavar="RUN_DIR"
    )
    freeze: tuple[str, ...] = _model(
        "layers or parameters that stay as they are, as in 0,2.bias; body for all but the last layer", ()
    )
    dtype: str = _model("floating-point type of all numbers", "float32", choices=DTYPES)
    threads: int | None = _model("threads to compute with on the CPU (default: all cores)", check=AT_LEAST_ONE)
    backend: str | None = _model(
        "numpy, cupy, torch, array_api_strict, each with an optional :DEVICE, or auto (default: $XNN_BACKEND or auto)"
    )

    epochs: int | None = _training("passes over the data", check=AT_LEAST_ONE)
    batch_size: int | None = _training("images in a step", check=AT_LEAST_ONE)
    lr: float | None = _training("learning rate (step size)", check=ABOVE_ZERO)
    body_lr: float = _training(
        "factor of the learning rate of all but the last layer", 1.0, metavar="FACTOR", check=ABOVE_ZERO
    )
    optimizer: str | None = _training("", choices=OPTIMIZERS)
    momentum: float | None = _training(f"momentum of {', '.join(takers('momentum'))}", check=BELOW_ONE)
    weight_decay: float | None = _training("weight decay of the optimizer", check=AT_LEAST_ZERO)
    decay: str | None = _training(
        "what weight decay applies to; norms and biases do not count as weights", choices=("weights", "all")
    )
    muon_steps: int | None = _muon("Newton-Schulz iterations that make an update orthogonal", check=AT_LEAST_ONE)
    filter_norm: str | None = _muon("whether each filter keeps its norm", choices=("free", "fixed"))
    head_lr: float | None = _muon("learning rate of the last layer's weights", check=ABOVE_ZERO)
    bias_lr: float | None = _muon("learning rate of biases and norms", check=ABOVE_ZERO)
    sgd_momentum: float | None = _muon("momentum of the last layer, biases and norms", check=BELOW_ONE)
    l2: float | None = _training("strength of an L2 penalty in the loss, on top of weight decay", check=AT_LEAST_ZERO)
    label_smoothing: float | None = _training("share of each label that is spread over all classes", check=BELOW_ONE)
    class_weights: str | None = _training(
        "weights in the training loss, by which each class may count alike",
        choices=("none", "balanced"),
    )
    schedule: str | None = _training("schedule of the learning rate", choices=SCHEDULES)
    warmup: float | None = _training(
        "epochs during which the learning rate rises (may be a fraction)", check=AT_LEAST_ZERO
    )
    clip_norm: float | None = _training("largest norm of the gradient, 0 for none", check=AT_LEAST_ZERO)
    average: float | None = _training("decay of the moving average of the weights, 0 for none", check=BELOW_ONE)
    test_views: int | None = _training(
        "views of each test image to average at the end: 1, 2 (also mirrored) or 6 (also moved by a pixel)", check=VIEWS
    )
    evaluate_every: int | None = _training(
        "evaluate on the held-out images every N epochs, and always after the last", check=AT_LEAST_ONE
    )
    precision: str | None = _training(
        "type in which products are computed; the weights stay float32, and float16 scales the loss (default: the "
        "recipe's)",
        choices=PRECISIONS,
    )
    batch_norm: str = _training(
        "of several ranks: whether batch normalization takes the mean and variance of the whole batch, or of each "
        "rank's images",
        "sync",
        choices=("sync", "local"),
    )
    early_stopping: int = _training(
        "stop after N evaluations without a better validation loss, 0 for never", 0, check=AT_LEAST_ZERO
    )
    keep_best: bool = _training("end with the weights of the lowest validation loss", False)
    seed: int = _training("seed of weights, shuffles and augmentation", 0, check=AT_LEAST_ZERO)

    run_dir: str | None = _run("new folder for the results (default: runs/DATASET-MODEL-TIME)", metavar="DIR")
    keep: int = _run("checkpoints to keep", 3, check=AT_LEAST_ONE)
    checkpoint_every: str = _run(
        "how often to save within an epoch: 500 (steps), 90s, 10m or 2h; 0 for never", "10m", metavar="N", check=EVERY
    )
    log_every: int = _run("steps between two lines of intervals.jsonl", 50, check=AT_LEAST_ONE)
    tensorboard: bool = _run("also write events for TensorBoard into the run directory", False)
    quiet: bool = _run("print only errors", False)

    def __post_init__(self) -> None:
        """Check each value, and the values that depend on each other."""
        for name, field in FIELDS.items():
            object.__setattr__(self, name, _checked(field, getattr(self, name)))
        if self.model is None:
            object.__setattr__(self, "model", _model_of(self.recipe, self.from_))
        self._check_together()

    def _check_together(self) -> None:
        if self.optimizer is not None:
            self._check_taken(self.optimizer)
        if self.precision not in (None, "float32") and self.dtype != "float32":
            raise SettingError(
                f"--precision {self.precision}: works only with --dtype float32, not {self.dtype}; "
                "leave one of the two out"
            )
        if self.validation > 1 and self.validation != int(self.validation):
            raise SettingError(f"--validation {self.validation}: expected a share below 1 or a whole number of images")
        if self.augment is not None and "none" in self.augment and len(self.augment) > 1:
            raise SettingError(f"--augment {','.join(self.augment)}: 'none' cannot be combined with others")

    def _check_taken(self, optimizer: str) -> None:
        for name in TAKEN:
            value, those = getattr(self, name), takers(name)
            # In runs of earlier versions, optimizers without momentum have a momentum of 0.
            if value and optimizer not in those:
                raise SettingError(f"{flag(name)} {value}: {optimizer} does not take it; it is for {', '.join(those)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Return the settings that `to_dict` described.

        Raises
        ------
        SettingError
            A name is not that of a setting, or a value is not allowed.
        """
        for name in values:
            if name not in FIELDS:
                raise SettingError(f"unknown setting '{name}'.{suggest(name, FIELDS)}")
        return cls(**values)

    def to_argv(self) -> list[str]:
        """Return the command-line arguments that give these settings; defaults are left out."""
        arguments = []
        for name, field in FIELDS.items():
            value = getattr(self, name)
            if value == (_model_of(self.recipe, self.from_) if name == "model" else field.default):
                continue
            if kind(field) is bool:
                arguments.append(flag(name))
            else:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                arguments.append(f"{flag(name)}={text}")
        return arguments


FIELDS: Final = {field.name: field for field in dataclasses.fields(Settings)}


def _model_of(recipe: str | None, from_: str | None) -> str | None:
    """Return the model where none was given: a recipe is named after its own, as in ``speed`` or ``speed-long``.

    None if it is that of another run, which `xnn.runs.assembly.prepare` reads.
    """
    if recipe is not None:
        return recipe.partition("-")[0]
    return "cnn" if from_ is None else None


def known(value: T | None) -> T:
    """Return the value of a setting that `xnn.runs.defaults.resolve` has filled in."""
    if value is None:
        raise ValueError("a setting was left to the model and not resolved")
    return value


def flag(name: str) -> str:
    """Return a setting's name on the command line."""
    # A name that is a word of Python's, such as `from_`, ends in "_".
    return "--" + name.rstrip("_").replace("_", "-")


@functools.cache
def kind(field: "dataclasses.Field[Any]") -> type:
    """Return the type of a field's values apart from None: str, int, float, bool or tuple (of strings)."""
    annotation = typing.get_type_hints(Settings)[field.name]
    members = typing.get_args(annotation)
    plain = members[0] if type(None) in members else annotation
    result: type = typing.get_origin(plain) or plain
    return result


def _checked(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return `value` in the field's own type, or raise a `SettingError` that names the flag."""
    if value is None and field.default is None:
        return None
    wanted, label = kind(field), flag(field.name)
    if wanted is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if type(value) is int and abs(value) > _LARGEST:
        raise SettingError(f"{label}: expected a number of at most {_LARGEST}")
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise SettingError(f"{label} {_brief(value)}: expected {_TYPE_NAMES[wanted]}")
    if isinstance(value, str | tuple) and len(value) > _LONGEST:
        raise SettingError(f"{label}: expected at most {_LONGEST:,} letters or names, not {len(value):,}")
    _check_value(field, label, value)
    return value


def _brief(value: Any, form: Callable[[Any], str] = repr) -> str:
    text = form(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of names"}


def _check_value(field: "dataclasses.Field[Any]", label: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{label} {value}: expected a finite number")
    check: Check | None = field.metadata["check"]
    if check is not None and not check[1](value):
        raise SettingError(f"{label} {_brief(value, str)}: expected {check[0]}")
    choices: tuple[str, ...] = field.metadata["choices"]
    for name in value if isinstance(value, tuple) else (value,):
        if choices and name not in choices:
            allowed = f"expected one of {', '.join(choices)}.{suggest(str(name), choices)}"
            raise SettingError(f"{label} {_brief(name, str)}: {allowed}")
