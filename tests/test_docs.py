"""The code in the README and the docs runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = [path for path in (ROOT / "docs").glob("*.py") if path.name != "conf.py"]


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


def test_there_are_examples():
    assert EXAMPLES
