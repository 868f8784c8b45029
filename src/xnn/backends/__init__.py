"""Which array library computes, and on which device.

xnn requires of a library the functions of the Array API standard (2023.12 or newer), in-place assignment to slices, and
that a slice or reshape of a contiguous array is a view. A library is imported when it is first named.
"""

from xnn.backends.interface import DTYPES, PRECISIONS, Backend
from xnn.backends.selection import ENVIRONMENT_VARIABLE, LIBRARIES, TWINS_VARIABLE, backend, twins_by_default

__all__ = [
    "DTYPES",
    "ENVIRONMENT_VARIABLE",
    "LIBRARIES",
    "PRECISIONS",
    "TWINS_VARIABLE",
    "Backend",
    "backend",
    "twins_by_default",
]
