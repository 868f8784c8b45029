"""The shape of the package: what it loads, which way imports point, what the mathematics may call."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import xnn

SOURCE = Path(xnn.__file__).parent
HEAVY = {
    *("torch", "cupy", "numba", "matplotlib", "rich", "requests", "PIL", "safetensors", "msgspec", "hypothesis"),
    *("ndonnx", "onnx", "optuna", "sklearn"),
}
# Each part may import itself and what stands before it.
ORDER = [
    ("_version", "_typing", "typing", "_tf32", "_notes", "_checks", "_arrays", "errors", "paths", "files", "texts"),
    ("_markup", "memory", "strict_json"),
    ("tensors",),
    ("_few_threads",),
    ("backends",),
    ("random",),
    ("functional",),
    ("kernels",),
    ("nn",),
    ("optim",),
    ("data",),
    ("tasks",),
    ("training",),
    ("distributed",),
    ("recipes",),
    ("runs",),
    ("sweeps",),
    ("sklearn",),
    ("reporting",),
    ("exporting",),
    ("cli",),
]
PURE = ("functional", "nn", "optim")


def modules(part):
    path = SOURCE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported_names(path):
    """Yield the dotted names that a module imports, at its top or within functions, but not for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name):
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "xnn" and len(pieces) > 1 else None


@pytest.mark.parametrize("first_use", ["None", "xnn.functional, xnn.nn, xnn.optim", "xnn.backend('numpy')"])
def test_importing_loads_nothing_heavy(first_use):
    statement = f"import sys, xnn; {first_use}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(loaded.split())


@pytest.mark.parametrize("part", [part for level in ORDER for part in level])
def test_imports_point_one_way(part):
    (level,) = (number for number, parts in enumerate(ORDER) if part in parts)
    allowed = {other for parts in ORDER[: level + 1] for other in parts} | {"__version__"}
    for path in modules(part):
        for name in imported_names(path):
            other = part_of(name)
            assert other is None or other in allowed, f"{path.relative_to(SOURCE)} imports xnn.{other}"


@pytest.mark.parametrize("part", PURE)
def test_the_mathematics_names_no_array_library(part):
    libraries = {"numpy", "scipy", "torch", "cupy", "numba", "jax", "ndonnx", "onnx"}
    for path in modules(part):
        roots = {name.split(".")[0] for name in imported_names(path)}
        assert libraries.isdisjoint(roots), f"{path.relative_to(SOURCE)} imports {libraries & roots}"


def test_every_part_is_in_the_order():
    parts = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__", "testing"} == {part for level in ORDER for part in level}


def test_public_names_are_there():
    for name in xnn.__all__:
        assert getattr(xnn, name) is not None
    assert xnn.typing.__name__ == "xnn.typing"
    assert "typing" not in xnn.__all__
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = xnn.nothing_such


def test_the_version_is_that_of_the_distribution():
    assert (SOURCE / "py.typed").is_file()
    try:
        installed = metadata.version("xnn-array")
    except metadata.PackageNotFoundError:
        pytest.skip("xnn runs from its source here and is not installed")
    assert xnn.__version__ == installed
