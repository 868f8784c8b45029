"""The progress of training in a notebook: lines and a bar in one place of a cell's output, written again and again.

Rich's own live displays need ipywidgets in a notebook, and warn without it. Here Rich draws, and the notebook's own way
of updating an output shows that.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.text import Text

from xnn._few_threads import can_start
from xnn.texts import printable
from xnn.training.progress import Lines, evaluating_bar, fitting_bar

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

_PERIOD = 0.25
"""Seconds between two pictures."""
_PATIENCE = 0.5
"""Seconds after which an evaluation is shown."""
_MOST_LINES = 25
_WIDTH = 140
_FORMAT = '<pre style="white-space: pre; overflow-x: auto; line-height: 1.35; margin: 0">{code}</pre>'


class Place:
    """A place in a cell's output, which a thread writes anew a few times a second, so that it costs nothing in a step.

    Parameters
    ----------
    draw
        Returns what is to be seen now.
    delay
        Seconds after which it appears.
    """

    def __init__(self, draw: Callable[[], list[RenderableType]], delay: float = 0.0) -> None:
        self._draw = draw
        self._delay = delay
        self._shown: Any = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xnn-progress", daemon=True) if can_start(1) else None
        if not delay:
            self._show()
        if self._thread is not None:
            self._thread.start()

    def _run(self) -> None:
        if self._end.wait(self._delay):
            return
        self._show()
        while not self._end.wait(_PERIOD):
            self._show()

    def _show(self) -> None:
        bundle = bundle_of(self._draw())
        if self._shown is None:
            from IPython.display import display

            self._shown = display(bundle, raw=True, display_id=True)
        else:
            self._shown.update(bundle, raw=True)

    def close(self, last: list[RenderableType]) -> None:
        """Show a last thing, if anything has been shown at all."""
        if self._end.is_set():
            return
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if self._shown is not None:
            self._draw = lambda: last
            self._show()


def bundle_of(parts: list[RenderableType]) -> dict[str, str]:
    """Return what a notebook shows of some things that Rich can draw, by MIME types; texts are escaped."""
    # Not `force_jupyter`: Rich would show each part by itself, beside what is made of them here.
    options: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor", "force_jupyter": False}
    console = Console(file=io.StringIO(), record=True, width=_WIDTH, **options)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    html = console.export_html(inline_styles=True, code_format=_FORMAT, clear=False)
    return {"text/html": html, "text/plain": console.export_text()}


class Cell(Lines):
    """Keeps the epochs' lines and, below them, a bar in the output of the cell that trains."""

    def __init__(self) -> None:
        super().__init__(_quiet_console())
        self._lines: list[str] = []
        self._bar: RenderableType | None = None
        self._place: Place | None = None

    def fit_begin(self, trainer: "Trainer") -> None:
        """Show the bar."""
        super().fit_begin(trainer)
        bar = fitting_bar(trainer, self.console)
        self._place = Place(lambda: [*self._told_so_far(), bar.get_renderable()])

    def close(self) -> None:
        """Take the bar away; the lines stay."""
        super().close()
        if self._place is not None:
            self._place.close(self._told_so_far())

    def _announce(self) -> None:
        """Leave it to the bar."""

    def _say(self, line: str) -> None:
        self._lines.append(line)

    def _told_so_far(self) -> list[RenderableType]:
        before = len(self._lines) - _MOST_LINES
        lines = [*([f"... {before:,} lines before"] if before > 0 else []), *self._lines[-_MOST_LINES:]]
        return [Text(printable(line)) for line in lines]


@contextmanager
def evaluation(trainer: "Trainer", images: int) -> Iterator[None]:
    """Show a bar for an evaluation in a ``with`` block, if it takes more than a moment."""
    bar = evaluating_bar(trainer, images, _quiet_console())
    place = Place(lambda: [bar.get_renderable()], delay=_PATIENCE)
    try:
        yield
    finally:
        done = f"evaluated {trainer.evaluated:,} of {trainer.to_evaluate:,} batches, {images:,} images in all"
        place.close([Text(done)])


def _quiet_console() -> Console:
    return Console(file=io.StringIO(), force_jupyter=False)
