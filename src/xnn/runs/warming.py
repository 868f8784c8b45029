"""Compiling, before a run, all that it will need: the rest of a first run is then as fast as a second one."""

import dataclasses

import numpy as np

from xnn._typing import Report
from xnn.data import Batches
from xnn.kernels.compiling import compilations
from xnn.runs.assembly import Job, prepare
from xnn.runs.settings import Settings, known
from xnn.runs.trainer import make_trainer


def warm_up(settings: Settings, report: Report) -> None:
    """Train and evaluate on a few images as a run by these settings would, and write nothing but caches.

    Parameters
    ----------
    settings
        Of the run. Its data set is read, and downloaded where it is missing, since it decides on shapes.
    report
        Takes lines for people.

    Raises
    ------
    UserError
        As for `xnn.runs.run.train`.
    """
    names: list[str] = []

    def hear(name: str) -> None:
        if not names:
            report("compiling the kernels that this run needs (once) ...")
        if name not in names:
            names.append(name)

    before = compilations.seconds
    with compilations.heard(hear):
        _touch(prepare(settings, report))
    if names:
        report(f"compiled {', '.join(names)} in {compilations.seconds - before:.1f} s; later runs find them in a cache")
    else:
        report("there is nothing left to compile")


def _touch(job: Job) -> None:
    """Call all that a run calls: in its first epoch and its last, which may have images of another size."""
    trainer, epochs = make_trainer(job, []), known(job.settings.epochs)
    train, held_out = _some_of(job.train), _some_of(job.held_out)
    trainer.fit(train, held_out, epochs=1)
    if epochs > 1:
        trainer.epoch = epochs - 1
        trainer.fit(train, held_out, until=epochs)
    trainer.evaluate(_some_of(job.test))


def _some_of(batches: Batches) -> Batches:
    """Return a batch of the usual size, and the smaller one that ends an epoch, if there is one."""
    size, images = batches.batch_size, len(batches.split)
    count = images if images < size else size + images % size
    return dataclasses.replace(batches, split=batches.split.take(np.arange(count)))
