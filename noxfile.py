"""Tasks of the project: ``nox -s NAME``, each in an environment of its own.

``nox -s tests-cpu`` is all it takes to check a clone; what follows ``--`` goes to pytest.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "typecheck", "tests-cpu", "tests-gpu", "docs", "build"]
nox.options.error_on_missing_interpreters = True

CPU_BACKENDS = "numpy,torch:cpu,array_api_strict"
# The release that the suite is run with; its CPU build will do.
TORCH = "torch==2.13.0"
# NVIDIA's compiler and headers, for the test that the CUDA kernels compile; there are wheels for Linux.
NVRTC = ["nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"] if sys.platform == "linux" else []
# As many test processes as cores, so each computes with one thread.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XNN_NUM_THREADS": "1",
}
# Tests start hundreds of processes, each of which would compile xnn anew if bytecode could not be kept.
KEPT_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
# What the suite imports when it runs on CuPy.
GPU_MODULES = (
    "cupy", "array_api_compat", "hypothesis", "markupsafe", "matplotlib", "msgspec", "PIL", "platformdirs", "pytest",
    "requests", "rich", "safetensors",
)  # fmt: skip
# CuPy's wheels by the driver's version of CUDA; a driver also serves what is older than it is.
CUDA_EXTRAS = {13: "cuda13", 12: "cuda12"}
EMULATOR = "XNN_CUDA_EMULATOR"
ON_CUPY = (
    *("tests/functional", "tests/nn", "tests/optim", "tests/kernels/cupy", "tests/backends"),
    *("tests/training/test_device_waits.py", "tests/runs/test_cupy.py", "tests/benchmarks/test_device.py"),
)
"""Tests of what may go wrong on CuPy alone."""
COUNT_DEVICES = "import cupy; print(cupy.cuda.runtime.getDeviceCount())"


@nox.session(name="tests-cpu")
def tests_cpu(session: nox.Session) -> None:
    """Run the suite on NumPy, PyTorch's CPU and array-api-strict."""
    session.install("-e", ".[test]", TORCH, *NVRTC)
    environment = ONE_THREAD | KEPT_BYTECODE
    session.run("pytest", "-n", "auto", f"--backends={CPU_BACKENDS}", *session.posargs, env=environment)


