import os
import re
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from tests.data.small_files import SMALL, CifarFiles, each_cifar, write_files, write_mnist, write_tar
from tests.trouble import deny, failing
from xnn.data import cache, class_names, load, sources
from xnn.data.download import Download
from xnn.data.mnist import FILES, MNIST_LIKE, Mnist
from xnn.errors import DataError, SettingError


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch, tmp_path):
    """Let CIFAR be small, the cache be empty, and any download be a failure."""
    for name, cifar in SMALL.items():
        monkeypatch.setitem(sources.OFFICIAL, name, cifar)
    monkeypatch.setattr(sources, "fetch", failing(AssertionError("tried to download")))
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))


refuse_to_read = failing(AssertionError("read the files again"))


@pytest.mark.parametrize(
    ("name", "folder"), [(name, folder) for name, files in MNIST_LIKE.items() for folder in (".", *files.folders)]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_found(tmp_path, name, folder, suffix):
    expected = write_mnist(tmp_path / "data" / folder, suffix=suffix)
    lines = []
    dataset = load(name, data_dir=tmp_path / "data", report=lines.append)
    np.testing.assert_array_equal(dataset.train.images[..., 0], expected[0])
    np.testing.assert_array_equal(dataset.test.labels, expected[3])
    assert dataset.classes == MNIST_LIKE[name].classes
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert dataset.source == str(tmp_path / "data" / folder)
    (line,) = lines
    assert f"{name}: 6 training and 3 test images of 5x4x1, from {dataset.source} through the cache" in line


def test_the_named_folder_comes_before_the_folder_itself(tmp_path):
    write_mnist(tmp_path, seed=0)
    expected = write_mnist(tmp_path / "mnist", seed=1)
    np.testing.assert_array_equal(load("mnist", data_dir=tmp_path).train.images[..., 0], expected[0])


def test_each_data_dir_has_a_cache_of_its_own(tmp_path, monkeypatch):
    expected = {name: write_mnist(tmp_path / name, seed) for seed, name in enumerate(("first", "second"))}
    lines = []
    for name in ("first", "second", "first", "second"):
        dataset = load("mnist", data_dir=tmp_path / name, report=lines.append)
        np.testing.assert_array_equal(dataset.train.images[..., 0], expected[name][0])
        assert dataset.source == str(tmp_path / name)
        if len(lines) == 2:
            monkeypatch.setattr(Mnist, "read", refuse_to_read)
    assert len(lines) == 4
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_data_dir_is_the_same_however_it_is_written(tmp_path, monkeypatch):
    write_mnist(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    lines = []
    for data_dir in (tmp_path / "data", "data", "~/data", "data/../data"):
        load("mnist", data_dir=data_dir, report=lines.append)
        monkeypatch.setattr(Mnist, "read", refuse_to_read)
    assert len(set(lines)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_files_of_a_data_dir_never_stand_in_for_the_official_ones(tmp_path):
    write_mnist(tmp_path / "made-up", seed=1)
    made_up = load("mnist", data_dir=tmp_path / "made-up")
    with pytest.raises(DataError, match=r"mnist is not in the cache"):
        load("mnist", download=False)
    expected = write_mnist(tmp_path / "cache" / "downloads" / "mnist", seed=2)
    np.testing.assert_array_equal(load("mnist", download=False).train.images[..., 0], expected[0])
    np.testing.assert_array_equal(load("mnist", data_dir=tmp_path / "made-up").train.images, made_up.train.images)


def test_a_cache_without_a_digest_counts_only_if_it_was_made_from_the_downloads(tmp_path):
    write_mnist(tmp_path / "made-up", seed=1)
    load("mnist", data_dir=tmp_path / "made-up")
    (file,) = (tmp_path / "cache").iterdir()
    file.rename(tmp_path / "cache" / "mnist.safetensors")
    with pytest.raises(DataError, match=r"mnist is not in the cache"):
        load("mnist", download=False)
    expected = write_mnist(tmp_path / "cache" / "downloads" / "mnist", seed=2)
    lines = []
    np.testing.assert_array_equal(load("mnist", download=False, report=lines.append).train.images[..., 0], expected[0])
    assert "was made from other files" in lines[0]


def test_changed_files_are_read_anew(tmp_path):
    write_mnist(tmp_path / "data", seed=1)
    load("mnist", data_dir=tmp_path / "data")
    expected = write_mnist(tmp_path / "data", seed=2)
    os.utime(tmp_path / "data" / f"{FILES[0]}.gz", (1, 1))
    np.testing.assert_array_equal(load("mnist", data_dir=tmp_path / "data").train.images[..., 0], expected[0])


def test_download_then_cache(tmp_path, monkeypatch):
    calls = []

    def fetch(downloads, folder, report):
        calls.append(downloads)
        write_mnist(folder)

    monkeypatch.setattr(sources, "fetch", fetch)
    for _ in range(2):
        dataset = load("mnist")
    assert dataset.source == str(tmp_path / "cache" / "downloads" / "mnist")
    assert len(calls) == 1
    assert isinstance(calls[0][0], Download)


def test_a_shared_cache_may_be_mounted_anywhere(tmp_path, monkeypatch):
    expected = write_mnist(tmp_path / "cache" / "downloads" / "mnist")
    load("mnist", download=False)
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(Mnist, "read", refuse_to_read)
    lines = []
    dataset = load("mnist", cache_dir=tmp_path / "elsewhere", download=False, report=lines.append)
    np.testing.assert_array_equal(dataset.train.images[..., 0], expected[0])
    assert dataset.source == str(tmp_path / "elsewhere" / "downloads" / "mnist")
    assert len(lines) == 1


def test_without_download_the_message_names_the_files(tmp_path):
    message = r"fashion-mnist is not in the cache .*; add --download, or name with --data-dir .*train-images-idx3-ubyte"
    with pytest.raises(DataError, match=message):
        load("fashion-mnist", download=False)


@pytest.mark.parametrize("name", [*sources.OFFICIAL, "torchvision:CIFAR10", "torchvision:../../x", "https://a.b/c"])
def test_without_download_nothing_goes_to_the_net(monkeypatch, name):
    monkeypatch.undo()
    monkeypatch.setattr(socket, "getaddrinfo", failing(AssertionError("went to the net")))
    monkeypatch.setattr(socket.socket, "connect", failing(AssertionError("went to the net")))
    with pytest.raises(DataError):
        load(name, download=False, cache_dir="absent")


def test_the_name_of_a_torchvision_dataset_is_no_path(tmp_path):
    for kind in ("../../x", "/etc/x", "", "a b", "a\nb"):
        with pytest.raises(DataError, match=r"after torchvision: comes the name of a class, such as torchvision:SVHN"):
            load(f"torchvision:{kind}", download=False)
    assert not (tmp_path / "cache").exists()


def test_what_does_not_fit_into_memory_is_one_line(monkeypatch):
    monkeypatch.setattr(sources, "read_digits", failing(MemoryError))
    with pytest.raises(DataError, match=r"^dataset 'digits' does not fit into memory$"):
        load("digits")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the system has no such names")
@pytest.mark.parametrize("name", ["x" * 255, "a\nb", "猫" * 80, "\x1b[2J", os.fsdecode(b"\xff")])
def test_a_folder_of_any_name_has_a_cache(tmp_path, name):
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / name / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 5), dtype=np.uint8)).save(path)
    lines = []
    for _ in range(2):
        load(str(tmp_path / name), report=lines.append)
    assert len(lines) == 2
    assert all("through the cache" in line for line in lines)
    (file,) = (tmp_path / "cache").iterdir()
    assert re.fullmatch(r"folder-[A-Za-z0-9._-]{1,50}-[0-9a-f]{12}\.safetensors", file.name)


