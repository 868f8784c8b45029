"""What a run writes for TensorBoard."""

from xnn.runs.assembly import Job
from xnn.runs.directory import RunDirectory
from xnn.runs.finishing import PLACES
from xnn.runs.settings import Settings
from xnn.runs.together import Together
from xnn.training.tensorboard import TensorBoard, check_installed


def check_tensorboard(settings: Settings, together: Together) -> None:
    """Raise a `SettingError` on all ranks if events are asked for and cannot be written."""
    if settings.tensorboard:
        together.first(lambda: check_installed("--tensorboard"))


def events(job: Job, directory: RunDirectory) -> TensorBoard:
    """Return the callback that writes the events of a run beside its other files."""
    settings = {name: value for name, value in job.settings.to_dict().items() if name not in PLACES}
    return TensorBoard(
        directory.folder,
        images=job.held_out if job.dataset.image_shape[-1] in (1, 3) else None,
        classes=job.dataset.classes,
        hparams=settings,
        # A run that was killed before its first checkpoint begins again.
        replace=True,
    )
