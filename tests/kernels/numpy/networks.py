"""Two small networks, and the bits that they end with after training."""

import numpy as np

from xnn import nn, optim
from xnn.backends import backend
from xnn.training import Trainer

X = np.random.default_rng(0).normal(size=(256, 28, 28, 1)).astype(np.float32)
LABELS = np.arange(256) % 10
# Products large enough for all of BLAS's threads, and kernels that are spread over ours.
NETWORKS = {
    "affine": lambda: (nn.Flatten(), nn.Linear(512), nn.ReLU(), nn.Linear(10)),
    "convolving": lambda: (
        nn.Conv2d(16, 3, padding=1), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(10),
    ),
}  # fmt: skip


def trained(name, callbacks=()):
    """Return the bits of a network's parameters after four steps."""
    model = nn.Sequential(*NETWORKS[name]()).build(X.shape[1:], backend=backend("numpy", twins=True), seed=1)
    Trainer(model, optim.SGD(model, 0.1), callbacks=callbacks).fit((X, LABELS), epochs=2, batch_size=128)
    return model.parameters.flat.tobytes()
