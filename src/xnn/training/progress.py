"""What the user sees while a model trains: a bar on a terminal, plain lines elsewhere; `notebook` has its own."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from xnn._few_threads import can_start
from xnn.kernels.compiling import compilations
from xnn.texts import printable
from xnn.training.callbacks import Callback
from xnn.training.history import Row
from xnn.training.view_averaging import views_of

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is: do not wrap it or interpret anything in it as a style, an emoji or a control."""
    console.print(Text(printable(line), style), soft_wrap=True)


def reporter(console: Console) -> "Lines":
    """Return the callback that suits the console: a live bar on a terminal, else a line per epoch."""
    # The bar has its own thread.
    return Bar(console) if console.is_terminal and can_start(1) else Lines(console)


class Lines(Callback):
    """Prints a line an epoch, and one on what had to be compiled for it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._listening = ExitStack()
        self._compiled: list[str] = []
        self._told = 0.0

    def fit_begin(self, trainer: "Trainer") -> None:
        """Begin to listen to what is compiled."""
        self._told = compilations.seconds
        self._listening.enter_context(compilations.heard(self._hear))

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Print the epoch's line."""
        if self._compiled:
            seconds = compilations.seconds
            line = (
                f"compiled {', '.join(self._compiled)} in {seconds - self._told:.1f} s; later runs find them in a cache"
            )
            self._say(line)
            self._compiled, self._told = [], seconds
        self._say(epoch_line(row, trainer.epochs, trainer.held_out, views_of(trainer.predict)))

    def fit_end(self, trainer: "Trainer") -> None:
        """Listen no more."""
        self.close()

    def close(self) -> None:
        """Remove anything shown temporarily, also after an error."""
        self._listening.close()

    def _hear(self, name: str) -> None:
        if not self._compiled:
            self._announce()
        if name not in self._compiled:
            self._compiled.append(name)

    def _announce(self) -> None:
        self._say("compiling the kernels that this run needs (once) ...")

    def _say(self, line: str) -> None:
        print_line(self.console, line)


class Bar(Lines):
    """Keeps a bar below the epochs' lines.

    The bar's own thread looks at the trainer's counters a few times a second, so it costs nothing in a step.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress: Progress | None = None

    def fit_begin(self, trainer: "Trainer") -> None:
        """Show the bar."""
        super().fit_begin(trainer)
        self._progress = fitting_bar(trainer, self.console)
        self._progress.start()

    def close(self) -> None:
        """Take the bar away."""
        super().close()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _announce(self) -> None:
        """Leave it to the bar."""


def fitting_bar(trainer: "Trainer", console: Console) -> Progress:
    """Return the bar of an epoch, which looks at the trainer whenever it is drawn."""
    left = _Column(_left, trainer, trainer.step, compilations.working_time())
    columns = (_Column(_epoch, trainer), BarColumn(bar_width=30), _Column(_now, trainer), left)
    return _bar(columns, console)


def evaluating_bar(trainer: "Trainer", images: int, console: Console) -> Progress:
    """Return the bar of an evaluation of so many images, which looks at the trainer whenever it is drawn."""
    columns = (_Column(_evaluated, trainer), BarColumn(bar_width=30), _Column(_looking_at, images))
    return _bar(columns, console)


def _bar(columns: Iterable[ProgressColumn], console: Console) -> Progress:
    bar = Progress(*columns, console=console, transient=True, refresh_per_second=5)
    bar.add_task("", total=None)
    return bar


class _Column(ProgressColumn):
    """A column written by a function, from the task and the other arguments it was made with."""

    max_refresh = None

    def __init__(self, write: Callable[..., Text], *known: Any) -> None:
        super().__init__()
        self._write, self._known = write, known

    def render(self, task: Task) -> Text:
        return self._write(task, *self._known)


def _epoch(task: Task, trainer: "Trainer") -> Text:
    # also the only place where the task learns how far training has come
    task.total, task.completed = trainer.batches or None, trainer.batch
    return Text(f"epoch {min(trainer.epoch + 1, trainer.epochs)}/{trainer.epochs}", style="bold")


def _now(task: Task, trainer: "Trainer") -> Text:
    compiling = compilations.now
    if compiling is not None:
        return Text(f"compiling (once): {compiling}")
    if trainer.evaluating:
        return Text(f"looking at the {trainer.held_out} images")
    sums, seconds = trainer.epoch_sums, trainer.epoch_clock.elapsed
    if not sums.images or not seconds:
        return Text("")
    now = sums.metrics()
    accuracy = "" if now.accuracy is None else f"  accuracy {100 * now.accuracy:.2f} %"
    return Text(f"loss {now.loss:.4f}{accuracy}  {sums.images / seconds:,.0f} images/s")


def _left(task: Task, trainer: "Trainer", first_step: int, began: float) -> Text:
    done = trainer.step - first_step
    if not done:
        return Text("")
    left = (trainer.epochs - trainer.epoch) * trainer.batches - trainer.batch
    return Text(f"{clock_time((compilations.working_time() - began) / done * left)} left", style="cyan")


def _evaluated(task: Task, trainer: "Trainer") -> Text:
    task.total, task.completed = trainer.to_evaluate or None, trainer.evaluated
    return Text("evaluating", style="bold")


def _looking_at(task: Task, images: int) -> Text:
    compiling = compilations.now
    return Text(f"{images:,} images" if compiling is None else f"compiling (once): {compiling}")


def clock_time(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def epoch_line(row: Mapping[str, Any], epochs: int, held_out: str, views: int = 1) -> str:
    """Return an epoch's row as a line for people, which says that it is of one view where the result is of several."""
    parts = [_pair("train", row["train_loss"], row["train_accuracy"])]
    if f"{held_out}_loss" in row:
        pair = _pair(held_out, row[f"{held_out}_loss"], row[f"{held_out}_accuracy"])
        parts.append(pair if views == 1 else f"{pair} (one view)")
    parts.append(f"{row['seconds']:.1f} s, {row['images_per_second']:,.0f} images/s")
    number = str(row["epoch"]).rjust(len(str(epochs)))
    return f"epoch {number}/{epochs}: {'; '.join(parts)}"


def _pair(name: str, loss: float, accuracy: float | None) -> str:
    return f"{name} loss {loss:.4f}" + ("" if accuracy is None else f", accuracy {100 * accuracy:.2f} %")
