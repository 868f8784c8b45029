"""What lies in a folder, to tell what a command has changed."""

import hashlib
import os
import stat
from pathlib import Path

HASHED = 2**20
"""Larger files are compared by their times and sizes alone."""

Tree = dict[str, tuple[object, ...]]


def snapshot(root: Path) -> Tree:
    """Return what is known of each entry below `root`, by its path from there; no link is followed."""
    found: Tree = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                found[name] = (stat.filemode(status.st_mode), *_content(entry, status))
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{name}/")
    return found


def _content(entry: "os.DirEntry[str]", status: os.stat_result) -> tuple[object, ...]:
    if stat.S_ISLNK(status.st_mode):
        return (os.readlink(entry.path),)  # noqa: PTH115 - an entry's path may be no text
    if not stat.S_ISREG(status.st_mode):
        return (status.st_mtime_ns,)
    digest = ""
    if status.st_size <= HASHED:
        with open(entry.path, "rb") as file:  # noqa: PTH123 - as above
            digest = hashlib.sha256(file.read()).hexdigest()
    return status.st_size, status.st_mtime_ns, digest


def changes(before: Tree, after: Tree, allowed: tuple[str, ...]) -> list[str]:
    """Return the paths that differ, but for those that are allowed to: paths, or folders with a slash at their end.

    The times of the folders that lie above an allowed path may differ as well.
    """
    different = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [name for name in different if not _may_change(name, before, after, allowed)]


def _may_change(name: str, before: Tree, after: Tree, allowed: tuple[str, ...]) -> bool:
    if any(name == path or (path.endswith("/") and f"{name}/".startswith(path)) for path in allowed):
        return True
    above = any(path.startswith(f"{name}/") for path in allowed)
    both = before.get(name), after.get(name)
    return above and None not in both and both[0][0] == both[1][0]
