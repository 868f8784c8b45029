"""The optimizers that tests go through, each as ``make(model, lr, **options)``, with a rate of its own by default."""

import pytest

from xnn import optim

OPTIMIZERS = {
    "sgd": lambda model, lr=0.1, **options: optim.SGD(model, lr, **options),
    "momentum": lambda model, lr=0.1, **options: optim.SGD(model, lr, momentum=0.9, **options),
    "nesterov": lambda model, lr=0.1, **options: optim.SGD(model, lr, momentum=0.9, nesterov=True, **options),
    "adam": lambda model, lr=0.01, **options: optim.Adam(model, lr, **options),
    "adamw": lambda model, lr=0.01, **options: optim.AdamW(model, lr, **options),
    "rmsprop": lambda model, lr=0.01, **options: optim.RMSprop(model, lr, **options),
    "rmsprop-momentum": lambda model, lr=0.01, **options: optim.RMSprop(model, lr, momentum=0.9, **options),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
