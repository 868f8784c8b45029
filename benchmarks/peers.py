"""Time training steps and inference against other libraries, on the same machine, network, batch and threads.

Usage: ``python -m benchmarks.peers [--peers NAMES] [--threads N] [--repeats N] [--seconds S] [--only TEXT]
[--markdown FILE] [--json FILE]``. NAMES are separated by commas: torch (eager PyTorch, in both of its memory layouts),
compile (torch.compile), sklearn (MLPClassifier), jax, keras (on JAX), or all. A line says if one is left out because it
is not installed.

Prints a Markdown table of milliseconds, medians over the turns. A step is forward, loss, backward and an update in
float32, by plain SGD unless stated otherwise. A turn is repeated if the machine's host has moved its cores away from
each other (see `benchmarks.core_distance`). Ratios are PyTorch's time over xnn's: above one, xnn is faster. The first
ratio is for PyTorch's fastest variant; steps with momentum and with Adam also have one for its default optimizer and
one for its fused optimizer.
"""

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.core_distance import Cores
from benchmarks.machine import cores, describe, pin
from benchmarks.peers_torch import FUSED
from benchmarks.peers_xnn import xnn_task
from benchmarks.tasks import Task, tasks
from benchmarks.timing import alternate, median_ratio


@dataclass(frozen=True)
class Peer:
    """A contestant besides xnn.

    Attributes
    ----------
    title : its column in the table
    module : has ``variants(network, task)``, and ``STEPS``, how many steps a call of a variant does
    packages : pairs of names, to import and to install
    """

    title: str
    module: str
    packages: tuple[tuple[str, str], ...]


PEERS = {
    "torch": Peer("PyTorch", "benchmarks.peers_torch", (("torch", "torch"),)),
    "compile": Peer("PyTorch compiled", "benchmarks.peers_compile", (("torch", "torch"),)),
    "sklearn": Peer("scikit-learn", "benchmarks.peers_sklearn", (("sklearn", "scikit-learn"),)),
    "jax": Peer("JAX", "benchmarks.peers_jax", (("jax", "jax"),)),
    "keras": Peer("Keras", "benchmarks.peers_keras", (("keras", "keras"), ("jax", "jax"))),
}
PYTORCH = ("torch", "compile")
# The columns for the two ways in which PyTorch's optimizers compute, and their variants.
RATIOS = {"default PyTorch / xnn": PEERS["torch"].title, "fused PyTorch / xnn": f"{PEERS['torch'].title}, {FUSED}"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if min(arguments.threads, arguments.repeats) < 1 or arguments.seconds <= 0:
        parser.error("--threads, --repeats and --seconds must be positive")
    # Before NumPy and all others are imported.
    pin(arguments.threads)

    from benchmarks.networks import NETWORKS

    networks = {name: network for name, network in NETWORKS.items() if arguments.only in name}
    if not networks:
        parser.error(f"--only {arguments.only}: no network's name holds this; there are {', '.join(NETWORKS)}")
    peers = {name: PEERS[name] for name in arguments.peers if is_there(name)}
    distributions = dict.fromkeys(package for peer in peers.values() for _, package in peer.packages)
    compiler = ("numba",) if importlib.util.find_spec("numba") else ()
    record = describe(arguments.threads, ("xnn-array", "numpy", *compiler, *distributions))
    record |= {"repeats": arguments.repeats, "seconds": arguments.seconds, "rows": []}

    lines: list[str] = []
    near = Cores(arguments.threads)
    for line in heading(record, peers):
        say(line, lines)
    for name, network in networks.items():
        for task in tasks(network):
            row = {"network": name, "what": task.title, **task._asdict()}
            row |= compare(network, task, peers, arguments.repeats, arguments.seconds, near)
            record["rows"].append(row)
            say(table_line(row, peers), lines)
            warn_of_spread(row)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def make_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=names, default=["torch"], help="contestants, or all (default: torch)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads for each library (default: all cores)")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument("--only", default="", help="time only networks whose name holds this text")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--json", type=Path, help="also write the machine, the versions and all turns to this file")
    return parser


def names(text: str) -> list[str]:
    """Return the contestants that `text` names, in the table's order."""
    chosen = [name.strip() for name in text.split(",")]
    unknown = [name for name in chosen if name not in (*PEERS, "all")]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose from {', '.join(PEERS)}, or all")
    return [name for name in PEERS if name in chosen or "all" in chosen]


