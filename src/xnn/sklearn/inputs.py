"""What estimators are given: checked as scikit-learn checks it, and made arrays that a network takes."""

import math
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_X_y, validate_data

from xnn._typing import Shape
from xnn.data.splits import HostArray

_PIECE = 4096
"""Examples that are normalised together, so that whatever NumPy makes on the way stays small."""


_ROUNDING = 10 * float(np.finfo(np.float64).eps)
"""Relative to the mean, the deviation that rounding makes by itself."""

_SMALL = 10_000
"""Numbers up to which float64, which has no compiled kernels, costs hardly any time."""


def checked(estimator: Any, x: Any, y: Any = None, *, reset: bool, with_y: bool, **options: Any) -> Any:
    """Return x, or (x, y), as finite arrays of numbers; set or compare ``n_features_in_`` and the features' names.

    x has rows (n, features), or images (n, height, width, channels), where grey ones may lack the last axis.
    Whatever else `sklearn.utils.check_X_y` takes for y is in `options`.

    Raises
    ------
    ValueError, TypeError
        Those of scikit-learn's own checks, with their messages; or images are not those that were fitted.
    """
    if isinstance(x, list | tuple):
        x = np.asarray(x)
    if getattr(x, "ndim", 2) <= 2:
        # scikit-learn's own way, which knows of tables and the names of their columns.
        given = (x, y) if with_y else (x,)
        own = {} if not with_y else options
        return validate_data(estimator, *given, reset=reset, dtype="numeric", order="C", **own)
    if with_y:
        images, y = check_X_y(x, y, dtype="numeric", order="C", allow_nd=True, **options)
    else:
        images = check_array(x, dtype="numeric", order="C", allow_nd=True)
    images = images if images.ndim > 3 else images[..., None]
    if images.ndim != 4:
        raise ValueError(f"X has shape {images.shape}; give rows (n, features) or images (n, height, width, channels)")
    if reset:
        estimator.n_features_in_ = math.prod(images.shape[1:])
        vars(estimator).pop("feature_names_in_", None)
    elif images.shape[1:] != estimator.input_shape_:
        raise ValueError(
            f"X has images of {_size(images.shape[1:])}, but {type(estimator).__name__} was fitted on "
            f"{_size(estimator.input_shape_)}"
        )
    return (images, y) if with_y else images


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) if len(shape) > 1 else f"rows of {shape[0]} numbers"


def shape_of(x: HostArray, image_shape: Any) -> Shape:
    """Return the shape of an example as the network takes it: that of x, or `image_shape` where x has rows.

    Raises
    ------
    ValueError
        `image_shape` is no shape of an image, or not that of x.
    """
    own = tuple(x.shape[1:])
    if image_shape is None:
        return own
    try:
        shape = tuple(int(length) for length in image_shape)
    except (TypeError, ValueError):
        shape = ()
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"image_shape must be (height, width, channels), as in (28, 28, 1), not {image_shape!r}")
    shape = shape if len(shape) == 3 else (*shape, 1)
    if math.prod(shape) != math.prod(own):
        raise ValueError(
            f"image_shape={image_shape!r} stands for {math.prod(shape)} numbers, and X has {math.prod(own)}: "
            f"{_size(own)}"
        )
    if len(own) > 1 and own != shape:
        raise ValueError(f"image_shape={image_shape!r}, but X has images of {_size(own)}; leave it out")
    return shape


def type_for(x: HostArray, dtype: Any) -> str:
    """Return the name of the type to compute in: float32, but float64 for small x in it, unless `dtype` says."""
    if isinstance(dtype, str) and dtype == "auto":
        return "float64" if x.dtype.kind == "f" and x.dtype.itemsize >= 8 and x.size <= _SMALL else "float32"
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = ""
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'auto', 'float32' or 'float64', not {dtype!r}")
    return name


class Scale:
    """Subtracts a mean and divides by a standard deviation, of each channel of images or of each column of rows.

    Parameters
    ----------
    x
        What it is learned from. Where nothing varies, but for rounding, the deviation counts as 1.
    """

    def __init__(self, x: HostArray) -> None:
        axes = tuple(range(x.ndim - 1))
        mean = np.mean(x, axis=axes, dtype=np.float64)
        # In pieces: the deviations of all images from their mean would be eight bytes a pixel.
        total = sum(np.sum((piece - mean) ** 2, axis=axes) for piece in _pieces(x))
        deviation = np.sqrt(total / (x.size / x.shape[-1]))
        # The mean of equal numbers may differ from them by rounding, and so may numbers that were computed to be equal.
        varies = (np.max(x, axis=axes) != np.min(x, axis=axes)) & (deviation > _ROUNDING * np.abs(mean))
        self.mean, self.deviation = np.asarray(mean), np.where(varies, deviation, 1.0)

    def __call__(self, x: HostArray, dtype: str) -> HostArray:
        """Return x, scaled, in a new array."""
        mean, factor = self.mean.astype(dtype), (1.0 / self.deviation).astype(dtype)
        result = np.empty(x.shape, dtype)
        for piece, place in zip(_pieces(x), _pieces(result), strict=True):
            np.subtract(piece, mean, out=place, casting="unsafe")
            place *= factor
        return result


def _pieces(x: HostArray) -> list[HostArray]:
    return [x[start : start + _PIECE] for start in range(0, len(x), _PIECE)]


def arrays_for(x: HostArray, shape: Shape, scale: Scale | None, dtype: str) -> HostArray:
    """Return examples as the network takes them: (n, *shape), in its type, in order in memory.

    Raises
    ------
    ValueError
        A number is too large for the type.
    """
    x = x.reshape(len(x), *shape)
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.ascontiguousarray(x, dtype) if scale is None else scale(x, dtype)
    # As it was given, X is known to be finite.
    is_changed = scale is not None or result.dtype != x.dtype
    if x.dtype.kind == "f" and is_changed and not np.isfinite(result).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(result))), result.shape)
        raise ValueError(
            f"X holds {x[place]:g} in example {place[0]}, which is too large to compute with in {dtype}: scale X, as "
            "with StandardScaler" + (", or give dtype='float64'" if dtype == "float32" else "")
        )
    return result