def test_many_pictures_are_announced(tmp_path):
    for number in range(201):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(path)
    lines = []
    for _ in range(2):
        load(str(tmp_path / "set"), report=lines.append)
    assert lines[0] == "reading 201 pictures, which the cache then keeps ..."
    assert len(lines) == 3


@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_cifar100_has_two_kinds_of_labels(tmp_path, labels):
    files = CifarFiles("cifar100")
    write_files(tmp_path / "data" / files.binary.folder, files.binary_contents())
    dataset = load("cifar100", data_dir=tmp_path / "data", labels=labels)
    assert dataset.train.labels.tolist() == files.labels[0][:, 1 if labels == "fine" else 0].tolist()
    assert dataset.classes == (class_names.CIFAR100_FINE if labels == "fine" else class_names.CIFAR100_COARSE)


def test_a_cifar_archive_is_found(tmp_path):
    files = CifarFiles("cifar10")
    contents = {f"{files.binary.folder}/{name}": content for name, content in files.binary_contents().items()}
    path = write_tar(tmp_path / files.binary.archive, contents)
    dataset = load("cifar10", data_dir=tmp_path)
    assert dataset.source == str(path)
    assert dataset.classes == class_names.CIFAR10
    np.testing.assert_array_equal(dataset.test.images, files.images[-1])


@pytest.mark.parametrize("name", sources.OFFICIAL)
def test_a_data_dir_without_the_files_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match=f"data directory {tmp_path} does not hold {name}; expected .*(idx3|tar.gz)"):
        load(name, data_dir=tmp_path)


