"""The examples in docstrings run, and every public class has some."""

import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import xnn

ROOT = Path(__file__).parent.parent
SOURCE = Path(xnn.__file__).parent
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
PACKAGES = ("xnn", *(f"xnn.{name}" for name in ("data", "functional", "nn", "optim", "recipes", "runs", "training")))
NEEDS = {
    "xnn.testing.strategies": "hypothesis",
    "xnn.sklearn": "sklearn",
    "xnn.exporting": "ndonnx",
    "xnn.training.history": "pandas",
    "xnn.training.tensorboard": "tensorboard",
}
"""Packages without which a module cannot be imported."""

NOT_RUN = {"xnn.distributed.world.World"}
"""Classes whose examples need more than one process."""

OPTIONS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1


def with_examples():
    """Yield the names of all modules that have an example."""
    for path in sorted(SOURCE.rglob("*.py")):
        if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield ".".join(["xnn", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")


MODULES = list(with_examples())


def imported(name):
    needed = [package for prefix, package in NEEDS.items() if name.startswith(prefix)]
    for package in needed:
        pytest.importorskip(package, reason=f"{name} needs {package}")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XNN_TWINS", "0")  # nothing is compiled for a line
    monkeypatch.chdir(tmp_path)
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(imported(name)):
        example.globs = {"__name__": "__main__"}  # what an example needs, it imports itself
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_there_are_examples():
    assert len(MODULES) > 40


def on_pages():
    """Yield the full names of the classes on the API pages, as their directives name them."""
    for page in PAGES:
        module = ""
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if found := re.match(r"\.\. (automodule|currentmodule|autoclass):: (\S+)", line):
                kind, name = found.groups()
                if kind == "autoclass":
                    yield name if name.startswith("xnn.") else f"{module}.{name}"
                    continue
                module = name
                members = [
                    m[1] for m in map(re.compile(r"   :members:(.*)").match, lines[number + 1 : number + 4]) if m
                ]
                if kind == "automodule" and members:
                    yield from (f"{name}.{member}" for member in members_of(name, members[0]))


def members_of(name, given):
    """Return the classes that ``:members:`` stands for: those given, or all that the module defines."""
    module = imported(name)
    names = given.replace(",", " ").split() or [
        member for member, value in vars(module).items() if getattr(value, "__module__", "") == name
    ]
    return [member for member in names if not member.startswith("_") and inspect.isclass(getattr(module, member))]


def public_classes():
    """Return all public classes but errors, of which what raises them says when, by the names they have at home."""
    names = [*on_pages(), *(f"{package}.{name}" for package in PACKAGES for name in imported(package).__all__)]
    found = {}
    for name in names:
        module, _, last = name.rpartition(".")
        value = getattr(imported(module), last)
        if inspect.isclass(value) and not issubclass(value, BaseException):
            found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def test_every_public_class_has_examples_that_run():
    classes = public_classes()
    assert len(classes) > 100
    without = [name for name, value in classes.items() if "Examples\n--------\n" not in (inspect.getdoc(value) or "")]
    assert not without, f"no section Examples in {', '.join(sorted(without))}"
    parser = doctest.DocTestParser()
    skipped = {
        name
        for name, value in classes.items()
        if any(doctest.SKIP in example.options for example in parser.get_examples(inspect.getdoc(value)))
    }
    assert skipped == NOT_RUN


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "index.md"], ids=lambda page: page.name)
def test_an_api_page_begins_with_a_summary_of_what_is_on_it(page):
    text = page.read_text(encoding="utf-8")
    (summary,) = re.findall(r"\.\. autosummary::\n   :nosignatures:\n\n((?:   \S+\n)+)", text)
    listed = [line.strip("~ ").rpartition(".")[2] for line in summary.splitlines()]
    directives = re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)", text, re.MULTILINE)
    missing = {name.rpartition(".")[2] for name in directives} - set(listed)
    assert not missing, f"list {', '.join(sorted(missing))} in the summary of {page.name}"
    assert len(listed) == len(set(listed))


def test_an_example_that_is_wrong_is_found(tmp_path, monkeypatch):
    (tmp_path / "wrong_example.py").write_text('"""Add.\n\n>>> 1 + 1\n3\n"""\n', encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(AssertionError, match=r"Got:\n *2"):
            test_the_examples_in_docstrings_run("wrong_example", monkeypatch, tmp_path)
    finally:
        sys.modules.pop("wrong_example", None)
