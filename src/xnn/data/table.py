"""Pictures listed in a CSV file: a line of ``path,label`` for each.

Paths are relative to the file's folder and stay within it. No line is left out: one that cannot be used is an error
that names it.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from xnn.data.listing import Listing, Picture, check_class
from xnn.data.pictures import SUFFIXES
from xnn.errors import DataError
from xnn.files import open_regular
from xnn.paths import explained

CSV = ".csv"
MOST_BYTES = 2**26
_PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "name")
_LABELS = ("label", "class", "category", "target", "class_name", "y")


def list_table(table: Path) -> Listing:
    """Return the pictures that a CSV file lists, in the order of their paths.

    Raises
    ------
    DataError
        The file is too large, not UTF-8 or not CSV; or one of its lines has not two columns, no path or label, a path
        that leads elsewhere, or one that came before.
    """
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, path, label in _rows(table):
        where = f"{table}, line {line}"
        name = _within(path, where)
        if not label:
            raise DataError(f"{where}: {path[:100]!a} has no label; expected path,label")
        if name in labels:
            raise DataError(f"{where}: {path[:100]!a} is already in line {lines[name]}; leave one of the two")
        check_class(label, where)
        labels[name], lines[name] = label, line
    if not labels:
        raise DataError(f"{table}: no images; expected lines such as cat/1.png,cat")
    classes = tuple(sorted(set(labels.values())))
    number = {name: place for place, name in enumerate(classes)}
    pictures = [Picture(table.parent / name, number[labels[name]]) for name in sorted(labels)]
    return Listing(table, classes, {"train": pictures})


def _rows(table: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the number of its line, the path and the label of each row but the header and empty lines."""
    reader = csv.reader(io.StringIO(_text(table), newline=""), strict=True)
    first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != 2:
                raise DataError(
                    f"{table}, line {reader.line_num}: {len(cells)} columns; expected two, path,label, with a comma "
                    "between them"
                )
            header = first and cells[0].lower() in _PATHS and cells[1].lower() in _LABELS
            first = False
            if not header:
                yield reader.line_num, cells[0], cells[1]
    except csv.Error as error:
        raise DataError(f"{table}, line {reader.line_num}: not CSV ({error})") from None


def _text(table: Path) -> str:
    with explained(DataError, f"{table}: cannot be read"), open_regular(table) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{table}: more than {MOST_BYTES:,} bytes; divide it, or make a folder of each class")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{table}, line {line}: not UTF-8; save the file as UTF-8") from None


def _within(path: str, where: str) -> str:
    """Return a path in its shortest form, if it leads to a picture in the folder of the table or below it."""
    given = Path(path)
    if "\0" in path or not path or given.is_absolute() or given.drive or ".." in given.parts:
        raise DataError(
            f"{where}: {path[:100]!a} is no path within the folder of the file; move the file above its images"
        )
    if given.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{where}: {path[:100]!a} is no picture; expected a name that ends in one of {', '.join(SUFFIXES)}"
        )
    return PurePosixPath(given.as_posix()).as_posix()
