"""Any folder of images: ``class/image.png``, or ``train/class/image.png`` and ``test/class/image.png``.

Classes are the names of the folders, in alphabetical order. A single folder is divided by a fixed seed: a fifth of each
class is the test set.
"""

from pathlib import Path

import numpy as np

from xnn.data.limits import FREELY_IN_A_FOLDER, check_room, check_unpacked
from xnn.data.pictures import GREY_MODES, SUFFIXES, channels, decoding, open_picture
from xnn.data.splits import Arrays, HostArray, Split, validation_split
from xnn.errors import DataError
from xnn.paths import explained

TEST_FRACTION, TEST_SEED = 0.2, 0
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


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


def is_divided(root: Path) -> bool:
    """Return whether the test images of `root` are chosen here, since it has no ``train`` and ``test``."""
    return len(_parts(root)) == 1


def read_folder(root: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Return the images, all of one size, and the classes; grey images have one channel unless another is in colour.

    Raises
    ------
    DataError
        If a file is not an image or not of the first one's size, a class has no images or a name that is not text,
        ``train`` and ``test`` have different classes, or all together are larger than the memory or `xnn.data.limits`
        allow.
    """
    parts = _parts(root)
    classes = _classes(parts[0])
    for part in parts[1:]:
        odd = set(_classes(part)) ^ set(classes)
        if odd:
            raise DataError(f"{root}: train and test must have the same classes, but only one has '{min(odd)}'")
    paths: list[Path] = []
    numbers: list[int] = []
    for part in parts:
        count = len(paths)  # in the end, those of train
        for number, name in enumerate(classes):
            images = _images(part / name)
            if not images:
                raise DataError(f"{part / name}: no images in this class folder; remove it or fill it")
            paths += images
            numbers += [number] * len(images)
    stack, labels = _read_images(paths, root), np.array(numbers, np.int64)
    if len(parts) == 2:
        return Arrays(stack[:count], labels[:count], stack[count:], labels[count:]), tuple(classes)
    if len(paths) < 5 or len(paths) == len(classes):
        raise DataError(f"{root}: {len(paths)} images of {len(classes)} classes are too few to test on a fifth of each")
    train, test = validation_split(Split(stack, labels), TEST_FRACTION, TEST_SEED)
    return Arrays(train.images, train.labels, test.images, test.labels), tuple(classes)


def _read_images(paths: list[Path], root: Path) -> HostArray:
    """Return images of one size as (n, h, w, c). All headers are looked at before anything is decoded."""
    headers = [_read_header(path) for path in paths]
    size = headers[0][:2]
    for path, header in zip(paths, headers, strict=True):
        if header[:2] != size:
            raise DataError(another_size(str(path), header[:2], size))
    shape = (len(paths), size[1], size[0], max(header[2] for header in headers))
    total = int(np.prod(shape, dtype=np.int64))
    check_unpacked(total, sum(header[3] for header in headers), str(root), freely=FREELY_IN_A_FOLDER)
    # They are copied when they are divided.
    check_room(2 * total, str(root))
    stack = np.empty(shape, np.uint8)
    for row, path in zip(stack, paths, strict=True):
        pixels = _read_image(path)
        if pixels.shape[:2] != shape[1:3] or pixels.shape[2] not in (1, shape[3]):
            raise DataError(f"{path}: it was changed while it was read")
        # A grey image among colour ones gets three equal channels.
        row[...] = pixels
    return stack


def _read_header(path: Path) -> tuple[int, int, int, int]:
    """Return an image's width, height, channels (1 or 3), and the bytes of its file."""
    with open_picture(path, decode=False) as image:
        if image.mode not in GREY_MODES + _COLOUR_MODES:
            raise DataError(f"{path}: pixels of mode {image.mode}; save it with 8 bits, grey or RGB")
        return *image.size, channels(image), path.stat().st_size


def _read_image(path: Path) -> HostArray:
    """Return an image as (h, w, 1) or (h, w, 3) of uint8."""
    with open_picture(path) as image, decoding(path, image):
        pixels = np.asarray(image.convert("L" if channels(image) == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def another_size(name: str, found: tuple[int, int], first: tuple[int, int]) -> str:
    """Return what is wrong with an image whose width and height are not those of the first."""
    return (
        f"{name}: {found[0]}x{found[1]} pixels, but the first image has {first[0]}x{first[1]}; "
        "images must have one size: resize them all, for instance with ImageMagick's "
        f"mogrify -resize {first[0]}x{first[1]}!"
    )


def _parts(root: Path) -> list[Path]:
    with explained(DataError, f"{root}: cannot be read"):
        present = [root / name for name in ("train", "test") if (root / name).is_dir()]
    if len(present) == 1:
        other = "test" if present[0].name == "train" else "train"
        raise DataError(f"{root}: has {present[0].name}/ but no {other}/; give both, or class folders alone")
    return present or [root]


def _classes(part: Path) -> list[str]:
    with explained(DataError, f"{part}: cannot be read"):
        names = sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{part}: the name of its class folder {name!a} is not UTF-8; rename it") from None
    return names


def _images(folder: Path) -> list[Path]:
    with explained(DataError, f"{folder}: cannot be read"):
        # By their names: paths are compared differently on Windows, and the division depends on the order.
        return sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=lambda path: path.name)
