"""The official files of MNIST and of data sets modelled on it: four IDX files, plain or compressed."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xnn.data import class_names
from xnn.data.download import Download
from xnn.data.idx import read_pair
from xnn.data.splits import Arrays, Found
from xnn.errors import DataError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Mnist:
    """A data set of four IDX files: the folders within ``--data-dir`` that may hold it, its classes, and its files."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    downloads: tuple[Download, ...]

    def find(self, root: Path) -> Found | None:
        """Return the files in the first folder under `root`, or in `root` itself, that has any; else None."""
        for folder in (*(root / name for name in self.folders), root):
            if any(_existing(folder, name) for name in FILES):
                return Found(folder, self.paths(folder), partial(self.read, folder))
        return None

    def expected(self) -> str:
        """Return a phrase that names the files to look for."""
        return f"{', '.join(FILES)} (each plain or .gz), there or in {' or '.join(self.folders)}"

    def paths(self, folder: Path) -> list[Path]:
        """Return the four files in `folder`; if a file is there in both forms, the plain one.

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
        count = len(self.classes)
        return Arrays(*read_pair(images, labels, count), *read_pair(test_images, test_labels, count))


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _downloads(mirrors: tuple[str, ...], **facts: tuple[int, str]) -> tuple[Download, ...]:
    return tuple(Download(f"{name.replace('_', '-')}-ubyte.gz", mirrors, *fact) for name, fact in facts.items())


MNIST_LIKE = {
    "mnist": Mnist(
        folders=("mnist", "MNIST/raw"),
        classes=class_names.DIGITS,
        downloads=_downloads(
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            train_images_idx3=(9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            train_labels_idx1=(28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            t10k_images_idx3=(1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            t10k_labels_idx1=(4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    "fashion-mnist": Mnist(
        folders=("fashion-mnist", "FashionMNIST/raw"),
        classes=class_names.listed(
            "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
        ),
        downloads=_downloads(
            (
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
                # The same bucket at the address that its authors publish, unencrypted; the checksum exposes other data.
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
            train_images_idx3=(26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            train_labels_idx1=(29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            t10k_images_idx3=(4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            t10k_labels_idx1=(5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
}
