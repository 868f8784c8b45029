"""Checks of hand-derived gradients for your own layers and functions; xnn's tests use the same checks.

>>> from xnn import testing                                        # doctest: +SKIP
>>> testing.check_pullback(my_function, (x, weight))               # doctest: +SKIP
>>> testing.check_layer(MyLayer(), (8, 8, 3))                      # doctest: +SKIP
>>> testing.check_twin(my_function, my_faster_one, (x, weight))    # doctest: +SKIP

`strategies` draws shapes, arrays, geometries and networks for property tests. It needs Hypothesis
(``pip install '.[testing]'`` in a clone of xnn) and is loaded when first used; the checks need nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xnn.testing.agreement import check_backends
from xnn.testing.gradients import NotSmoothError, check_pullback
from xnn.testing.layers import check_layer
from xnn.testing.twins import check_twin

if TYPE_CHECKING:
    from xnn.testing import strategies

__all__ = ["NotSmoothError", "check_backends", "check_layer", "check_pullback", "check_twin", "strategies"]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return importlib.import_module("xnn.testing.strategies")
    raise AttributeError(f"module 'xnn.testing' has no attribute {name!r}")
