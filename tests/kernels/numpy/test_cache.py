"""Numba's cache of compiled kernels, whole and damaged."""

import importlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from xnn._notes import note

pytest.importorskip("numba")
from xnn.kernels.numpy import compiled
from xnn.kernels.numpy.cache import _SealedFiles

# A kernel that is compiled fast, since each case compiles it again.
SOURCE = """
def double(x):
    for i in range(x.shape[0]):
        x[i] *= 2
"""
PROGRAM = """
import numpy as np
from xnn.kernels.numpy.linear import _shift_relu
y = np.full((2, 3), -1.0, np.float32)
_shift_relu(y, np.arange(3, dtype=np.float32))
assert y.tolist() == [[0.0, 0.0, 1.0]] * 2
print("computed")
"""


@pytest.fixture(scope="module", autouse=True)
def cache_beside_the_source():
    """Whatever the environment says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numba.core.config.CACHE_DIR", "")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cache_beside_the_source):
    """A folder with a kernel's source and its cache."""
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "doubling.py").write_text(SOURCE)
    assert not compute(folder)
    return folder


def files_of(folder):
    """The index and the machine code."""
    (index,), (code,) = folder.rglob("*.nbi"), folder.rglob("*.nbc")
    return {"index": index, "code": code}


def kernel_of(folder):
    """The kernel as a new process has it."""
    path = folder / "doubling.py"
    namespace = {"__name__": "doubling"}
    exec(compile(path.read_text(), path, "exec"), namespace)
    return compiled.compiled(namespace["double"])


def compute(folder, factor=2):
    """Compute with the kernel as a new process would, and return whether it came from the cache."""
    kernel = kernel_of(folder)
    x = np.arange(5.0)
    kernel(x)
    assert x.tolist() == [0, factor, 2 * factor, 3 * factor, 4 * factor]
    return sum(kernel.stats.cache_hits.values()) == 1


@pytest.fixture
def copied(folder, tmp_path, caplog):
    """A copy of the folder, to be damaged."""
    shutil.copytree(folder, tmp_path / "copy")
    note.cache_clear()
    return tmp_path / "copy"


def check_is_mended(folder, caplog, reason="damaged"):
    assert not compute(folder)
    cache = files_of(folder)["code"].parent
    line = f"xnn: compiled kernels in {cache} cannot be read ({reason}): they are compiled anew"
    assert [record.getMessage() for record in caplog.records] == [line]
    assert compute(folder)
    assert len(caplog.records) == 1


def test_a_whole_cache_is_used(copied, caplog):
    assert compute(copied)
    assert not caplog.records


@pytest.mark.parametrize("kind", ["index", "code"])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_was_cut_short_is_compiled_anew(copied, caplog, kind, part):
    path = files_of(copied)[kind]
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    check_is_mended(copied, caplog)


@pytest.mark.parametrize("kind", ["index", "code"])
@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_is_noticed(copied, caplog, kind, seed):
    path = files_of(copied)[kind]
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 1 << seed
    path.write_bytes(content)
    check_is_mended(copied, caplog)


def test_both_files_damaged_are_one_line(copied, caplog):
    for path in files_of(copied).values():
        path.write_bytes(b"garbage")
    check_is_mended(copied, caplog)


def test_machine_code_that_is_gone_is_compiled_anew(copied):
    files_of(copied)["code"].unlink()
    assert not compute(copied)
    assert compute(copied)


def test_what_another_version_of_numba_wrote_is_left_alone(copied, caplog, monkeypatch):
    monkeypatch.setattr("numba.__version__", "0.0")
    assert not compute(copied)
    assert compute(copied)
    monkeypatch.undo()
    assert not compute(copied)
    assert not caplog.records


def test_a_kernel_that_changed_is_compiled_anew(copied, caplog):
    (copied / "doubling.py").write_text(SOURCE + "\n")
    assert not compute(copied)
    assert not caplog.records


# Numba runs what another kernel of the same name left in the process, so each computes in its own. Where the system can
# fork, that is a fork of a process with one thread, which has imported Numba and compiled nothing.
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    PROCESSES.set_forkserver_preload([__name__])


def in_a_process(folder, full):
    from numba.core import config

    really = os.replace

    def replace(source, target):
        if target.endswith(full):
            raise OSError(28, "No space left on device")
        really(source, target)

    os.replace = replace
    config.CACHE_DIR = ""
    # Numba looks for the module when it takes the code from the cache.
    sys.path.insert(0, str(folder))
    importlib.import_module("doubling")
    return compute(folder, 3)


def compute_thrice(folder, *full):
    """Compute in a new process where files of such names cannot be written, and say whether the code was cached."""
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as executor:
        return executor.submit(in_a_process, folder, full).result(timeout=120)


@pytest.mark.parametrize("kind", ["index", "code"])
def test_the_code_of_an_older_source_is_never_run(copied, kind):
    """Where the disk is full when one of the new files is to be written."""
    (copied / "doubling.py").write_text(SOURCE.replace("*= 2", "*= 3"))
    assert not compute_thrice(copied, files_of(copied)[kind].suffix)
    assert not compute_thrice(copied)


def test_code_under_the_name_of_another_source_is_compiled_anew(copied):
    """As an older program that writes at the same time leaves it."""
    older = files_of(copied)["code"].read_bytes()
    (copied / "doubling.py").write_text(SOURCE.replace("*= 2", "*= 3"))
    assert not compute_thrice(copied)
    files_of(copied)["code"].write_bytes(older)
    assert not compute_thrice(copied)
    assert compute_thrice(copied)


def test_there_is_code_for_each_signature_of_each_source(tmp_path):
    older, newer = (_SealedFiles(str(tmp_path), "kernel", stamp) for stamp in ("older", "newer"))
    for signature in ("float32", "float64"):
        older.save(signature, f"{signature} of the older")
    assert [older.load(signature) for signature in ("float32", "float64", "int64")] == [
        "float32 of the older", "float64 of the older", None,
    ]  # fmt: skip
    newer.save("float64", "float64 of the newer")
    assert newer.load("float64") == "float64 of the newer"
    assert newer.load("float32") is None
    assert older.load("float32") is None


def test_a_cache_that_cannot_be_written_is_one_line(copied, caplog, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    cache = files_of(copied)["code"].parent
    files_of(copied)["code"].unlink()
    for _ in range(2):
        assert not compute(copied)
    line = f"xnn: compiled kernels cannot be kept in {cache} (No space left on device): each process compiles anew"
    assert [record.getMessage() for record in caplog.records] == [line]


def test_without_a_folder_for_the_cache_kernels_compute(folder, caplog, monkeypatch):
    note.cache_clear()
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert not compute(folder)
    (record,) = caplog.records
    assert record.getMessage() == (
        "xnn: found no writable folder for compiled kernels, so every process compiles them again; set NUMBA_CACHE_DIR"
    )


def run(folder):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "computed\n"), done.stderr
    return done.stderr.splitlines()


def test_a_program_says_one_line_of_a_damaged_cache(tmp_path):
    assert run(tmp_path) == []
    paths = [path for path in Path(tmp_path).rglob("*.nb?") if "_shift_relu" in path.name]
    assert {path.suffix for path in paths} == {".nbi", ".nbc"}
    for path in paths:
        path.write_bytes(path.read_bytes()[:-7])
    (line,) = run(tmp_path)
    assert line.startswith(f"xnn: compiled kernels in {paths[0].parent} cannot be read (damaged)")
    assert run(tmp_path) == []
