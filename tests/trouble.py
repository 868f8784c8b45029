"""What goes wrong on purpose, and what may not get out of hand."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest


def failing(error: BaseException | type[BaseException]) -> Callable[..., NoReturn]:
    """Return a function that takes anything and raises `error`."""

    def fail(*arguments: Any, **options: Any) -> NoReturn:
        raise error

    return fail


def deny(patch: pytest.MonkeyPatch, method: str, denied: Callable[[Path], bool]) -> None:
    """Have a method of `Path` fail for some paths, as permissions do, which would not stop root."""
    real = getattr(Path, method)

    def refuse(path: Path, **options: Any) -> Any:
        if denied(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    patch.setattr(Path, method, refuse)


@contextmanager
def umask(mode: int) -> Iterator[None]:
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Check that Python takes less than so many bytes on the way."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
