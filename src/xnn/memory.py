"""How much memory there is."""

import os
from contextlib import suppress
from pathlib import Path


def free_memory() -> int | None:
    """Return the bytes available without swapping (Linux), or all that the machine has (macOS); None elsewhere."""
    with suppress(OSError):  # not Linux
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
