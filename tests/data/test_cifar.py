import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_files import CifarFiles, each_cifar, write_files, write_tar
from xnn.data import class_names, load
from xnn.data.cifar import CIFAR10, CIFAR100
from xnn.errors import DataError


def read(files, root):
    """Read whichever version is in `root`."""
    return files.cifar.find(root).read()


@each_cifar
def test_all_versions_give_the_same_images(name, tmp_path):
    cifar_files = CifarFiles(name)
    forms = [(cifar_files.binary, cifar_files.binary_contents())]
    forms += [(cifar_files.python, cifar_files.python_contents(protocol)) for protocol in range(6)]
    assert cifar_files.cifar.find(tmp_path) is None
    for number, (version, contents) in enumerate(forms):
        root = tmp_path / str(number)
        cifar_files.check(read(cifar_files, write_files(root, contents)))
        cifar_files.check(read(cifar_files, write_files(root / "above" / version.folder, contents).parent))
        archived = {f"{version.folder}/{name}": content for name, content in contents.items()}
        folder = root / "archive"
        folder.mkdir()
        write_tar(folder / version.archive, archived)
        cifar_files.check(read(cifar_files, folder))


@given(name=st.sampled_from(["cifar10", "cifar100"]), cut=st.integers(-4000, 4000).filter(bool), data=st.data())
def test_a_wrong_length_is_refused(tmp_path_factory, name, cut, data):
    files = CifarFiles(name)
    contents = files.binary_contents()
    damaged = data.draw(st.sampled_from(sorted(contents)))
    content = contents[damaged]
    contents[damaged] = content[:cut] if cut < 0 else content + bytes(cut)
    folder = write_files(tmp_path_factory.mktemp("cifar"), contents)
    with pytest.raises(
        DataError, match=f"{damaged}: wrong length: {len(content) + cut} bytes, expected {len(content)}"
    ):
        read(files, folder)
    shutil.rmtree(folder)


@each_cifar
def test_a_missing_file_is_named(name, tmp_path):
    cifar_files = CifarFiles(name)
    for contents in (cifar_files.binary_contents(), cifar_files.python_contents()):
        for file in contents:
            folder = write_files(tmp_path / file, contents)
            (folder / file).unlink()
            with pytest.raises(DataError, match=f"/{file}: missing"):
                read(cifar_files, folder)


@each_cifar
def test_a_label_out_of_range_is_named(name, tmp_path):
    for number, label in enumerate(CifarFiles(name).cifar.labels):
        for bad in (label.classes, 255):
            damaged = CifarFiles(name)
            damaged.labels[-1][2, number] = bad
            for form in ("binary_contents", "python_contents"):
                folder = write_files(tmp_path / f"{number}-{bad}-{form}", getattr(damaged, form)())
                with pytest.raises(DataError, match=f"/test.*: label {bad} of image 2 is out of range"):
                    read(damaged, folder)


def python_files(tmp_path, **changes):
    """Return CIFAR-10 in its python version with one file changed, and its folder."""
    files = CifarFiles("cifar10")
    contents = files.python_contents()
    batch = {**pickle.loads(contents["data_batch_3"]), **changes}  # noqa: S301 - made here
    contents["data_batch_3"] = pickle.dumps({k: v for k, v in batch.items() if v is not None}, 2)
    return files, write_files(tmp_path, contents)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "'data' should be an array of shape .4, 3072., found none"),
        ({"data": list(range(4))}, "'data' should be an array of shape .4, 3072., found none"),
        ({"data": np.zeros((3072, 4), np.uint8)}, r"found one of shape \(3072, 4\)"),
        ({"data": np.zeros((4, 3072), np.int16)}, "not made of unsigned bytes"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": None}, "'labels' should be a list of 4 integers"),
        ({"labels": [0, 1, 2]}, "'labels' should be a list of 4 integers"),
        ({"labels": [0, 1, 2, "3"]}, "'labels' should be a list of 4 integers"),
        ({"labels": [0, 1, 2, -1]}, "label -1 of image 3 is out of range"),
        ({"labels": [0, 1, 2, 2**60]}, "of image 3 is out of range"),
        ({"labels": [0, 1, 2, 2**100]}, "a number of more than 64 bits"),
    ],
)
def test_a_python_file_that_is_no_batch_is_refused(tmp_path, changes, message):
    # Without its array the file would be refused by its length alone.
    padding = "" if isinstance(changes.get("data", ""), np.ndarray | str) else "x" * 15_000
    files, folder = python_files(tmp_path, batch_label=padding, **changes)
    with pytest.raises(DataError, match=f"data_batch_3: .*{message}"):
        read(files, folder)


def test_a_pickle_of_something_else_is_refused(tmp_path):
    files, folder = python_files(tmp_path)
    (folder / "test_batch").write_bytes(pickle.dumps(["x" * 10_000], 2))
    with pytest.raises(DataError, match=r"test_batch: not a CIFAR batch: a pickled list"):
        read(files, folder)


def test_python_2_keys_of_bytes_are_read(tmp_path):
    files = CifarFiles("cifar10")
    contents = files.python_contents()
    for name, content in contents.items():
        batch = pickle.loads(content)  # noqa: S301 - made here
        contents[name] = pickle.dumps({key.encode(): value for key, value in batch.items()}, 2)
    files.check(read(files, write_files(tmp_path, contents)))


def test_official_sizes():
    assert sum(CIFAR10.versions[0].train.values()) == sum(CIFAR100.versions[0].train.values()) == 50_000
    assert sum(CIFAR10.versions[1].test.values()) == sum(CIFAR100.versions[1].test.values()) == 10_000


@each_cifar
def test_real_images(data_dir, tmp_path, name):
    cifar = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    found = cifar.find(data_dir)
    if found is None:
        pytest.skip(f"XNN_DATA_DIR does not hold {name}")
    dataset = load(name, data_dir=data_dir, cache_dir=tmp_path)
    again = load(name, data_dir=data_dir, cache_dir=tmp_path)
    for split, count in ((dataset.train, 50_000), (dataset.test, 10_000)):
        assert split.images.shape == (count, 32, 32, 3)
        assert set(np.bincount(split.labels)) == {count // len(dataset.classes)}
    np.testing.assert_array_equal(again.test.images, dataset.test.images)
    folder = found.location
    meta = {"batches.meta.txt": class_names.CIFAR10, "fine_label_names.txt": class_names.CIFAR100_FINE}
    meta["coarse_label_names.txt"] = class_names.CIFAR100_COARSE
    for file, names in meta.items():
        if (folder / file).is_file():
            assert tuple((folder / file).read_text().split()) == names
