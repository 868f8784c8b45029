"""Eager PyTorch, in both of its memory layouts if a network processes images.

Momentum and Adam are timed twice: as ``torch.optim`` does them by default, and with ``fused=True``.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.peers_xnn import random_batch
from benchmarks.tasks import MOMENTUM, RATES

STEPS = 1
FUSED = "fused"
"""The name of the variant with a fused optimizer."""
LAYOUTS = {"channels first": False, "channels last": True}


def variants(network: Any, task: Any) -> dict[str, Callable[[], object]]:
    """Return a function for each layout (an MLP has only one) and each way to update."""
    made: dict[str, Callable[[], object]] = {}
    for name, channels_last in layouts(network).items():
        if task.kind == "inference":
            made[name] = torch_inference(network, task.batch, channels_last)
            continue
        made[name] = torch_step(network, task.batch, channels_last, task.optimizer)
        if task.optimizer != "sgd":
            fused = f"{name}, {FUSED}" if name else FUSED
            made[fused] = torch_step(network, task.batch, channels_last, task.optimizer, fused=True)
    return made


def layouts(network: Any) -> dict[str, bool]:
    """Return the names of the layouts that differ for this network, and whether each is channels-last."""
    return {"": False} if network.hidden else LAYOUTS


def torch_step(
    network: Any, batch: int, channels_last: bool, optimizer: str = "sgd", *, fused: bool = False
) -> Callable[[], object]:
    """Return a function that does one training step in eager PyTorch."""
    import torch

    model, x, y = torch_model(network, batch, channels_last)
    update, loss = torch_optimizer(model, optimizer, fused), torch.nn.CrossEntropyLoss()

    def step() -> None:
        update.zero_grad(set_to_none=True)
        loss(model(x), y).backward()
        update.step()

    return step


def torch_optimizer(model: Any, name: str, fused: bool) -> Any:
    """Return the optimizer of that name in `OPTIMIZERS`; PyTorch chooses how it computes unless it is fused."""
    import torch

    settings = {"lr": RATES[name], "fused": True if fused else None}
    if name == "adam":
        return torch.optim.Adam(model.parameters(), **settings)
    return torch.optim.SGD(model.parameters(), momentum=MOMENTUM if name == "momentum" else 0.0, **settings)


def torch_inference(network: Any, batch: int, channels_last: bool) -> Callable[[], object]:
    """Return a function that computes the logits of one batch in PyTorch's inference mode."""
    import torch

    model, x, _ = torch_model(network, batch, channels_last)
    model.eval()

    def infer() -> object:
        with torch.inference_mode():
            return model(x)

    return infer


def torch_model(network: Any, batch: int, channels_last: bool) -> tuple[Any, Any, Any]:
    """Return the network, images and labels in one of PyTorch's layouts."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network.torch().to(memory_format=layout)
    images, labels = random_batch(network, batch)
    x = torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32).contiguous(memory_format=layout)
    return model, x, torch.tensor(labels)
