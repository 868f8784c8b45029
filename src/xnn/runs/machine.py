"""What a run was computed on, for whoever reads its figures later."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from xnn.backends import Backend
from xnn.kernels import threads
from xnn.memory import total_memory
from xnn.runs import schema


def machine(backend: Backend) -> schema.Machine:
    """Return the facts about this machine that `result.json` records."""
    memory = total_memory()
    return {
        "processor": processor()[:100],
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": threads.count(),
        "memory_mib": None if memory is None else memory / 2**20,
        "computed_by": backend.describe()[:1000],
    }


def processor() -> str:
    """Return the name of the processor, or of its architecture if the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def now() -> str:
    """Return the moment, to the second and in UTC, as in ``2026-11-30T14:08:42+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")
