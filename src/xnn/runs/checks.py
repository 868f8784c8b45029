"""Whether settings fit the data, the model and the backend."""

from xnn import data, kernels, nn
from xnn.backends import Backend
from xnn.errors import SettingError
from xnn.runs.augmentation import SHIFT
from xnn.runs.settings import FIELDS, MIXINGS, Settings, flag
from xnn.tasks import Task


def check_validation(dataset: data.Dataset, settings: Settings) -> None:
    """Raise a `SettingError` if images are to be held out of a data set that comes with some."""
    if dataset.validation is not None and settings.validation:
        raise SettingError(
            f"--validation {settings.validation:g}: {settings.dataset} comes with validation images; leave it out"
        )


def check_precision(precision: str, backend: Backend) -> None:
    """Raise a `SettingError` unless a backend offers the precision."""
    offered = kernels.precisions(backend)
    if precision in offered:
        return
    advice = f"choose one of {', '.join(offered)}" if len(offered) > 1 else "leave it out"
    places = {
        "tf32": "--backend numpy, or a CUDA device of compute capability 8.0 or more",
        "bfloat16": "--backend torch",
    }
    raise SettingError(
        f"--precision {precision}: {backend.name} does not offer it; {advice}, "
        f"or use {places.get(precision, '--backend numpy, cupy or torch')}"
    )


def check_window(model: nn.Sequential, settings: Settings, task: Task) -> None:
    """Raise a `SettingError` if the window does not fit into the images, or the model cannot take one."""
    window = settings.window or 0
    if not window or not settings.window_share:
        return
    height, width, channels = task.image_shape
    if window > min(height, width):
        raise SettingError(f"--window {window}: expected at most {min(height, width)}, for images of {height}x{width}")
    try:
        backend = model.backend
        shape = (1, window, window, channels)
        model(backend.xp.zeros(shape, dtype=backend.dtype(settings.dtype), device=backend.device))
    except ValueError as error:
        raise SettingError(
            f"--window {window}: the model {settings.model} does not take images of {window}x{window}: {error}"
        ) from error


def check_shift(settings: Settings, task: Task) -> None:
    """Raise a `SettingError` if the images are too small to be moved with their edges reflected."""
    height, width, _ = task.image_shape
    if "shift" in (settings.augment or ()) and min(height, width) <= SHIFT:
        raise SettingError(
            f"--augment shift: moves images by {SHIFT} pixels, and those of {height}x{width} are too small for that; "
            "leave it out, for example with --augment none"
        )


def check_alphas(settings: Settings) -> None:
    """Raise a `SettingError` if an alpha was given for something that is not done."""
    for name in MIXINGS:
        field = FIELDS[f"{name}_alpha"]
        value = getattr(settings, field.name)
        if value != field.default and name not in (settings.augment or ()):
            raise SettingError(f"{flag(field.name)} {value:g}: needs {name} in --augment")