def test_a_missing_file_in_data_dir_is_named(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / f"{FILES[3]}.gz").unlink()
    with pytest.raises(DataError, match=rf"{FILES[3]}\(.gz\): missing"):
        load("mnist", data_dir=tmp_path)


@each_cifar
def test_a_missing_cifar_file_is_named(tmp_path, name):
    files = CifarFiles(name)
    for version, contents in ((files.binary, files.binary_contents()), (files.python, files.python_contents())):
        *present, last = contents
        folder = write_files(tmp_path / version.folder / version.folder, {file: contents[file] for file in present})
        with pytest.raises(DataError, match=rf"{last}: missing; expected .*: {', '.join(contents)}$"):
            load(name, data_dir=folder.parent)


@pytest.mark.parametrize("name", ["digits", "mnist", "torchvision:SVHN"])
def test_a_bad_data_dir_is_named(tmp_path, name):
    with pytest.raises(DataError, match=r"data directory .*absent does not exist"):
        load(name, data_dir=tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"data directory .*file is not a folder"):
        load(name, data_dir=tmp_path / "file")


def test_an_unreadable_data_dir_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    # Permissions would not stop root, who runs the tests in many containers.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"data directory .*closed cannot be read"):
        load("mnist", data_dir=tmp_path / "closed")


@pytest.mark.parametrize("method", ["is_file", "is_dir", "exists"])
@pytest.mark.parametrize("name", ["mnist", "cifar10", "folder"])
def test_a_refusal_of_the_system_is_one_line(tmp_path, monkeypatch, name, method):
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "closed" / "data_batch_1.bin").touch()
    (tmp_path / "closed" / FILES[0]).touch()
    deny(monkeypatch, method, lambda path: path.is_relative_to(closed) and path != closed)  # as before Python 3.14
    with pytest.raises(DataError, match=r"closed.*: ") as caught:
        load(str(closed)) if name == "folder" else load(name, data_dir=closed)
    assert "\n" not in str(caught.value)
    if method == ("is_dir" if name == "folder" else "is_file"):
        assert str(caught.value).endswith("cannot be read: Permission denied")


def test_a_refusal_at_the_data_dir_itself_is_one_line(tmp_path, monkeypatch):
    deny(monkeypatch, "is_dir", lambda path: True)
    with pytest.raises(DataError, match=f"^data directory {tmp_path} cannot be read: Permission denied$"):
        load("mnist", data_dir=tmp_path)


def test_a_closed_cache_is_reported_and_closed_downloads_are_named(tmp_path, monkeypatch):
    monkeypatch.undo()  # the real `fetch`, which looks for its files before it asks the net
    deny(monkeypatch, "is_file", lambda path: path.is_relative_to(tmp_path / "cache"))
    monkeypatch.setattr(cache, "Folder", failing(PermissionError(13, "Permission denied")))
    lines = []
    for download in (True, False):
        with pytest.raises(DataError, match=r"downloads.*mnist.*: cannot be read: Permission denied"):
            load("mnist", cache_dir=tmp_path / "cache", report=lines.append, download=download)
    assert "mnist.safetensors cannot be read (Permission denied)" in lines[0]


@pytest.mark.parametrize("text", ["~no-such-user/x", "x" * 300, "a\0b"], ids=["user", "long", "null"])
def test_an_impossible_path_is_one_line(text, monkeypatch):
    with pytest.raises(DataError, match=f"^dataset {text}: "):
        load(text)
    with pytest.raises(DataError, match=f"^data directory {text}: "):
        load("mnist", data_dir=text)
    with pytest.raises(DataError, match=f"^cache directory {text}: "):
        load("mnist", cache_dir=text)
    if "\0" not in text:
        monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, text)
        with pytest.raises(DataError, match=f"^cache directory {text}: "):
            load("mnist")


def test_unknown_names_and_labels():
    with pytest.raises(DataError, match=r"'cifar-10' is neither known nor a folder; .* Did you mean 'cifar10'\?"):
        load("cifar-10")
    with pytest.raises(SettingError, match=r"not 'corse'. Did you mean 'coarse'\?"):
        load("cifar100", labels="corse")
    with pytest.raises(SettingError, match=r"only cifar100 has coarse labels, digits does not"):
        load("digits", labels="coarse")


def test_real_fashion_mnist(data_dir):
    if MNIST_LIKE["fashion-mnist"].find(data_dir) is None or not (data_dir / "fashion-mnist").is_dir():
        pytest.skip("XNN_DATA_DIR does not hold fashion-mnist/")
    dataset = load("fashion-mnist", data_dir=data_dir)
    assert dataset.train.images.shape == (60_000, 28, 28, 1)
    assert set(np.bincount(dataset.train.labels)) == {6000}
    assert set(np.bincount(dataset.test.labels)) == {1000}
