"""Devices that tell when they are read or sent to, for lack of a GPU on which that would be a wait.

PyTorch's CPU is watched where its operators are dispatched, which sees what a library does in its depth;
array-api-strict where an array is turned into a Python number or a NumPy array. Both also refuse shapes that depend on
values, such as `nonzero`'s: a device has to be asked for these.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np

from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.training import Trainer
from xnn.training.metrics import Meter

ESCAPES = ("__bool__", "__int__", "__float__", "__complex__", "__index__", "__array__")
TORCH_ESCAPES = (*ESCAPES, "item", "tolist", "numpy", "cpu")
READING_OPERATORS = (
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "masked_select"),
    *("unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
)


class Watch:
    """What a device was asked for: `read_at` and `waited_at` say when, by a clock that the test sets.

    While `reading` is forbidden a read is an error, but for those of `Meter.flush` and of the end of an interval. While
    `sending` is forbidden, so is what is sent.
    """

    def __init__(self):
        self.reading = self.sending = True
        self.clock = int
        self.read_at, self.waited_at = [], []

    def read(self, how):
        assert self.reading, f"the device was read by {how}"

    def send(self, how):
        assert self.sending, f"the device was sent something by {how}"

    @contextmanager
    def reads_allowed(self):
        before, self.reading = self.reading, True
        yield
        self.reading = before


@contextmanager
def watched(name, patch):
    """Return a backend of that name and its watch."""
    watch, backend = Watch(), make_backend(name)
    _watch_backend(watch, patch)
    watcher = _watch_torch if backend.library == "torch" else _watch_strict
    with watcher(watch, backend, patch):
        yield backend, watch


def _noting(note, how, original):
    def call(*arguments, **options):
        note(how)
        return original(*arguments, **options)

    return call


def _watch_backend(watch, patch):
    def flush(meter, *sums):
        watch.read_at.append(watch.clock())
        with watch.reads_allowed():
            return original_flush(meter, *sums)

    def synchronize(backend):
        watch.waited_at.append(watch.clock())

    def end_interval(trainer):
        with watch.reads_allowed():
            original_end_interval(trainer)

    original_flush, original_end_interval = Meter.flush, Trainer._end_interval
    patch.setattr(Meter, "flush", flush)
    patch.setattr(Trainer, "_end_interval", end_interval)
    patch.setattr(Backend, "synchronize", synchronize)
    patch.setattr(Backend, "to_numpy", _noting(watch.read, "to_numpy", Backend.to_numpy))


def _watch_asarray(watch, namespace, is_own, patch):
    original = namespace.asarray

    def asarray(x, **options):
        if not is_own(x):
            watch.send("asarray")
        return original(x, **options)

    patch.setattr(namespace, "asarray", asarray)


def _watch_strict(watch, backend, patch):
    xp = backend.xp
    kind = type(xp.zeros(1))
    _watch_asarray(watch, xp, lambda x: isinstance(x, kind), patch)
    for name in ESCAPES:
        if hasattr(kind, name):
            patch.setattr(kind, name, _noting(watch.read, name, getattr(kind, name)))
    return xp.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False)


def _watch_torch(watch, backend, patch):
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    _watch_asarray(watch, backend.xp, partial(_isinstance, torch.Tensor), patch)
    for name in TORCH_ESCAPES:
        patch.setattr(torch.Tensor, name, _noting(watch.read, name, getattr(torch.Tensor, name)))

    class Dispatch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            name = function._schema.name.partition("::")[2]
            masks = any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in _indices(arguments))
            if name in READING_OPERATORS or (name.startswith("index") and masks):
                watch.read(name)
            return function(*arguments, **(options or {}))

    return Dispatch()


def _isinstance(kind, x):
    return isinstance(x, kind)


def _indices(arguments):
    return arguments[1] if len(arguments) > 1 and isinstance(arguments[1], list | tuple) else ()


class Guarded:
    """Batches that may send while they make the first one of an epoch, and not after it until the epoch ends."""

    def __init__(self, batches, watch):
        self.batches, self.watch, self.images = batches, watch, batches.images

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        try:
            for batch in self.batches.epoch(epoch, start):
                self.watch.sending = False
                yield batch
        finally:
            self.watch.sending = True


def random_images(count, shape, classes, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), dtype=np.uint8), random.integers(0, classes, count)
