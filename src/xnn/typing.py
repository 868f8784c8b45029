"""Names for the type hints of your own layers, losses and functions."""

from xnn._typing import Array, ArrayLike, ArrayObject, Pullback, Shape

__all__ = ["Array", "ArrayLike", "ArrayObject", "Pullback", "Shape"]
