import gzip
import http.client
import importlib.machinery
import sys
import tarfile
import types
import urllib.error
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from xnn.data import load
from xnn.errors import DataError


def images(count, size=6, mode="RGB"):
    rng = np.random.default_rng(count)
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    return [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(count)]


class Base:
    def __init__(self, root, count, *, label=lambda number: number % 3):
        self.root, self.items = root, [(image, label(i)) for i, image in enumerate(images(count))]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number]


class SVHN(Base):
    def __init__(self, root, split="train", transform=None, download=False):
        if not download:
            raise RuntimeError("Dataset not found or corrupted.\nYou can use download=True to download it")
        super().__init__(root, {"train": 8, "test": 4}[split])


class OxfordIIITPet(Base):
    def __init__(self, root, split="trainval", download=False):
        super().__init__(root, {"trainval": 8, "test": 4}[split])


class Odd(Base):
    def __init__(self, root, split="first"):
        raise ValueError(f"Unknown value '{split}' for argument split. Valid values are {{'first', 'second'}}.")


class Bare(Base):
    """As some data sets say it, with no other word on what is missing."""

    def __init__(self, root, split="train"):
        raise RuntimeError("You can use download=True to download it")


class Late(Base):
    fault: Exception = EOFError()

    def __init__(self, root, train=True, download=False):
        raise self.fault


class Lazy(Base):
    """It opens an image only when it is asked for, as many do."""

    def __init__(self, root, train=True):
        super().__init__(root, 4)

    def __getitem__(self, number):
        raise OSError("image file is truncated (3 bytes not processed)")


class STL10(Base):
    classes = ("bird", "cat", "dog")

    def __init__(self, root, train=True, download=False):
        super().__init__(root, 8 if train else 4)


class EMNIST(STL10):
    def __init__(self, root, split, **kwargs):
        assert split == "balanced"
        super().__init__(root, **kwargs)


class Boxes(Base):
    def __init__(self, root, split="train"):
        super().__init__(root, 4, label=lambda number: {"boxes": []})


class FakeData(Base):
    def __init__(self, size=3):
        super().__init__("", size)


class Food101(Base):
    def __init__(self, root, split="train"):
        super().__init__(root, 4)
        self.items[2] = (images(1, 7)[0], 0)


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    package, datasets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    package.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
    kinds = (SVHN, STL10, EMNIST, Boxes, FakeData, Food101, OxfordIIITPet, Odd, Bare, Late, Lazy)
    for kind in kinds:
        setattr(datasets, kind.__name__, kind)
    datasets.__all__ = [kind.__name__ for kind in kinds]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    return datasets


@pytest.mark.parametrize("name", ["SVHN", "STL10", "EMNIST", "OxfordIIITPet"])
def test_a_data_set_is_read_once(torchvision, monkeypatch, name):
    dataset = load(f"torchvision:{name}")
    np.testing.assert_array_equal(dataset.train.images, np.stack(images(8)))
    np.testing.assert_array_equal(dataset.test.images, np.stack(images(4)))
    assert dataset.test.labels.tolist() == [0, 1, 2, 0]
    assert dataset.classes == (("0", "1", "2") if name in ("SVHN", "OxfordIIITPet") else STL10.classes)
    monkeypatch.setattr(torchvision, name, None)
    assert load(f"torchvision:{name}").classes == dataset.classes


@pytest.mark.parametrize(("asked", "side"), [(None, 8), (4, 4), (7, 7)])
def test_images_of_several_sizes_are_scaled(torchvision, asked, side):
    lines = []
    dataset = load("torchvision:Food101", image_size=asked, report=lines.append)
    assert dataset.image_shape == (side, side, 3)
    assert lines[1].startswith(f"pictures of 2 sizes are scaled and cut to {side}x{side}")


