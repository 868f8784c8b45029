"""The code in the README and the docs runs as it stands there, and the pages keep to what was agreed on."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = ["wandb", "mlflow"]
LOGGERS = [f"{service}_logger.py" for service in SERVICES]
EXAMPLES = [path for path in (ROOT / "docs").glob("*.py") if path.name not in ("conf.py", *LOGGERS)]
PAGES = [
    path
    for path in [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "derivations").glob("*.md"))]
    if path.name != "changelog.md"
]
"""All pages but the API's, which are as long as what they document, and the changelog."""
STAND_IN = """
import json
import types

def _noting(name):
    def call(*given, **named):
        with open("calls.jsonl", "a") as file:
            print(json.dumps([name, given, named]), file=file)
        return types.SimpleNamespace(log=_noting("log"), finish=_noting("finish"))
    return call

for _name in ("init", "start_run", "log_params", "log_metrics", "end_run"):
    globals()[_name] = _noting(_name)
"""
"""Notes the calls that would go to a service."""


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_example_trains_a_model(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    metrics = run(code, tmp_path).splitlines()[-1]
    accuracy = re.search(r"accuracy=(\d\.\d+)", metrics)
    assert accuracy, metrics
    assert float(accuracy[1]) > 0.9


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_of_the_docs_run(path, tmp_path):
    assert run(path.read_text(encoding="utf-8"), tmp_path)


COMPARED = [("from_pytorch.md", "PyTorch", "torch"), ("from_sklearn.md", "scikit-learn", "sklearn")]
COMPARED += [("from_keras.md", "Keras", "keras")]
BLOCK = re.compile(r"```\{code-block\} python\n:caption: ([^\n]*)\n\n(.*?)```", re.DOTALL)


def program(page, side):
    """Return one side's blocks of a page that compares, one after the other."""
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert sum(caption == side for caption, _ in blocks) == 10
    return "\n".join(code for caption, code in blocks if caption in ("Both", side))


@pytest.mark.parametrize("page", [page for page, _, _ in COMPARED])
def test_xnns_side_of_a_comparison_runs(page, tmp_path, monkeypatch):
    monkeypatch.setenv("XNN_TWINS", "0")
    monkeypatch.setenv("XNN_BACKEND", "numpy")
    said = run(program(page, "xnn"), tmp_path).splitlines()
    assert said[-1] == "<xnn backend numpy>"
    assert float(said[-2]) > 0.9


@pytest.mark.parametrize(("page", "side", "package"), COMPARED)
def test_the_other_side_of_a_comparison_runs(page, side, package, tmp_path, monkeypatch):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{page} compares with {side}, which is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(program(page, side), tmp_path)


@pytest.mark.parametrize("service", SERVICES)
def test_the_loggers_send_each_epoch_to_their_service(service, tmp_path, monkeypatch):
    monkeypatch.setenv("XNN_TWINS", "0")
    (tmp_path / f"{service}.py").write_text(STAND_IN, encoding="utf-8")
    table = run((ROOT / "docs" / f"{service}_logger.py").read_text(encoding="utf-8"), tmp_path)
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text(encoding="utf-8").splitlines()]
    names = {
        "wandb": ["init", "log", "log", "finish"],
        "mlflow": ["start_run", "log_params", *["log_metrics"] * 2, "end_run"],
    }
    assert [name for name, _, _ in calls] == names[service]
    rows = [(given[0], named["step"]) for name, given, named in calls if name in ("log", "log_metrics")]
    assert [step for _, step in rows] == [rows[0][1], 2 * rows[0][1]]
    assert f"{rows[1][0]['train_loss']:.4g}" in table
    assert all(value is not None for row, _ in rows for value in row.values()) or service == "wandb"
    assert '"model": "mlp"' in json.dumps(calls)


def test_there_are_examples():
    assert EXAMPLES


