"""Whether, and where, a trainer shows how far it has come."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xnn.training.progress import Lines
    from xnn.training.trainer import Trainer


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, which shows more than text."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A terminal's IPython has no kernel.
    return getattr(shell, "kernel", None) is not None


def is_shown(trainer: "Trainer", progress: bool | None) -> bool:
    """Whether to show progress: as it was asked for, or else in a notebook; of several ranks the first one does."""
    return not trainer.team.rank and (in_notebook() if progress is None else progress)


@contextmanager
def fitting(trainer: "Trainer", progress: bool | None) -> Iterator[None]:
    """Show how training goes during a ``with`` block, if that is wanted."""
    if not is_shown(trainer, progress):
        yield
        return
    # Imported only now, since they load what draws.
    shown: Lines
    if in_notebook():
        from xnn.training.notebook import Cell

        shown = Cell()
    else:
        from rich.console import Console

        from xnn.training.progress import reporter

        shown = reporter(Console())
    trainer.callbacks.append(shown)
    try:
        yield
    finally:
        trainer.callbacks.remove(shown)
        shown.close()


@contextmanager
def evaluating(trainer: "Trainer", images: int, progress: bool | None) -> Iterator[None]:
    """Show how an evaluation goes during a ``with`` block, if that is wanted; a short one shows nothing."""
    if not is_shown(trainer, progress):
        yield
        return
    if in_notebook():
        from xnn.training.notebook import evaluation

        with evaluation(trainer, images):
            yield
        return
    from rich.console import Console

    from xnn._few_threads import can_start
    from xnn.training.progress import evaluating_bar

    console = Console()
    if not (console.is_terminal and can_start(1)):
        yield
        return
    with evaluating_bar(trainer, images, console):
        yield