def is_there(name: str) -> bool:
    """Whether a contestant can run here; if it cannot, stderr says so."""
    missing = [package for module, package in PEERS[name].packages if importlib.util.find_spec(module) is None]
    if missing:
        print(f"{name}: left out, since {' and '.join(missing)} cannot be imported", file=sys.stderr)
        return False
    compilers = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "cl"]
    if name == "compile" and not any(shutil.which(compiler) for compiler in compilers):
        print(f"{name}: left out, since no C++ compiler was found ({', '.join(compilers)})", file=sys.stderr)
        return False
    return True


def compare(
    network: Any, task: Task, peers: dict[str, Peer], repeats: int, seconds: float, cores: Cores
) -> dict[str, Any]:
    """Time one task of one network.

    Returns
    -------
    dict
        ``milliseconds``: of each contestant's fastest variant, None if it has none; ``turns``: all measured
        milliseconds of each variant; ``ratios``: for each of PyTorch's variants, the median over the turns of its time
        over xnn's; ``best_pytorch`` and ``ratio``: PyTorch's fastest variant and its ratio, None without PyTorch.
    """
    functions = {"xnn": xnn_task(network, task)}
    steps: dict[str, int] = {}
    variants: dict[str, list[str]] = {"xnn": ["xnn"]}
    for name, peer in peers.items():
        module = importlib.import_module(peer.module)
        made = module.variants(network, task)
        titled = {f"{peer.title}, {variant}" if variant else peer.title: made[variant] for variant in made}
        variants[name] = list(titled)
        functions |= titled
        steps |= dict.fromkeys(titled, module.STEPS)
    times = alternate(functions, repeats, seconds, steps, cores.while_near)
    medians = {variant: 1e3 * statistics.median(turns) for variant, turns in times.items()}
    pytorch = [variant for name in PYTORCH for variant in variants.get(name, [])]
    ratios = {variant: median_ratio(times[variant], times["xnn"]) for variant in pytorch}
    best = min(pytorch, key=medians.__getitem__) if pytorch else None
    return {
        "milliseconds": {name: min((medians[v] for v in variants[name]), default=None) for name in variants},
        "turns": {variant: [1e3 * turn for turn in turns] for variant, turns in times.items()},
        "ratios": ratios,
        "best_pytorch": best,
        "ratio": ratios[best] if best else None,
    }


def warn_of_spread(row: dict[str, Any]) -> None:
    """Say on stderr which variants' turns differ so much that something must have disturbed them."""
    for variant, turns in row["turns"].items():
        if max(turns) > 2 * min(turns):
            task = f"{row['network']}, {row['what']}, batch {row['batch']}"
            spread = f"its turns took {min(turns):.3f} to {max(turns):.3f} ms a step"
            print(f"{task}: {variant} was disturbed: {spread}; run again on an idle machine", file=sys.stderr)


def heading(record: dict[str, Any], peers: dict[str, Peer]) -> list[str]:
    """Return the lines above the table's rows."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    titles = ["xnn", *(peer.title for peer in peers.values())]
    columns = ["network", "what", "batch", *(f"{title}, ms" for title in titles), "best PyTorch / xnn"]
    columns += RATIOS if "torch" in peers else []
    return [
        f"{record['processor']}, {record['cores']} cores, {record['threads']} threads, {record['date']}; "
        f"{record['blas']}; {versions}",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]


def table_line(row: dict[str, Any], peers: dict[str, Peer]) -> str:
    """Return a row of the table."""
    times = [row["milliseconds"][name] for name in ("xnn", *peers)]
    cells = [row["network"], row["what"], str(row["batch"]), *("-" if ms is None else f"{ms:.3f}" for ms in times)]
    ratios = [row["ratio"]]
    if "torch" in peers:
        # If PyTorch has only one way to update, the first ratio says it all.
        both = all(variant in row["ratios"] for variant in RATIOS.values())
        ratios += [row["ratios"][variant] if both else None for variant in RATIOS.values()]
    cells += ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
    return f"| {' | '.join(cells)} |"


def say(line: str, lines: list[str]) -> None:
    """Print a line and keep it."""
    print(line, flush=True)
    lines.append(line)


if __name__ == "__main__":
    main()
