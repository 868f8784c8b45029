"""Tasks of the project: ``nox -s NAME``, each in an environment of its own.

``nox -s tests-cpu`` is all it takes to check a clone; what follows ``--`` goes to pytest.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "typecheck", "tests-cpu", "tests-gpu", "docs", "build"]
nox.options.error_on_missing_interpreters = True

CPU_BACKENDS = "numpy,torch:cpu,array_api_strict"
# The release that the suite is run with; its CPU build will do.
TORCH = "torch==2.13.0"
# As many test processes as cores, so each computes with one thread.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XNN_NUM_THREADS": "1",
}
# What the suite imports when it runs on CuPy.
GPU_MODULES = (
    "cupy", "array_api_compat", "array_api_strict", "hypothesis", "matplotlib", "PIL", "pooch", "pytest", "rich",
    "safetensors",
)  # fmt: skip


@nox.session(name="tests-cpu")
def tests_cpu(session: nox.Session) -> None:
    """Run the suite on NumPy, PyTorch's CPU and array-api-strict."""
    session.install("-e", ".[test]", TORCH)
    session.run("pytest", "-n", "auto", f"--backends={CPU_BACKENDS}", *session.posargs, env=ONE_THREAD)


@nox.session(name="tests-gpu", venv_params=["--system-site-packages"])
def tests_gpu(session: nox.Session) -> None:
    """Run the same suite on CuPy; skipped, with the reason, where no CUDA device answers."""
    version = cuda_version()
    if version is None:
        session.skip("no CUDA device answers: nvidia-smi is missing or names no driver")
    environment = {"XNN_HYPOTHESIS_PROFILE": "gpu"}
    # What is already there serves, so that this also works where no index can be reached.
    if all(imports(session, name) for name in GPU_MODULES):
        environment["PYTHONPATH"] = str(Path("src").resolve())
    else:
        cuda = [] if imports(session, "cupy") else [f"cuda{version}"]
        session.install("-e", f".[{','.join(['test', *cuda])}]")
    session.run("python", "-m", "pytest", "--backends=cupy", *session.posargs, env=environment)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hunt for counter-examples with a hundred times as many examples, on NumPy; takes tens of minutes."""
    session.install("-e", ".[test]")
    environment = ONE_THREAD | {"XNN_HYPOTHESIS_PROFILE": "intense"}
    session.run("pytest", "-n", "auto", "--backends=numpy", *session.posargs, env=environment)


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
    """Check the types of the library, strictly."""
    session.install("-e", ".[testing]", "mypy>=1.13")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages into docs/_build/html; a warning is an error."""
    session.install("-e", ".[docs,testing]")
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


def cuda_version() -> int | None:
    """Return the major version of CUDA that the driver serves, or None where no device answers."""
    if shutil.which("nvidia-smi") is None:
        return None
    answer = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False)
    found = re.search(r"CUDA Version:\s*(\d+)", answer.stdout)
    if answer.returncode or found is None:
        return None
    return 13 if int(found[1]) >= 13 else 12


def imports(session: nox.Session, name: str) -> bool:
    """Whether the session's Python can import a module."""
    python = str(Path(session.bin) / "python")
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0