def shown(path):
    """Return the text of a page, with the files that it includes."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"```\{include\} (\S+)\n```", lambda found: shown(path.parent / found[1]), text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_has_at_most_1500_words(path):
    words = len(shown(path).split())
    assert words <= 1500, f"{path.relative_to(ROOT)} has {words:,} words: cut it, or make two pages of it"


def test_there_are_pages():
    assert len(PAGES) > 20


def test_nothing_speaks_of_a_release_that_does_not_exist():
    """Until there is one, people install from a clone; docs/releasing.md says what to do about this test then."""
    allowed = {ROOT / "docs" / "releasing.md"}
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.py")]
    files += [*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("benchmarks/*.md")]
    files = [path for path in files if "_build" not in path.parts and path not in allowed]
    assert len(files) > 100
    told = re.compile(r"(pip|uv|pipx) [^\n`]*\bxnn-array|xnn-array\[")
    faults = [str(path.relative_to(ROOT)) for path in files if told.search(path.read_text(encoding="utf-8"))]
    assert not faults, f"say pip install '.[extra]' in a clone of xnn, in {', '.join(faults)}"


GALLERY = sorted((ROOT / "docs" / "gallery").glob("*.py"))


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.name)
def test_an_example_finishes_a_picture_in_the_block_that_begins_it(path):
    """The gallery takes the pictures after each block, and closes them."""
    blocks = path.read_text(encoding="utf-8").split("\n# %%\n")
    drawing = [block for block in blocks if re.search(r"\bplt\.|\.(plot|legend|imshow|suptitle)\(", block)]
    assert drawing
    for block in drawing:
        assert "plt.show()" in block, block
        assert re.search(r"plt\.(figure|subplots)|history\.plot|\.from_estimator", block), block


def extension(name):
    """Return an extension of the docs, without Sphinx."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ('<div class="math">', "Formula"),
        ('<div class="table-wrapper docutils container">', "Table"),
        ("<pre>", "Code"),
        ('<pre class="literal-block">', "Code"),
    ],
)
def test_what_scrolls_by_itself_is_reached_by_keyboard(start, name):
    tag, rest = re.fullmatch(r"(<\w+)(.*)", start).groups()
    expected = f'{tag} tabindex="0" role="group" aria-label="{name}"{rest}'
    assert extension("scrolling").reachable(f"<p>{start}a{start}") == f"<p>{expected}a{expected}"


@pytest.mark.parametrize("html", ['<div class="math-wrapper">', "&lt;pre&gt;", "<present>", '<div class="highlight">'])
def test_what_does_not_scroll_is_no_stop_of_the_keyboard(html):
    assert extension("scrolling").reachable(html) == html


def described(text):
    core = pytest.importorskip("docutils.core", reason="the docs need docutils")
    return extension("descriptions").description(core.publish_doctree(text))


def test_a_page_is_described_by_its_first_paragraph():
    text = "Title\n=====\n\n.. note:: In a box.\n\n* In a list.\n\nWhat *the page*\nis about. Like this:\n\nMore.\n"
    assert described(text) == "What the page is about."
    assert described("Title\n=====\n\nLike this:\n") == "Like this."
    assert described("Title\n=====\n") == ""


def test_a_description_is_short_and_has_whole_sentences_or_else_words():
    assert described("It is so. " * 30) == " ".join(["It is so."] * 20)
    text = described("word " * 100)
    assert 150 < len(text) <= 200
    assert set(text.split()) == {"word", "…"}


def test_each_extra_for_users_has_its_size_and_import_time():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - {"test", "docs", "dev"}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "extras.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    found = {row[0].strip("`"): row[3:] for row in rows if "," not in row[0]}
    assert set(found) == extras
    told = re.compile(r"[\d,]+ MB"), re.compile(r"[\d,]+ ms")
    for extra, cells in found.items():
        assert all(kind.fullmatch(cell) for kind, cell in zip(told, cells, strict=True)), f"{extra}: {cells}"
