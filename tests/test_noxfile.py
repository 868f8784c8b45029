"""Which CuPy `nox -s tests-gpu` takes, and when it is skipped; with stand-ins for nox and for nvidia-smi."""

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

NOXFILE = Path(__file__).parent.parent / "noxfile.py"
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script"),
    pytest.mark.skipif(not NOXFILE.exists(), reason="noxfile.py is not part of what is tested here"),
]

SMI = """
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.15      Driver Version: 550.54.15      CUDA Version: {}     |
+-----------------------------------------------------------------------------------------+
"""


class Skipped(Exception):  # noqa: N818 - not an error
    """What nox raises inside `session.skip`."""


class FakeSession:
    """As much of a nox session as tests-gpu uses; modules named in `there` can be imported."""

    bin_paths = (str(Path(sys.executable).parent),)
    posargs = ("-k", "conv")

    def __init__(self):
        self.installed, self.ran = [], []

    def skip(self, reason):
        raise Skipped(reason)

    def install(self, *arguments):
        self.installed.append(arguments)

    def run(self, *arguments, env):
        self.ran.append((arguments, env))


@pytest.fixture
def noxfile(monkeypatch):
    """The noxfile as a module, without nox."""
    nox = SimpleNamespace(options=SimpleNamespace(), Session=object)
    nox.session = lambda function=None, **options: function or (lambda f: f)
    monkeypatch.setitem(sys.modules, "nox", nox)
    spec = importlib.util.spec_from_file_location("noxfile", NOXFILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """Return a function that puts an nvidia-smi on the path; none is there before."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(output, code=0, interpreter="/bin/sh"):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!{interpreter}\ncat <<'END'\n{output}\nEND\nexit {code}\n".replace("cat", "/bin/cat"))
        program.chmod(0o755)

    return put


def session_with(noxfile, monkeypatch, missing=(), devices=None):
    """Return a session in which some modules are missing, and CuPy finds so many devices."""
    monkeypatch.setattr(noxfile, "imports", lambda session, name: name not in missing)
    monkeypatch.setattr(noxfile, "cupy_answers", lambda session: bool(devices))
    return FakeSession()


@pytest.mark.parametrize(
    ("version", "extra"),
    [("12.0", "cuda12"), ("12.8", "cuda12"), ("13.0", "cuda13"), ("13.1", "cuda13"), ("14.2", "cuda13")],
)
def test_the_driver_chooses_the_wheel(noxfile, smi, monkeypatch, version, extra):
    smi(SMI.format(version))
    session = session_with(noxfile, monkeypatch, missing=["cupy", "hypothesis"])
    noxfile.tests_gpu(session)
    assert session.installed == [("-e", f".[test,{extra}]")]
    ((command, environment),) = session.ran
    assert command == ("python", "-m", "pytest", "--backends=cupy", "-k", "conv")
    assert environment == {"XNN_HYPOTHESIS_PROFILE": "gpu"}


def test_the_extras_that_are_chosen_are_there(noxfile):
    project = (NOXFILE.parent / "pyproject.toml").read_text(encoding="utf-8")
    for version, extra in noxfile.CUDA_EXTRAS.items():
        assert f'{extra} = ["cupy-cuda{version}x[ctk]>=14"]' in project


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        (SMI.format("11.8"), 0, "the driver serves CUDA 11, and CuPy 14 needs CUDA 12 or newer: update the driver"),
        (SMI.format("N/A"), 0, "nvidia-smi names no version of CUDA"),
        ("No devices were found", 0, "nvidia-smi names no version of CUDA"),
        ("\N{REPLACEMENT CHARACTER}%$", 0, "nvidia-smi names no version of CUDA"),
        ("", 0, "nvidia-smi names no version of CUDA"),
        ("NVIDIA-SMI has failed\nmore", 9, r"nvidia-smi fails with code 9 \(NVIDIA-SMI has failed\)$"),
        (SMI.format("12.4"), 6, "nvidia-smi fails with code 6"),
    ],
)
def test_without_a_device_it_is_skipped_with_the_reason(noxfile, smi, monkeypatch, output, code, reason):
    smi(output, code)
    for missing in (["cupy"], []):
        session = session_with(noxfile, monkeypatch, missing, devices=0)
        with pytest.raises(Skipped, match=reason):
            noxfile.tests_gpu(session)
        assert not session.installed
        assert not session.ran


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [(None, "there is no nvidia-smi"), ("/nowhere/sh", r"nvidia-smi does not run \(.*No such file")],
)
def test_without_an_nvidia_smi_that_runs_it_is_skipped(noxfile, smi, monkeypatch, interpreter, reason):
    if interpreter is not None:
        smi("", interpreter=interpreter)
    with pytest.raises(Skipped, match=reason):
        noxfile.tests_gpu(session_with(noxfile, monkeypatch, ["cupy"]))


@pytest.mark.parametrize("path", [None, "/opt/cupy"])
def test_where_all_is_there_nothing_is_installed(noxfile, smi, monkeypatch, path):
    """So it works without an index, and without nvidia-smi where CuPy finds a device."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    session = session_with(noxfile, monkeypatch, devices=1)
    noxfile.tests_gpu(session)
    assert session.installed == []
    ((_, environment),) = session.ran
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(Path("src").resolve()), *([path] if path else [])]


def test_a_cupy_that_is_there_is_not_replaced(noxfile, smi, monkeypatch):
    session = session_with(noxfile, monkeypatch, missing=["pytest"], devices=1)
    noxfile.tests_gpu(session)
    assert session.installed == [("-e", ".[test]")]


def test_a_cupy_that_does_not_fit_the_driver_is_tried_and_not_skipped(noxfile, smi, monkeypatch):
    """nvidia-smi sees a device, so the tests are to say what CuPy has against it."""
    smi(SMI.format("12.4"))
    session = session_with(noxfile, monkeypatch, devices=0)
    noxfile.tests_gpu(session)
    assert len(session.ran) == 1


@pytest.mark.parametrize(
    ("code", "answers"),
    [("print(0)", False), ("print(2)", True), ("print('a warning'); print(1)", True), ("raise SystemExit(1)", False)],
)
def test_cupy_is_asked_for_its_devices(noxfile, monkeypatch, code, answers):
    monkeypatch.setattr(noxfile, "COUNT_DEVICES", code)
    assert noxfile.cupy_answers(FakeSession()) == answers


def test_what_can_be_imported_is_there(noxfile):
    assert noxfile.imports(FakeSession(), "pytest")
    assert not noxfile.imports(FakeSession(), "no_such_module")


def test_without_an_environment_of_its_own_the_surrounding_python_is_asked(noxfile, monkeypatch):
    monkeypatch.setattr(FakeSession, "bin_paths", None)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert noxfile.imports(FakeSession(), "pytest")
    monkeypatch.setenv("PATH", "")
    assert noxfile.python_of(FakeSession()) == sys.executable
