"""Chains of functions, by their twins and by their references."""

from xnn import kernels
from xnn.backends import backend as make_backend

FUNCTIONS = kernels.functions(make_backend("numpy", twins=True))


class Declined(Exception):  # noqa: N818 - not an error
    """The twin of a chain does not cover these arguments."""


def composed(first, *others):
    """Return a function ``(x, *parameters) -> (y, pullback)``: the first one, and after it functions of one array."""

    def function(*arguments):
        y, inner = first(*arguments)
        outers = []
        for other in others:
            y, outer = other(y)
            outers.append(outer)

        def back(dy):
            for outer in reversed(outers):
                dy = outer(dy)
            return dy

        if len(arguments) == 1:
            return y, lambda dy: inner(back(dy))
        return y, lambda dy, needs=(True, True, True): inner(back(dy), needs)

    return function


def chain(names, rest, *others):
    """Return the same of a chain's twin; `rest` follows the parameters, `others` are the other functions' arguments."""
    twin = FUNCTIONS.twin(*names)

    def function(x, *parameters):
        result = twin(x, (*parameters, *rest), *map(tuple, others))
        if result is None:
            raise Declined
        y, inner = result
        if not parameters:
            return y, inner

        def pullback(dy, needs=(True, True, True)):
            return tuple(g.write() if hasattr(g, "write") else g for g in inner(dy, needs))

        return y, pullback

    return function
