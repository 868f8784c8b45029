"""Any folder of images: ``class/image.png``, or such folders within ``train``, ``val`` and ``test``.

Classes are named by their paths, in alphabetical order: ``cat``, or ``animals/cat`` where folders are nested. A folder
without parts is divided by a fixed seed: a fifth of each class is the test set.
"""

from pathlib import Path

from xnn.data.listing import Listing, Picture, check_class
from xnn.data.pictures import SUFFIXES, is_passed_over, is_picture
from xnn.errors import DataError
from xnn.paths import explained

PARTS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""What the folders of each part may be called."""
_DEEPEST, _MOST = 8, 100_000
"""Folders within folders, and folders in all: links may lead round and round."""


def list_folder(root: Path) -> Listing:
    """Return the images in the class folders of `root`, or of its parts.

    Raises
    ------
    DataError
        If there is none, a class has no images or a name that is not text, the parts have different classes, or one of
        them is missing.
    """
    parts = _parts(root)
    found = {name: _classes(folder) for name, folder in parts.items()}
    classes = sorted(found["train"])
    if not classes:
        raise DataError(f"{root}: no images in class folders; expected files such as {root / 'CLASS' / 'image.png'}")
    for name, folder in parts.items():
        odd = min(set(found[name]) ^ set(classes), default=None)
        if odd is not None:
            has, lacks = (folder.name, "train") if odd in found[name] else ("train", folder.name)
            raise DataError(f"{root}: {has}/ has the class '{odd}', but {lacks}/ has not; both need the same classes")
    listed = {
        name: [Picture(path, label) for label, kind in enumerate(classes) for path in of_class[kind]]
        for name, of_class in found.items()
    }
    if "test" not in parts and "validation" in parts:
        # What is judged on while training is all that there is to be tested on.
        listed["test"] = listed.pop("validation")
    return Listing(root, tuple(classes), listed)


def _parts(root: Path) -> dict[str, Path]:
    """Return the folder of each part by its name; `root` itself is all of ``train`` where it has none."""
    with explained(DataError, f"{root}: cannot be read"):
        present = {
            name: [root / folder for folder in folders if (root / folder).is_dir()] for name, folders in PARTS.items()
        }
    for folders in present.values():
        if len(folders) > 1:
            raise DataError(f"{root}: has {folders[0].name}/ and {folders[1].name}/; leave one of the two")
    parts = {name: folders[0] for name, folders in present.items() if folders}
    if not parts:
        return {"train": root}
    if "train" not in parts or len(parts) == 1:
        there = " and ".join(f"{folder.name}/" for folder in parts.values())
        missing = "train/" if "train" not in parts else "val/ or test/"
        raise DataError(f"{root}: has {there} but no {missing}; give both, or class folders alone")
    return parts


def _classes(part: Path) -> dict[str, list[Path]]:
    """Return the images of each class by its name, which is the path from `part` to its folder."""
    classes: dict[str, list[Path]] = {}
    waiting, seen = _contents(part)[1][::-1], 0
    while waiting:
        folder = waiting.pop()
        names = folder.relative_to(part).parts
        seen += 1
        if len(names) > _DEEPEST or seen > _MOST:
            limit = f"{_DEEPEST} folders within each other" if len(names) > _DEEPEST else f"{_MOST:,} folders"
            raise DataError(f"{part}: has more than {limit}, as at {'/'.join(names)!a}; expected CLASS/image.png")
        _check_text(part, names)
        images, folders = _contents(folder)
        if images and folders:
            raise DataError(f"{folder}: has images and also the folder {folders[0].name}/; move one or the other away")
        if not images and not folders:
            raise DataError(f"{folder}: no images in this class folder ({', '.join(SUFFIXES)}); remove it or fill it")
        if images:
            classes[_class_name(part, names)] = images
        waiting += folders[::-1]
    return classes


def _check_text(part: Path, names: tuple[str, ...]) -> None:
    try:
        names[-1].encode()
    except UnicodeEncodeError:
        raise DataError(f"{part}: the name of its class folder {names[-1]!a} is not UTF-8; rename it") from None


def _class_name(part: Path, names: tuple[str, ...]) -> str:
    name = "/".join(names)
    known = [folder for folders in PARTS.values() for folder in folders]
    for depth, folder in enumerate(names[:-1]):
        if folder in known:
            inner = part.joinpath(*names[:depth])
            raise DataError(f"{part}: has the folder {'/'.join(names[: depth + 1])}; name {inner} as the data set")
    check_class(name, str(part))
    return name


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images in a folder and its folders, each sorted, without what systems put there for themselves."""
    images, folders = [], []
    with explained(DataError, f"{folder}: cannot be read"):
        for path in folder.iterdir():
            if is_picture(path.name):
                images.append(path)
            elif path.is_dir() and not is_passed_over(path.name):
                folders.append(path)
    # By their names: paths are compared differently on Windows, and the division depends on the order.
    return sorted(images, key=_name), sorted(folders, key=_name)


def _name(path: Path) -> str:
    return path.name
