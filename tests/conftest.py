"""What all tests share: Hypothesis' settings, the backends to test on, and where real data lies."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings

from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.errors import BackendError

ALL_BACKENDS = ("numpy", "torch:cpu", "array_api_strict")

# Machines that run tests are shared and their timings vary, so no profile has a deadline.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("ci", max_examples=20, deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile(
    "intense",
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Few examples, since each compiles kernels for new shapes; and no time spent on explaining a failure.
settings.register_profile(
    "gpu", max_examples=10, deadline=None, derandomize=True, database=None, phases=set(Phase) - {Phase.explain}
)
# A device whose threads run in a random order, one by one, is a hundred times as slow.
settings.register_profile("few", settings.get_profile("gpu"), max_examples=2)
settings.load_profile(os.environ.get("XNN_HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "quick"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends",
        default=None,
        help="backends to test on, separated by commas, each of which must be there; "
        f"by default those of {','.join(ALL_BACKENDS)} that are installed",
    )


def backend_names(config: pytest.Config) -> list[str]:
    """Return the names of the backends to test on."""
    chosen = config.getoption("--backends")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",")]
    return [name for name in ALL_BACKENDS if _is_there(name)]


def pytest_configure(config: pytest.Config) -> None:
    names = backend_names(config)
    for name in names:
        try:
            make_backend(name)
        except BackendError as error:
            raise pytest.UsageError(f"--backends: {error}") from None

    # A fixture's parameters are fixed when it is defined, so it is defined once the option is known. It lives for the
    # whole session: Hypothesis runs all examples of a test within one fixture.
    @pytest.fixture(scope="session", params=names)
    def backend(request: pytest.FixtureRequest) -> Backend:
        """Each of the backends to test on."""
        return make_backend(request.param)

    fixtures = ModuleType("fixtures")
    vars(fixtures)["backend"] = backend
    config.pluginmanager.register(fixtures, "xnn-backends")


def _is_there(name: str) -> bool:
    try:
        make_backend(name)
    except BackendError:
        return False
    return True


@pytest.fixture(scope="session")
def backends(pytestconfig: pytest.Config) -> list[Backend]:
    """All of the backends to test on."""
    return [make_backend(name) for name in backend_names(pytestconfig)]


@pytest.fixture(scope="session", autouse=True)
def unsynchronized() -> Iterator[None]:
    """Files that a loss of power may cost, which no test has: a short run waits for the disk as long as it trains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", os.fstat)  # which also fails for a descriptor that is closed
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Runs that end without Matplotlib: to draw curves.png takes longer than all else in a short one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xnn.runs.curves.draw", lambda *rows, **options: b"picture")
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data sets, as their official files."""
    folder = os.environ.get("XNN_DATA_DIR")
    if not folder:
        pytest.skip("XNN_DATA_DIR is not set to a folder with the official data files")
    return Path(folder)
