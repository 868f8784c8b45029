"""Any folder of images: ``class/image.png``, or ``train/class/image.png`` and ``test/class/image.png``.

Classes are the names of the folders, in alphabetical order. A single folder is divided by a fixed seed: a fifth of its
images are the test set.
"""

import struct
from pathlib import Path

import numpy as np

from xnn.data.splits import Arrays, HostArray, Split, validation_split
from xnn.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FRACTION, TEST_SEED = 0.2, 0
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
DECODING_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    struct.error,
)


def image_paths(root: Path) -> list[Path]:
    """Return every image in the class folders of `root`, or of its ``train`` and ``test``, in order.

    Raises
    ------
    DataError
        If there is none.
    """
    paths = [path for part in _parts(root) for name in _classes(part) for path in _images(part / name)]
    if not paths:
        raise DataError(f"{root}: no images in class folders; expected files such as {root / 'CLASS' / 'image.png'}")
    return paths


def read_folder(root: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Return the images, all of one size, and the classes; grey images have one channel unless another is in colour.

    Raises
    ------
    DataError
        If a file is no image or of another size than the first, a class has no images, or ``train`` and ``test``
        have different classes.
    """
    parts = _parts(root)
    classes = _classes(parts[0])
    for part in parts[1:]:
        odd = set(_classes(part)) ^ set(classes)
        if odd:
            raise DataError(f"{root}: train and test must have the same classes, but only one has '{min(odd)}'")
    paths = [[_images(part / name) for name in classes] for part in parts]
    for part, found in zip(parts, paths, strict=True):
        for name, images in zip(classes, found, strict=True):
            if not images:
                raise DataError(f"{part / name}: no images in this class folder; remove it or fill it")
    flat = [path for part_paths in paths for images in part_paths for path in images]
    stack = stack_images([read_image(path) for path in flat], [str(path) for path in flat])
    labels = np.concatenate([np.repeat(np.arange(len(classes)), [len(i) for i in part]) for part in paths])
    if len(parts) == 2:
        count = sum(len(images) for images in paths[0])
        return Arrays(stack[:count], labels[:count], stack[count:], labels[count:]), tuple(classes)
    if len(flat) < 5:
        raise DataError(f"{root}: {len(flat)} images are too few to hold a fifth back for testing")
    train, test = validation_split(Split(stack, labels), TEST_FRACTION, TEST_SEED)
    return Arrays(train.images, train.labels, test.images, test.labels), tuple(classes)


def read_image(path: Path) -> HostArray:
    """Return an image file as (h, w, 1) or (h, w, 3) of uint8.

    Raises
    ------
    DataError
        If the file cannot be read, is no image, or has pixels of more than 8 bits.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in _GREY_MODES + _COLOUR_MODES:
                raise DataError(f"{path}: pixels of mode {image.mode}; save it with 8 bits, grey or RGB")
            pixels = np.asarray(image.convert("L" if image.mode in _GREY_MODES else "RGB"))
    except DataError:
        raise
    # Each of Pillow's decoders raises its own for damaged files.
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        fault = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable image ({fault})") from None
    return pixels.reshape(*pixels.shape[:2], -1)


def stack_images(images: list[HostArray], names: list[str]) -> HostArray:
    """Return images of one size as (n, h, w, c); grey ones get three equal channels where others are in colour.

    Raises
    ------
    DataError
        If an image, named by the entry of `names`, has another size than the first.
    """
    height, width = images[0].shape[:2]
    channels = max(image.shape[2] for image in images)
    stack = np.empty((len(images), height, width, channels), np.uint8)
    for row, image, name in zip(stack, images, names, strict=True):
        if image.shape[:2] != (height, width):
            raise DataError(
                f"{name}: {image.shape[1]}x{image.shape[0]} pixels, but the first image has {width}x{height}; "
                "images must have one size: resize them all, for instance with ImageMagick's "
                f"mogrify -resize {width}x{height}!"
            )
        row[...] = image
    return stack


def _parts(root: Path) -> list[Path]:
    try:
        present = [root / name for name in ("train", "test") if (root / name).is_dir()]
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror})") from None
    if len(present) == 1:
        other = "test" if present[0].name == "train" else "train"
        raise DataError(f"{root}: has {present[0].name}/ but no {other}/; give both, or class folders alone")
    return present or [root]


def _classes(part: Path) -> list[str]:
    try:
        return sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{part}: cannot be read ({error.strerror})") from None


def _images(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
