"""Count the operations of a training step of the public record's program in PyTorch, for comparison with `device`.

Usage: ``python -m benchmarks.device_torch``, where PyTorch is installed; a GPU is not needed. The step is that of K.
Jordan's "airbench94_muon": the network of xnn's recipe `speed`, cross-entropy with smoothed labels, Muon for the
filters and SGD with Nesterov's momentum for the rest, all eager. PyTorch's profiler lists the operators that it calls;
counted are those that call no other one, and compute or copy. On a GPU each of them would be a kernel, or a few.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.networks import NETWORKS
from benchmarks.record_torch import muon

IMAGES = 8
"""The number of operations does not depend on it."""
STEPS = 3
NAMES_ONLY = frozenset(
    f"aten::{name}"
    for name in (
        *("as_strided", "view", "_unsafe_view", "reshape", "_reshape_alias", "t", "transpose", "permute", "expand"),
        *("select", "slice", "unsqueeze", "squeeze", "detach", "alias", "flatten", "numpy_T", "unbind", "split"),
        *("resolve_conj", "resolve_neg", "as_strided_", "to", "_to_copy", "narrow", "movedim", "contiguous"),
        *("empty", "empty_like", "empty_strided", "resize_", "result_type", "is_nonzero", "lift_fresh"),
    )
)
"""Operators that make names for what is there, or only set memory aside."""


def main() -> None:
    """Run the benchmark from the command line."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    step = record_step()
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step()
    counts: dict[str, int] = {}
    for event in leaves(profiler.events()):
        counts[event.name] = counts.get(event.name, 0) + 1
    print(f"{sum(counts.values()) / STEPS:.1f} operations a step, PyTorch {torch.__version__}; the most frequent:")
    for name, count in sorted(counts.items(), key=lambda each: -each[1])[:12]:
        print(f"{count / STEPS:8.1f}  {name}")


def leaves(events: Sequence[Any]) -> Iterator[Any]:
    """Return the operators that do work and call no operator that does."""
    for event in events:
        working = [child for child in event.cpu_children if child.name not in NAMES_ONLY]
        if event.name.startswith("aten::") and event.name not in NAMES_ONLY and not working:
            yield event


def record_step() -> Any:
    """Return a function that takes a step."""
    import torch

    network = NETWORKS["speed"].torch().to(memory_format=torch.channels_last)
    filters = [p for p in network.parameters() if p.ndim == 4 and p.requires_grad]
    others = [p for p in network.parameters() if p.ndim != 4 and p.requires_grad]
    sgd = torch.optim.SGD(others, lr=0.1, momentum=0.85, nesterov=True, fused=True)
    velocities = [torch.zeros_like(p) for p in filters]
    x = torch.randn(IMAGES, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(IMAGES) % 10
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.2, reduction="sum")

    def step() -> None:
        loss(network(x), labels).backward()
        sgd.step()
        with torch.no_grad():
            for weight, velocity in zip(filters, velocities, strict=True):
                muon(weight, velocity, lr=0.1, momentum=0.6, dtype=torch.bfloat16)
        network.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