@nox.session(name="tests-gpu", venv_params=["--system-site-packages"])
def tests_gpu(session: nox.Session) -> None:
    """Run the same suite on CuPy; skipped, with the reason, where no CUDA device answers."""
    # What is already there serves, so that this also works where no index can be reached.
    missing = [name for name in GPU_MODULES if not imports(session, name)]
    try:
        extra = None if "cupy" not in missing and cupy_answers(session) else cuda_extra()
    except NoDevice as reason:
        session.skip(str(reason))
    environment = {"XNN_HYPOTHESIS_PROFILE": "gpu"}
    if missing:
        extras = ["test", extra] if "cupy" in missing else ["test"]
        session.install("-e", f".[{','.join(extras)}]")
    else:
        paths = [str(Path("src").resolve()), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    session.run("python", "-m", "pytest", "--backends=cupy", *session.posargs, env=environment)


@nox.session(name="tests-emulated")
def tests_emulated(session: nox.Session) -> None:
    """Run what concerns CuPy on a CUDA device emulated on the CPU, in $XNN_CUDA_EMULATOR; see docs/gpu_steps.md."""
    test = on_emulator(session)
    test("gpu", *ON_CUPY)
    # Races and accesses beyond an array's end show only like this, and only our own kernels may have them.
    test("gpu", "tests/kernels/cupy", options=("--guard",))
    # In a random order each kernel is compiled anew, so only those whose threads work together run like this.
    test("few", "-m", "races", "tests/kernels/cupy", options=("--shuffle", "1"))


@nox.session(name="tests-shuffled")
def tests_shuffled(session: nox.Session) -> None:
    """Run all tests of our CUDA kernels on that device with blocks and threads in a random order."""
    on_emulator(session)("few", "tests/kernels/cupy", options=("--shuffle", "1"))


def on_emulator(session: nox.Session) -> Callable[..., None]:
    """Return what runs tests on the emulated device, with a profile of Hypothesis and options for the device."""
    emulator = os.environ.get(EMULATOR)
    if not emulator:
        session.skip(f"${EMULATOR} is not set: expected the folder of an emulated CUDA device, with setup.sh and run")
    session.install("-e", ".[test]")
    folder = str(Path(session.virtualenv.location).resolve())
    session.run(f"{emulator}/setup.sh", folder, external=True)
    environment = ONE_THREAD | {EMULATOR: str(Path(emulator).resolve())}

    def test(profile: str, *arguments: str, options: tuple[str, ...] = ()) -> None:
        command = [f"{emulator}/run", "--venv", folder, *options, "python", "-m", "pytest", "-n", "auto"]
        variables = environment | {"XNN_HYPOTHESIS_PROFILE": profile}
        session.run(*command, "--backends=cupy", *arguments, *session.posargs, external=True, env=variables)

    return test


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hunt for counter-examples with a hundred times as many examples, on NumPy; takes tens of minutes."""
    session.install("-e", ".[test]")
    environment = ONE_THREAD | {"XNN_HYPOTHESIS_PROFILE": "intense"}
    session.run("pytest", "-n", "auto", "--backends=numpy", *session.posargs, env=environment)


@nox.session
def hostile(session: nox.Session) -> None:
    """Hand 10,000 mutated files to the commands, and list those that do harm; takes a quarter of an hour on two cores.

    On Linux alone. ``-- --cases 10000 --seed 0`` says how many, and which.
    """
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.hostile", *session.posargs)


@nox.session
def threadpools(session: nox.Session) -> None:
    """Run the tests of BLAS's threads with the oldest threadpoolctl that will do, and with the newest."""
    session.install("-e", ".[test]")
    files = "tests/kernels/numpy/test_blas.py", "tests/kernels/numpy/test_fork.py"
    for version in ("==3.6.0", ">=3.6"):
        session.install("--upgrade", f"threadpoolctl{version}")
        session.run("pytest", "--backends=numpy", *files, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite and show which lines and branches of the library it never takes."""
    session.install("-e", ".[test]", TORCH)
    session.run("pytest", "-n", "auto", f"--backends={CPU_BACKENDS}", "--cov", *session.posargs, env=ONE_THREAD)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the mathematics in some 3000 places, one at a time, and list the changes that no test notices.

    Takes half an hour to an hour on two cores. docs/mutation.md says why those that are left make no difference.
    """
    session.install("-e", ".[test]", TORCH, "mutmut>=3.8,<4")
    # Derandomized, so that a mutant is killed by what it does, not by luck; and without the twins, whose references
    # are what is mutated.
    environment = ONE_THREAD | {"XNN_HYPOTHESIS_PROFILE": "ci", "XNN_TWINS": "0"}
    session.run("mutmut", "run", *session.posargs, env=environment)
    session.run("mutmut", "results")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of the library, strictly, and of code that uses it."""
    session.install("-e", ".[testing,strict,sweep]", "mypy>=1.13", TORCH)
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages into docs/_build/html; a warning is an error.

    The examples of docs/gallery are run for it, but for those that have not changed since an earlier build.
    """
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist, check their metadata, and train with the wheel installed alone."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    artefacts = [str(path) for path in Path("dist").iterdir()]
    session.run("twine", "check", "--strict", *artefacts)

    folder = Path(session.create_tmp()).resolve()
    programs = folder / "wheel" / ("Scripts" if sys.platform == "win32" else "bin")
    session.run("python", "-m", "venv", "--clear", str(folder / "wheel"))
    wheel = [str(path) for path in Path("dist").glob("*.whl")]
    session.run(str(programs / "python"), "-m", "pip", "install", "--quiet", *wheel, external=True)
    shutil.rmtree(folder / "run", ignore_errors=True)
    with session.chdir(folder):
        train = [str(programs / "xnn-train"), "--epochs", "1", "--run-dir", str(folder / "run")]
        session.run(*train, external=True)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Check that version, changelog and tag agree: ``nox -s release -- v0.1.0``; docs/releasing.md says when."""
    if len(session.posargs) != 1:
        session.error("give the tag of the release, as in: nox -s release -- v0.1.0")
    faults = release_faults(session.posargs[0], version(), Path("CHANGELOG.md").read_text(encoding="utf-8"))
    if faults:
        session.error("; ".join(faults))


def version() -> str:
    """Return the version that the package says it has."""
    text = Path("src/xnn/_version.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def changelog_sections(text: str) -> dict[str, str]:
    """Return what the changelog says of each version, the newest first, by headings such as "0.1.0] - 2026-12-01"."""
    _, *parts = re.split(r"^## \[", text, flags=re.MULTILINE)
    return {heading: body.strip() for heading, _, body in (part.partition("\n") for part in parts)}


def release_faults(tag: str, version: str, changelog: str) -> list[str]:
    """Return what keeps a tag from being released: version, tag and changelog have to agree."""
    faults = []
    if tag != f"v{version}":
        faults.append(f"the tag is {tag}, but src/xnn/_version.py says {version}: expected v{version}")
    unreleased, *released = changelog_sections(changelog).items()
    if unreleased[0] != "Unreleased]":
        faults.append("CHANGELOG.md does not begin with a section [Unreleased], for what comes next")
    elif unreleased[1]:
        faults.append(f"CHANGELOG.md still has changes under [Unreleased]: move them to a section [{version}]")
    if not released or not re.fullmatch(re.escape(version) + r"\] - \d{4}-\d\d-\d\d", released[0][0]):
        faults.append(f"CHANGELOG.md's newest section is not ## [{version}] - YYYY-MM-DD")
    elif not released[0][1]:
        faults.append(f"CHANGELOG.md says nothing of {version}")
    return faults


class NoDevice(Exception):  # noqa: N818 - a reason to skip, not an error
    """There is no CUDA device to test on; says why."""


def cuda_extra() -> str:
    """Return the extra with the CuPy that goes with the driver, or raise NoDevice."""
    version = cuda_version()
    for least, extra in CUDA_EXTRAS.items():
        if version >= least:
            return extra
    raise NoDevice(
        f"the driver serves CUDA {version}, and CuPy 14 needs CUDA {min(CUDA_EXTRAS)} or newer: update the driver"
    )


def cuda_version() -> int:
    """Return the major version of CUDA that the driver serves, as nvidia-smi tells, or raise NoDevice."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise NoDevice("no CUDA device answers: there is no nvidia-smi, which comes with NVIDIA's driver")
    try:
        answer = subprocess.run([program], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDevice(f"no CUDA device answers: nvidia-smi does not run ({error})") from None
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip().partition("\n")[0]
        raise NoDevice(f"no CUDA device answers: nvidia-smi fails with code {answer.returncode} ({said})")
    found = re.search(r"CUDA (?:\w+ )?Version:\s*(\d+)", answer.stdout)
    if found is None:
        raise NoDevice("no CUDA device answers: nvidia-smi names no version of CUDA")
    return int(found[1])


def cupy_answers(session: nox.Session) -> bool:
    """Whether the CuPy that is already there finds a device; it needs no nvidia-smi for that."""
    answer = subprocess.run([python_of(session), "-c", COUNT_DEVICES], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and int(answer.stdout.split()[-1]) > 0


def imports(session: nox.Session, name: str) -> bool:
    """Whether the session's Python can import a module."""
    command = [python_of(session), "-c", f"import {name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def python_of(session: nox.Session) -> str:
    """Return the Python that `session.run("python")` takes: with ``nox --no-venv`` that of the surroundings."""
    folders = [*(session.bin_paths or []), *os.environ["PATH"].split(os.pathsep)]
    return shutil.which("python", path=os.pathsep.join(folders)) or sys.executable
