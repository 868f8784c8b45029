"""Any folder of images: ``class/image.png``, or ``train/class/image.png`` and ``test/class/image.png``.

Classes are the names of the folders, in alphabetical order. A single folder is divided by a fixed seed: a fifth of each
class is the test set.
"""

from pathlib import Path

from xnn.data.listing import Listing, Picture
from xnn.data.pictures import SUFFIXES
from xnn.errors import DataError
from xnn.paths import explained


def list_folder(root: Path) -> Listing:
    """Return the images in the class folders of `root`, or of its ``train`` and ``test``.

    Raises
    ------
    DataError
        If there is none, a class has no images or a name that is not text, or ``train`` and ``test`` have different
        classes.
    """
    parts = _parts(root)
    classes = _classes(parts[0])
    for part in parts[1:]:
        odd = set(_classes(part)) ^ set(classes)
        if odd:
            raise DataError(f"{root}: train and test must have the same classes, but only one has '{min(odd)}'")
    if not classes:
        raise DataError(f"{root}: no images in class folders; expected files such as {root / 'CLASS' / 'image.png'}")
    names = ("train", "test")
    listed = {
        name: [Picture(path, label) for label, kind in enumerate(classes) for path in _images(part / kind)]
        for name, part in zip(names, parts, strict=False)
    }
    return Listing(root, tuple(classes), listed)


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
        paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=lambda path: path.name)
    if not paths:
        raise DataError(f"{folder}: no images in this class folder; remove it or fill it")
    return paths
