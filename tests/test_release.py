"""Version, changelog and the workflow that publishes: what has to agree, and what a release is refused for."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import xnn

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
CHECKS = WORKFLOW.with_name("checks.yml")
HEAD = "# Changelog\n\nWords.\n\n## [Unreleased]\n\n"
DATED = "## [0.2.0] - 2026-12-01\n\n### Added\n\n- A thing.\n"

pytestmark = pytest.mark.skipif(
    not (ROOT / "noxfile.py").exists(), reason="noxfile.py is not part of what is tested here"
)


@pytest.fixture
def noxfile(monkeypatch):
    """The noxfile's names, without nox."""
    nox = SimpleNamespace(options=SimpleNamespace(), Session=object)
    nox.session = lambda function=None, **options: function or (lambda f: f)
    monkeypatch.setitem(sys.modules, "nox", nox)
    names = {"__name__": "noxfile"}
    exec(compile((ROOT / "noxfile.py").read_text(encoding="utf-8"), "noxfile.py", "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture
def sections(noxfile):
    return noxfile.changelog_sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_the_changelog_begins_with_what_is_not_released(sections):
    first, *released = sections
    assert first == "Unreleased]"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in released)


def test_versions_and_dates_of_the_changelog_fall(sections):
    released = [heading.split("] - ") for heading in list(sections)[1:]]
    versions = [tuple(map(int, version.split("."))) for version, _ in released]
    dates = [date for _, date in released]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_the_version_is_newer_than_what_is_released_if_there_are_changes_since(sections):
    released = [heading.partition("]")[0] for heading in list(sections)[1:]]
    number = tuple(map(int, re.match(r"(\d+)\.(\d+)\.(\d+)", xnn.__version__).groups()))
    older = [tuple(map(int, version.split("."))) for version in released]
    assert all(number >= version for version in older)
    if sections["Unreleased]"]:
        assert number not in older, "there are changes after this release: raise the version in _version.py"


def test_a_release_that_agrees_is_taken(noxfile):
    assert noxfile.release_faults("v0.2.0", "0.2.0", HEAD + DATED) == []


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "fault"),
    [
        ("0.2.0", "0.2.0", HEAD + DATED, "expected v0.2.0"),
        ("v0.2.0", "0.2.1", HEAD + DATED, "expected v0.2.1"),
        ("v0.2.0", "0.2.0", HEAD + "- One more.\n\n" + DATED, "still has changes under"),
        ("v0.2.0", "0.2.0", DATED, "does not begin with a section"),
        ("v0.2.0", "0.2.0", HEAD, "newest section is not"),
        ("v0.3.0", "0.3.0", HEAD + DATED, "newest section is not"),
        ("v0.2.0", "0.2.0", HEAD + "## [0.2.0]\n\n- A thing.\n", "newest section is not"),
        ("v0.2.0", "0.2.0", HEAD + "## [0.2.0] - 2026-12-01\n", "says nothing"),
    ],
)
def test_what_disagrees_is_refused(noxfile, tag, version, changelog, fault):
    faults = noxfile.release_faults(tag, version, changelog)
    assert any(fault in each for each in faults), faults


def test_noxfile_reads_the_version_that_the_package_has(noxfile, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert noxfile.version() == xnn.__version__


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the workflow is not part of what is tested here")
@pytest.mark.parametrize("path", [WORKFLOW, CHECKS], ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_holds_no_secret(path):
    text = path.read_text(encoding="utf-8")
    actions = re.findall(r"uses: *(\S+)(.*)", text)
    assert len(actions) >= 2
    for action, comment in actions:
        if action == f"./.github/workflows/{CHECKS.name}":
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), f"{action} is not pinned to a commit"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} does not say which version that is"
    assert "secrets." not in text
    assert not re.search(r"\w\.(org|com|io|net)\b", text), "the workflow names a host"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the workflow is not part of what is tested here")
def test_a_release_waits_for_the_checks_of_every_change():
    text = CHECKS.read_text(encoding="utf-8")
    assert re.search(r"^  pull_request:$", text, re.MULTILINE)
    assert re.search(r"^  workflow_call:$", text, re.MULTILINE)
    publish = WORKFLOW.read_text(encoding="utf-8").split("\n  publish:\n")[1]
    assert "needs: [build, checks]" in publish
    named = set(re.search(r"run: nox -s (.+)", text)[1].split())
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= {name.replace("_", "-") for name in sessions}


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the workflow is not part of what is tested here")
def test_only_the_publishing_job_may_ask_for_an_identity():
    text = WORKFLOW.read_text(encoding="utf-8")
    before, publish = text.split("\n  publish:\n")
    assert "id-token" not in before
    assert re.search(r"permissions:\n +id-token: write", publish)
    assert "run:" not in publish, "code that runs beside the identity could use it"
    assert "permissions:\n  contents: read\n" in before
