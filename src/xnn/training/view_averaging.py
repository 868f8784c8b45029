"""Averaging the model's outputs over several views of each test image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xnn._typing import Array
from xnn.nn import Layer

VIEWS = (1, 2, 6)


@dataclass(frozen=True, eq=False)
class Averaged:
    """What `predictor` returns for several views.

    Attributes
    ----------
    model : Layer
    views : {2, 6}

    Examples
    --------
    >>> from xnn import nn
    >>> from xnn.training.view_averaging import predictor
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy")
    >>> predict = predictor(model, views=6)
    >>> type(predict).__name__, predict.views
    ('Averaged', 6)
    """

    model: Layer
    views: int

    def __call__(self, x: Array) -> Array:
        """Return the mean of the model's outputs for several views of images (n, h, w, c)."""
        return self.mean([self.model(view) for view in self.seen(x)])

    def seen(self, x: Array) -> Iterator[Array]:
        """Give the views of images (n, h, w, c), each before its mirror image."""
        for offset in (0,) if self.views == 2 else (0, 1, -1):
            view = _moved(self.model, x, offset) if offset else x
            yield view
            yield _take(self.model, view, list(range(x.shape[2]))[::-1], axis=2)

    def mean(self, outputs: Sequence[Array]) -> Array:
        """Return the weighted mean of the outputs for what `seen` gives."""
        first, *moved = [(a + b) / 2.0 for a, b in zip(outputs[::2], outputs[1::2], strict=True)]
        return (first + (moved[0] + moved[1]) / 2.0) / 2.0 if moved else first


def predictor(model: Layer, views: int) -> Callable[[Array], Array]:
    """Return a function from images (n, h, w, c) to the mean of the model's outputs for several views of each.

    The six views are those of K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024.

    Parameters
    ----------
    model : Layer
        Built, for images.
    views : {1, 2, 6}
        1: the image alone. 2: its mirror image too. 6: these two, with a weight of one half, and the same two for the
        image moved by a pixel up and left, and down and right, with a quarter each. Pixels that move in at the border
        are mirrored.

    Raises
    ------
    ValueError
        If there is no such number of views.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> from xnn.training.view_averaging import predictor
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy", seed=0)
    >>> image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    >>> both = predictor(model, views=2)
    >>> bool(np.allclose(both(image), both(image[:, :, ::-1])))  # an image and its mirror image get one answer
    True
    """
    if views not in VIEWS:
        raise ValueError(f"views must be one of {', '.join(map(str, VIEWS))}, not {views!r}")
    return model if views == 1 else Averaged(model, views)


def views_of(predict: Callable[[Array], Array]) -> int:
    """Return how many views of each image a function looks at: 1 unless `predictor` made it for more."""
    return predict.views if isinstance(predict, Averaged) else 1


def over_views(name: str, views: int) -> str:
    """Return the name of a figure with the number of views it is averaged over, if that is more than one."""
    return name if views == 1 else f"{name}, {views} views"


def of_one_view(name: str, views: int) -> str:
    """Return the name of a figure that is of one view, and says so where another one is averaged over `views`."""
    return name if views == 1 else f"{name}, one view"


def _moved(model: Layer, x: Array, offset: int) -> Array:
    """Return images seen through a window moved by 1 or -1 along both axes."""
    for axis in (1, 2):
        last = x.shape[axis] - 1
        # -1 -> 1 at one end, n -> n - 2 at the other; a single line stays.
        places = [last - abs(last - abs(place + offset)) for place in range(last + 1)] if last else [0]
        x = _take(model, x, places, axis)
    return x


def _take(model: Layer, x: Array, places: list[int], axis: int) -> Array:
    """Return the lines of x at `places` along an axis, as a new array: the twins want whole rows, not strides."""
    xp = model.backend.xp
    return xp.take(x, xp.asarray(places, dtype=xp.int64, device=model.backend.device), axis=axis)
