"""The official files of MNIST and of the data sets made in its image: four IDX files, plain or compressed."""

from dataclasses import dataclass
from pathlib import Path

from xnn.data.idx import read_pair
from xnn.data.splits import Arrays
from xnn.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Mnist:
    """A data set of four IDX files, and the folders within ``--data-dir`` where it may be."""

    folders: tuple[str, ...]
    classes: int

    def find(self, root: Path) -> Path | None:
        """Return the first folder under `root`, or `root` itself, that holds any of the files; None without one."""
        for folder in (*(root / name for name in self.folders), root):
            if any(_existing(folder, name) for name in FILES):
                return folder
        return None

    def paths(self, folder: Path) -> list[Path]:
        """Return the four files in `folder`; the plain one where a file is there in both forms.

        Raises
        ------
        DataError
            If one is missing.
        """
        paths = []
        for name in FILES:
            path = _existing(folder, name)
            if path is None:
                raise DataError(f"{folder / name}(.gz): missing; the other files of the data set are beside it")
            paths.append(path)
        return paths

    def read(self, folder: Path) -> Arrays:
        """Return the images and labels.

        Raises
        ------
        DataError
            If a file is missing, damaged, or does not fit the others.
        """
        images, labels, test_images, test_labels = self.paths(folder)
        return Arrays(*read_pair(images, labels, self.classes), *read_pair(test_images, test_labels, self.classes))


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


MNIST = Mnist(folders=("mnist", "MNIST/raw"), classes=10)
FASHION_MNIST = Mnist(folders=("fashion-mnist", "FashionMNIST/raw"), classes=10)
