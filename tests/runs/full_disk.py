"""A disk that takes nothing more."""

import errno
import io
import os


class _Full(io.FileIO):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def fill_disk(monkeypatch):
    """Let what is written from now on fail."""
    fdopen = os.fdopen

    def opened(descriptor, mode):
        return fdopen(descriptor, mode) if mode == "rb" else io.BufferedWriter(_Full(descriptor, mode))

    monkeypatch.setattr(os, "fdopen", opened)
