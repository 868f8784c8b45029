"""``python -m tests.hostile``: hands mutated files to the commands and lists those that do harm."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XNN_NUM_THREADS"), "1"),
    # What the twins would add is the time it takes to load them; the cases that run as real processes have them.
    "XNN_TWINS": "0",
}

MEMORY = "/dev/shm"


def main() -> int:
    """Run the cases that were asked for; 0 where none failed."""
    options = _options()
    os.environ.update(ONE_THREAD)
    # In memory where the system has such a folder: each command waits for the disk several times.
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    base = Path(options.keep or tempfile.mkdtemp(prefix="hostile-", dir=memory)).absolute()
    base.mkdir(exist_ok=True)
    try:
        return _run(options, base)
    finally:
        if not options.keep:
            shutil.rmtree(base)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many in all (default: 10000)")
    parser.add_argument("--group", help="of this group alone")
    parser.add_argument("--case", type=int, help="this case of the group alone, and show all of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=20.0, help="what a case may take (default: 20)")
    parser.add_argument("--memory", type=int, default=2048, help="MiB that it may take (default: 2048)")
    parser.add_argument("--keep", help="an empty folder for all files, which are left there")
    return parser.parse_args()


def _run(options: argparse.Namespace, base: Path) -> int:
    _import_all(base)
    _warm_twins(base)
    from tests.hostile.child import Limits
    from tests.hostile.pool import chosen, run_all
    from tests.hostile.table import failures, table
    from tests.hostile.tree import changes, snapshot
    from tests.hostile.trial import attempt
    from tests.hostile.world import World

    world, limits = World(base / "world"), Limits(options.seconds, options.memory)
    if options.case is not None:
        more = {"seed": options.seed, "limits": limits, "keep": bool(options.keep)}
        tried, outcome, command = attempt(options.group, options.case, world, base / "shown", **more)
        print(f"{tried.told[:1000]!a}\nxnn-{command.program} {' '.join(command.arguments)}\n{outcome}")
        print("\n".join(tried.faults) or "no fault")
        return 1 if tried.faults else 0
    begun, before = time.monotonic(), snapshot(world.base)
    tried = run_all(chosen(options.cases, options.group), world, base, options.workers, options.seed, limits)
    print(table(tried))
    print(f"{sum(case.real for case in tried):,} of them as real processes")
    print(f"{time.monotonic() - begun:.0f} s on {options.workers} cores, seed {options.seed}")
    print(failures(tried, options.seed))
    spoilt = changes(before, snapshot(world.base), ("matplotlib/",))
    print("".join(f"changed the undisturbed files: {name}\n" for name in spoilt), end="")
    return 1 if spoilt or any(case.faults for case in tried) else 0


def _import_all(base: Path) -> None:
    """Make the undisturbed files in another process, and import what it imported: so this one computes nothing."""
    for name in json.loads(_made(base / "world").splitlines()[-1]):
        importlib.import_module(name)
    assert threading.active_count() == 1, "forking needs a process with one thread"


def _warm_twins(base: Path) -> None:
    """Have the twins compiled that the real processes load, by making all files once more; and keep a copy of them."""
    (base / "kernels").mkdir()  # which stays empty without Numba
    os.environ["NUMBA_CACHE_DIR"] = str(base / "kernels")
    _made(base / "warm", XNN_TWINS="1")
    shutil.rmtree(base / "warm")
    shutil.copytree(base / "kernels", base / "world" / "kernels")


def _made(folder: Path, **environment: str) -> str:
    """Make all undisturbed files, and return what that printed."""
    command = [sys.executable, "-m", "tests.hostile.world", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if made.returncode:
        raise SystemExit(made.stderr)
    return made.stdout


if __name__ == "__main__":
    sys.exit(main())