def test_nothing_is_downloaded_into_data_dir(torchvision, tmp_path):
    """And torchvision's advice, which is for its own callers, gives way to ours."""
    cache = tmp_path / "cache" / "torchvision"
    for options, place, advice in (
        ({"download": False}, cache, "--download fetches it"),
        ({"data_dir": tmp_path}, tmp_path, "leave out --data-dir to have it downloaded"),
        ({"data_dir": tmp_path, "download": False}, tmp_path, "leave out --data-dir, and --download fetches it"),
    ):
        with pytest.raises(DataError) as caught:
            load("torchvision:SVHN", **options)
        assert str(caught.value) == f"dataset 'torchvision:SVHN': Dataset not found or corrupted in {place}; {advice}"
    with pytest.raises(DataError, match=r"'torchvision:Bare': its files are missing in .*; --download fetches it$"):
        load("torchvision:Bare", download=False)


def test_other_splits_are_one_clear_line(torchvision):
    message = r"'torchvision:Odd': it is not divided into train and test .Unknown value 'train' .* cannot be used$"
    with pytest.raises(DataError, match=message):
        load("torchvision:Odd")


def test_an_image_that_cannot_be_read_is_one_clear_line(torchvision):
    with pytest.raises(DataError, match=r"'torchvision:Lazy': cannot be read from .* .image file is truncated"):
        load("torchvision:Lazy")


@pytest.mark.parametrize(
    "fault",
    [
        EOFError("Compressed file ended before the end-of-stream marker was reached"),
        http.client.IncompleteRead(b"x" * 100, 900),
        urllib.error.ContentTooShortError("retrieval incomplete: got only 1 out of 2 bytes", b""),
        tarfile.ReadError("unexpected end of data"),
        zipfile.BadZipFile("File is not a zip file"),
        zlib.error("Error -5"),
        gzip.BadGzipFile("CRC check failed"),
        EOFError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_download_that_broke_off_is_one_clear_line(torchvision, monkeypatch, tmp_path, fault):
    monkeypatch.setattr(Late, "fault", fault)
    with pytest.raises(DataError) as caught:
        load("torchvision:Late")
    folder = tmp_path / "cache" / "torchvision"
    assert str(caught.value) == (
        f"dataset 'torchvision:Late': the download broke off, or a file in {folder} is damaged "
        f"({str(fault) or 'EOFError'}); delete that file there and try again"
    )


def test_a_data_dir_has_a_cache_of_its_own(torchvision, tmp_path):
    (tmp_path / "data").mkdir()
    for _ in range(2):
        for data_dir, folder in ((tmp_path / "data", tmp_path / "data"), (None, tmp_path / "cache" / "torchvision")):
            assert load("torchvision:STL10", data_dir=data_dir).source == f"{folder} (torchvision)"
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2


def test_a_folder_for_torchvision_that_cannot_be_made_is_named(torchvision, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(DataError, match=r"torchvision: cannot be made"):
        load("torchvision:STL10")


def test_what_cannot_be_used_is_named(torchvision):
    with pytest.raises(DataError, match=r"torchvision has no dataset 'svnh'. Did you mean 'SVHN'"):
        load("torchvision:svnh")
    with pytest.raises(DataError, match=r"torchvision has no dataset 'xyzzy'.$"):
        load("torchvision:xyzzy")
    with pytest.raises(DataError, match=r"'torchvision:Boxes' is not one of images with a class each"):
        load("torchvision:Boxes")
    with pytest.raises(DataError, match=r"'torchvision:FakeData' is not divided into train and test"):
        load("torchvision:FakeData")


def test_a_torchvision_that_does_not_fit_is_named(monkeypatch, tmp_path):
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(DataError, match=r"installed but cannot be imported .operator torchvision::nms"):
        load("torchvision:SVHN", cache_dir=tmp_path)


def test_without_torchvision_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r"pip install '\.\[torchvision\]' in a clone"):
        load("torchvision:SVHN", cache_dir=tmp_path)
