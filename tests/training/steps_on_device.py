"""A program that trains on CuPy and marks in the log of an emulated device which operations belong to a case's steps.

`test_device_waits` runs it. A mark ``begin CASE`` comes after the first steps, which compile kernels and fill caches,
and ``end CASE`` before the epoch ends, where losses are read.
"""

import ctypes

import numpy as np

from tests.optim.table import WITH_MUON
from tests.training.test_waiting import AUGMENT, SHAPE, network
from tests.training.watching import random_images
from xnn import data, nn, optim
from xnn.backends import backend as make_backend
from xnn.data import batches as batches_module
from xnn.training import Callback, Trainer
from xnn.training.loaders import ArrayBatches

FIRST, LAST = 3, 6
"""The steps after which the marks come; an epoch has seven, and a block of images ends within them."""
HOST = "images on the host"


class Marks(Callback):
    def __init__(self, case):
        self.case = case

    def step_end(self, trainer):
        if trainer.step in (FIRST, LAST):
            mark(f"{'begin' if trainer.step == FIRST else 'end'} {self.case}")


def mark(text):
    ctypes.CDLL(None).emu_mark(text.encode())


def train(case, batches, model, optimizer, **options):
    Trainer(model, optimizer, callbacks=[Marks(case)], log_every=100, **options).fit(batches, epochs=1)


def image_batches(backend, **options):
    split = data.Split(*random_images(34, SHAPE, 7))
    return data.Batches(split, 5, backend=backend, normalization=data.Normalization.of(split), classes=7, **options)


def with_everything(case, backend, optimizer="sgd", precision="float32", augment=AUGMENT, **options):
    model = network().build(SHAPE, backend=backend, seed=0, precision=precision)
    train(
        case,
        image_batches(backend, augment=augment, **options),
        model,
        WITH_MUON[optimizer](model, weight_decay=1e-3),
        loss=nn.SoftmaxCrossEntropy(label_smoothing=0.1),
        penalty=nn.L2Penalty(1e-3),
        clip_norm=0.5,
        average=optim.ExponentialMovingAverage(model, 0.9),
    )


def with_loss(case, backend, loss):
    model = nn.Sequential(nn.Linear(3)).build((4,), backend=backend, seed=0)
    random = np.random.default_rng(0)
    x, targets = random.standard_normal((21, 4)), random.random((21, 3)).astype("float32")
    train(case, ArrayBatches(x, targets, 3, backend=backend), model, optim.SGD(model, 0.1), loss=loss)


CASES = {
    **{f"optimizer {name}": (with_everything, {"optimizer": name}) for name in WITH_MUON},
    **{f"precision {name}": (with_everything, {"precision": name}) for name in ("tf32", "float16")},
    **{
        f"augmentation {type(augment).__name__}": (with_everything, {"augment": augment})
        for augment in (data.RandomResizedCrop(), data.RandomRotation(), data.ColourJitter())
    },
    **{f"mixing {type(mix).__name__}": (with_everything, {"mix": mix}) for mix in (data.MixUp(), data.CutMix())},
    HOST: (with_everything, {"resident": False}),
    **{
        f"loss {type(loss).__name__}": (with_loss, {"loss": loss})
        for loss in (nn.BinaryCrossEntropyWithLogits(), nn.MSE(), nn.Huber())
    },
}


def main():
    backend = make_backend("cupy")
    batches_module._BLOCK = 10
    for case, (run, options) in CASES.items():
        run(case, backend, **options)
    mark("begin a read")
    float(backend.zeros(1, "float32")[0])
    mark("end a read")


if __name__ == "__main__":
    main()
