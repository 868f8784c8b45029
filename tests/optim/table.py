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
"""Those whose rules work element by element, for any model."""


def muon(model, lr=0.02, **options):
    """Muon for the hidden matrices, SGD for the rest."""
    hidden, rest = optim.split(model, optim.hidden_matrices(model))
    return optim.Groups(optim.Muon(hidden, lr, **options), optim.SGD(rest, lr, momentum=0.9, nesterov=True))


WITH_MUON = {**OPTIMIZERS, "muon": muon}
"""For models that are made of layers."""

each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
