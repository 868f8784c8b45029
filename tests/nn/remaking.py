"""Layers made again by what xnn says of them."""

import functools
import json

from xnn import nn
from xnn.nn.architecture import described, made
from xnn.testing import networks as drawn

NAMES = {**vars(nn), "partial": functools.partial, "_Depthwise": drawn._Depthwise}


def by_repr(layer):
    return eval(repr(layer), NAMES)


def by_description(layer):
    """Return the layer that a layer's description, as text, is one of."""
    return made(json.loads(json.dumps(described(layer), allow_nan=False)))
