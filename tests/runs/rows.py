"""The rows of a file, for tests that look at what a run wrote."""

import json
from pathlib import Path


def rows_of(path: Path) -> list[dict]:
    """Return the rows of a file that must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]
