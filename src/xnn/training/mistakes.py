"""The images that a model gets most confidently wrong, as one picture with captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xnn.data.normalization import Normalization
from xnn.data.splits import HostArray
from xnn.functional import softmax
from xnn.nn.layer import Layer
from xnn.texts import printable
from xnn.training.loaders import Loader, closing

_SIDE, _GAP, _LINE = 112, 12, 16
"""Pixels of a shown image's longer side, between images, and of a line of text."""
_INK, _PAPER, _RED = (51, 51, 51), (255, 255, 255), (178, 58, 30)


@dataclass(frozen=True, eq=False)
class Mistake:
    """An image, (h, w) or (h, w, 3) of uint8, with its own class, the class it was given, and how surely."""

    pixels: HostArray
    own: int
    given: int
    confidence: float


def confident_mistakes(model: Layer, data: Loader, most: int, looked_at: int) -> list[Mistake]:
    """Return at most `most` mistakes among the first images of a loader's first epoch, the surest ones first.

    Whole batches are looked at, until they hold `looked_at` images.

    Raises
    ------
    ValueError
        The batches are not images (n, h, w, 1 or 3) with class indices (n,), or the outputs not scores of classes.
    """
    found: list[Mistake] = []
    normalization, seen = getattr(data, "normalization", None), 0
    with closing(data.epoch(0)) as batches:
        for x, labels, *_ in batches:
            output, own = (model.backend.to_numpy(array) for array in (model.forward(x)[0], labels))
            images = model.backend.to_numpy(x)
            _check(images, own, output)
            p, _ = softmax(output.astype(np.float64))
            given = p.argmax(axis=1)
            wrong = np.flatnonzero(given != own)
            surest = wrong[np.argsort(-p[wrong, given[wrong]], kind="stable")][:most]
            found += [
                Mistake(_visible(images[i], normalization), int(own[i]), int(given[i]), float(p[i, given[i]]))
                for i in surest
            ]
            seen += len(own)
            if seen >= looked_at:
                break
    return sorted(found, key=lambda mistake: -mistake.confidence)[:most]


def _check(images: HostArray, labels: HostArray, output: HostArray) -> None:
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"mistakes are shown of images (n, h, w, 1 or 3), not of {images.shape}; leave out images=")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or output.ndim != 2:
        raise ValueError(
            f"mistakes need class indices (n,) and scores (n, classes), not {labels.shape} of {labels.dtype} and "
            f"{output.shape}; leave out images="
        )


def _visible(x: HostArray, normalization: Normalization | None) -> HostArray:
    """Return a model's input as pixels: what its normalization did is undone; without one, its range is stretched."""
    values = x.astype(np.float64)
    if normalization is not None:
        values = 255 * (values * np.asarray(normalization.std) + np.asarray(normalization.mean))
    else:
        low, high = values.min(), values.max()
        values = 255 * (values - low) / ((high - low) or 1.0)
    pixels: HostArray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.squeeze(pixels, axis=2) if pixels.shape[2] == 1 else pixels


def sheet(mistakes: Sequence[Mistake], classes: Sequence[str], across: int = 6) -> HostArray:
    """Return one picture (h, w, 3) of uint8 that shows mistakes side by side, with what they are and were taken for."""
    from PIL import Image, ImageDraw

    font = _font()
    columns = max(1, min(across, len(mistakes)))
    rows = max(1, -(-len(mistakes) // columns))
    wide, high = _SIDE + _GAP, _SIDE + 3 * _LINE + _GAP
    page = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    for place, mistake in enumerate(mistakes):
        left, top = _GAP + place % columns * wide, _GAP + place // columns * high
        image = _enlarged(mistake.pixels)
        page.paste(image, (left + (_SIDE - image.width) // 2, top + (_SIDE - image.height) // 2))
        lines = [
            (_fitting(f"is {_name(mistake.own, classes)}", draw, font), _INK),
            (_fitting(f"not {_name(mistake.given, classes)}", draw, font), _RED),
            (f"{100 * mistake.confidence:.0f} % sure", _INK),
        ]
        for number, (text, colour) in enumerate(lines):
            draw.text((left, top + _SIDE + 3 + number * _LINE), text, fill=colour, font=font)
    if not mistakes:
        draw.text((_GAP, _GAP), "no mistakes", fill=_INK, font=font)
    return np.asarray(page)


def _font() -> Any:
    """Return Matplotlib's font, which has most alphabets."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 12)


def _enlarged(pixels: HostArray) -> Any:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    scale = _SIDE / max(image.size)
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)


def _name(number: int, classes: Sequence[str]) -> str:
    return printable(classes[number], 40) if number < len(classes) else f"{number}"


def _fitting(text: str, draw: Any, font: Any) -> str:
    """Return the text, cut so that it is no wider than an image."""
    if draw.textlength(text, font=font) <= _SIDE:
        return text
    while text and draw.textlength(f"{text}…", font=font) > _SIDE:
        text = text[:-1]
    return f"{text}…"
