"""Shift and scale of the channels, computed from the training set."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from array_api_compat import array_namespace, device

from xnn._typing import Array, ArrayObject
from xnn.data.splits import Split

# Small enough that the sum of squares of a pixel over a chunk is exact in float32: 256 * 255**2 < 2**24.
_CHUNK = 256


@dataclass(frozen=True)
class Normalization:
    """Map pixels 0..255 to numbers with mean 0 and standard deviation 1 in each channel of the training set.

    Attributes
    ----------
    mean, std : tuple of float
        Of the pixels divided by 255, one for each channel. A channel that is constant has a `std` of 1.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import data
    >>> normalization = data.Normalization(mean=(0.5,), std=(0.25,))
    >>> normalization(np.asarray([[[0], [255]]], np.uint8)).ravel().round(3)
    array([-2.,  2.], dtype=float32)
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, split: Split) -> Self:
        """Return the normalization for a split of uint8 images; the sums are exact, so it is the same everywhere.

        Raises
        ------
        TypeError
            If the images are not uint8.
        """
        images = split.images
        if images.dtype != np.uint8:
            raise TypeError(f"Normalization.of needs uint8 images, not {images.dtype}; give its mean and std instead")
        totals, squares = np.zeros((2, *images.shape[1:]))
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK].astype(np.float32)
            totals += chunk.sum(axis=0)
            squares += np.square(chunk, out=chunk).sum(axis=0)
        count = images.size // images.shape[-1]
        axes = tuple(range(images.ndim - 2))
        mean = totals.sum(axis=axes) / count
        variance = squares.sum(axis=axes) / count - mean**2
        std = np.sqrt(np.maximum(variance, 0.0)) / 255
        std[std == 0] = 1.0
        return cls(tuple((mean / 255).tolist()), tuple(std.tolist()))

    def factors(self, width: int) -> tuple[list[float], list[float]]:
        """Return the factors for a row of `width` pixels, and the numbers to subtract after that."""
        scale = [1 / (255 * std) for std in self.std] * width
        shift = [mean / std for mean, std in zip(self.mean, self.std, strict=True)] * width
        return scale, shift

    def __call__(self, x: ArrayObject, dtype: str = "float32") -> Array:
        """Return ``(x / 255 - mean) / std`` for x (..., channels) of uint8, computed in `dtype` on its device.

        It is computed as ``x * (1 / (255 std)) - mean / std``: two passes.
        """
        # Along whole rows of pixels: a loop over just three channels would be several times slower on the CPU.
        factors = self.factors(x.shape[-2] if x.ndim > 1 else 1)
        xp = array_namespace(x)
        scale, shift = (xp.asarray(each, dtype=getattr(xp, dtype), device=device(x)) for each in factors)
        return scaled(x, scale, shift)


def scaled(x: Array, scale: Array, shift: Array) -> Array:
    """Return ``x * scale - shift`` for rows of pixels of x, in the dtype of the factors, each (numbers of a row,)."""
    xp = array_namespace(x)
    y = xp.reshape(xp.astype(x, scale.dtype), (-1, scale.shape[0]))
    y *= scale
    y -= shift
    return xp.reshape(y, x.shape)
